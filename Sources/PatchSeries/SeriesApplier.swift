// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// Puts a patch series as commits on top of a base, inside a bare repository and without any work tree.
///
/// The author, date and message of each patch are kept; the committer is always the same and has the base's date, so
/// that the same patches on the same base give the same commit ids on every machine.
///
/// Each applied patch is recorded in the cache under the base and all patches up to it. A series that only grew or
/// changed at its end is therefore applied from there on, and an unchanged one not at all. No refs are made: a record
/// whose objects git has collected in the meantime is simply made again.
public struct SeriesApplier: Sendable {
    private let gitDirectory: String
    private let git: Git
    private let cache: Cache

    /// An applier for the repository whose git directory is given; it must have the base's commit.
    public init(gitDirectory: String, runner: ProcessRunner, cache: Cache) {
        self.init(gitDirectory: gitDirectory, git: Git(runner: runner), cache: cache)
    }

    init(gitDirectory: String, git: Git, cache: Cache) {
        self.gitDirectory = URL(fileURLWithPath: gitDirectory).path
        self.git = git
        self.cache = cache
    }

    /// Applies a series; a patch that does not apply is an error.
    ///
    /// - Parameters:
    ///   - series: the patches.
    ///   - commit: the base, as a whole commit id.
    ///   - upTo: how many patches, from 0; nil for all.
    /// - Returns: the commits, which are in the store now.
    /// - Throws: ``LabError`` `patch-does-not-apply`, and what ``attempt(_:onto:upTo:)`` throws.
    public func apply(_ series: PatchSeries, onto commit: String, upTo: Int? = nil) async throws -> AppliedSeries {
        switch try await attempt(series, onto: commit, upTo: upTo) {
        case .applied(let applied): return applied
        case .rejected(let rejection): throw rejection.labError
        }
    }

    /// Applies a series, or tells which patch does not apply and where.
    ///
    /// - Parameters:
    ///   - series: the patches.
    ///   - commit: the base, as a whole commit id.
    ///   - upTo: how many patches, from 0; nil for all.
    /// - Returns: the commits, or the first patch that does not apply.
    /// - Throws: ``LabError`` `upto-out-of-range`, `base-missing`, `patch-unsafe`, failures of the host;
    ///   `CancellationError`.
    public func attempt(_ series: PatchSeries, onto commit: String, upTo: Int? = nil) async throws -> SeriesAttempt {
        let wanted = try series.prefix(upTo)
        guard (40...64).contains(commit.utf8.count), commit.utf8.allSatisfy({ Character(UnicodeScalar($0)).isHexDigit })
        else { throw Self.missing(commit, gitDirectory, nil) }
        let staging = try cache.stagingFolder()
        defer { try? FileManager.default.removeItem(atPath: staging) }

        let ledger = StepLedger(git: git, gitDirectory: gitDirectory, cache: cache, staging: staging)
        let keys = ledger.keys(base: commit, patches: wanted.patches)
        var steps = try await ledger.known(keys, base: commit)
        let cachedCount = steps.count
        if let last = steps.last, steps.count == keys.count {
            return .applied(result(wanted, commit, steps, tree: last.tree, cachedCount: cachedCount))
        }
        cache.sweepStaging()
        var session = try await ApplySession(
            git: git, store: gitDirectory, staging: staging, base: commit, start: steps.last?.commit ?? commit,
            series: wanted, from: steps.count, total: series.patches.count)
        for index in steps.count..<wanted.patches.count {
            if let rejection = try await session.apply(wanted.patches[index], number: index + 1) {
                return .rejected(rejection)
            }
        }
        let made = try await session.finish()
        for (key, step) in zip(keys[steps.count...], made) { try ledger.record(step, key) }
        steps += made
        return .applied(
            result(wanted, commit, steps, tree: steps.last?.tree ?? session.startTree, cachedCount: cachedCount))
    }

    /// Whether git alone applies the whole series without a merge, which is far quicker to find out than ``attempt(_:onto:upTo:)``.
    ///
    /// - Parameters:
    ///   - series: the patches.
    ///   - commit: the base, as a whole commit id.
    /// - Returns: false if ``attempt(_:onto:upTo:)`` has to be asked.
    /// - Throws: ``LabError`` `base-missing`, `patch-unsafe`, failures of the host; `CancellationError`.
    public func appliesAtOnce(_ series: PatchSeries, onto commit: String) async throws -> Bool {
        guard series.patches.allSatisfy({ $0.strip == 1 && !$0.isReversed }) else { return false }
        let staging = try cache.stagingFolder()
        defer { try? FileManager.default.removeItem(atPath: staging) }
        let session = try await ApplySession(
            git: git, store: gitDirectory, staging: staging, base: commit, start: commit, series: series, from: 0,
            total: series.patches.count)
        return try await session.appliesAtOnce(series.patches)
    }

    private func result(
        _ series: PatchSeries, _ base: String, _ steps: [AppliedStep], tree: String, cachedCount: Int
    ) -> AppliedSeries {
        let patches = zip(series.patches, steps).enumerated().map { index, pair in
            AppliedPatch(
                number: index + 1, subject: pair.0.subject, origin: pair.0.origin, outcome: pair.1.outcome,
                drift: pair.1.drift, commit: pair.1.commit)
        }
        return AppliedSeries(
            base: base, tip: steps.last?.commit ?? base, tree: tree, patches: patches, cachedCount: cachedCount)
    }

    static func missing(_ commit: String, _ store: String, _ said: String?) -> LabError {
        LabError(
            "base-missing", "The base \(Printable.text(commit)) is not in the store \(store)", cause: said,
            next: "Fetch the base again.")
    }
}
