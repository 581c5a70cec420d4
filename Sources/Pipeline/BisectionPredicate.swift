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
        let titles = (record.tests.flatMap(\.reports) + record.problems.flatMap(\.reports)).filter {
            $0.kind != ReportKind.outOfMemory.rawValue
        }
        .map(\.title)
        if case .crash(let wanted) = subject, let title = titles.first(where: { $0.contains(wanted) }) {
            return RunJudgement(outcome: .failing, symptoms: ["crash: \(wanted)"], sentence: title)
        }
        if record.isInterrupted { return RunJudgement(outcome: .nothing, sentence: "it was interrupted") }
        switch subject {
        case .boot:
            if let problem = record.problems.first(where: { $0.verdict == .boot || $0.verdict == .crash }) {
                return RunJudgement(outcome: .failing, symptoms: ["boot"], sentence: problem.sentence)
            }
        case .test(let id):
            // What goes wrong behind a test that has its result is another matter.
            if let test = record.tests.first(where: { $0.id == id }), test.verdict < .boot { return judge([test]) }
        default: break
        }
        if let problem = record.problems.first(where: { $0.verdict == .infra || $0.verdict == .boot }) {
            return RunJudgement(outcome: .nothing, sentence: problem.sentence)
        }
        switch subject {
        case .test(let id):
            return RunJudgement(outcome: .nothing, sentence: "there is no result of \(id)")
        case .crash:
            guard let other = titles.first else { return RunJudgement(outcome: .clean) }
            // It may have kept the one that is looked for from coming.
            return RunJudgement(outcome: .nothing, sentence: "another report came: \(other)")
        case .suite:
            let tests = judge(record.tests.filter { $0.outcome == .unexpected })
            let problems = record.problems.map { problem in
                "problem: " + (problem.reports.first?.title ?? Self.withoutNumbers(problem.sentence))
            }
            if problems.isEmpty { return tests }
            return RunJudgement(
                outcome: .failing, symptoms: tests.symptoms + problems,
                sentence: tests.sentence.isEmpty ? record.problems[0].sentence : tests.sentence)
        case .boot, .build, .command: return RunJudgement(outcome: .clean)
        }
    }

    /// A failure's symptom is its test with its verdict, or with the title of what the kernel said.
    private func judge(_ tests: [TestRecord]) -> RunJudgement {
        var judgement = RunJudgement(outcome: .clean)
        for test in tests {
            switch test.verdict {
            case .pass: continue
            case .skip, .boot, .infra:
                if judgement.outcome == .clean {
                    judgement = RunJudgement(outcome: .nothing, sentence: "\(test.id): \(test.verdict): \(test.reason)")
                }
            case .fail, .timeout, .crash:
                if judgement.outcome != .failing { judgement = RunJudgement(outcome: .failing) }
                let titles = test.reports.filter { $0.kind != ReportKind.outOfMemory.rawValue }.map(\.title)
                let what = titles.first.map { "crash: \($0)" } ?? test.verdict.rawValue
                judgement.symptoms.append("\(test.id): \(what)")
                if judgement.sentence.isEmpty {
                    judgement.sentence = "\(test.id): \(test.verdict)" + (test.reason.isEmpty ? "" : ": \(test.reason)")
                }
            }
        }
        return judgement
    }

    /// What a command in the guest says.
    func judge(_ result: CommandResult, output: String) -> RunJudgement {
        if let title = result.reports.first {
            return RunJudgement(outcome: .failing, symptoms: ["crash: \(title)"], sentence: title)
        }
        if result.status == 125 { return RunJudgement(outcome: .nothing, sentence: "the command ended with 125") }
        if result.status == 124 {
            return RunJudgement(outcome: .failing, symptoms: ["timeout"], sentence: "the command did not end in time")
        }
        if let threshold {
            let numbers = output.matches(of: /-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?/)
            guard result.status == 0, let number = numbers.last.flatMap({ Double($0.output) }) else {
                return RunJudgement(
                    outcome: .nothing, sentence: "the command printed no number, or ended with \(result.status)")
            }
            return RunJudgement(
                outcome: threshold.isBad(number) ? .failing : .clean,
                symptoms: threshold.isBad(number) ? [threshold.side.rawValue] : [], sentence: "\(number)")
        }
        if result.status == 0 { return RunJudgement(outcome: .clean) }
        return RunJudgement(
            outcome: .failing, symptoms: ["exit"], sentence: "the command ended with \(result.status)")
    }

    /// What an error says that kept a kernel from being run; nil if it says nothing about the kernel.
    func judge(_ error: LabError) -> RunJudgement? {
        switch error.exitCode {
        case .buildFailed:
            return subject == .build
                ? RunJudgement(outcome: .failing, symptoms: ["build"], sentence: error.sentence)
                : RunJudgement(outcome: .untestable, sentence: error.sentence)
        case .bootFailed:
            return subject == .boot
                ? RunJudgement(outcome: .failing, symptoms: ["boot"], sentence: error.sentence)
                : RunJudgement(outcome: .nothing, sentence: error.sentence)
        case .testsFailed: return RunJudgement(outcome: .nothing, sentence: error.sentence)
        case .passed, .usage, .unavailable, .interrupted: return nil
        }
    }

    private static func withoutNumbers(_ text: String) -> String { text.replacing(/[0-9]+/, with: "N") }
}
