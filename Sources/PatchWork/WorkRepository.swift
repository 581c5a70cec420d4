// SPDX-License-Identifier: Apache-2.0
import Foundation
import Glibc
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
    /// Nothing points back at the store. git-clone(1) would do the same, were it not that it never links what lies in a
    /// shallow repository, which the store is as soon as it holds a base from somebody's own repository.
    ///
    /// - Throws: ``LabError`` `folder-unwritable`, `tool-failed`.
    func make(from store: ObjectStore, branch: String, at commit: String) async throws {
        try await git.runner.check(
            git.command(
                ["init", "-q", "--template=", "-b", branch, folder], directory: nil,
                in: (folder as NSString).deletingLastPathComponent))
        try Self.link(store.gitDirectory + "/objects", to: directory + "/objects")
        // What has no parents there, and the same file attributes, so that files come out and go in byte by byte.
        for name in ["shallow", "info/attributes"] where Files.exists("\(store.gitDirectory)/\(name)") {
            try Files.write(try Files.bytes("\(store.gitDirectory)/\(name)"), to: "\(directory)/\(name)")
        }
        for (key, value) in [("core.protectNTFS", "false"), ("core.protectHFS", "false")] {
            try await check(["config", key, value])
        }
        try await check(["-c", "checkout.workers=0", "checkout", "-q", "--no-track", "-B", branch, commit])
        try await showNewFiles()
    }

    /// Lets git add(1) take files again where the sources' own list ignores all of them.
    ///
    /// Debian's packaging appends `/*` to the list at the top, after which git add refuses new files and complains about
    /// known ones. The changed list is in the work tree only: git is told to leave it alone.
    private func showNewFiles() async throws {
        let path = folder + "/.gitignore"
        guard Files.exists(path) else { return }
        let lines = try Files.text(path).split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.contains("/*") else { return }
        try Files.write(lines.filter { $0 != "/*" }.joined(separator: "\n"), to: path)
        try await check(["update-index", "--skip-worktree", ".gitignore"])
    }

    /// Links a repository's objects, which git never changes in place, or copies them to another file system.
    ///
    /// Whatever is collected later on one side does not touch the other.
    private static func link(_ source: String, to target: String) throws {
        do {
            for folder in try FileManager.default.contentsOfDirectory(atPath: source)
            where folder == "pack" || folder.count == 2 {
                try Files.makeFolder("\(target)/\(folder)")
                for name in try FileManager.default.contentsOfDirectory(atPath: "\(source)/\(folder)")
                where !name.hasPrefix("tmp_") {
                    let (from, to) = ("\(source)/\(folder)/\(name)", "\(target)/\(folder)/\(name)")
                    if Glibc.link(from, to) == 0 || errno == ENOENT { continue }
                    try FileManager.default.copyItem(atPath: from, toPath: to)
                }
            }
        } catch let error as LabError {
            throw error
        } catch {
            throw LabError(
                "folder-unwritable", "The base's objects cannot be copied to \(target)",
                cause: error.localizedDescription, next: "Choose a folder on a disk with more room.")
        }
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
            try WorkCommit(commit: ids.first { $0.hasPrefix(patch.origin) } ?? patch.origin, patch)
        }
    }

    /// What git-range-diff(1) says about two ranges; empty if they are the same commits.
    ///
    /// It takes no empty range; then there is nothing to compare, and the other side is listed in its form.
    func rangeDiff(_ old: CommitRange, _ new: CommitRange) async throws -> String {
        guard old != new else { return "" }
        for (range, form) in [(old, "-:  ------------ > %h %s"), (new, "%h < -:  ------------ %s")]
        where range.base == range.tip {
            let other = range == old ? new : old
            return try await check(
                ["log", "--reverse", "--no-show-signature", "--format=\(form)", "\(other.base)..\(other.tip)"])
        }
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

    /// A commit as it was read.
    init(commit: String, _ patch: Patch) throws {
        let body: String
        self.commit = commit
        (names, body) = PatchName.taking(from: patch.body)
        self.patch = try patch.replacingMessage(subject: patch.subject, body: body, author: patch.author)
    }
}
