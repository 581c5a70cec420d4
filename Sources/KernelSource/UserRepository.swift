// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// A git repository of the person's own: read, never written to.
struct UserRepository: Sendable {
    /// Any folder of a checkout, a linked worktree, or a bare repository; absolute.
    let path: String
    let runner: ProcessRunner

    /// The commit that a revision names, as 40 hexadecimal digits.
    ///
    /// - Throws: ``LabError`` `repository-missing`, `repository-foreign`, `revision-unknown`.
    func commit(_ revision: String) async throws -> String {
        let output = try await runner.run(
            command(["rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}"]))
        if output.ending.isSuccess { return output.standardOutput.trimmingCharacters(in: .whitespacesAndNewlines) }
        _ = try await folder()
        throw LabError(
            "revision-unknown", exit: .usage, "\(path) has no commit \(revision)",
            cause: output.standardError.isEmpty
                ? "git rev-parse does not know this revision." : output.standardError.trimmingCharacters(in: .newlines),
            next: "Name a branch, a tag or a commit that git -C \(Command.quote(path)) log shows.")
    }

    /// The folder that holds the objects, common to all linked worktrees.
    ///
    /// - Throws: ``LabError`` `repository-missing`, `repository-foreign`.
    func folder() async throws -> String {
        guard Files.isFolder(path) else {
            throw LabError(
                "repository-missing", exit: .usage, "There is no folder \(path)",
                next: "Name a git repository on this machine.")
        }
        let output = try await runner.run(command(["rev-parse", "--path-format=absolute", "--git-common-dir"]))
        if output.ending.isSuccess { return output.standardOutput.trimmingCharacters(in: .newlines) }
        throw failure(output.standardError)
    }

    /// The first commits' common ancestor and how many commits lie above it up to the second.
    ///
    /// - Throws: ``LabError`` `range-unrelated`.
    func fork(of base: String, and tip: String) async throws -> (commit: String, distance: Int) {
        let output = try await runner.run(command(["merge-base", base, tip]))
        let fork = output.standardOutput.trimmingCharacters(in: .whitespacesAndNewlines)
        guard output.ending.isSuccess, !fork.isEmpty else {
            throw LabError(
                "range-unrelated", exit: .usage, "\(base) and \(tip) have no common ancestor in \(path)",
                cause: output.standardError.isEmpty ? nil : output.standardError,
                next: "Name a range BASE..TIP whose history is in the repository.")
        }
        let count = try await runner.check(command(["rev-list", "--count", "\(fork)..\(tip)"]))
        return (fork, Int(count.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0)
    }

    /// The error for what git said about the repository.
    func failure(_ said: String) -> LabError {
        let said = said.trimmingCharacters(in: .whitespacesAndNewlines)
        if said.contains("dubious ownership") {
            return LabError(
                "repository-foreign", "\(path) belongs to another user",
                cause: "git does not read another user's repository unless it is listed as safe.",
                next: "If you trust it, run: git config --global --add safe.directory \(Command.quote(path))")
        }
        return LabError(
            "repository-missing", exit: .usage, "\(path) is not a git repository that can be read",
            cause: said.isEmpty ? nil : said, next: "Name a checkout or a bare repository, or use dir:\(path).")
    }

    private func command(_ arguments: [String]) -> Command {
        Command("git", ["-C", path] + arguments, environment: GitEnvironment.clean())
    }
}

extension ObjectStore {
    /// Brings a commit, its whole tree, and `depth - 1` generations before it into the store.
    ///
    /// git's own fetch runs with the store's configuration, the upload-pack on the other side with the person's.
    /// The caller holds the store's lock.
    ///
    /// - Throws: ``LabError`` `disk-full`, `fetch-failed`, `repository-foreign`.
    func fetch(_ commit: String, depth: Int, from repository: UserRepository) async throws {
        try Files.requireSpace(Self.importSpace, at: gitDirectory, for: "the objects of \(repository.path)")
        let source = try await repository.folder()
        var sender = "env -u GIT_CONFIG_GLOBAL -u GIT_CONFIG_NOSYSTEM"
        for name in ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"] {
            if let value = ProcessInfo.processInfo.environment[name] { sender += " \(name)=\(Command.quote(value))" }
        }
        let output = try await runner.run(
            command([
                "-c", "protocol.version=2", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head",
                "--no-recurse-submodules", "--depth=\(depth)", "--upload-pack=\(sender) git upload-pack", "--", source,
                "+\(commit):refs/hmmlab/fetched/\(commit)",
            ]))
        guard output.ending.isSuccess else {
            if output.standardError.contains("dubious ownership") { throw repository.failure(output.standardError) }
            throw LabError(
                "fetch-failed", "\(commit) could not be read from \(repository.path)", cause: output.standardError,
                next: "Check the repository with: git -C \(Command.quote(repository.path)) fsck --connectivity-only")
        }
        try await completeHistory()
        try await tidy()
    }

    /// Whether everything below a commit is in the store for certain.
    func holds(_ commit: String) async throws -> Bool {
        let list = try await runner.run(
            command(["for-each-ref", "--contains=\(commit)", "--count=1", "--format=.", "refs/hmmlab"]))
        return list.ending.isSuccess && !list.standardOutput.isEmpty
    }

    /// How many commits lie above the first up to the second, as far as the store knows; nil if it lacks either.
    func distance(from base: String, to tip: String) async throws -> Int? {
        let output = try await runner.run(command(["rev-list", "--count", "\(base)..\(tip)"]))
        return Int(output.standardOutput.trimmingCharacters(in: .whitespacesAndNewlines))
    }

    /// Takes commits out of the `shallow` file (gitrepository-layout(5)) whose parents are in the store after all.
    ///
    /// A fetch with a depth marks its last generation as parentless even where an earlier fetch brought the parents,
    /// and would so cut that earlier history in two. Packs arrive whole, so a parent that exists is complete.
    private func completeHistory() async throws {
        let file = gitDirectory + "/shallow"
        guard let marked = try? Files.text(file).split(separator: "\n") else { return }
        var kept: [Substring] = []
        for commit in marked {
            let text = try await runner.check(command(["cat-file", "commit", String(commit)]))
            for line in text.split(separator: "\n", omittingEmptySubsequences: false).prefix(while: { !$0.isEmpty })
            where line.hasPrefix("parent ") {
                let parent = String(line.dropFirst("parent ".count))
                if try await runner.run(command(["cat-file", "-e", parent])).ending.isSuccess { continue }
                kept.append(commit)
                break
            }
        }
        guard kept.count < marked.count else { return }
        if kept.isEmpty {
            try? FileManager.default.removeItem(atPath: file)
        } else {
            try Files.write(kept.joined(separator: "\n") + "\n", to: file)
        }
    }
}
