// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import TestResults

/// What a bisection found out.
public struct BisectionReport: Sendable, Encodable {
    /// How it ended.
    public enum Outcome: String, Sendable, Codable {
        /// One step is the culprit.
        case found
        /// One of several steps is; what lies between them cannot be tested.
        case ambiguous
        /// The bad end is not bad.
        case notReproduced = "not-reproduced"
        /// The good end is bad.
        case goodEndIsBad = "good-end-is-bad"
        /// The fault comes, goes and comes again.
        case notMonotone = "not-monotone"
        /// An end of the range can be neither good nor bad.
        case endUntestable = "end-untestable"
        /// It ran out of the runs or the time that it was given.
        case budget
    }

    /// A step with the state behind it.
    public struct Step: Sendable, Encodable {
        /// The place, from 1; 0 is the good end.
        public var index: Int
        /// The step's subject.
        public var subject: String
        /// The patch's file or the commit.
        public var file: String?
        /// `good`, `bad`, `mixed` for one that fails now and then, `unknown`, `same` for one that changes nothing in the
        /// kernel, `untested`.
        public var verdict: String
        /// How often the state behind the step was run.
        public var runs: Int
        /// How many of the runs were good.
        public var good: Int
        /// How many of the runs were bad.
        public var bad: Int
        /// How many said nothing.
        public var unknown: Int
        /// The probability that it is the culprit.
        public var probability: Double
        /// Seconds spent on it.
        public var seconds: Double
        /// What its runs said, each once.
        public var sentences: [String]
        /// The folders of its runs.
        public var logs: [String]
    }

    /// The step that is to blame.
    public struct Culprit: Sendable, Encodable {
        /// The place, from 1.
        public var index: Int
        /// The subject.
        public var subject: String
        /// The patch's file or the commit.
        public var file: String?
        /// Who wrote it.
        public var author: String?
        /// What it changes; nil where a step has no diff.
        public var diff: String?
    }

    /// What the tip does without the culprit.
    public struct Reversal: Sendable, Encodable {
        /// `good`, `bad` where the fault stays, `unknown`, or `impossible`.
        public var verdict: String
        /// How often it was run.
        public var runs: Int
        /// Why it is impossible, or what the last run said.
        public var sentence: String
    }

    /// What the culprit does to the test.
    public struct Difference: Sendable, Encodable {
        /// The first line in which the outputs differ, numbers aside; nil where there is none.
        public var good: String?
        /// The same of a bad run.
        public var bad: String?
        /// What the kernel said in the bad run, decoded to source lines.
        public var report: String?
    }

    /// How it ended.
    public var outcome: Outcome
    /// The probability that the outcome is right.
    public var confidence: Double
    /// The conclusion in one sentence.
    public var sentence: String
    /// What was looked for, in the words of a sentence.
    public var predicate: String
    /// What a step is.
    public var noun: BisectionNoun
    /// The culprit; nil unless it was found.
    public var culprit: Culprit?
    /// The steps that may be to blame: all but the least probable ones that make up what is missing to the confidence.
    public var candidates: [Int]
    /// Every step.
    public var steps: [Step]
    /// The tip without the culprit; nil if it was not tried.
    public var reverted: Reversal?
    /// What differs between a good and a bad run beside the culprit; nil without a culprit.
    public var difference: Difference?
    /// Failures that were not counted because the bad end never showed them.
    public var otherFailures: [String]
    /// How many runs there were, those of the tip without the culprit included.
    public var runs: Int
    /// Seconds spent on building, over all parts of the bisection.
    public var buildSeconds: Double
    /// Seconds spent on booting and testing.
    public var testSeconds: Double
    /// Commands that show the last good and the first bad kernel; the two ends where no culprit was found.
    public var commands: [String: String]
    /// The bisection's folder.
    public var folder: String

    /// hmmlab's exit status.
    public var exitCode: ExitCode { outcome == .found ? .passed : .testsFailed }
}

