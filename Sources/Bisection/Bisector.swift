// SPDX-License-Identifier: Apache-2.0

/// How sure a bisection has to be, and how much it may try.
public struct BisectorOptions: Sendable, Equatable, Codable {
    /// The probability at which a culprit is called found; between 0.5 and 1.
    public var confidence: Double
    /// What is believed before the first run.
    public var model: FaultModel
    /// How often the first bad state has to be seen bad, and the last good one good, before the culprit is named.
    public var confirmations: Int
    /// How often the bad end is tried when it never fails; 44 runs miss a rate of 0.1 once in a hundred times.
    public var mostEndRuns: Int
    /// How probable it is from the start that the fault comes and goes in the range.
    public var comesAndGoes: Double

    /// Makes options.
    public init(
        confidence: Double = 0.99, model: FaultModel = FaultModel(), confirmations: Int = 2, mostEndRuns: Int = 44,
        comesAndGoes: Double = 0.02
    ) {
        self.confidence = confidence
        self.model = model
        self.confirmations = confirmations
        self.mostEndRuns = mostEndRuns
        self.comesAndGoes = comesAndGoes
    }
}

extension BisectorOptions {
    /// The probability at which the search ends.
    ///
    /// What is believed of the rates before the first run is nobody's measurement: two thirds of the error that is allowed
    /// are kept for that, unless the rate is known. In simulations with one fixed rate, what was found at 0.99 was then right
    /// at least that often.
    var threshold: Double { model.faulty.isKnown ? confidence : 1 - (1 - confidence) / 3 }
}

/// A run that would help.
public struct ProposedRun: Sendable, Equatable {
    /// Why.
    public enum Purpose: String, Sendable, Codable {
        /// Whether the end is what it is said to be.
        case end
        /// Where the fault begins.
        case search
        /// Whether the culprit is the culprit.
        case confirm
    }

    /// The state to run.
    public var state: Int
    /// Why.
    public var purpose: Purpose

    /// Makes a proposal.
    public init(state: Int, purpose: Purpose) {
        self.state = state
        self.purpose = purpose
    }
}

/// How a bisection ends.
public enum Conclusion: Sendable, Equatable {
    /// The step that leads to the first bad state.
    case found(step: Int, confidence: Double)
    /// One of these steps; the states between them cannot be tested.
    case ambiguous(steps: ClosedRange<Int>, confidence: Double)
    /// The bad end was never bad.
    case notReproduced(confidence: Double)
    /// The good end is bad.
    case goodEndIsBad(confidence: Double)
    /// The fault comes, goes and comes again, each most probably within one of these ranges of steps.
    case comesAndGoes(steps: [ClosedRange<Int>], confidence: Double)
    /// An end of the range, this state, cannot be tested.
    case endUntestable(state: Int)
}

/// What to do next.
public enum Decision: Sendable, Equatable {
    /// Run these states, at the same time if there are several.
    case run([ProposedRun])
    /// There is nothing more to find out.
    case finished(Conclusion)
}

/// Decides which state to run next, and when enough is known.
///
/// It has no state of its own but what was seen, so that the same evidence leads to the same decision: a bisection that was
/// interrupted goes on from its journal.
public struct Bisector: Sendable {
    /// What was seen.
    public var evidence: Evidence
    /// How sure it has to be.
    public let options: BisectorOptions

    /// Begins with what was seen.
    public init(_ evidence: Evidence, _ options: BisectorOptions = BisectorOptions()) {
        self.evidence = evidence
        self.options = options
    }

    /// The probability of each first bad state.
    public var posterior: Posterior { Posterior(evidence, options.model) }

    private var last: Int { evidence.stepCount }

    /// How probable the likeliest outcome of runs that go on is.
    public func clarity(of running: [Int]) -> Double {
        let posterior = posterior
        return running.reduce(1) { product, state in
            let rate = posterior.failureRate(at: state)
            return product * max(rate, 1 - rate)
        }
    }

    /// The next runs, or the conclusion.
    ///
    /// - Parameters:
    ///   - count: how many runs can go on at the same time.
    ///   - running: states that are being run already.
    ///   - seconds: what a run of a state costs, from now on; only the ratios matter.
    ///   - canStart: whether a state can be run now.
    /// - Returns: no runs at all if those that go on are better waited for.
    public func next(
        count: Int = 1, running: [Int] = [], seconds: (Int) -> Double = { _ in 1 },
        canStart: (Int) -> Bool = { _ in true }
    ) -> Decision {
        if let runs = ends(count, running, canStart) { return runs }
        let posterior = posterior
        if evidence.hasInversion, let conclusion = Inversions(evidence, options, posterior).conclusion {
            return .finished(conclusion)
        }
        let group = likeliest(posterior)
        if group.probability >= options.threshold {
            if confirmations(group.steps, []).isEmpty { return .finished(conclusion(group)) }
            let missing = confirmations(group.steps, running).filter(canStart)
            return .run(missing.prefix(count).map { ProposedRun(state: $0, purpose: .confirm) })
        }
        let states = search(posterior, count, running, seconds, canStart)
        if states.isEmpty && running.isEmpty { return .finished(conclusion(group)) }
        return .run(states.map { ProposedRun(state: $0, purpose: .search) })
    }

    // MARK: - The ends

