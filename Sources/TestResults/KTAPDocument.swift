// SPDX-License-Identifier: Apache-2.0

/// A word after a result's `#` that changes what the result means (Documentation/dev-tools/ktap.rst; XPASS is kselftest's).
public enum KTAPDirective: String, Sendable, Codable, CaseIterable {
    /// Not run.
    case skip = "SKIP"
    /// Not expected to pass yet.
    case todo = "TODO"
    /// Failed, as expected.
    case xfail = "XFAIL"
    /// Passed, unexpectedly.
    case xpass = "XPASS"
    /// Did not end in time.
    case timeout = "TIMEOUT"
    /// Could not be carried out.
    case error = "ERROR"
}

/// One result line of KTAP with all that belongs to it.
public struct KTAPTest: Sendable, Equatable, Codable {
    /// The number on its line; nil if there was none.
    public var number: Int?
    /// The description; may be empty.
    public var name: String
    /// Whether the line began with `ok`.
    public var isOK: Bool
    /// The directive, if there is a known one.
    public var directive: KTAPDirective?
    /// What follows the directive, or the `#` if there is none.
    public var note: String
    /// Diagnostic and unknown lines before the result, without their `# `.
    public var diagnostics: [String]
    /// Subtests.
    public var children: [KTAPTest]
    /// True for a test that was planned or started but has no result line.
    public var isMissing: Bool

    /// Makes a result from its parts.
    public init(
        number: Int? = nil, name: String, isOK: Bool, directive: KTAPDirective? = nil, note: String = "",
        diagnostics: [String] = [], children: [KTAPTest] = [], isMissing: Bool = false
    ) {
        self.number = number
        self.name = name
        self.isOK = isOK
        self.directive = directive
        self.note = note
        self.diagnostics = diagnostics
        self.children = children
        self.isMissing = isMissing
    }
}

/// A departure from the format that may have cost results.
public struct KTAPProblem: Sendable, Equatable, Codable {
    /// The line in the text, from 1; nil if it is about the whole.
    public var line: Int?
    /// What is wrong, in one sentence without a full stop.
    public var sentence: String
}

extension KTAPProblem: CustomStringConvertible {
    /// The problem as people read it.
    public var description: String {
        "its KTAP is not well formed\(line.map { " in line \($0)" } ?? ""): \(sentence)"
    }
}

/// A KTAP or TAP 13 text, understood.
public struct KTAPDocument: Sendable, Equatable, Codable {
    /// The number of tests announced; nil if no plan was seen.
    public var plan: Int?
    /// Why nothing was run, from `1..0 # SKIP reason`.
    public var skipReason: String?
    /// Why the program gave up, from `Bail out! reason`.
    public var bailOut: String?
    /// The results of the outermost level, missing ones included.
    public var tests: [KTAPTest]
    /// Diagnostic and unknown lines after the last result.
    public var trailer: [String]
    /// What did not conform.
    public var problems: [KTAPProblem]

    /// Makes a document from its parts.
    public init(
        plan: Int? = nil, skipReason: String? = nil, bailOut: String? = nil, tests: [KTAPTest] = [],
        trailer: [String] = [], problems: [KTAPProblem] = []
    ) {
        self.plan = plan
        self.skipReason = skipReason
        self.bailOut = bailOut
        self.tests = tests
        self.trailer = trailer
        self.problems = problems
    }
}
