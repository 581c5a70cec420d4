// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchSeries
import ProcessRunner

/// The git repository that a person works in: a folder that needs nothing of the cache once it is made.
struct WorkRepository: Sendable {
    /// The ref that keeps what was last taken from the model or given back to it.
    static let savedRef = "refs/hmmlab/saved"

    /// The work tree, as an absolute path.
    let folder: String
    let git: Git

    /// The git directory.
    var directory: String { folder + "/.git" }

    // MARK: - Making

    /// Makes the repository from the store's objects and checks a commit out on a branch.
    ///
    /// A local clone links the store's packs, which are never changed in place, and copies them where it cannot link;
    /// whatever is pruned or collected later on one side does not touch the other. Nothing points back at the store.
    ///
    /// - Throws: ``LabError`` `tool-failed`.
    func make(from store: ObjectStore, branch: String, at commit: String) async throws {
        try await git.runner.check(
            git.command(
                ["clone", "-q", "--local", "--no-checkout", "--template=", store.gitDirectory, folder], directory: nil,
                in: (folder as NSString).deletingLastPathComponent))
        try await check(["remote", "remove", "origin"])
        // The same file attributes as the store's, so that files come out and go in byte by byte.
        let attributes = store.gitDirectory + "/info/attributes"
        if Files.exists(attributes) { try Files.write(try Files.bytes(attributes), to: directory + "/info/attributes") }
        for (key, value) in [("core.protectNTFS", "false"), ("core.protectHFS", "false")] {
            try await check(["config", key, value])
        }
        try await check(["-c", "checkout.workers=0", "checkout", "-q", "--no-track", "-B", branch, commit])
    }

    // MARK: - Running git

    /// Runs git in the work tree; whatever is committed has hmmlab's name as the committer's.
    func run(_ arguments: [String], outputLimit: Int = ProcessRunner.defaultOutputLimit) async throws -> CommandOutput {
        try await git.runner.run(command(arguments), outputLimit: outputLimit)
    }

    /// Runs git in the work tree and returns what it prints, without line breaks around it.
    ///
    /// - Throws: ``LabError`` `tool-failed`.
    @discardableResult
    func check(_ arguments: [String], outputLimit: Int = ProcessRunner.defaultOutputLimit) async throws -> String {
        try await git.runner.check(command(arguments), outputLimit: outputLimit).trimmingCharacters(in: .newlines)
    }

    func command(_ arguments: [String]) -> Command {
        var command = git.command(arguments, directory: directory, in: folder)
        command.environment["GIT_COMMITTER_NAME"] = "hmmlab"
        command.environment["GIT_COMMITTER_EMAIL"] = "hmmlab@localhost"
        return command
    }

    // MARK: - Asking

    /// The commit that HEAD is.
    func head() async throws -> String { try await check(["rev-parse", "--verify", "HEAD^{commit}"]) }

    /// What git is in the middle of, as a person would call it; nil if nothing.
    var operationInProgress: String? {
        [
            ("rebase-merge", "a rebase"), ("rebase-apply", "a rebase or git am"), ("CHERRY_PICK_HEAD", "a cherry-pick"),
            ("MERGE_HEAD", "a merge"), ("REVERT_HEAD", "a revert"), ("BISECT_LOG", "a bisection"),
        ].first { Files.exists("\(directory)/\($0.0)") }?.1
    }

    /// Files with a change that is not committed, sorted; files that git does not know are left out.
    func uncommitted() async throws -> [String] {
        try await check(["diff", "--name-only", "HEAD"], outputLimit: 64 << 20).split(separator: "\n").map(String.init)
    }

    /// Files that a merge could not put together, sorted.
    func unmerged() async throws -> [String] {
        try await check(["diff", "--name-only", "--diff-filter=U"]).split(separator: "\n").map(String.init)
    }

    /// The commits from a base to HEAD, oldest first.
    ///
    /// - Throws: ``LabError`` `session-base-lost`, `series-unreadable` for a merge, and what reading a series throws.
    func commits(from base: String, reader: SeriesReader) async throws -> [WorkCommit] {
        guard try await run(["merge-base", "--is-ancestor", base, "HEAD"]).ending.isSuccess else {
            throw LabError(
                "session-base-lost", exit: .usage, "HEAD of \(folder) does not stand on the base any more",
                cause: "The base is the commit \(base.prefix(12)).",
                next: "Rebase your commits onto it: git rebase --onto \(base.prefix(12)) THEIR-BASE.")
        }
        let ids = try await check(["rev-list", "--topo-order", "--reverse", "\(base)..HEAD"])
            .split(separator: "\n").map(String.init)
        guard !ids.isEmpty else { return [] }
        let series: PatchSeries
        do {
            series = try await reader.read(.commits(repository: folder, base: base, tip: "HEAD"))
        } catch let error as LabError where error.code == "series-empty" {
            return []
        }
        // Commits that change nothing are left out of the series.
        return try series.patches.map { patch in
            let (names, body) = PatchName.taking(from: patch.body)
            return WorkCommit(
                commit: ids.first { $0.hasPrefix(patch.origin) } ?? patch.origin, names: names,
                patch: try patch.replacingMessage(subject: patch.subject, body: body, author: patch.author))
        }
    }

    /// What git-range-diff(1) says about two ranges; empty if they are the same commits.
    func rangeDiff(_ old: CommitRange, _ new: CommitRange) async throws -> String {
        guard old != new else { return "" }
        return try await check(
            [
                "range-diff", "--no-color", "--no-notes", "\(old.base)..\(old.tip)", "\(new.base)..\(new.tip)",
            ], outputLimit: 64 << 20)
    }
}

/// The commits behind `base` up to `tip`, as whole ids.
struct CommitRange: Equatable {
    var base: String
    var tip: String
}

/// A commit of the work repository.
struct WorkCommit: Equatable {
    /// The commit's id.
    var commit: String
    /// The patches that its trailers name; more than one after git rebase has squashed commits.
    var names: [String]
    /// Author, message without those trailers, and diff.
    var patch: Patch
}
