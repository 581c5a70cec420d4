// SPDX-License-Identifier: Apache-2.0

/// A series that stands as commits on top of a base.
public struct AppliedSeries: Sendable, Equatable, Codable {
    /// The base's commit.
    public let base: String
    /// The commit of the last patch; the base's own if there was none.
    public let tip: String
    /// The tree of the tip: what is built.
    public let tree: String
    /// What became of each patch.
    public let patches: [AppliedPatch]
    /// How many of the patches, from the first on, were found applied in the cache.
    public let cachedCount: Int

    /// What the person should know although everything went well: one sentence for each thing.
    public var notes: [String] {
        let applied = patches.filter { $0.outcome == .alreadyApplied }.map {
            "Patch \($0.number) (\($0.subject)) changes nothing: the base already has it."
        }
        let drifted = patches.filter { !$0.drift.isEmpty && $0.outcome != .alreadyApplied }
        guard !drifted.isEmpty else { return applied }
        let files = Set(drifted.flatMap(\.drift)).sorted()
        let merged = drifted.filter { $0.outcome == .threeWay }.count
        let names = files.prefix(5).joined(separator: ", ") + (files.count > 5 ? " and \(files.count - 5) more" : "")
        return applied + [
            "The series was made for another version of \(names): \(drifted.count) of its patches \(drifted.count == 1 ? "applies" : "apply") with drift, "
                + "\(merged) of them by a three-way merge."
        ]
    }
}

/// What became of one patch.
public struct AppliedPatch: Sendable, Equatable, Codable {
    /// How a patch went in.
    public enum Outcome: String, Sendable, Equatable, Codable {
        /// Its lines were found, perhaps with an offset.
        case clean
        /// Its change was merged into files that differ from those it was made for.
        case threeWay = "three-way"
        /// Merging it changed nothing; it has no commit of its own.
        case alreadyApplied = "already-applied"
    }

    /// The patch's place in the series, from 1.
    public let number: Int
    /// Its subject.
    public let subject: String
    /// Where it came from; see ``Patch/origin``.
    public let origin: String
    /// How it went in.
    public let outcome: Outcome
    /// The files that differ from those the patch was made for, as far as its `index` lines tell.
    public let drift: [String]
    /// The commit after this patch; the one before it if the patch changed nothing.
    public let commit: String
}

/// How an attempt to apply a series ended.
public enum SeriesAttempt: Sendable, Equatable {
    /// Every patch went in.
    case applied(AppliedSeries)
    /// A patch did not; nothing of the series was kept.
    case rejected(PatchRejection)
}
