// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// Something that went wrong outside any test: before the first, between two, or after the last.
public struct RunProblem: Sendable, Equatable, Codable {
    /// ``Verdict/infra``, ``Verdict/boot``, ``Verdict/crash`` for a complaint of the kernel while no test ran,
    /// ``Verdict/timeout`` for a guest that hung then, ``Verdict/fail`` for a driver that cannot be unloaded.
    public var verdict: Verdict
    /// What happened, in one sentence without a full stop.
    public var sentence: String
    /// The boot it happened in, from 0.
    public var boot: Int
    /// What the kernel complained about.
    public var reports: [KernelFinding]
    /// The console's last lines, where they explain it.
    public var console: [String]

    /// Makes a problem from its parts.
    public init(
        _ verdict: Verdict, _ sentence: String, boot: Int = 0, reports: [KernelFinding] = [], console: [String] = []
    ) {
        self.verdict = verdict
        self.sentence = sentence
        self.boot = boot
        self.reports = reports
        self.console = TestRecord.bounded(console)
    }
}

/// The figures of a run, derived from its tests and problems.
public struct RunSummary: Sendable, Equatable, Codable {
    /// How many tests have a result.
    public var total: Int
    /// How many tests ended with each verdict, whether expected or not; every verdict is present.
    public var counts: [String: Int]
    /// How many tests did not pass, as was known.
    public var expected: Int
    /// The tests that passed although they were known not to.
    public var unexpectedPasses: [String]
    /// The tests that count as failures.
    public var unexpected: [String]
    /// The most severe of what nobody expected; ``Verdict/pass`` if there was nothing.
    public var verdict: Verdict
    /// hmmlab's exit status for the run.
    public var exitCode: Int32

    init(tests: [TestRecord], problems: [RunProblem], isInterrupted: Bool) {
        total = tests.count
        counts = Dictionary(uniqueKeysWithValues: Verdict.allCases.map { ($0.rawValue, 0) })
        for test in tests { counts[test.verdict.rawValue, default: 0] += 1 }
        expected = tests.count { $0.outcome == .expected }
        unexpectedPasses = tests.filter { $0.outcome == .unexpectedPass }.map(\.id)
        let bad = tests.filter { $0.outcome == .unexpected }
        unexpected = bad.map(\.id)
        var worst = max(bad.map(\.verdict).max() ?? .pass, problems.map(\.verdict).max() ?? .pass)
        // A run in which nothing ran has shown nothing.
        if tests.isEmpty { worst = max(worst, .fail) }
        verdict = worst
        exitCode = (isInterrupted ? .interrupted : RunSummary.exitCode(for: worst)).rawValue
    }

    /// The exit status that stands for a verdict.
    public static func exitCode(for verdict: Verdict) -> ExitCode {
        switch verdict {
        case .pass: .passed
        case .skip, .fail, .timeout, .crash: .testsFailed
        case .boot: .bootFailed
        case .infra: .unavailable
        }
    }
}

/// One run of tests against one kernel: what ran, on what, and what became of it.
public struct RunRecord: Sendable, Equatable {
    /// The base kernel, such as `debian:6.12 (6.12.117-1)`.
    public var base: String
    /// The patch series; nil if there was none.
    public var series: String?
    /// The configuration, such as `fast` or `debug`.
    public var flavour: String
    /// The content signature of the kernel that ran.
    public var kernelSignature: String
    /// The machine description, such as `q35`.
    public var machine: String
    /// `kvm` or `tcg`.
    public var accelerator: String
    /// When the run began.
    public var started: Date
    /// When it ended.
    public var ended: Date
    /// Every test's result, in the order they ran.
    public var tests: [TestRecord]
    /// What went wrong outside any test.
    public var problems: [RunProblem]
    /// The tests that were to run and did not, because the run was ended before.
    public var notRun: [String]
    /// Whether a person ended the run.
    public var isInterrupted: Bool
    /// What a person should know and that decides nothing, such as a boot that the emulator spoiled.
    public var remarks: [String]

    /// Makes a record from its parts.
    public init(
        base: String, series: String? = nil, flavour: String, kernelSignature: String, machine: String,
        accelerator: String, started: Date, ended: Date, tests: [TestRecord], problems: [RunProblem] = [],
        notRun: [String] = [], isInterrupted: Bool = false, remarks: [String] = []
    ) {
        self.base = base
        self.series = series
        self.flavour = flavour
        self.kernelSignature = kernelSignature
        self.machine = machine
        self.accelerator = accelerator
        self.started = started
        self.ended = ended
        self.tests = tests
        self.problems = problems
        self.notRun = notRun
        self.isInterrupted = isInterrupted
        self.remarks = remarks
    }

    /// The run's figures.
    public var summary: RunSummary {
        RunSummary(tests: tests, problems: problems, isInterrupted: isInterrupted)
    }

    /// hmmlab's exit status for the run.
    public var exitCode: ExitCode { isInterrupted ? .interrupted : RunSummary.exitCode(for: summary.verdict) }

    /// The suites in the order of their first test.
    public var suites: [String] {
        var seen: Set<String> = []
        return tests.map(\.suite).filter { seen.insert($0).inserted }
    }

    /// The run as a JSON document with `"schema"` and the derived `"summary"`.
    ///
    /// - Throws: `EncodingError`.
    public func json() throws -> String { try JSON.text(Document(self)) }
}

extension RunRecord: Codable {
    private enum Key: String, CodingKey {
        case base, series, flavour, kernelSignature, machine, accelerator, started, ended, tests, problems, summary
        case notRun, remarks
        case isInterrupted = "interrupted"
    }

    /// Writes the stored parts and the derived `summary`.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(base, forKey: .base)
        try container.encodeIfPresent(series, forKey: .series)
        try container.encode(flavour, forKey: .flavour)
        try container.encode(kernelSignature, forKey: .kernelSignature)
        try container.encode(machine, forKey: .machine)
        try container.encode(accelerator, forKey: .accelerator)
        try container.encode(started, forKey: .started)
        try container.encode(ended, forKey: .ended)
        try container.encode(tests, forKey: .tests)
        try container.encode(problems, forKey: .problems)
        try container.encode(notRun, forKey: .notRun)
        try container.encode(isInterrupted, forKey: .isInterrupted)
        try container.encode(remarks, forKey: .remarks)
        try container.encode(summary, forKey: .summary)
    }

    /// Reads the stored parts; the summary is derived anew.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: Key.self)
        self.init(
            base: try container.decode(String.self, forKey: .base),
            series: try container.decodeIfPresent(String.self, forKey: .series),
            flavour: try container.decode(String.self, forKey: .flavour),
            kernelSignature: try container.decode(String.self, forKey: .kernelSignature),
            machine: try container.decode(String.self, forKey: .machine),
            accelerator: try container.decode(String.self, forKey: .accelerator),
            started: try container.decode(Date.self, forKey: .started),
            ended: try container.decode(Date.self, forKey: .ended),
            tests: try container.decode([TestRecord].self, forKey: .tests),
            problems: try container.decode([RunProblem].self, forKey: .problems),
            notRun: try container.decodeIfPresent([String].self, forKey: .notRun) ?? [],
            isInterrupted: try container.decodeIfPresent(Bool.self, forKey: .isInterrupted) ?? false,
            remarks: try container.decodeIfPresent([String].self, forKey: .remarks) ?? [])
    }
}
