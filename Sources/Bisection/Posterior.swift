// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What is known of the rates at which a test fails, and of where the fault can be.
public struct FaultModel: Sendable, Equatable, Codable {
    /// In states that have the fault.
    public var faulty: RateBelief
    /// In states that do not.
    public var sound: RateBelief
    /// How probable it is from the start that the good end is bad.
    public var goodEndIsBad: Double
    /// How probable it is from the start that the bad end is good.
    public var badEndIsGood: Double

    /// Makes a model.
    public init(
        faulty: RateBelief = .faulty, sound: RateBelief = .sound, goodEndIsBad: Double = 0.01,
        badEndIsGood: Double = 0.02
    ) {
        self.faulty = faulty
        self.sound = sound
        self.goodEndIsBad = goodEndIsBad
        self.badEndIsGood = badEndIsGood
    }
}

/// The probability of each first bad state, given everything that was seen.
///
/// Index 0 means that the good end is bad already, `stepCount` + 1 that the bad end is good. Both rates are integrated out:
/// every state has the same rate as the other states on its side of the fault, whatever that is.
public struct Posterior: Sendable, Equatable {
    /// One probability for each first bad state; they sum up to 1.
    public let probabilities: [Double]
    /// The probability that a run of a faulty state fails, if that is the first bad one.
    let faultyRates: [Double]
    /// The probability that a run of a sound state fails, likewise.
    let soundRates: [Double]
    /// The logarithm of the probability of everything that was seen.
    let logEvidence: Double

    /// Computes it from scratch, in a time that grows with the number of steps.
    public init(_ evidence: Evidence, _ model: FaultModel) {
        let last = evidence.stepCount + 1
        let candidates = max(1, evidence.stepCount - evidence.inert.count)
        let share = (1 - model.goodEndIsBad - model.badEndIsGood) / Double(candidates)
        var logarithms = [Double](repeating: -.infinity, count: last + 1)
        var faulty = [Double](repeating: 0.5, count: last + 1)
        var sound = [Double](repeating: 0.5, count: last + 1)
        // From the hypothesis that every state is faulty to the one that none is: one state after the other changes sides.
        var above = Tally()
        for tally in evidence.tallies.values {
            above.good += tally.good
            above.bad += tally.bad
        }
        var below = Tally()
        var term = 0.0
        var (faultyRate, soundRate) = (0.5, 0.5)
        let (goodEnd, badEnd, inside) = (log(model.goodEndIsBad), log(model.badEndIsGood), log(share))
        let hasInert = !evidence.inert.isEmpty
        for first in 0...last {
            let moved = first > 0 ? evidence.tallies[first - 1] : nil
            if let moved {
                above.good -= moved.good
                above.bad -= moved.bad
                below.good += moved.good
                below.bad += moved.bad
            }
            if first == 0 || moved != nil {
                term =
                    model.faulty.logLikelihood(failures: above.bad, passes: above.good)
                    + model.sound.logLikelihood(failures: below.bad, passes: below.good)
                faultyRate = model.faulty.failureRate(failures: above.bad, passes: above.good)
                soundRate = model.sound.failureRate(failures: below.bad, passes: below.good)
            }
            let prior = first == 0 ? goodEnd : first == last ? badEnd : inside
            if !hasInert || first == 0 || first == last || !evidence.inert.contains(first) {
                logarithms[first] = prior + term
            }
            faulty[first] = faultyRate
            sound[first] = soundRate
        }
        logEvidence = LogSum.of(logarithms)
        let total = logEvidence
        var scaled = logarithms
        for index in scaled.indices { scaled[index] = total > -.infinity ? exp(logarithms[index] - total) : 0 }
        probabilities = scaled
        faultyRates = faulty
        soundRates = sound
    }

    /// The bits that are missing until the first bad state is known.
    public var entropy: Double { probabilities.reduce(0) { $0 - ($1 > 0 ? $1 * log2($1) : 0) } }

    /// The bits by which one more run of each state is expected to narrow the first bad state down.
    ///
    /// The mutual information between the run's outcome and the first bad state: the outcome's entropy, less what remains
    /// of it when the first bad state is known.
    func information() -> [Double] {
        let count = probabilities.count
        // Sums over the hypotheses up to a state, for which that state is faulty, and over those behind it.
        var faultyFailures = 0.0
        var faultyNoise = 0.0
        var soundFailures = 0.0
        var soundNoise = 0.0
        for first in 0..<count {
            soundFailures += probabilities[first] * soundRates[first]
            soundNoise += probabilities[first] * Self.entropy(soundRates[first])
        }
        var bits: [Double] = []
        for state in 0..<(count - 1) {
            let weight = probabilities[state]
            faultyFailures += weight * faultyRates[state]
            faultyNoise += weight * Self.entropy(faultyRates[state])
            soundFailures -= weight * soundRates[state]
            soundNoise -= weight * Self.entropy(soundRates[state])
            let outcome = Self.entropy(faultyFailures + soundFailures)
            bits.append(max(0, outcome - faultyNoise - soundNoise))
        }
        return bits
    }

    /// The probability that one more run of a state fails.
    func failureRate(at state: Int) -> Double {
        probabilities.indices.reduce(0) {
            $0 + probabilities[$1] * ($1 <= state ? faultyRates[$1] : soundRates[$1])
        }
    }

    /// The entropy of something that happens with a probability, in bits.
    static func entropy(_ probability: Double) -> Double {
        guard probability > 0, probability < 1 else { return 0 }
        return -probability * log2(probability) - (1 - probability) * log2(1 - probability)
    }
}
