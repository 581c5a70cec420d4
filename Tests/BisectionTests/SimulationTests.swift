// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Bisection

/// A range of states whose truth is known.
struct SimulatedCase {
    var stepCount: Int
    /// The step that leads to the first bad state.
    var culprit: Int
    /// How often a bad state fails.
    var rate: Double
    /// States that do not build.
    var unbuildable: Set<Int> = []

    struct Result {
        var conclusion: Conclusion
        var searchRuns = 0
        var confirmRuns = 0
        var endRuns = 0

        var runs: Int { searchRuns + confirmRuns + endRuns }
    }

    func run(_ options: BisectorOptions, _ generator: inout some RandomNumberGenerator, parallel: Int = 1) -> Result {
        var bisector = Bisector(Evidence(stepCount: stepCount), options)
        var result = Result(conclusion: .notReproduced(confidence: 0))
        while result.runs < 2000 {
            switch bisector.next(count: parallel) {
            case .finished(let conclusion):
                result.conclusion = conclusion
                return result
            case .run(let runs):
                for run in runs {
                    switch run.purpose {
                    case .end: result.endRuns += 1
                    case .search: result.searchRuns += 1
                    case .confirm: result.confirmRuns += 1
                    }
                    if unbuildable.contains(run.state) {
                        bisector.evidence.addUntestable(run.state)
                    } else {
                        let fails = run.state >= culprit && Double.random(in: 0..<1, using: &generator) < rate
                        bisector.evidence.add(fails ? .bad : .good, at: run.state)
                    }
                }
            }
        }
        return result
    }
}

extension SimulatedCase {
    /// What `git bisect run` would name: each state is run an odd number of times, and the majority is believed.
    func gitBisect(runsPerState: Int, _ generator: inout some RandomNumberGenerator) -> (step: Int, runs: Int) {
        var (good, bad, runs) = (0, stepCount, 0)
        while bad - good > 1 {
            let middle = (good + bad) / 2
            let failures = (0..<runsPerState).count { _ in
                middle >= culprit && Double.random(in: 0..<1, using: &generator) < rate
            }
            runs += runsPerState
            if failures * 2 > runsPerState { bad = middle } else { good = middle }
        }
        return (bad, runs)
    }

    /// The fewest runs on average by which any procedure could name the culprit, in bits over the capacity of a run:
    /// a run of a bad state passes with a probability of 1 - rate, one of a good state never fails (a Z-channel).
    static func bound(stepCount: Int, rate: Double) -> Double {
        let miss = 1 - rate
        let capacity = rate == 1 ? 1 : log2(1 + rate * pow(miss, miss / rate))
        return log2(Double(stepCount)) / capacity
    }

    /// The fewest runs of the culprit's parent, on average, by which any procedure that is right so often can tell the
    /// parent from the culprit: no other state tells the two from each other, and all that its runs say is that it passed.
    ///
    /// By the data processing inequality: what the two answers differ by over what one run can differ by.
    static func parentBound(rate: Double, confidence: Double) -> Double {
        (2 * confidence - 1) * log(confidence / (1 - confidence)) / -log(1 - rate)
    }
}

/// splitmix64: the same seed gives the same cases everywhere.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