extension BisectionReport {
    init(of work: BisectionWork, history: History, outcome: SearchOutcome) async throws {
        let options = work.selection.options
        let posterior = Posterior(history.evidence, options.model)
        let range = work.range
        let count = range.steps.count
        predicate = work.selection.predicate.sentence
        noun = range.noun
        folder = work.folder.path
        let likely = (1...count).max { posterior.probabilities[$0] < posterior.probabilities[$1] } ?? 1
        var (good, bad) = (0, count)
        candidates = Self.candidates(posterior.probabilities, options.confidence)
        confidence = candidates.reduce(0) { $0 + posterior.probabilities[$1] }
        func subject(_ step: Int) -> String { "\(range.noun.rawValue) \(step) (\(range.steps[step - 1].subject))" }
        switch outcome {
        case .concluded(.found(let step, let probability)):
            (self.outcome, confidence, candidates) = (.found, probability, [step])
            let entry = range.steps[step - 1]
            culprit = Culprit(
                index: step, subject: entry.subject, file: entry.file, author: entry.author,
                diff: try? await range.diff(step))
            (good, bad) = (step - 1, step)
            sentence = "It is \(subject(step))."
        case .concluded(.ambiguous(let steps, let probability)):
            (self.outcome, confidence) = (.ambiguous, probability)
            candidates = steps.filter { !history.inertSteps.contains($0) }
            (good, bad) = (steps.lowerBound - 1, steps.upperBound)
            sentence =
                "It is one of \(range.noun.counted(steps.count)), \(steps.lowerBound) to \(steps.upperBound): "
                + "what lies between them cannot be tested."
        case .concluded(.notReproduced(let probability)):
            (self.outcome, confidence, candidates) = (.notReproduced, probability, [])
            let tally = history.evidence.tally(count)
            let runs = tally.good + tally.bad
            // The failure rate that so many runs would miss once in a hundred times.
            let rate = 1 - pow(0.01, 1 / Double(max(runs, 1)))
            sentence =
                tally.bad > 0
                ? "The bad end is most likely not bad: \(tally.bad) of \(runs.of("run")) showed the fault."
                : "The bad end is not bad: \(runs.of("run")) did not show the fault. One that shows in more than "
                    + "\(Self.percent(rate)) of the runs would have been missed once in a hundred times."
        case .concluded(.goodEndIsBad(let probability)):
            (self.outcome, confidence, candidates) = (.goodEndIsBad, probability, [])
            sentence = "The good end is bad already: the fault is older than this range."
        case .concluded(.comesAndGoes(let steps, let probability)):
            (self.outcome, confidence) = (.notMonotone, probability)
            // What lies between the first and the second change mends; the first and the last break.
            candidates = steps.enumerated().filter { $0.offset != 1 }.flatMap(\.element)
            func words(_ steps: ClosedRange<Int>) -> String {
                steps.count == 1
                    ? "\(range.noun.rawValue) \(steps.lowerBound)" : "\(steps.lowerBound) to \(steps.upperBound)"
            }
            sentence =
                "The fault comes, goes and comes again, most likely in this order: "
                + steps.map(words).joined(separator: ", ") + "; no single \(range.noun.rawValue) is to blame."
        case .concluded(.endUntestable(let state)):
            self.outcome = .endUntestable
            let why = history.runs.last { $0.state == state }?.sentence ?? ""
            sentence =
                "The \(state == 0 ? "good" : "bad") end cannot be tested" + (why.isEmpty ? "." : ": \(why).")
        case .budget:
            self.outcome = .budget
            sentence =
                "The budget is spent; the most likely is \(subject(likely)), with a probability of "
                + Self.percent(posterior.probabilities[likely]) + "."
        }
        steps = (0...count).map { Self.step($0, range, history, posterior.probabilities) }
        otherFailures = history.otherSymptoms.map { symptom, states in
            "\(symptom) (after \(range.noun.rawValue) \(states.map(String.init).joined(separator: ", ")))"
        }
        let all = history.runs + history.revertedRuns
        runs = all.count
        buildSeconds = all.reduce(0) { $0 + $1.buildSeconds }
        testSeconds = all.reduce(0) { $0 + $1.testSeconds }
        reverted = Self.reversal(history)
        commands = [
            "good": Self.command(work, good), "bad": Self.command(work, bad),
            "resume": "scripts/hmmlab bisect --resume \(work.folder.id)",
        ]
        if culprit != nil { difference = Self.difference(history, good: good, bad: bad) }
        try Files.write(try JSON.text(Document(self)), to: folder + "/report.json")
        try Files.write(lines.joined(separator: "\n") + "\n", to: folder + "/report.txt")
    }

