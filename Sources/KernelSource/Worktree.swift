// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// A persistent source folder to build in, whose files can be switched from one commit of the store to another.
///
/// It is no `git worktree`: the store knows nothing about it. The folder and an index file beside it are all there is,
/// and the index is only believed as far as file stamps agree, so a switch that was killed in the middle is
/// finished by the next one, whatever commit that asks for.
public struct Worktree: Sendable {
    /// The source folder, as an absolute path that never changes for a workspace.
    public let path: String
    private let store: ObjectStore
    private let index: String
    private let lock: String

    /// Space that a first checkout takes, in bytes: 1.6 GB for 6.12, with some room.
    static let checkoutSpace: Int64 = 2 << 30

    init(store: ObjectStore, workspace: String) {
        let folder = "\(store.cache.root)/work/\(workspace)"
        self.store = store
        path = folder + "/src"
        index = folder + "/index"
        lock = folder + "/lock"
    }

    /// Switches the folder to a commit and runs a closure while nobody else can switch it.
    ///
    /// Files that are the same in both commits keep their time stamps, so that make compiles only what differs. Files
    /// that do not belong to the commit are removed, changed ones are restored. Give the closure everything that
    /// depends on the content, such as the whole build: another hmmlab waits meanwhile, and may switch afterwards.
    ///
    /// - Parameters:
    ///   - commit: a commit or tree in the store.
    ///   - body: receives ``path``.
    /// - Returns: what the closure returns.
    /// - Throws: ``LabError`` `disk-full`, `checkout-failed`, `lock-failed`; what the closure throws.
    public func withCheckout<Result: Sendable>(
        of commit: String, _ body: @Sendable (String) async throws -> Result
    ) async throws -> Result {
        try await exclusively {
            try await checkout(commit)
            return try await body(path)
        }
    }

    private func exclusively<Result: Sendable>(_ body: @Sendable () async throws -> Result) async throws -> Result {
        try await withFileLock(
            lock, waiting: { store.progress(.note("Another hmmlab is building in \(path); waiting for it")) }, body)
    }

    private func checkout(_ commit: String) async throws {
        if !Files.exists(index) {
            try Files.requireSpace(Self.checkoutSpace, at: store.gitDirectory, for: "the checkout in \(path)")
            store.progress(.step("Checking out the sources"))
        }
        try makeFolder(path)
        store.cache.markUsed(path)
        try await clearGitLock(of: index)
        // Learns new stamps of files whose content is still right; a failure means that some are not, or a torn index.
        _ = try await store.runner.run(command(["update-index", "-q", "--really-refresh"]))
        let switching = command(["read-tree", "--reset", "-u", commit])
        var output = try await store.runner.run(switching)
        if !output.ending.isSuccess {
            // Without an index, git writes every file anew.
            try? FileManager.default.removeItem(atPath: index)
            output = try await store.runner.run(switching)
        }
        guard output.ending.isSuccess else {
            throw LabError(
                "checkout-failed", "\(commit) could not be checked out to \(path)", cause: output.standardError,
                next:
                    "Free some disk space; if that is not it, remove \(store.gitDirectory), which is then filled anew.")
        }
        try await store.runner.check(command(["clean", "-ffdxq"]))
    }

    private func command(_ arguments: [String]) -> Command {
        store.command(arguments, index: index, workTree: path)
    }

    /// Takes over an unpacked folder and the index of its import, which spares the first checkout.
    ///
    /// Does nothing if the workspace is in use already. A kill in between leaves either half, which a checkout completes.
    func adopt(_ folder: String, index importIndex: String) async throws {
        try await exclusively {
            guard !Files.exists(path), !Files.exists(index) else { return }
            // What an import leaves out and git clean never sees: repositories, pipes, devices.
            let strays = Command(
                "find",
                [
                    folder, "(", "-name", ".git", "-prune", "-o", "!", "-type", "f", "!", "-type", "l", "!", "-type",
                    "d",
                    ")", "-exec", "rm", "-rf", "{}", "+",
                ])
            try await store.runner.check(strays)
            try store.cache.publish(importIndex, as: index)
            try store.cache.publish(folder, as: path)
        }
    }
}
