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
        for _ in 0..<cases {
            let stepCount = Int.random(in: 8...32, using: &generator)
            let simulated = SimulatedCase(
                stepCount: stepCount, culprit: Int.random(in: 1...stepCount, using: &generator), rate: rate)
            let result = simulated.run(BisectorOptions(), &generator)
            runs += result.runs
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
        #expect(runs > 0)
    }
}
