// SPDX-License-Identifier: Apache-2.0

/// How a whole run of hmmlab ended, as the process's exit status.
///
/// 64 and 69 are `EX_USAGE` and `EX_UNAVAILABLE` of sysexits(3).
public enum ExitCode: Int32, Sendable, Codable {
    /// Everything that was asked for passed.
    case passed = 0
    /// A test failed, timed out, or the kernel crashed.
    case testsFailed = 1
    /// A patch did not apply or the kernel did not build.
    case buildFailed = 2
    /// The guest never reached the test programs.
    case bootFailed = 3
    /// The request made no sense.
    case usage = 64
    /// The host could not do it: a tool, the network, or disk space is missing.
    case unavailable = 69
    /// A person ended it: 128 and SIGINT, as shells have it.
    case interrupted = 130
}

/// The one error type of hmmlab: what happened, why, and what to do next.
///
/// Everything a person can meet is one of these; its three sentences are printed as they are, and `--json` has all of it.
public struct LabError: Error, Sendable, Equatable, Codable {
    /// A stable, machine-readable name such as `base-unknown`; lower case words joined by hyphens.
    public var code: String
    /// The exit status that hmmlab ends with when nobody handles this error.
    public var exitCode: ExitCode
    /// What happened, in one sentence without a full stop.
    public var sentence: String
    /// Why, as far as is known; may hold several lines, such as a compiler's own output.
    public var cause: String?
    /// What the person can do about it, in one sentence.
    public var nextStep: String?
    /// What happened as data for programs, such as the hunks of a patch that does not apply; its form depends on the code.
    public var details: JSONValue?

    /// Makes an error from its parts.
    public init(
        _ code: String, exit exitCode: ExitCode = .unavailable, _ sentence: String, cause: String? = nil,
        next nextStep: String? = nil, details: JSONValue? = nil
    ) {
        self.code = code
        self.exitCode = exitCode
        self.sentence = sentence
        self.cause = cause
        self.nextStep = nextStep
        self.details = details
    }
}

extension LabError: CustomStringConvertible {
    /// The error as people see it, without colours: the sentence, then the cause and the next step, each on lines of its own.
    public var description: String {
        var text = sentence
        if let cause, !cause.isEmpty {
            text +=
                "\n  because: "
                + cause.split(separator: "\n", omittingEmptySubsequences: false).joined(separator: "\n    ")
        }
        if let nextStep, !nextStep.isEmpty { text += "\n  next: " + nextStep }
        return text
    }
}
