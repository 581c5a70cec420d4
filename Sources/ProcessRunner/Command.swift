// SPDX-License-Identifier: Apache-2.0

/// One program to run: what, with which arguments, where, and with which changes to the environment.
public struct Command: Sendable, Equatable {
    /// A name to be found in PATH, or a path with a slash.
    public var executable: String
    /// The arguments, without the program's own name.
    public var arguments: [String]
    /// Variables to set, or to remove where the value is nil; everything else is inherited.
    public var environment: [String: String?]
    /// The folder to run in; nil for hmmlab's own.
    public var workingDirectory: String?

    /// Makes a command.
    public init(
        _ executable: String, _ arguments: [String] = [], environment: [String: String?] = [:],
        in workingDirectory: String? = nil
    ) {
        self.executable = executable
        self.arguments = arguments
        self.environment = environment
        self.workingDirectory = workingDirectory
    }

    /// The command as a POSIX shell would take it, for error messages and `--dry-run`.
    public var shellText: String {
        var words = environment.sorted { $0.key < $1.key }.compactMap { key, value in
            value.map { "\(key)=\(Self.quote($0))" }
        }
        words += ([executable] + arguments).map(Self.quote)
        let line = words.joined(separator: " ")
        return workingDirectory.map { "cd \(Self.quote($0)) && \(line)" } ?? line
    }

    /// One word quoted for a POSIX shell; left as it is where no quoting is needed.
    public static func quote(_ word: String) -> String {
        let plain =
            !word.isEmpty
            && word.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default: "-_./:=,@%+^".utf8.contains(byte)
                }
            }
        return plain
            ? word : "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}

/// How a program ended.
public enum Ending: Sendable, Equatable, Codable {
    /// It returned this status.
    case exited(Int32)
    /// This signal ended it.
    case signalled(Int32)

    /// Whether it returned 0.
    public var isSuccess: Bool { self == .exited(0) }
}

/// What a finished program left behind.
public struct CommandOutput: Sendable, Equatable {
    /// How it ended.
    public var ending: Ending
    /// Its standard output, as UTF-8 with repairs; the *last* part if there was more than the limit.
    public var standardOutput: String
    /// Its standard error, likewise.
    public var standardError: String
    /// Whether the limit cut something off standard output.
    public var isTruncated: Bool

    /// Makes an output; for tests.
    public init(ending: Ending, standardOutput: String = "", standardError: String = "", isTruncated: Bool = false) {
        self.ending = ending
        self.standardOutput = standardOutput
        self.standardError = standardError
        self.isTruncated = isTruncated
    }
}

/// The two output streams of a program.
public enum OutputStream: Sendable, Equatable {
    /// Standard output.
    case standardOutput
    /// Standard error.
    case standardError
}
