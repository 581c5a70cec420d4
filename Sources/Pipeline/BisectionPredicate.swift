// SPDX-License-Identifier: Apache-2.0
@_exported import Bisection
import Foundation
import HarnessCore
import KernelLog
import TestResults

/// What tells a bad kernel from a good one.
public struct BisectionPredicate: Sendable, Equatable, Codable {
    /// What is looked at.
    public enum Subject: Sendable, Equatable, Codable {
        /// A test, by its id.
        case test(String)
        /// Everything that is not known to go wrong in a suite, and a driver that cannot be unloaded behind it.
        case suite(String)
        /// A complaint of the kernel whose title contains this text.
        case crash(String)
        /// Whether the kernel builds.
        case build
        /// Whether the guest comes up with its driver.
        case boot
        /// The exit status of a shell command in the guest, as for git bisect run: 0 good, 125 nothing, others bad.
        case command(String)
    }

    /// A bound for the last number that a command prints.
    public struct Threshold: Sendable, Equatable, Codable {
        /// The side on which a kernel is bad.
        public enum Side: String, Sendable, Codable { case above, below }
        /// The side.
        public var side: Side
        /// The bound itself is good.
        public var value: Double

        /// Makes a bound.
        public init(_ side: Side, _ value: Double) {
            self.side = side
            self.value = value
        }

        func isBad(_ number: Double) -> Bool { side == .above ? number > value : number < value }
    }

    /// What is looked at.
    public var subject: Subject
    /// The suites to run for ``Subject/crash(_:)``, by name; empty for all of the driver.
    public var suites: [String]
    /// The one test to run for ``Subject/crash(_:)`` instead, by its id.
    public var trigger: String?
    /// A regular expression for test ids, for ``Subject/suite(_:)`` and ``Subject/crash(_:)``.
    public var filter: String?
    /// Makes a command's last number the measure instead of its status.
    public var threshold: Threshold?
    /// Seconds that a command may take; nil for no limit.
    public var timeoutSeconds: Int?

    /// Makes a predicate.
    public init(
        _ subject: Subject, suites: [String] = [], trigger: String? = nil, filter: String? = nil,
        threshold: Threshold? = nil,
        timeoutSeconds: Int? = nil
    ) {
        self.subject = subject
        self.suites = suites
        self.trigger = trigger
        self.filter = filter
        self.threshold = threshold
        self.timeoutSeconds = timeoutSeconds
    }

    /// The predicate in the words of a sentence.
    public var sentence: String {
        switch subject {
        case .test(let id): "the test \(id) fails"
        case .suite(let name): "a test of \(name) fails unexpectedly"
        case .crash(let title): "the kernel reports \"\(title)\""
        case .build: "the kernel does not build"
        case .boot: "the guest does not come up"
        case .command(let command):
            if let threshold {
                "`\(command)` prints a number \(threshold.side.rawValue) \(threshold.value)"
            } else {
                "`\(command)` fails in the guest"
            }
        }
    }
}

/// What came out of a run, as ``StateRun`` has it.
struct RunJudgement: Equatable {
    var outcome: StateRun.Outcome
    var symptoms: [String] = []
    var sentence = ""
}

extension BisectionPredicate {
    /// What a run of tests says.
    func judge(_ record: RunRecord) -> RunJudgement {
        switch subject {
        case .test(let id): judge(record, test: id)
        case .suite: judge(suite: record)
        case .crash(let title): judge(record, crash: title)
        case .build, .boot, .command: RunJudgement(outcome: .clean)
        }
    }

    /// The test's own verdict; what goes wrong behind a test that has its result is another matter.
    private func judge(_ record: RunRecord, test id: String) -> RunJudgement {
        guard let test = record.tests.first(where: { $0.id == id }), test.verdict < .boot else {
            return RunJudgement(outcome: .nothing, sentence: Self.obstacle(record) ?? "there is no result of \(id)")
        }
        if test.verdict == .skip { return RunJudgement(outcome: .nothing, sentence: "\(id): skip: \(test.reason)") }
        return judge([test])
    }

    private func judge(suite record: RunRecord) -> RunJudgement {
        if let obstacle = Self.obstacle(record) { return RunJudgement(outcome: .nothing, sentence: obstacle) }
        // A test that a kernel has nothing for is skipped there; that is no fault.
        var judgement = judge(record.tests.filter { $0.outcome == .unexpected && $0.verdict != .skip })
        for problem in record.problems {
            let titles = problem.reports.map(\.title)
            judgement.outcome = .failing
            judgement.symptoms += (titles.isEmpty ? [Self.withoutNumbers(problem.sentence)] : titles).map {
                "problem: \($0)"
            }
            if judgement.sentence.isEmpty { judgement.sentence = problem.sentence }
        }
        return judgement
    }

