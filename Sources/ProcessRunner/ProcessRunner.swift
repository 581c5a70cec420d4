// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Subprocess
import SystemPackage

/// Starts programs so that none of them can outlive hmmlab.
///
/// Every child runs under `hmmlab-supervise`, whose standard input is a pipe that only this process holds open: when
/// hmmlab ends, kill -9 included, the child's whole process group is killed. Cancelling the task ends the group too.
public struct ProcessRunner: Sendable {
    /// How much of each stream ``run(_:outputLimit:deadline:)`` keeps: 4 MiB.
    public static let defaultOutputLimit = 4 << 20

    private let supervisor: String

    /// A runner that uses the `hmmlab-supervise` beside the running executable, or an explicit one.
    public init(supervisor: String? = nil) {
        self.supervisor = supervisor ?? Self.besideExecutable("hmmlab-supervise")
    }

    /// The path of a program that lies in the same folder as the running one (products of one build do).
    public static func besideExecutable(_ name: String) -> String {
        let own =
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        return ((own as NSString).deletingLastPathComponent as NSString).appendingPathComponent(name)
    }

    /// Where a program would be found, as execvp(3) would search; nil if nowhere.
    public static func find(
        _ executable: String, path: String? = ProcessInfo.processInfo.environment["PATH"]
    ) -> String? {
        if executable.contains("/") { return access(executable, X_OK) == 0 ? executable : nil }
        for folder in (path ?? "/usr/bin:/bin").split(separator: ":") {
            let candidate = "\(folder)/\(executable)"
            if access(candidate, X_OK) == 0 && !Files.isFolder(candidate) { return candidate }
        }
        // Debian keeps modprobe, depmod and friends out of an ordinary user's PATH.
        for folder in ["/usr/sbin", "/sbin"] where access("\(folder)/\(executable)", X_OK) == 0 {
            return "\(folder)/\(executable)"
        }
        return nil
    }

    /// Runs a program to its end and keeps the last part of what it printed.
    ///
    /// - Parameters:
    ///   - outputLimit: bytes kept of each stream, at least 1.
    ///   - deadline: the program's group is killed after this time.
    /// - Throws: ``LabError`` `tool-missing`, `tool-failed-to-start`, `tool-timeout`; `CancellationError`.
    public func run(
        _ command: Command, outputLimit: Int = defaultOutputLimit, deadline: Duration? = nil
    ) async throws -> CommandOutput {
        let kept = Kept(limit: outputLimit)
        let ending = try await stream(command, deadline: deadline) { stream, bytes in kept.append(stream, bytes) }
        return kept.output(ending)
    }

    /// Runs a program to its end and returns its standard output; a program that fails is an error.
    ///
    /// - Throws: ``LabError`` `tool-failed` with the end of its standard error as the cause, `tool-output-too-large`,
    ///   and what ``run(_:outputLimit:deadline:)`` throws.
    @discardableResult
    public func check(
        _ command: Command, outputLimit: Int = defaultOutputLimit, deadline: Duration? = nil
    ) async throws -> String {
        let output = try await run(command, outputLimit: outputLimit, deadline: deadline)
        guard output.ending.isSuccess else { throw Self.failure(of: command, output) }
        guard !output.isTruncated else {
            throw LabError(
                "tool-output-too-large", "\(Self.name(of: command)) printed more than hmmlab can take",
                cause: "At most \(outputLimit) bytes were expected of: \(command.shellText)")
        }
        return output.standardOutput
    }

    /// Makes sure that a program is there, before work is done that would be of no use without it.
    ///
    /// - Throws: ``LabError`` `tool-missing`.
    public static func require(_ program: String) throws {
        if find(program) == nil { throw missing(program) }
    }

    private static func name(of command: Command) -> String { (command.executable as NSString).lastPathComponent }

    /// The error for a program that ended badly.
    public static func failure(of command: Command, _ output: CommandOutput) -> LabError {
        let name = name(of: command)
        let how =
            switch output.ending {
            case .exited(let status): "failed with status \(status)"
            case .signalled(let number): "was ended by signal \(number)"
            }
        let said = output.standardError.isEmpty ? output.standardOutput : output.standardError
        let lines = said.split(separator: "\n", omittingEmptySubsequences: true).suffix(12)
        return LabError(
            "tool-failed", "\(name) \(how)", cause: lines.isEmpty ? command.shellText : lines.joined(separator: "\n"),
            next: said.contains("No space left on device")
                ? "Free some disk space, or set XDG_CACHE_HOME to another disk."
                : "To see it by itself, run: \(command.shellText)")
    }

