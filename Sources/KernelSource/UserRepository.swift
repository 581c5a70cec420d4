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

    /// The error for what git said about the repository.
    func failure(_ said: String) -> LabError {
        let said = said.trimmingCharacters(in: .whitespacesAndNewlines)
        return GitEnvironment.refusal(of: path, said: said)
            ?? LabError(
                "repository-missing", exit: .usage, "\(path) is not a git repository that can be read",
                cause: said.isEmpty ? nil : said, next: "Name a checkout or a bare repository, or use dir:\(path).")
    }

    /// What a git command on the repository prints.
    ///
    /// - Throws: ``LabError`` `repository-missing`, `repository-foreign`.
    func output(_ arguments: [String]) async throws -> String {
        let output = try await runner.run(command(arguments), outputLimit: 64 << 20)
        guard output.ending.isSuccess else { throw failure(output.standardError) }
        return output.standardOutput
    }

    private func command(_ arguments: [String]) -> Command {
        Command("git", ["-C", path] + arguments, environment: GitEnvironment.clean())
    }
}

extension ObjectStore {
    /// Brings a commit and its whole tree into the store, without the commits before it.
    ///
    /// git's own fetch runs with the store's configuration, the upload-pack on the other side with the person's.
    /// The caller holds the store's lock.
    ///
    /// - Throws: ``LabError`` `disk-full`, `fetch-failed`, `repository-foreign`.
    func fetch(_ commit: String, from repository: UserRepository) async throws {
        try Files.requireSpace(Self.importSpace, at: gitDirectory, for: "the objects of \(repository.path)")
        let source = try await repository.folder()
        var sender = "env -u GIT_CONFIG_GLOBAL -u GIT_CONFIG_NOSYSTEM"
        for name in ["GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"] {
            if let value = ProcessInfo.processInfo.environment[name] { sender += " \(name)=\(Command.quote(value))" }
        }
        let output = try await runner.run(
            command([
                "-c", "protocol.version=2", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head",
                "--no-recurse-submodules", "--depth=1", "--upload-pack=\(sender) git upload-pack", "--", source,
                "+\(commit):refs/hmmlab/fetched/\(commit)",
            ]))
        guard output.ending.isSuccess else {
            if let refusal = GitEnvironment.refusal(of: repository.path, said: output.standardError) { throw refusal }
            throw LabError(
                "fetch-failed", "\(commit) could not be read from \(repository.path)", cause: output.standardError,
                next: "Check the repository with: git -C \(Command.quote(repository.path)) fsck --connectivity-only")
        }
        try await tidy()
    }

    /// Whether everything below a commit is in the store for certain.
    func holds(_ commit: String) async throws -> Bool {
        let list = try await runner.run(
            command(["for-each-ref", "--contains=\(commit)", "--count=1", "--format=.", "refs/hmmlab"]))
        return list.ending.isSuccess && !list.standardOutput.isEmpty
    }
}
