// SPDX-License-Identifier: Apache-2.0

/// How a test, or a whole run, ended; compared by severity, so that the maximum of many is the verdict of all.
///
/// Each level makes the ones below it meaningless: a test cannot fail in a guest that did not boot, and cannot be told
/// to have timed out if the kernel crashed under it.
public enum Verdict: String, Sendable, Codable, CaseIterable, Comparable {
    /// It did what it should.
    case pass
    /// It did not run, and said why.
    case skip
    /// It ran and found something wrong.
    case fail
    /// It did not end in time.
    case timeout
    /// The kernel complained while it ran.
    case crash
    /// The guest never got as far as the tests.
    case boot
    /// The host could not do its part: QEMU ended, the disk was full, a channel broke.
    case infra

    /// Compares by severity, ``pass`` being the least.
    public static func < (left: Verdict, right: Verdict) -> Bool { left.severity < right.severity }

    private var severity: Int {
        switch self {
        case .pass: 0
        case .skip: 1
        case .fail: 2
        case .timeout: 3
        case .crash: 4
        case .boot: 5
        case .infra: 6
        }
    }
}

/// What is known to go wrong, and why: a bug of the base that nobody here has to fix, or a test that cannot run there.
public struct ExpectedResult: Sendable, Equatable, Codable {
    /// The verdict that is known; any other bad verdict is news.
    public var verdict: Verdict
    /// Why, in one sentence.
    public var reason: String

    /// Makes an expectation from its parts.
    public init(_ verdict: Verdict, reason: String) {
        self.verdict = verdict
        self.reason = reason
    }
}

/// A verdict seen in the light of what was expected.
public enum Outcome: String, Sendable, Codable {
    /// The test passed, and nothing else was expected.
    case passed
    /// The test did not pass, as was known.
    case expected
    /// The test did not pass, which nobody expected; a skip as well.
    case unexpected
    /// The test passed although it was known to fail: shown, but it does not fail the run.
    case unexpectedPass = "unexpected-pass"
}