    /// Runs a program and hands over its output as it comes, in pieces that may end inside a line.
    ///
    /// - Parameters:
    ///   - deadline: the program's group is killed after this time.
    ///   - onOutput: called from two tasks, one for each stream.
    /// - Throws: ``LabError`` `tool-missing`, `tool-failed-to-start`, `tool-timeout`; `CancellationError`.
    public func stream(
        _ command: Command, deadline: Duration? = nil,
        onOutput: @escaping @Sendable (OutputStream, [UInt8]) -> Void
    ) async throws -> Ending {
        guard let program = Self.find(command.executable) else { throw Self.missing(command.executable) }
        let work = { @Sendable in try await self.supervised(program, command, onOutput) }
        guard let deadline else { return try await work() }
        return try await withThrowingTaskGroup(of: Ending?.self) { group in
            group.addTask { try await work() }
            group.addTask {
                try await Task.sleep(for: deadline)
                return nil
            }
            defer { group.cancelAll() }
            while let first = try await group.next() {
                if let first { return first }
                throw LabError(
                    "tool-timeout", "\(command.executable) did not end within \(deadline)", cause: command.shellText)
            }
            throw CancellationError()
        }
    }

    /// The error for a program that is not installed.
    public static func missing(_ executable: String) -> LabError {
        LabError(
            "tool-missing", "\(executable) is not installed", cause: "It was not found in PATH.",
            next: "Run scripts/hmmlab doctor, which lists what is missing and installs it.")
    }

    private func supervised(
        _ program: String, _ command: Command, _ onOutput: @escaping @Sendable (OutputStream, [UInt8]) -> Void
    ) async throws -> Ending {
        var options = PlatformOptions()
        options.teardownSequence = [.send(signal: .terminate, allowedDurationToNextStep: .seconds(3))]
        let updates = command.environment.reduce(into: [Environment.Key: String?]()) { updates, pair in
            if let key = Environment.Key(rawValue: pair.key) { updates[key] = .some(pair.value) }
        }
        do {
            let result = try await Subprocess.run(
                .path(FilePath(supervisor)), arguments: Arguments([program] + command.arguments),
                environment: .inherit.updating(updates),
                workingDirectory: command.workingDirectory.map { FilePath($0) }, platformOptions: options,
                input: .inputWriter, output: .sequence, error: .sequence
            ) { execution in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        for try await piece in execution.standardOutput {
                            onOutput(.standardOutput, piece.withUnsafeBytes { Array($0) })
                        }
                    }
                    group.addTask {
                        for try await piece in execution.standardError {
                            onOutput(.standardError, piece.withUnsafeBytes { Array($0) })
                        }
                    }
                    try await group.waitForAll()
                }
            }
            try Task.checkCancellation()
            switch result.terminationStatus {
            case .exited(let status): return .exited(status)
            case .signaled(let number): return .signalled(number)
            }
        } catch let error as SubprocessError {
            try Task.checkCancellation()
            throw LabError(
                "tool-failed-to-start", "\(command.executable) could not be run", cause: "\(error)",
                next: Files.exists(supervisor) ? nil : "Build hmmlab again: \(supervisor) is missing.")
        }
    }
}

/// The last `limit` bytes of each stream; filled from two tasks.
private final class Kept: Sendable {
    private struct State {
        var output: [UInt8] = []
        var error: [UInt8] = []
        var isOutputCut = false
    }
    private let limit: Int
    private let state = LockedValue(State())

    init(limit: Int) { self.limit = max(limit, 1) }

    func append(_ stream: OutputStream, _ bytes: [UInt8]) {
        state.withLock { state in
            let path: WritableKeyPath<State, [UInt8]> = stream == .standardOutput ? \.output : \.error
            state[keyPath: path] += bytes
            // Trimmed at twice the limit, so that each byte is moved at most once on average.
            if state[keyPath: path].count > 2 * limit {
                state[keyPath: path].removeFirst(state[keyPath: path].count - limit)
                if stream == .standardOutput { state.isOutputCut = true }
            }
        }
    }

    func output(_ ending: Ending) -> CommandOutput {
        state.withLock { state in
            CommandOutput(
                ending: ending, standardOutput: String(decoding: state.output.suffix(limit), as: UTF8.self),
                standardError: String(decoding: state.error.suffix(limit), as: UTF8.self),
                isTruncated: state.isOutputCut || state.output.count > limit)
        }
    }
}
