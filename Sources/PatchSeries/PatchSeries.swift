// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// An ordered list of patches, read from wherever they lay, and safe to apply to a tree of its own.
public struct PatchSeries: Sendable, Equatable {
    /// What the person gave as the series.
    public let source: String
    /// The patches in the order in which they are applied.
    public let patches: [Patch]
    /// What was left out while reading, such as a cover letter: one sentence each.
    public let notes: [String]
    /// The mail before the patches; nil if there was none.
    public var cover: CoverLetter?
    /// The git directory that the patches came from: it has the blobs that a three-way merge needs.
    let repository: String?

    init(source: String, patches: [Patch], notes: [String], repository: String?, cover: CoverLetter? = nil) {
        self.cover = cover
        self.source = source
        self.patches = patches
        self.notes = notes
        self.repository = repository
    }

    /// A series of patches that were read before.
    public init(source: String, patches: [Patch], notes: [String] = [], cover: CoverLetter? = nil) {
        self.init(source: source, patches: patches, notes: notes, repository: nil, cover: cover)
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
            source: source, patches: Array(patches.prefix(count)), notes: notes, repository: repository, cover: cover)
    }
}

/// What the mail before the patches of a series says.
public struct CoverLetter: Sendable, Equatable {
    /// Its subject, without `[PATCH 0/n]`.
    public var title: String
    /// Its text, without the list of patches and the diffstat that git-format-patch(1) puts behind it.
    public var text: String

    init(title: String, body: String) {
        self.title = title
        var kept: [Substring] = []
        let lines = body.split(separator: "\n", omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            // "A Developer (3):" and an indented subject below it begin the list of patches.
            if line.contains(/\([0-9]+\):$/), index + 1 < lines.count, lines[index + 1].hasPrefix("  ") { break }
            if line.contains(/^ [^|]+\| +[0-9]+ [+-]*$/) { break }
            kept.append(line)
        }
        text = kept.joined(separator: "\n").trimmingCharacters(in: .whitespacesAndNewlines)
    }
}
