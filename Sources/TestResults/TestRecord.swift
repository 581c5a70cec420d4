// SPDX-License-Identifier: Apache-2.0

/// A kernel's complaint, as far as a test's result needs it.
public struct KernelFinding: Sendable, Equatable, Codable {
    /// The bug's name, the same for every occurrence, such as `KASAN: slab-use-after-free Read in foo`.
    public var title: String
    /// The class of complaint, such as `kasan`; the names of `KernelLog.ReportKind`.
    public var kind: String
    /// The report's lines, decoded to source lines where that was possible.
    public var text: String
    /// Whether the guest was lost with it.
    public var isFatal: Bool

    /// Makes a finding from its parts.
    public init(title: String, kind: String, text: String, isFatal: Bool) {
        self.title = title
        self.kind = kind
        self.text = text
        self.isFatal = isFatal
    }
}

/// What became of one test.
public struct TestRecord: Sendable, Equatable {
    /// The suite, such as `migrate` or `kselftest:mm/hmm`; it may hold slashes.
    public var suite: String
    /// The test's name within its suite.
    public var name: String
    /// How it ended.
    public var verdict: Verdict
    /// What was known to go wrong with it; nil if it is to pass.
    public var expectation: ExpectedResult?
    /// Why it ended so, in one sentence without a full stop; empty if there is nothing to say.
    public var reason: String
    /// What was wrong with the way it told its result, such as lines that are no KTAP; it may have cost results.
    public var warnings: [String]
    /// What it printed; bounded by ``bounded(_:)``.
    public var output: [String]
    /// Wall-clock seconds.
    public var duration: Double
    /// What the kernel complained about while it ran.
    public var reports: [KernelFinding]
    /// The boot of the guest that it ran in, from 0; a crash is followed by another boot.
    public var boot: Int

    /// Makes a record from its parts; output beyond the bound is cut in its middle.
    public init(
        suite: String, name: String, verdict: Verdict, expectation: ExpectedResult? = nil, reason: String = "",
        warnings: [String] = [], output: [String] = [], duration: Double = 0, reports: [KernelFinding] = [],
        boot: Int = 0
    ) {
        self.suite = suite
        self.name = name
        self.verdict = verdict
        self.expectation = expectation
        self.reason = reason
        self.warnings = warnings
        self.output = TestRecord.bounded(output)
        self.duration = duration
        self.reports = reports
        self.boot = boot
    }

    /// The name that a command line takes: `suite/name`.
    public var id: String { "\(suite)/\(name)" }

    /// The verdict in the light of the expectation.
    public var outcome: Outcome {
        switch (verdict, expectation) {
        case (.pass, nil): .passed
        case (.pass, .some): .unexpectedPass
        case (_, .some(let known)) where known.verdict == verdict: .expected
        default: .unexpected
        }
    }

    /// The reason together with what the expectation makes of it, as people read it.
    public var explanation: String {
        let told = reason.isEmpty ? nil : reason
        switch outcome {
        case .passed:
            return reason
        case .expected:
            return [told, expectation.map { "known: \($0.reason)" }].compactMap { $0 }.joined(separator: "; ")
        case .unexpectedPass:
            return
                "passed, although it is known to \(expectation?.verdict.rawValue ?? "fail"): \(expectation?.reason ?? "")"
        case .unexpected where verdict == .skip:
            return
                "skipped, which nothing allows and which therefore counts as a failure: \(told ?? "no reason was given")"
        case .unexpected:
            guard let expectation else { return reason }
            return (told.map { "\($0); " } ?? "")
                + "known is only a \(expectation.verdict.rawValue): \(expectation.reason)"
        }
    }

    /// The most lines that a record keeps of a test's output.
    public static let outputLimit = 400
    /// The most bytes that it keeps of one line.
    public static let lineLimit = 2000

    /// Cuts output to ``outputLimit`` lines, of which a quarter from the start, and says how many went.
    public static func bounded(_ lines: [String]) -> [String] {
        let head = outputLimit / 4
        let tail = outputLimit - head - 1
        var kept = lines
        if lines.count > outputLimit {
            kept = lines.prefix(head) + ["... \(lines.count - head - tail) lines left out ..."] + lines.suffix(tail)
        }
        return kept.map {
            $0.utf8.count > lineLimit ? String(decoding: $0.utf8.prefix(lineLimit), as: UTF8.self) + "..." : $0
        }
    }
}

extension TestRecord: Codable {
    private enum Key: String, CodingKey {
        case id, suite, name, verdict, outcome, expectation, reason, explanation, warnings, output, duration, reports
        case boot
    }

    /// Writes the stored parts, and beside them the derived `id`, `outcome` and `explanation` for readers of the JSON.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(id, forKey: .id)
        try container.encode(suite, forKey: .suite)
        try container.encode(name, forKey: .name)
        try container.encode(verdict, forKey: .verdict)
        try container.encode(outcome, forKey: .outcome)
        try container.encodeIfPresent(expectation, forKey: .expectation)
        try container.encode(reason, forKey: .reason)
        try container.encode(explanation, forKey: .explanation)
        try container.encode(warnings, forKey: .warnings)
        try container.encode(output, forKey: .output)
        try container.encode(duration, forKey: .duration)
        try container.encode(reports, forKey: .reports)
        try container.encode(boot, forKey: .boot)
    }

    /// Reads the stored parts.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        self.init(
            suite: try container.decode(String.self, forKey: .suite),
            name: try container.decode(String.self, forKey: .name),
            verdict: try container.decode(Verdict.self, forKey: .verdict),
            expectation: try container.decodeIfPresent(ExpectedResult.self, forKey: .expectation),
            reason: try container.decode(String.self, forKey: .reason),
            warnings: try container.decodeIfPresent([String].self, forKey: .warnings) ?? [],
            output: try container.decode([String].self, forKey: .output),
            duration: try container.decode(Double.self, forKey: .duration),
            reports: try container.decode([KernelFinding].self, forKey: .reports),
            boot: try container.decode(Int.self, forKey: .boot))
    }
}