    private static func command(_ work: BisectionWork, _ state: Int) -> String {
        Command("scripts/hmmlab", work.words(for: work.range.states[state])).shellText
    }

    /// The fewest steps that hold the culprit with a confidence.
    private static func candidates(_ probabilities: [Double], _ confidence: Double) -> [Int] {
        let order = probabilities.indices.dropFirst().dropLast().sorted { probabilities[$0] > probabilities[$1] }
        var (chosen, sum): ([Int], Double) = ([], 0)
        for step in order where sum < confidence && probabilities[step] > 0 {
            chosen.append(step)
            sum += probabilities[step]
        }
        return chosen.sorted()
    }

    private static func step(
        _ index: Int, _ range: BisectionRange, _ history: History, _ probabilities: [Double]
    ) -> Step {
        let runs = history.runs.filter { $0.state == index }
        let tally = history.evidence.tally(index)
        let verdict =
            switch (tally.good > 0, tally.bad > 0) {
            case (true, true): "mixed"
            case (true, false): "good"
            case (false, true): "bad"
            case (false, false):
                tally.unknown > 0 ? "unknown" : history.inertSteps.contains(index) ? "same" : "untested"
            }
        var sentences: [String] = []
        for run in runs where !run.sentence.isEmpty && !sentences.contains(run.sentence) {
            sentences.append(run.sentence)
        }
        return Step(
            index: index, subject: index == 0 ? "the good end" : range.steps[index - 1].subject,
            file: index == 0 ? nil : range.steps[index - 1].file, verdict: verdict, runs: tally.runs, good: tally.good,
            bad: tally.bad, unknown: tally.unknown, probability: index == 0 ? 0 : probabilities[index],
            seconds: runs.reduce(0) { $0 + $1.buildSeconds + $1.testSeconds }, sentences: sentences,
            logs: runs.compactMap(\.folder))
    }

    private static func reversal(_ history: History) -> Reversal? {
        if let why = history.irreversible { return Reversal(verdict: "impossible", runs: 0, sentence: why) }
        guard let last = history.revertedRuns.last else { return nil }
        let observations = history.revertedRuns.map(history.observation)
        let verdict = observations.contains(.bad) ? "bad" : observations.allSatisfy { $0 == .good } ? "good" : "unknown"
        return Reversal(verdict: verdict, runs: observations.count, sentence: last.sentence)
    }

    /// A probability as people read it; never 100 % by rounding.
    public static func percent(_ probability: Double) -> String {
        probability > 0.9999 ? "over 99.99 %" : String(format: "%.2f %%", probability * 100)
    }
}

extension BisectionReport {
    private static func difference(_ history: History, good: Int, bad: Int) -> Difference? {
        func record(_ state: Int, _ observation: Observation) -> RunRecord? {
            let run = history.runs.first { $0.state == state && history.observation($0) == observation }
            guard let folder = run?.folder, let data = try? Files.bytes(folder + "/record.json") else { return nil }
            return try? JSON.value(RunRecord.self, from: data)
        }
        guard let after = record(bad, .bad) else { return nil }
        let failed = after.tests.first { $0.outcome == .unexpected } ?? after.tests.first { $0.verdict != .pass }
        var difference = Difference(report: (failed?.reports ?? after.problems.flatMap(\.reports)).first?.text)
        if let failed, let passed = record(good, .good)?.tests.first(where: { $0.id == failed.id }) {
            (difference.good, difference.bad) = firstDifference(passed.output, failed.output)
        } else {
            difference.bad = failed?.output.first
        }
        return difference
    }

    /// The first lines that differ in more than numbers.
    static func firstDifference(_ good: [String], _ bad: [String]) -> (good: String?, bad: String?) {
        func plain(_ line: String) -> String { line.replacing(/(?:0x)?[0-9a-f]*[0-9][0-9a-f.]*/, with: "N") }
        for index in 0..<max(good.count, bad.count) {
            let (left, right) = (
                index < good.count ? good[index] : nil, index < bad.count ? bad[index] : nil
            )
            if left.map(plain) != right.map(plain) { return (left, right) }
        }
        return (nil, nil)
    }
}
