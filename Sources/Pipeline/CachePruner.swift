// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// What pruning did, or would do.
public struct PruneReport: Sendable {
    /// What went.
    public var removed: [CacheThing]
    /// What should have gone and could not, each with the reason.
    public var failures: [String]
    /// The size in bytes of what is left.
    public var size: Int64

    /// How much room was made, in bytes.
    public var freed: Int64 { removed.reduce(0) { $0 + $1.size } }
}

/// Keeps the cache below a size.
///
/// Every command holds a lock shared for as long as it uses the cache; pruning only happens while nobody holds it. So
/// nothing goes away under anybody, and whatever lies in `staging` has no maker any more. Things are renamed out of
/// sight first, each in one step, and deleted when the lock is free again: a kill in between leaves nothing half there,
/// and what it leaves in `staging` is swept by the next command.
public struct CachePruner: Sendable {
    private let cache: Cache
    private let runner: ProcessRunner

    /// A pruner for a cache.
    public init(cache: Cache, runner: ProcessRunner = ProcessRunner()) {
        self.cache = cache
        self.runner = runner
    }

    /// What the cache holds now.
    ///
    /// - Throws: ``LabError`` `tool-missing` and others.
    public func contents() async throws -> CacheContents { try await CacheContents(of: cache, runner: runner) }

    /// The lock on the whole cache; nil if somebody uses the cache.
    ///
    /// A process that is just being started holds what its parent holds until its exec, which is no use of the cache.
    private func lockForItself() async throws -> FileLock? {
        let path = try cache.useLock()
        for _ in 0..<5 {
            if let lock = try FileLock.acquireNow(path) { return lock }
            try await Task.sleep(for: .milliseconds(20))
        }
        return try FileLock.acquireNow(path)
    }

    /// Removes what was not used for longest until the cache is no larger than a limit.
    ///
    /// - Parameters:
    ///   - limit: for the whole cache, what is never removed included.
    ///   - start: what was used since then stays, whatever the limit.
    ///   - believesNotes: whether worktrees and object folders are not measured again that were a while ago.
    ///   - isDryRun: whether to only tell what would go.
    /// - Returns: what went; nil if another hmmlab uses the cache, in which case nothing is done.
    /// - Throws: ``LabError`` `cache-unwritable`, `lock-failed`, `tool-missing` and others.
    public func prune(
        to limit: ByteCount, keepingUsedSince start: Date = .distantFuture, believesNotes: Bool = false,
        isDryRun: Bool = false
    ) async throws -> PruneReport? {
        guard let lock = try await lockForItself() else { return nil }
        var notes = believesNotes ? SizeNotes(in: cache) : SizeNotes()
        let contents = try await CacheContents(of: cache, runner: runner, known: notes.sizes)
        notes.add(contents.sizesWorthNoting)
        try? notes.write(to: cache)
        var report = PruneReport(
            removed: contents.removals(limit: limit.bytes, keepingUsedSince: start), failures: [], size: contents.size)
        guard !isDryRun, !report.removed.isEmpty else {
            report.size -= report.freed
            return report
        }
        let trash = try cache.stagingFolder()
        report.removed = report.removed.enumerated().filter { number, thing in
            let failures = thing.paths.enumerated().compactMap { part, path in
                Self.move(cache.root + "/" + path, to: "\(trash)/\(number)-\(part)")
            }
            report.failures += failures
            return failures.isEmpty
        }.map(\.element)
        report.size -= report.freed
        removeDanglingLink(cache.root + "/runs/latest")
        _ = consume lock
        try? FileManager.default.removeItem(atPath: trash)
        return report
    }

    /// Takes something away in one step; returns why that is not possible, unless it is not there at all.
    private static func move(_ path: String, to place: String) -> String? {
        if rename(path, place) == 0 || errno == ENOENT { return nil }
        return "\(path): \(String(cString: strerror(errno)))"
    }

    private func removeDanglingLink(_ path: String) {
        var status = stat()
        if lstat(path, &status) == 0, stat(path, &status) != 0 { unlink(path) }
    }
}

extension Lab {
    /// Runs a command's work while nobody can prune the cache, and then prunes it if the work made it grow.
    ///
    /// - Throws: ``LabError`` `installation-unknown`, `cache-size-bad`, `cache-unwritable`; what the work throws.
    public static func using<Result>(
        environment: [String: String] = ProcessInfo.processInfo.environment, progress: @escaping ProgressHandler,
        _ work: (Lab) async throws -> Result
    ) async throws -> Result {
        let limit = try Cache.limit(environment: environment)
        let lab = try Lab(environment: environment, progress: progress)
        let start = Date()
        func locked() async throws -> Result {
            let lock = try await FileLock.acquire(lab.cache.useLock(), isShared: true) {
                progress(.note("Another hmmlab is removing old things from the cache; waiting for it"))
            }
            let result = try await work(lab)
            withExtendedLifetime(lock) {}
            return result
        }
        do {
            let result = try await locked()
            await lab.prune(to: limit, start)
            return result
        } catch {
            await lab.prune(to: limit, start)
            throw error
        }
    }

    /// A command that has only looked things up does not spend time on measuring the cache.
    private func prune(to limit: ByteCount, _ start: Date) async {
        guard !Task.isCancelled, cache.hasGrown(since: start) else { return }
        do {
            let pruner = CachePruner(cache: cache, runner: runner)
            guard let report = try await pruner.prune(to: limit, keepingUsedSince: start, believesNotes: true)
            else { return }
            for failure in report.failures {
                progress(.warning("This could not be removed from the cache: \(failure)"))
            }
            let removed = report.removed.count { $0.kind != .staging }
            guard removed > 0 else { return }
            progress(
                .note(
                    "The cache was larger than \(limit), so \(removed.of("thing")) not used for long went: "
                        + "\(ByteCount(report.freed)) (HMMLAB_CACHE_SIZE sets the limit)"))
        } catch {
            // The work itself is done; the next command tries again.
            progress(.warning("The cache could not be pruned: \((error as? LabError)?.sentence ?? "\(error)")"))
        }
    }
}

extension Cache {
    /// Whether anything of weight was added: it changes the time of the folder that it lies in.
    fileprivate func hasGrown(since start: Date) -> Bool {
        let work = ((try? FileManager.default.contentsOfDirectory(atPath: root + "/work")) ?? []).map { "work/\($0)" }
        return (["artifacts", "images", "kselftests", "modules", "work"] + work).contains { name in
            var status = stat()
            // File times come from a clock that is a few milliseconds late.
            return stat("\(root)/\(name)", &status) == 0
                && TimeInterval(status.st_mtim.tv_sec) >= start.timeIntervalSince1970 - 1
        }
    }
}