    /// The bad end first: without it there is nothing to look for.
    ///
    /// While both ends run, the search goes on as if they were what they mostly are.
    private func ends(_ count: Int, _ running: [Int], _ canStart: (Int) -> Bool) -> Decision? {
        let (good, bad) = (evidence.tally(0), evidence.tally(last))
        var missing: [Int] = []
        if bad.bad == 0, isUntestable(last) { return .finished(.endUntestable(state: last)) }
        if good.good + good.bad == 0, isUntestable(0) { return .finished(.endUntestable(state: 0)) }
        if bad.bad == 0 {
            if bad.good >= options.mostEndRuns {
                return .finished(.notReproduced(confidence: posterior.probabilities[last + 1]))
            }
            missing.append(last)
        }
        let isBadEndTried = bad.bad > 0 || running.contains(last)
        if good.good + good.bad == 0 && (isBadEndTried || count > 1) { missing.append(0) }
        missing.removeAll(where: running.contains)
        let isGoodEndTried = good.good + good.bad > 0 || running.contains(0)
        if missing.isEmpty && isBadEndTried && isGoodEndTried { return nil }
        return .run(missing.filter(canStart).prefix(count).map { ProposedRun(state: $0, purpose: .end) })
    }

    // MARK: - The culprit

    private struct Group {
        var steps: ClosedRange<Int>
        var probability: Double
    }

    /// The steps that no test can tell apart from the likeliest one, and that one.
    private func likeliest(_ posterior: Posterior) -> Group {
        var best = Group(steps: 0...0, probability: posterior.probabilities[0])
        var step = 1
        while step <= last + 1 {
            var group = Group(steps: step...step, probability: posterior.probabilities[step])
            while group.steps.upperBound < last, isUntestable(group.steps.upperBound) {
                let next = group.steps.upperBound + 1
                group = Group(steps: step...next, probability: group.probability + posterior.probabilities[next])
            }
            if group.probability > best.probability { best = trimmed(group) }
            step = group.steps.upperBound + 1
        }
        return best
    }

    /// A group without the inert steps at its ends.
    private func trimmed(_ group: Group) -> Group {
        let possible = group.steps.filter { !evidence.inert.contains($0) }
        guard let first = possible.first, let final = possible.last else { return group }
        return Group(steps: first...final, probability: group.probability)
    }

    private func isUntestable(_ state: Int) -> Bool {
        let tally = evidence.tally(state)
        // One that hardly ever says anything is given up as well, or it would be asked for ever.
        return evidence.untestable.contains(state) || tally.unknown >= 2 + 3 * (tally.good + tally.bad)
    }

    /// The states on both sides of a group that were not seen often enough, one as often as it takes at least.
    private func confirmations(_ steps: ClosedRange<Int>, _ running: [Int]) -> [Int] {
        func missing(_ state: Int, _ seen: Int) -> [Int] {
            let started = seen + running.count { $0 == state }
            return isUntestable(state) ? [] : [Int](repeating: state, count: max(0, options.confirmations - started))
        }
        let (parent, child) = (steps.lowerBound - 1, steps.upperBound)
        return (child <= last ? missing(child, evidence.tally(child).bad) : [])
            + (parent >= 0 && parent < last ? missing(parent, evidence.tally(parent).good) : [])
    }

    private func conclusion(_ group: Group) -> Conclusion {
        switch group.steps.lowerBound {
        case 0: .goodEndIsBad(confidence: group.probability)
        case last + 1: .notReproduced(confidence: group.probability)
        case let step where group.steps.count == 1: .found(step: step, confidence: group.probability)
        default: .ambiguous(steps: group.steps, confidence: group.probability)
        }
    }

    // MARK: - The search

    /// The share of what is not known yet for which a state is run while others are.
    private static let worthwhile = 0.01

    /// The states that promise the most bits per second, each chosen as if those before it had been run.
    private func search(
        _ posterior: Posterior, _ count: Int, _ running: [Int], _ seconds: (Int) -> Double, _ canStart: (Int) -> Bool
    ) -> [Int] {
        var worlds: [(weight: Double, evidence: Evidence, posterior: Posterior)] = [(1, evidence, posterior)]
        func split(_ state: Int) {
            worlds = worlds.flatMap { world in
                let rate = world.posterior.failureRate(at: state)
                return [(rate, Observation.bad), (1 - rate, .good)].filter { $0.0 > 1e-9 }.map { share, observation in
                    var evidence = world.evidence
                    evidence.add(observation, at: state)
                    return (world.weight * share, evidence, Posterior(evidence, options.model))
                }
            }
        }
        var chosen: [Int] = []
        for state in running { split(state) }
        let testable = (0...last).filter { !isUntestable($0) && canStart($0) }
        let least = running.isEmpty ? 1e-9 : Self.worthwhile * posterior.entropy
        while chosen.count < count {
            var bits = [Double](repeating: 0, count: last + 1)
            for world in worlds {
                for (state, gain) in world.posterior.information().enumerated() { bits[state] += world.weight * gain }
            }
            let worths = testable.map { bits[$0] / max(seconds($0), 1e-3) }
            guard let best = testable.indices.max(by: { worths[$0] < worths[$1] }).map({ testable[$0] }),
                bits[best] > least
            else { break }
            chosen.append(best)
            if chosen.count < count { split(best) }
        }
        return chosen
    }
}
