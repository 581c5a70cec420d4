// SPDX-License-Identifier: Apache-2.0

/// One test: a name, a claim, what it needs, and the code that checks the claim in a process of its own.
public struct GuestTest: Sendable {
    /// `suite/name`: lower case words joined by hyphens.
    public let id: String
    /// The claim, one sentence without a full stop.
    public let summary: String
    /// What the environment must have; otherwise the test is skipped.
    public let requirements: [Requirement]
    /// How long the test may take before the host ends it, in milliseconds, on a slow debug kernel.
    public let timeoutMilliseconds: Int
    let body: @Sendable () throws -> Void
    let file: String
    let line: Int

    /// Makes a test from its parts.
    public init(
        _ id: String, _ summary: String, needs requirements: [Requirement], timeoutMilliseconds: Int = 30_000,
        file: String = #fileID, line: Int = #line, _ body: @escaping @Sendable () throws -> Void
    ) {
        self.id = id
        self.summary = summary
        self.requirements = requirements
        self.timeoutMilliseconds = timeoutMilliseconds
        self.body = body
        self.file = file
        self.line = line
    }
}

/// How a test ended, as the process's exit status.
public enum TestExit: Int32, Sendable {
    /// Every expectation held.
    case passed = 0
    /// At least one did not, or the test could not go on.
    case failed = 1
    /// The environment lacks something the test needs.
    case skipped = 4
    /// There is no such test, or the command line is wrong (`EX_USAGE` of sysexits(3)).
    case usage = 64
}

extension GuestTest {
    /// Runs the test in this process and prints what happened.
    public func run() -> TestExit {
        Failures.reset()
        do {
            for requirement in requirements {
                if let reason = requirement.missing() { try skip(reason) }
            }
            try body()
        } catch Interruption.requirementFailed {
            // On the record already.
        } catch Interruption.skipped(let reason) where Failures.count == 0 {
            Console.line("SKIP: \(reason)")
            return .skipped
        } catch {
            record(error)
        }
        return Failures.count == 0 ? .passed : .failed
    }

    private func record(_ error: any Error) { Failures.record(uncaught: error, file: file, line: line) }
}
