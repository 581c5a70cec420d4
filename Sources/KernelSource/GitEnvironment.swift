// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// The environment of git commands, see git(1) "Environment Variables".
public enum GitEnvironment {
    /// For repositories that were chosen already: forgets every inherited `GIT_*` variable (a caller may be a hook or
    /// `git bisect run`) and every file of configuration and attributes but the repository's own.
    public static func isolated(
        from inherited: [String: String] = ProcessInfo.processInfo.environment
    ) -> [String: String?] {
        var variables = clean(from: inherited)
        variables["GIT_CONFIG_GLOBAL"] = "/dev/null"
        variables["GIT_CONFIG_NOSYSTEM"] = "1"
        variables["GIT_ATTR_NOSYSTEM"] = "1"
        variables["GIT_NO_REPLACE_OBJECTS"] = "1"
        for (index, setting) in [("core.attributesFile", "/dev/null"), ("gc.auto", "0")].enumerated() {
            variables["GIT_CONFIG_KEY_\(index)"] = setting.0
            variables["GIT_CONFIG_VALUE_\(index)"] = setting.1
            variables["GIT_CONFIG_COUNT"] = "\(index + 1)"
        }
        return variables
    }

    /// For finding a person's repository: forgets the inherited variables that point at one but leaves the person's
    /// configuration, where `safe.directory` is; asks nothing, writes nothing on the side, fetches nothing.
    public static func clean(
        from inherited: [String: String] = ProcessInfo.processInfo.environment
    ) -> [String: String?] {
        var variables: [String: String?] = [:]
        let kept: Set<String> = ["GIT_EXEC_PATH", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"]
        for name in inherited.keys where name.hasPrefix("GIT_") && !kept.contains(name) {
            variables[name] = .some(nil)
        }
        variables["GIT_TERMINAL_PROMPT"] = "0"
        variables["GIT_OPTIONAL_LOCKS"] = "0"
        variables["GIT_NO_LAZY_FETCH"] = "1"
        variables["LC_ALL"] = "C"
        return variables
    }

    /// The error for a repository that git refuses because another user owns it; nil if git said something else.
    ///
    /// - Parameters:
    ///   - path: the repository as the person named it.
    ///   - said: git's standard error.
    public static func refusal(of path: String, said: String) -> LabError? {
        guard said.contains("dubious ownership") else { return nil }
        return LabError(
            "repository-foreign", "\(path) belongs to another user",
            cause: "git does not read another user's repository unless it is listed as safe.",
            next: "If you trust it, run: git config --global --add safe.directory \(Command.quote(path))")
    }
}
