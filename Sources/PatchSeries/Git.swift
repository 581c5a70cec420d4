// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import ProcessRunner

/// Runs git(1) the same way on every machine: the person's configuration, attributes and environment have no say.
public struct Git: Sendable {
    /// What runs it.
    public let runner: ProcessRunner
    /// The program; another one only in tests.
    var executable: String

    init(runner: ProcessRunner, executable: String = "git") {
        self.runner = runner
        self.executable = executable
    }

    /// A git that is found on the path.
    public init(runner: ProcessRunner) {
        self.init(runner: runner, executable: "git")
    }

    /// A git command for a repository (`GIT_DIR`), or for whichever one git finds from the folder it runs in.
    public func command(_ arguments: [String], directory: String?, in folder: String? = nil) -> Command {
        Command(executable, arguments, environment: environment(directory, folder), in: folder)
    }

    /// A shell script for git commands that need redirections; `$git` is the program, `$1` and so on the arguments.
    ///
    /// Standard input of a child is /dev/null (see ``ProcessRunner``), so git's `--stdin` options need a shell.
    public func script(_ text: String, _ arguments: [String] = [], directory: String?, in folder: String) -> Command {
        var environment = environment(directory, folder)
        environment["git"] = executable
        return Command("sh", ["-c", "set -e\n" + text, "sh"] + arguments, environment: environment, in: folder)
    }

    private func environment(_ directory: String?, _ folder: String?) -> [String: String?] {
        var environment = GitEnvironment.isolated()
        environment["GIT_DIR"] = .some(directory)
        // Without a repository of its own, a folder inside of somebody's work tree must not fall back to theirs.
        if directory == nil, let folder {
            environment["GIT_CEILING_DIRECTORIES"] = (folder as NSString).deletingLastPathComponent
        }
        return environment
    }

    /// The repository that a path is, or lies in, as an absolute path to its git directory; nil if there is none.
    ///
    /// Only here git asks who owns it, so this comes first, and with the person's own list of safe repositories.
    ///
    /// - Throws: ``LabError`` `repository-foreign`.
    public func repository(at path: String) async throws -> String? {
        let output = try await runner.run(
            Command(
                executable, ["-C", path, "rev-parse", "--absolute-git-dir"], environment: GitEnvironment.clean()))
        if output.ending.isSuccess { return output.standardOutput.trimmingCharacters(in: .newlines) }
        if let refusal = GitEnvironment.refusal(of: path, said: output.standardError) { throw refusal }
        return nil
    }
}