@Suite("The engine on simulated ranges")
struct SimulationTests {
    // Where a test fails less often, a case takes twenty times the runs.
    @Test(
        "10,000 ranges: what is found at a stated confidence is right at least that often",
        arguments: [(1, 7000), (0.5, 2000), (0.3, 700), (0.1, 300)])
    func calibration(rate: Double, cases: Int) {
        var generator = SeededGenerator(UInt64(rate * 100))
        var (found, right, runs, others) = (0, 0, 0, 0)
        var told = (found: 0, right: 0, searching: 0, runs: 0)
        var knowing = BisectorOptions()
        knowing.model.faulty = .known(rate)
        var git = [1: (right: 0, runs: 0), 3: (right: 0, runs: 0)]
        var bound = 0.0
        for _ in 0..<cases {
            let stepCount = Int.random(in: 8...32, using: &generator)
            let simulated = SimulatedCase(
                stepCount: stepCount, culprit: Int.random(in: 1...stepCount, using: &generator), rate: rate)
            let result = simulated.run(BisectorOptions(), &generator)
            runs += result.runs
            bound += SimulatedCase.bound(stepCount: stepCount, rate: rate)
            let informed = simulated.run(knowing, &generator)
            told.searching += informed.searchRuns
            told.runs += informed.runs
            if case .found(let step, _) = informed.conclusion {
                told.found += 1
                if step == simulated.culprit { told.right += 1 }
            }
            for times in [1, 3] {
                let (step, runs) = simulated.gitBisect(runsPerState: times, &generator)
                git[times]?.right += step == simulated.culprit ? 1 : 0
                git[times]?.runs += runs
            }
            switch result.conclusion {
            case .found(let step, _):
                found += 1
                if step == simulated.culprit { right += 1 }
            default: others += 1
            }
        }
        #expect(found >= cases * 97 / 100, "\(others) others")
        // Three standard deviations of chance, for the few cases of the low rates.
        let slack = 3 * (0.01 * 0.99 * Double(found)).squareRoot()
        #expect(Double(right) >= 0.99 * Double(found) - (rate < 1 ? slack : 0), "\(right) of \(found)")
        #expect(Double(told.right) >= 0.99 * Double(told.found) - (rate < 1 ? slack : 0), "\(told)")
        #expect(told.found >= cases * 97 / 100 && told.runs < runs)
        // For scripts/bench --bisect.
        func share(_ right: Int, _ runs: Int, of count: Int) -> String {
            String(
                format: "%6.2f %% right, %6.1f runs", 100 * Double(right) / Double(count), Double(runs) / Double(cases))
        }
        print(
            "simulated: failure rate \(rate): hmmlab \(share(right, runs, of: found)); git bisect run",
            "\(share(git[1]?.right ?? 0, git[1]?.runs ?? 0, of: cases)); best of three",
            "\(share(git[3]?.right ?? 0, git[3]?.runs ?? 0, of: cases)); no procedure below",
            String(format: "%.1f runs", bound / Double(cases)))
        print(
            "simulated: failure rate \(rate): told the rate, \(share(told.right, told.runs, of: told.found)), of them",
            String(format: "%.1f to search;", Double(told.searching) / Double(cases)),
            "to be sure of the parent alone takes at least",
            String(format: "%.1f", SimulatedCase.parentBound(rate: rate, confidence: knowing.confidence)))
    }

    @Test("Whatever confidence is asked for, at least that share is right", arguments: [0.7, 0.8, 0.9, 0.95])
    func confidences(_ confidence: Double) {
        var generator = SeededGenerator(UInt64(confidence * 1000))
        var (found, right, stated) = (0, 0, 0.0)
        for _ in 0..<600 {
            let stepCount = Int.random(in: 8...32, using: &generator)
            let simulated = SimulatedCase(
                stepCount: stepCount, culprit: Int.random(in: 1...stepCount, using: &generator),
                rate: [1, 0.7, 0.5, 0.3].randomElement(using: &generator) ?? 1)
            let result = simulated.run(BisectorOptions(confidence: confidence), &generator)
            if case .found(let step, let probability) = result.conclusion {
                found += 1
                stated += probability
                if step == simulated.culprit { right += 1 }
            }
        }
        let slack = 3 * (confidence * (1 - confidence) * Double(found)).squareRoot()
        #expect(found > 500)
        #expect(Double(right) >= confidence * Double(found) - slack, "\(right) of \(found)")
        print(
            String(
                format: "calibration: asked for %.2f, stated %.4f on average, right in %.4f", confidence,
                stated / Double(found), Double(right) / Double(found)))
    }
}