    private func judge(_ record: RunRecord, crash wanted: String) -> RunJudgement {
        let reports = record.tests.flatMap(\.reports) + record.problems.flatMap(\.reports)
        if let found = Self.titles(reports).first(where: { $0.contains(wanted) }) {
            return RunJudgement(outcome: .failing, symptoms: ["crash: \(wanted)"], sentence: found)
        }
        if let obstacle = Self.obstacle(record) { return RunJudgement(outcome: .nothing, sentence: obstacle) }
        // What is known to come does come, and is in nobody's way; anything else may have come first.
        let strange = record.tests.filter { $0.outcome == .unexpected && $0.verdict > .fail }
        let others = Self.titles(strange.flatMap(\.reports) + record.problems.flatMap(\.reports))
        if let other = others.first {
            return RunJudgement(outcome: .nothing, sentence: "another report came: \(other)")
        }
        if let hung = strange.first {
            return RunJudgement(outcome: .nothing, sentence: "\(hung.id): \(hung.verdict): \(hung.reason)")
        }
        if let trigger, !record.tests.contains(where: { $0.id == trigger && $0.verdict != .skip }) {
            return RunJudgement(outcome: .nothing, sentence: "there is no result of \(trigger)")
        }
        return RunJudgement(outcome: .clean)
    }

    /// Why a run says nothing at all; nil if it may say something.
    private static func obstacle(_ record: RunRecord) -> String? {
        if let problem = record.problems.first(where: { $0.verdict == .infra || $0.verdict == .boot }) {
            return problem.sentence
        }
        if let test = record.tests.first(where: { $0.verdict == .infra || $0.verdict == .boot }) {
            return "\(test.id): \(test.verdict): \(test.reason)"
        }
        return record.tests.isEmpty ? "no test was run" : nil
    }

    private static func titles(_ reports: [KernelFinding]) -> [String] {
        reports.filter { $0.kind != ReportKind.outOfMemory.rawValue }.map(\.title)
    }

    /// A failure's symptoms are its test with its verdict, or with the titles of what the kernel said.
    private func judge(_ tests: [TestRecord]) -> RunJudgement {
        var judgement = RunJudgement(outcome: .clean)
        for test in tests where test.verdict != .pass {
            judgement.outcome = .failing
            let titles = Self.titles(test.reports)
            judgement.symptoms += (titles.isEmpty ? [test.verdict.rawValue] : titles.map { "crash: \($0)" }).map {
                "\(test.id): \($0)"
            }
            if judgement.sentence.isEmpty {
                judgement.sentence = "\(test.id): \(test.verdict)" + (test.reason.isEmpty ? "" : ": \(test.reason)")
            }
        }
        return judgement
    }

    /// What a command in the guest says.
    func judge(_ result: CommandResult, output: String) -> RunJudgement {
        if subject == .boot {
            if result.status == 0 || result.isEnded { return RunJudgement(outcome: .clean) }
            return RunJudgement(
                outcome: .failing, symptoms: ["boot"], sentence: result.reports.first ?? "the guest hung")
        }
        if result.isEnded, result.commandStatus == 125 {
            return RunJudgement(outcome: .nothing, sentence: "the command ended with 125")
        }
        if !result.ownReports.isEmpty {
            return RunJudgement(
                outcome: .failing, symptoms: result.ownReports.map { "crash: \($0)" },
                sentence: result.ownReports[0])
        }
        guard result.isEnded else {
            if result.status == 124 {
                return RunJudgement(
                    outcome: .failing, symptoms: ["timeout"], sentence: "the command did not end in time")
            }
            return RunJudgement(
                outcome: .nothing, sentence: result.reports.first ?? "the guest went away during the command")
        }
        if let threshold {
            let numbers = output.matches(of: /-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?/)
            guard result.commandStatus == 0, let number = numbers.last.flatMap({ Double($0.output) }) else {
                return RunJudgement(
                    outcome: .nothing,
                    sentence: "the command printed no number, or ended with \(result.commandStatus)")
            }
            return RunJudgement(
                outcome: threshold.isBad(number) ? .failing : .clean,
                symptoms: threshold.isBad(number) ? [threshold.side.rawValue] : [], sentence: "\(number)")
        }
        if result.commandStatus == 0 { return RunJudgement(outcome: .clean) }
        return RunJudgement(
            outcome: .failing, symptoms: ["exit"], sentence: "the command ended with \(result.commandStatus)")
    }

    /// Errors that belong to one kernel and say nothing about another: its source cannot be had, or has no such test.
    private static let ownErrors: Set<String> = [
        "filter-empty", "base-unknown", "base-not-kernel", "base-not-cached", "base-not-clean", "base-without-series",
        "fetch-failed", "revision-unknown",
    ]

    /// What an error says that kept a kernel from being run; nil if it says nothing about the kernel.
    func judge(_ error: LabError) -> RunJudgement? {
        if Self.ownErrors.contains(error.code) {
            return RunJudgement(outcome: .untestable, sentence: error.sentence)
        }
        switch error.exitCode {
        case .buildFailed:
            guard subject == .build, error.code == "kernel-build-failed" else {
                return RunJudgement(outcome: .untestable, sentence: error.sentence)
            }
            // The first line of the cause names the file and what is wrong with it.
            let what = error.cause?.split(separator: "\n").first.map(String.init) ?? error.sentence
            return RunJudgement(
                outcome: .failing, symptoms: ["build: \(Self.withoutNumbers(what))"],
                sentence: "\(error.sentence): \(what)")
        case .bootFailed, .testsFailed:
            return subject == .boot
                ? RunJudgement(outcome: .failing, symptoms: ["boot"], sentence: error.sentence)
                : RunJudgement(outcome: .nothing, sentence: error.sentence)
        case .passed, .usage, .unavailable, .interrupted: return nil
        }
    }

    private static func withoutNumbers(_ text: String) -> String { text.replacing(/[0-9]+/, with: "N") }
}
