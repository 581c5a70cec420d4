// SPDX-License-Identifier: Apache-2.0
import HarnessCore

/// An ordered list of patches, read from wherever they lay, and safe to apply to a tree of its own.
public struct PatchSeries: Sendable, Equatable {
    /// What the person gave as the series.
    public let source: String
    /// The patches in the order in which they are applied.
    public let patches: [Patch]
    /// What was left out while reading, such as a cover letter: one sentence each.
    public let notes: [String]
    /// The git directory that the patches came from: it has the blobs that a three-way merge needs.
    let repository: String?

    init(source: String, patches: [Patch], notes: [String], repository: String?) {
        self.source = source
        self.patches = patches
        self.notes = notes
        self.repository = repository
    }

    /// A series of patches that were read before.
    public init(source: String, patches: [Patch], notes: [String] = []) {
        self.init(source: source, patches: patches, notes: notes, repository: nil)
    }

    /// The first patches of the series.
    ///
    /// - Parameter count: how many, from 0; nil for all.
    /// - Returns: a series of so many patches.
    /// - Throws: ``LabError`` `upto-out-of-range`.
    public func prefix(_ count: Int?) throws -> PatchSeries {
        guard let count else { return self }
        guard (0...patches.count).contains(count) else {
            let held = patches.count.of("patch", plural: "patches")
            throw LabError(
                "upto-out-of-range", exit: .usage, "--upto \(count) is not possible: \(source) has \(held)",
                next: "Give a number from 0 (no patch at all) to \(patches.count).")
        }
        return PatchSeries(
            source: source, patches: Array(patches.prefix(count)), notes: notes, repository: repository)
    }
}
