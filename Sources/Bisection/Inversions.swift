// SPDX-License-Identifier: Apache-2.0
import Foundation

extension Evidence {
    /// Whether a state was good that lies behind one that was bad.
    var hasInversion: Bool {
        guard let firstBad = tallies.filter({ $0.value.bad > 0 }).keys.min() else { return false }
        return tallies.contains { $0.key > firstBad && $0.value.good > 0 }
    }
}

/// Weighs whether a fault comes and goes against a fault that comes once, in a flaky test.
///
/// Only the gaps between states that were run matter: within one of them, nothing tells one step from the next.
struct Inversions {
    private let evidence: Evidence
    private let options: BisectorOptions
    private let posterior: Posterior
    /// The states that were run, in order.
    private let states: [Int]
    /// Bad and good runs up to each of them.
    private let sums: [(bad: Int, good: Int)]

    init(_ evidence: Evidence, _ options: BisectorOptions, _ posterior: Posterior) {
        self.evidence = evidence
        self.options = options
        self.posterior = posterior
        states = evidence.tallies.filter { $0.value.bad + $0.value.good > 0 }.keys.sorted()
        var sums: [(bad: Int, good: Int)] = [(0, 0)]
        for state in states {
            let tally = evidence.tally(state)
            sums.append((sums[sums.count - 1].bad + tally.bad, sums[sums.count - 1].good + tally.good))
        }
        self.sums = sums
    }

    /// The conclusion that the fault comes, goes and comes again, if that is as probable as it has to be.
    var conclusion: Conclusion? {
        // More gaps than that are never seen; the time grows with their third power.
        guard states.count >= 4, states.count <= 80, let total = sums.last else { return nil }
        let steps = Double(evidence.stepCount)
        let triples = steps * (steps - 1) * (steps - 2) / 6
        guard triples >= 1 else { return nil }
        var logarithms: [Double] = []
        var best: (value: Double, gaps: [Int]) = (-.infinity, [])
        for first in 1..<(states.count - 2) {
            for second in (first + 1)..<(states.count - 1) {
                for third in (second + 1)..<states.count {
                    let middle = (sums[second].bad - sums[first].bad, sums[second].good - sums[first].good)
                    let end = (total.bad - sums[third].bad, total.good - sums[third].good)
                    let (bad, good) = (middle.0 + end.0, middle.1 + end.1)
                    let size = width(first) * width(second) * width(third)
                    let value =
                        log(size / triples) + options.model.faulty.logLikelihood(failures: bad, passes: good)
                        + options.model.sound.logLikelihood(failures: total.bad - bad, passes: total.good - good)
                    logarithms.append(value)
                    if value > best.value { best = (value, [first, second, third]) }
                }
            }
        }
        let goes = log(options.comesAndGoes) + LogSum.of(logarithms)
        let stays = log(1 - options.comesAndGoes) + posterior.logEvidence
        let probability = exp(goes - LogSum.of([goes, stays]))
        guard probability >= options.threshold else { return nil }
        return .comesAndGoes(
            steps: best.gaps.map { states[$0 - 1] + 1...states[$0] }, confidence: probability)
    }

    /// The steps between a state that was run and the one before it.
    private func width(_ gap: Int) -> Double { Double(states[gap] - states[gap - 1]) }
}
