// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// Runs git(1) the same way on every machine: the person's configuration, attributes and environment have no say.
struct Git: Sendable {
    let runner: ProcessRunner
    /// The program; another one only in tests.
    var executable = "git"

    /// Variables that would lead git elsewhere are removed, the rest pins what configuration could change.
    private static let environment: [String: String?] = [
        "GIT_WORK_TREE": nil, "GIT_INDEX_FILE": nil, "GIT_OBJECT_DIRECTORY": nil, "GIT_COMMON_DIR": nil,
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": nil, "GIT_NAMESPACE": nil, "GIT_PREFIX": nil, "GIT_CONFIG": nil,
        "GIT_CONFIG_PARAMETERS": nil, "GIT_DEFAULT_HASH": nil, "GIT_SHALLOW_FILE": nil, "GIT_GRAFT_FILE": nil,
        "GIT_EXTERNAL_DIFF": nil, "GIT_DIFF_OPTS": nil, "GIT_TRACE": nil, "GIT_LITERAL_PATHSPECS": nil,
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C",
        // A repository of another user is only read, and none of its hooks or filters runs.
        "GIT_CONFIG_COUNT": "3", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
        "GIT_CONFIG_KEY_1": "core.attributesFile", "GIT_CONFIG_VALUE_1": "/dev/null",
        "GIT_CONFIG_KEY_2": "gc.auto", "GIT_CONFIG_VALUE_2": "0",
    ]

    /// A git command for a repository (`GIT_DIR`), or for whichever one git finds from the folder it runs in.
    func command(_ arguments: [String], directory: String?, in folder: String? = nil) -> Command {
        Command(executable, arguments, environment: environment(directory, folder), in: folder)
    }

    /// A shell script for git commands that need redirections; `$git` is the program, `$1` and so on the arguments.
    ///
    /// Standard input of a child is /dev/null (see ``ProcessRunner``), so git's `--stdin` options need a shell.
    func script(_ text: String, _ arguments: [String] = [], directory: String?, in folder: String) -> Command {
        var environment = environment(directory, folder)
        environment["git"] = executable
        return Command("sh", ["-c", "set -e\n" + text, "sh"] + arguments, environment: environment, in: folder)
    }

    private func environment(_ directory: String?, _ folder: String?) -> [String: String?] {
        var environment = Self.environment
        environment["GIT_DIR"] = .some(directory)
        // Without a repository of its own, a folder inside of somebody's work tree must not fall back to theirs.
        if directory == nil, let folder {
            environment["GIT_CEILING_DIRECTORIES"] = (folder as NSString).deletingLastPathComponent
        }
        return environment
    }

    /// The repository that a path is, or lies in, as an absolute path to its git directory; nil if there is none.
    func repository(at path: String) async throws -> String? {
        let output = try await runner.run(
            Command(
                executable, ["-C", path, "rev-parse", "--absolute-git-dir"], environment: environment(nil, nil)))
        guard output.ending.isSuccess else { return nil }
        return output.standardOutput.trimmingCharacters(in: .newlines)
    }
}
