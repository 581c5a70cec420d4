// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What a bisection knows while it goes on, beside its journal.
struct BisectionProgress {
    /// What a run costs before any was measured, in seconds: a boot with a short test, and an incremental build.
    private static let (usualRun, usualBuild) = (8.0, 90.0)

    var history: History
    let options: BisectorOptions
    /// What goes on.
    var lanes: BisectionLanes
    /// States that are being run; one as often as it is.
    var running: [Int] { lanes.states }
    /// States whose kernel is in the cache.
    var built: Set<Int> = []

    init(history: History, options: BisectorOptions, parallel: Int) {
        self.history = history
        self.options = options
        lanes = BisectionLanes(guests: parallel)
        built = Set(history.runs.filter { $0.outcome != .untestable }.map(\.state))
    }

    var posterior: Posterior { Posterior(history.evidence, options.model) }

    /// Takes down that a state was run.
    mutating func note(_ run: StateRun) {
        if run.outcome != .untestable { built.insert(run.state) }
    }

    /// What a run of a state is going to cost, in seconds.
    func cost(_ state: Int) -> Double { testCost + (built.contains(state) ? 0 : buildCost) }

    private var testCost: Double {
        Self.mean(history.runs.map(\.testSeconds).filter { $0 > 0 }) ?? Self.usualRun
    }

    /// The next run that can begin now, if there is one, or the conclusion.
    ///
    /// Where the best run has to wait, for the builder or for what guests are going to say, a free guest runs a kernel that
    /// is there.
    func next() -> Decision {
        let bisector = Bisector(history.evidence, options)
        let decision = bisector.next(running: running, seconds: cost)
        guard case .run(let runs) = decision, let best = runs.first else { return decision }
        if built.contains(best.state) ? lanes.hasFreeGuest : mayBuild { return decision }
        guard lanes.hasFreeGuest else { return .run([]) }
        return bisector.next(running: running, seconds: cost, canStart: built.contains)
    }

    /// Whether a build may begin: nothing is being built, and what the guests that run are going to say is clear enough, or
    /// the kernel costs less than waiting for them does.
    private var mayBuild: Bool {
        guard lanes.isBuilderFree else { return false }
        return Bisector(history.evidence, options).clarity(of: running) >= Self.clear || buildCost < testCost
    }

    /// A step that is so likely to blame that the tip can be built without it while the builder has nothing else to do.
    var likelyCulprit: Int? {
        let probabilities = posterior.probabilities
        return (1...history.stepCount).first { probabilities[$0] >= Self.clear }
    }

    /// How sure the present has to be about what comes next to work ahead; the bad end is bad in three cases of four even if
    /// nobody knows how often the test fails.
    private static let clear = 0.75

    private var buildCost: Double {
        Self.mean(history.runs.map(\.buildSeconds).filter { $0 > 0 }) ?? Self.usualBuild
    }

    private static func mean(_ values: [Double]) -> Double? {
        values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
    }

    /// How many passing runs it takes to believe that the fault is gone, by how often it showed where it was.
    func passesToBelieve(confidence: Double) -> Int {
        let evidence = history.evidence
        let firstBad = evidence.tallies.filter { $0.value.bad > 0 }.keys.min() ?? 0
        let faulty = evidence.tallies.filter { $0.key >= firstBad }.values
        let (bad, good) = (faulty.reduce(0) { $0 + $1.bad }, faulty.reduce(0) { $0 + $1.good })
        let rate = options.model.faulty.failureRate(failures: bad, passes: good)
        var (passes, doubt) = (0, 1.0)
        while passes < options.confirmations || (doubt > 1 - confidence && passes < options.mostEndRuns) {
            passes += 1
            doubt *= 1 - rate
        }
        return passes
    }

    func view(steps: [BisectionStep], noun: BisectionNoun) -> BisectionView {
        let evidence = history.evidence
        let posterior = posterior
        return BisectionView(
            steps: steps, noun: noun, tallies: (0...steps.count).map(evidence.tally), running: running,
            probabilities: posterior.probabilities, secondsLeft: history.runs.isEmpty ? nil : secondsLeft(posterior))
    }

    /// A guess: each bit that is missing takes a kernel and two runs, and the culprit's two sides are run again.
    private func secondsLeft(_ posterior: Posterior) -> Double {
        let run = testCost
        let builds = zip(0..., posterior.probabilities.dropLast()).reduce(0.0) {
            $0 + ($1.0 <= history.stepCount && !built.contains($1.0) ? $1.1 : 0)
        }
        return posterior.entropy * (2 * run + builds * buildCost) + Double(2 * options.confirmations) * run
    }
}
