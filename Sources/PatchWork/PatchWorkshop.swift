// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchModel
import PatchSeries
import ProcessRunner

/// Turns a model's patches into commits of a git repository to work in, and commits into patches of the model.
public struct PatchWorkshop: Sendable {
    let store: ObjectStore
    let runner: ProcessRunner
    let cache: Cache
    let progress: ProgressHandler

    /// A workshop for bases in a store.
    public init(
        store: ObjectStore, runner: ProcessRunner, cache: Cache, progress: @escaping ProgressHandler = { _ in }
    ) {
        self.store = store
        self.runner = runner
        self.cache = cache
        self.progress = progress
    }

    var reader: SeriesReader { SeriesReader(runner: runner, cache: cache) }

    func repository(_ folder: String) -> WorkRepository { WorkRepository(folder: folder, git: Git(runner: runner)) }

    func modelStore(_ folder: String) -> PatchModelStore {
        PatchModelStore(folder: folder, runner: runner, cache: cache)
    }

    static func absolute(_ path: String) -> String { URL(fileURLWithPath: path).standardizedFileURL.path }

    // MARK: - Edit

    /// Makes a folder with the patches for a base as commits.
    ///
    /// - Parameters:
    ///   - model: the model.
    ///   - base: the base, which is in the store.
    ///   - topics: the topics by name; all for an empty list.
    ///   - folder: does not exist or is empty.
    /// - Throws: ``LabError`` `folder-exists`, `topic-unknown`, `topic-not-for-base`, `depends-unmet`,
    ///   `patch-does-not-apply`, `disk-full` and others.
    public func edit(
        _ model: PatchModel, base: WorkBase, topics: [String], folder: String
    ) async throws -> EditReport {
        let final = try WorkFolder(final: Self.absolute(folder), cache: cache)
        defer { final.clean() }
        let resolution = try model.resolve(for: base.series, topics: topics)
        let applied = try await apply(resolution, base)
        let session = WorkSession(
            base: base, model: Self.absolute(model.folder), topics: topics,
            patches: [])
        try await checkOut(session, at: applied.tip, in: final.place)
        let work = repository(final.place)
        let commits = try await work.commits(from: base.commit, reader: reader)
        var records: [WorkSession.Record] = []
        for (patch, step) in zip(resolution.patches, applied.patches) {
            let made = step.outcome == .alreadyApplied ? nil : commits.first { $0.commit == step.commit }
            records.append(Self.record(patch, made, on: base.series))
        }
        try await remember(session, records, in: work)
        try final.publish()
        return EditReport(
            folder: final.final, base: base, model: session.model, branch: WorkSession.branch(base),
            patches: records.map { .init(id: $0.id, subject: $0.subject, commit: $0.commit) },
            left: resolution.left.map { .init(id: $0.id, state: $0.state(on: base.series)) }, notes: applied.notes)
    }

    /// Applies a model's patches to a base, with the trailer by which their commits are known.
    func apply(_ resolution: Resolution, _ base: WorkBase) async throws -> AppliedSeries {
        let named = try zip(resolution.patches, resolution.series.patches).map { patch, text in
            try text.replacingMessage(
                subject: text.subject, body: PatchName.adding(patch.id, to: text.body), author: text.author)
        }
        progress(.step("Applying \(named.count.of("patch", plural: "patches")) to \(base.spec)"))
        return try await SeriesApplier(gitDirectory: store.gitDirectory, runner: runner, cache: cache).apply(
            PatchSeries(source: resolution.series.source, patches: named), onto: base.commit)
    }

    /// Makes the repository of a session.
    func checkOut(_ session: WorkSession, at commit: String, in place: String) async throws {
        // A kernel's sources take 1.6 GB, some small store of a test nearly nothing.
        let isKernel = try await runner.check(
            store.command(["ls-tree", "--name-only", session.base.commit])
        ).contains("MAINTAINERS")
        let parent = (place as NSString).deletingLastPathComponent
        if isKernel { try Files.requireSpace(2 << 30, at: parent, for: "the checkout of \(session.base.spec)") }
        progress(.step("Checking out \(session.base.spec)"))
        try await repository(place).make(from: store, branch: WorkSession.branch(session.base), at: commit)
    }

    static func record(_ patch: ModelPatch, _ commit: WorkCommit?, on base: BaseSeries) -> WorkSession.Record {
        WorkSession.Record(
            id: patch.id, commit: commit?.commit, subject: patch.patch.subject,
            digests: TextDigests(commit?.patch ?? patch.patch), model: patch.fingerprint(on: base))
    }

    /// Writes down that the model and HEAD say the same now.
    func remember(_ session: WorkSession, _ records: [WorkSession.Record], in work: WorkRepository) async throws {
        var session = session
        session.patches = records
        try session.save(in: work.folder)
        try await work.check(["update-ref", WorkRepository.savedRef, "HEAD"])
    }

    /// Runs a body while no other hmmlab changes a model.
    func withModelLock<Result: Sendable>(_ body: () async throws -> Result) async throws -> Result {
        let lock = try await FileLock.acquire(cache.path("locks", "model")) { [progress] in
            progress(.note("Another hmmlab is writing to a patch model; waiting for it"))
        }
        let result = try await body()
        withExtendedLifetime(lock) {}
        return result
    }
}

/// What ``PatchWorkshop/edit(_:base:topics:folder:)`` has made.
public struct EditReport: Sendable, Encodable {
    /// A patch that is a commit now.
    public struct Item: Sendable, Encodable {
        /// `topic/name`.
        public var id: String
        /// The subject.
        public var subject: String
        /// The commit; nil if the patch changes nothing on this base.
        public var commit: String?
    }

    /// A patch that is not for the base, or in it already.
    public struct Left: Sendable, Encodable {
        /// `topic/name`.
        public var id: String
        /// Why.
        public var state: PatchState
    }

    /// The folder.
    public var folder: String
    /// The base.
    public var base: WorkBase
    /// The model that `export` will write to.
    public var model: String
    /// The branch with the commits.
    public var branch: String
    /// The patches, in the order of their commits.
    public var patches: [Item]
    /// The patches that were left out.
    public var left: [Left]
    /// What else the person should know.
    public var notes: [String]
}
