// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// The bare git repository in the cache that holds every base as a commit.
///
/// A base exists from the moment that `refs/hmmlab/base/<identifier>` does: an annotated tag whose message is the
/// ``Base`` as JSON, so that one atomic ref update publishes tree and description together. Whatever a killed process
/// left behind before that moment is unreachable and harmless. Nothing here ever prunes objects: other commands build
/// commits on top of a base and need no refs to keep them.
public struct ObjectStore: Sendable {
    /// The repository's own folder, for `GIT_DIR` and `objects/info/alternates`.
    public let gitDirectory: String
    let cache: Cache
    let runner: ProcessRunner
    let progress: ProgressHandler

    init(cache: Cache, runner: ProcessRunner, progress: @escaping ProgressHandler) {
        self.cache = cache
        self.runner = runner
        self.progress = progress
        gitDirectory = cache.root + "/store.git"
    }

    /// A git command on the store that no setting of the person or the calling environment can influence.
    ///
    /// - Parameters:
    ///   - arguments: git's arguments.
    ///   - index: the index file to use instead of the store's own.
    ///   - workTree: the folder to work in, which is also where the command runs.
    ///   - environment: further variables.
    /// - Returns: the command, yet to be run.
    public func command(
        _ arguments: [String], index: String? = nil, workTree: String? = nil, environment: [String: String] = [:]
    ) -> Command {
        var variables = GitEnvironment.isolated()
        variables["GIT_DIR"] = gitDirectory
        if let index { variables["GIT_INDEX_FILE"] = index }
        if let workTree { variables["GIT_WORK_TREE"] = workTree }
        for (name, value) in environment { variables[name] = value }
        return Command("git", arguments, environment: variables, in: workTree ?? gitDirectory)
    }

    /// The complete object id that a name stands for in the store; nil if there is no such object.
    ///
    /// - Throws: ``LabError`` `tool-missing`.
    public func objectID(of name: String) async throws -> String? {
        let output = try await runner.run(command(["rev-parse", "--verify", "--quiet", "--end-of-options", name]))
        let text = output.standardOutput.trimmingCharacters(in: .whitespacesAndNewlines)
        // rev-parse believes any 40 digits; only cat-file looks.
        guard output.ending.isSuccess, !text.isEmpty,
            try await runner.run(command(["cat-file", "-e", text])).ending.isSuccess
        else { return nil }
        return text
    }

    /// Makes the store, or repairs what is missing of it; cheap when all is well.
    ///
    /// `git init` completes a half-made repository and never touches objects; the attributes file is written last and
    /// thus says that the rest is there.
    func prepare() async throws {
        if isComplete { return }
        _ = try cache.folder("locks")
        try await exclusively {
            if isComplete { return }
            let initialize = Command(
                "git", ["init", "--quiet", "--bare", "--template=", gitDirectory],
                environment: GitEnvironment.isolated())
            removeLocks()
            try await runner.check(initialize)
            try Files.write(Self.configuration, to: gitDirectory + "/config")
            try Files.write(Self.attributes, to: gitDirectory + "/info/attributes")
        }
    }

    private var isComplete: Bool {
        ["HEAD", "objects", "refs"].allSatisfy { Files.exists(gitDirectory + "/" + $0) }
            && (try? Files.text(gitDirectory + "/config")) == Self.configuration
            && (try? Files.text(gitDirectory + "/info/attributes")) == Self.attributes
    }

    /// gc never runs by itself, and deltas are not searched for: time matters more here than 30 % of space.
    private static let configuration = """
        [core]
        \trepositoryformatversion = 0
        \tbare = true
        \tfilemode = true
        \tsymlinks = true
        \tprotectNTFS = false
        \tprotectHFS = false
        \tlooseCompression = 1
        [pack]
        \tcompression = 1
        \twindow = 0
        [gc]
        \tauto = 0
        [maintenance]
        \tauto = false
        [fetch]
        \tunpackLimit = 1
        [advice]
        \tdetachedHead = false

        """

    /// gitattributes(5) in `info/` outrank those in a tree: files go in and come out byte by byte.
    private static let attributes = "* -text !eol -ident -filter !working-tree-encoding\n"

    /// Runs a closure while no other hmmlab changes the store's bases.
    func exclusively<Result: Sendable>(_ body: @Sendable () async throws -> Result) async throws -> Result {
        try await withFileLock(
            cache.root + "/locks/store",
            waiting: { progress(.note("Another hmmlab is importing a base; waiting for it")) }, body)
    }

    /// Removes lock files that a killed git left where only the holder of the store's lock writes.
    func removeLocks() {
        var places = ["config.lock", "HEAD.lock", "shallow.lock", "packed-refs.lock"]
        for folder in ["refs/hmmlab/base", "refs/hmmlab/fetched"] {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: gitDirectory + "/" + folder)) ?? []
            places += names.filter { $0.hasSuffix(".lock") }.map { folder + "/" + $0 }
        }
        for place in places { try? FileManager.default.removeItem(atPath: gitDirectory + "/" + place) }
    }
}

/// Runs a closure while holding a lock file.
func withFileLock<Result: Sendable>(
    _ path: String, waiting: @Sendable () -> Void, _ body: @Sendable () async throws -> Result
) async throws -> Result {
    let lock = try await FileLock.acquire(path, waiting: waiting)
    let result = try await body()
    withExtendedLifetime(lock) {}
    return result
}

/// Makes a folder and those above it.
///
/// - Throws: ``LabError`` `cache-unwritable`.
func makeFolder(_ path: String) throws {
    do {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
        throw LabError(
            "cache-unwritable", "The folder \(path) cannot be made", cause: error.localizedDescription,
            next: "Set XDG_CACHE_HOME to a folder that you can write.")
    }
}

/// Removes the lock that a killed git left on an index file; the caller holds hmmlab's own lock, so nobody else uses it.
///
/// The pause lets that git go first: it is killed a moment after its hmmlab, whose lock is free at once.
func clearGitLock(of index: String) async throws {
    guard Files.exists(index + ".lock") else { return }
    try await Task.sleep(for: .milliseconds(500))
    try? FileManager.default.removeItem(atPath: index + ".lock")
}
