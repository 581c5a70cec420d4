// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchSeries
import ProcessRunner

/// The version of a series that was mailed before.
public struct FormerVersion: Sendable {
    /// Its patches.
    public var series: PatchSeries
    /// The tree that its cover letter names; nil if there is none.
    public var baseTree: String?

    /// Makes a former version.
    public init(series: PatchSeries, baseTree: String? = nil) {
        self.series = series
        self.baseTree = baseTree
    }

    /// Reads version `version` from a folder that hmmlab or git-format-patch(1) has written, or from an mbox.
    ///
    /// A folder may hold several versions: the files of this one are taken by their names.
    ///
    /// - Throws: ``LabError`` `version-missing`, and what reading patches throws.
    public static func read(
        version: Int, at path: String, runner: ProcessRunner, cache: Cache
    ) async throws -> FormerVersion {
        let reader = SeriesReader(runner: runner, cache: cache)
        guard Files.isFolder(path) || !Files.exists(path) else {
            return FormerVersion(
                series: try await reader.read(.path(path)),
                baseTree: CoverLetter.baseTree(in: try Files.text(path, exit: .usage)))
        }
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
        let own = names.filter { MailNames.parse($0)?.version == version }
        let patches = own.filter { MailNames.parse($0)?.number != 0 }
        guard !patches.isEmpty else {
            throw LabError(
                "version-missing", exit: .usage, "Version \(version) of the series is not in \(path)",
                cause: "No file there is named \(MailNames.prefix(version))0001-….patch.",
                next: "Write it there first, or name its folder or mbox with --previous.")
        }
        let cover = try own.first { MailNames.parse($0)?.number == 0 }.map { try Files.text("\(path)/\($0)") }
        return FormerVersion(
            series: PatchSeries(source: path, patches: try await reader.read(files: patches.map { "\(path)/\($0)" })),
            baseTree: cover.flatMap { CoverLetter.baseTree(in: $0) })
    }
}

extension SeriesMailer {
    /// What changed since the version before, by git-range-diff(1) where that version applies to a base at hand.
    func changelog(
        since former: FormerVersion, _ patches: [MailPatch], request: MailRequest, tip: String, notes: inout [String]
    ) async throws -> Changelog {
        let now = patches.map { Changelog.Side(subject: $0.patch.subject, body: $0.patch.body, diff: $0.diff) }
        let before = former.series.patches.map {
            Changelog.Side(subject: $0.subject, body: $0.body, diff: $0.diff)
        }
        guard let old = try await applied(former, request.base) else {
            notes.append("Version \(request.version - 1) applies to no base at hand: there is no range-diff.")
            return Changelog(
                version: request.version, former: before, now: now,
                pairs: Changelog.pairs(former: before, now: now), rangeDiff: nil)
        }
        let rangeDiff = try await runner.check(
            store.command([
                "-c", "core.abbrev=12", "-c", "diff.algorithm=myers", "range-diff", "--no-color", "--no-notes",
                "--no-ext-diff", "--no-textconv", "--indent-heuristic", "--creation-factor=60",
                "\(old.base)..\(old.tip)", "\(request.base.commit)..\(tip)",
            ]), outputLimit: 64 << 20)
        // git counts commits; a patch that changed nothing has none.
        let numbers = old.patches.indices.filter { old.patches[$0].outcome != .alreadyApplied }
        let found = Changelog.pairs(inRangeDiff: rangeDiff).compactMapValues { number in
            numbers.indices.contains(number) ? numbers[number] : nil
        }
        // A patch that was written anew is none of those that it finds.
        let pairs = Changelog.pairs(former: before, now: now, known: found)
        return Changelog(version: request.version, former: before, now: now, pairs: pairs, rangeDiff: rangeDiff)
    }

    /// The version before as commits: on the base that it names, else on the present one.
    private func applied(_ former: FormerVersion, _ base: Base) async throws -> AppliedSeries? {
        var bases = [base]
        if let tree = former.baseTree, tree != base.tree,
            let own = try await store.bases().first(where: { $0.tree == tree })
        {
            bases.insert(own, at: 0)
        }
        for base in bases {
            if case .applied(let applied) = try await applier.attempt(former.series, onto: base.commit) {
                return applied
            }
        }
        return nil
    }
}
