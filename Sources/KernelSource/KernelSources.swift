// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import ProcessRunner

/// Turns what people call a base into a commit in the local store, and gives out worktrees to build in.
///
/// Once a base was resolved it needs neither the network nor the place that it came from.
public struct KernelSources: Sendable {
    /// The store that holds every base.
    public let store: ObjectStore
    let cache: Cache
    let runner: ProcessRunner
    let progress: ProgressHandler
    let archive: DebianArchive

    /// Sources in a cache.
    ///
    /// - Parameters:
    ///   - cache: where everything is kept.
    ///   - runner: starts git, tar and apt.
    ///   - progress: told about steps, and warned where something older than asked for is used.
    ///   - environment: only `HMMLAB_MIRROR` is read.
    public init(
        cache: Cache, runner: ProcessRunner, progress: @escaping ProgressHandler = { _ in },
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) {
        self.init(cache: cache, runner: runner, progress: progress, environment: environment, keyring: nil)
    }

    init(
        cache: Cache, runner: ProcessRunner, progress: @escaping ProgressHandler, environment: [String: String],
        keyring: String?
    ) {
        self.cache = cache
        self.runner = runner
        self.progress = progress
        store = ObjectStore(cache: cache, runner: runner, progress: progress)
        archive = DebianArchive(
            cache: cache, runner: runner, progress: progress,
            mirrorOverride: environment["HMMLAB_MIRROR"].flatMap { $0.isEmpty ? nil : $0 }, keyring: keyring)
    }

    /// The base that a specification means now, fetched and imported if the store lacks it.
    ///
    /// A version that the store holds, and a series or `latest` whose newest version it holds by a fresh index, costs
    /// no network. Where a source is out of reach, the newest base that was resolved from it is used, with a warning.
    ///
    /// - Throws: ``LabError`` `base-unknown`, `base-not-cached`, `network-unreachable`, `archive-refused`,
    ///   `mirror-unknown`, `disk-full`, `repository-missing`, `repository-foreign`, `revision-unknown`,
    ///   `folder-missing`, `archive-missing`, `archive-unreadable`, `base-not-kernel`, `base-not-clean`,
    ///   `path-unbuildable`, `tool-missing`, ...
    public func resolve(_ spec: BaseSpec, refresh: RefreshPolicy = .whenStale) async throws -> Base {
        try BuildPath.check(cache.root, setBy: "XDG_CACHE_HOME")
        try await store.prepare()
        cache.sweepStaging()
        var base =
            switch spec {
            case .debian(let choice): try await resolve(choice, spec, refresh)
            case .git(let repository, let revision):
                try await orStored(spec, "repository-missing") {
                    try await importCommit(revision, of: repository, spec)
                }
            case .directory(let path):
                try await orStored(spec, "folder-missing") { try await importDirectory(path, spec) }
            case .tar(let path):
                try await orStored(spec, "archive-missing") { try await importArchive(path, spec) }
            }
        base.spec = spec
        return base
    }

    /// What the archive offers and what the store holds.
    ///
    /// - Throws: ``LabError`` if the store cannot be read; an archive that cannot be asked is part of the answer.
    public func list(refresh: RefreshPolicy = .whenStale) async throws -> BaseListing {
        try await store.prepare()
        let cached = try await store.bases()
        do {
            let state = try await archive.state(refresh)
            return BaseListing(
                offered: state.index.packages, refreshedAt: state.index.refreshedAt, problem: state.problem,
                cached: cached)
        } catch let error as LabError {
            return BaseListing(offered: [], refreshedAt: nil, problem: error, cached: cached)
        }
    }

    /// The folder to build a base in, or what was made from it.
    public func worktree(for base: Base) -> Worktree { Worktree(store: store, workspace: base.workspace) }

    /// Falls back to a base that was resolved from the same specification before, if its source is gone now.
    private func orStored(
        _ spec: BaseSpec, _ code: String, _ body: () async throws -> Base
    ) async throws -> Base {
        do {
            return try await body()
        } catch let error as LabError where error.code == code {
            guard let base = try await store.bases().first(where: { $0.spec == spec }) else { throw error }
            progress(.warning("\(error.sentence); using \(base.identifier) from the cache"))
            return base
        }
    }
}

/// What `hmmlab base list` shows.
public struct BaseListing: Sendable, Codable {
    /// The archive's packages; the newest series first, in it the newest version first.
    public var offered: [ArchivePackage]
    /// When the archive was last asked successfully; nil if never.
    public var refreshedAt: Date?
    /// Why the archive could not be asked, if it should have been.
    public var problem: LabError?
    /// The bases in the store, the newest import first.
    public var cached: [Base]
}
