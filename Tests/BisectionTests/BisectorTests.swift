// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import Bisection

@Suite("The engine's decisions")
struct BisectorTests {
    /// Runs a bisection against a rule, and says how it ended and which states were run.
    private func bisect(
        _ stepCount: Int, inert: Set<Int> = [], count: Int = 1, seconds: (Int) -> Double = { _ in 1 },
        _ answer: (_ state: Int, _ time: Int) -> Observation?
    ) -> (conclusion: Conclusion, states: [Int], batches: Int) {
        var evidence = Evidence(stepCount: stepCount)
        for step in inert { evidence.addInert(step: step) }
        var bisector = Bisector(evidence)
        var states: [Int] = []
        var batches = 0
        while states.count < 500 {
            switch bisector.next(count: count, seconds: seconds) {
            case .finished(let conclusion): return (conclusion, states, batches)
            case .run(let runs):
                batches += 1
                for run in runs {
                    let time = states.count { $0 == run.state }
                    states.append(run.state)
                    if let observation = answer(run.state, time) {
                        bisector.evidence.add(observation, at: run.state)
                    } else {
                        bisector.evidence.addUntestable(run.state)
                    }
                }
            }
        }
        Issue.record("It did not end: \(states)")
        return (.notReproduced(confidence: 0), states, batches)
    }

    private func bisector(_ stepCount: Int, inert: Set<Int>, _ seen: [(Int, Observation)]) -> Bisector {
        var evidence = Evidence(stepCount: stepCount)
        for step in inert { evidence.addInert(step: step) }
        for (state, observation) in seen { evidence.add(observation, at: state) }
        return Bisector(evidence)
    }

    private func step(_ conclusion: Conclusion) -> Int? {
        if case .found(let step, let confidence) = conclusion, confidence >= 0.99 { return step }
        return nil
    }

    @Test("A fault that always shows is found wherever it is", arguments: 1...16)
    func everyPlace(culprit: Int) {
        let result = bisect(16) { state, _ in state >= culprit ? .bad : .good }
        #expect(step(result.conclusion) == culprit)
        // Both ends, four halvings, and enough runs beside the culprit to know that no flaky test passed there.
        #expect(result.states.count <= 15, "\(result.states)")
        #expect(result.states.count { $0 == culprit } >= 2 && result.states.count { $0 == culprit - 1 } >= 2)
    }

    @Test("One step, and a long range")
    func sizes() {
        #expect(step(bisect(1) { state, _ in state == 1 ? .bad : .good }.conclusion) == 1)
        let long = bisect(10_000) { state, _ in state >= 7777 ? .bad : .good }
        #expect(step(long.conclusion) == 7777)
        #expect(long.states.count <= 22)
    }

    @Test("A good end that is bad, and a bad end that is good")
    func ends() {
        guard case .goodEndIsBad(let confidence) = bisect(8, { _, _ in .bad }).conclusion else {
            Issue.record("the good end")
            return
        }
        #expect(confidence >= 0.99)
        let never = bisect(8) { _, _ in .good }
        guard case .notReproduced = never.conclusion else {
            Issue.record("the bad end")
            return
        }
        #expect(Set(never.states) == [8])
    }

    @Test("States that cannot be tested are avoided; what they hide is named as a range")
    func untestable() {
        let hidden = bisect(16) { state, _ in (6...8).contains(state) ? nil : state >= 8 ? .bad : .good }
        guard case .ambiguous(let steps, let confidence) = hidden.conclusion else {
            Issue.record("\(hidden.conclusion)")
            return
        }
        #expect(steps == 6...9 && confidence >= 0.99)
        #expect((6...8).allSatisfy { state in hidden.states.count { $0 == state } <= 1 })
        // The neighbourhood of the culprit does not build, the culprit itself does.
        let beside = bisect(16) { state, _ in (3...5).contains(state) ? nil : state >= 9 ? .bad : .good }
        #expect(step(beside.conclusion) == 9)
    }

    @Test("A run that says nothing is tried once more, and is never taken for good or bad")
    func unknown() {
        let result = bisect(16) { state, time in time == 0 && state == 8 ? .unknown : state >= 8 ? .bad : .good }
        #expect(step(result.conclusion) == 8)
        let broken = bisect(16) { state, _ in state == 8 ? .unknown : state >= 5 ? .bad : .good }
        #expect(step(broken.conclusion) == 5)
        #expect(broken.states.count { $0 == 8 } <= 2)
    }

    @Test("A step that changes nothing is never blamed")
    func inert() {
        let result = bisect(8, inert: [3, 4, 5]) { state, _ in state >= 6 ? .bad : .good }
        #expect(step(result.conclusion) == 6)
        let between = Posterior(bisector(8, inert: [4, 5], [(3, .good), (6, .bad)]).evidence, FaultModel())
        #expect(between.probabilities[4] == 0 && between.probabilities[5] == 0 && between.probabilities[6] > 0.6)
    }

    @Test("A fault that comes, goes and comes again is called that")
    func comesAndGoes() {
        let result = bisect(32) { state, _ in (5..<14).contains(state) || state >= 25 ? .bad : .good }
        switch result.conclusion {
        case .comesAndGoes(let steps, let confidence):
            #expect(confidence >= 0.99)
            #expect(zip(steps, [5, 14, 25]).allSatisfy { $0.contains($1) }, "\(steps)")
        // The search may never have looked where it was gone; then the step that it names is a real one.
        case .found(let step, _): #expect(step == 5 || step == 25)
        default: Issue.record("\(result.conclusion)")
        }
        var evidence = Evidence(stepCount: 32)
        for (state, observation) in [(0, Observation.good), (8, .bad), (20, .good), (32, .bad)] {
            for _ in 0..<6 { evidence.add(observation, at: state) }
        }
        guard case .finished(.comesAndGoes(let steps, _)) = Bisector(evidence).next() else {
            Issue.record("not seen")
            return
        }
        #expect(steps == [1...8, 9...20, 21...32])
    }

    @Test("What is cheap is run first if it tells nearly as much")
    func cost() {
        let result = bisect(16, seconds: { $0 == 6 ? 3 : 300 }) { state, _ in state >= 12 ? .bad : .good }
        #expect(result.states.first { $0 != 16 && $0 != 0 } == 6)
        #expect(step(result.conclusion) == 12)
    }

    @Test("Several at a time need fewer rounds, and find the same")
    func parallel() {
        let alone = bisect(32) { state, _ in state >= 21 ? .bad : .good }
        let three = bisect(32, count: 3) { state, _ in state >= 21 ? .bad : .good }
        #expect(step(alone.conclusion) == 21 && step(three.conclusion) == 21)
        #expect(three.batches < alone.batches)
    }

    private func states(_ decision: Decision) -> [Int]? {
        if case .run(let runs) = decision { return runs.map(\.state) }
        return nil
    }

    @Test("Once the bad end runs, the good one may, and then what comes next if they are what they are said to be")
    func whileTheEndsRun() {
        let fresh = bisector(16, inert: [], [])
        #expect(states(fresh.next()) == [16])
        #expect(states(fresh.next(running: [16])) == [0])
        #expect(states(fresh.next(running: [16], canStart: { $0 != 0 })) == [])
        #expect(states(fresh.next(running: [16, 0])) == [7])
        #expect(fresh.clarity(of: [16, 0]) > 0.75 && fresh.clarity(of: [16, 0, 8]) < 0.75)
    }

    @Test("While the state that tells most cannot be run, others are if they tell anything")
    func whatElse() {
        let sure = bisector(16, inert: [], [(16, .bad), (0, .good)])
        #expect(states(sure.next(running: [8], canStart: { $0 == 0 })) == [])
        #expect(states(sure.next(running: [8], canStart: { [0, 4, 16].contains($0) })) == [4])
        // Failures are rare here: that 4 and 8 passed says little, and 8 is to be run again whatever is built meanwhile.
        let flaky = bisector(
            16, inert: [],
            [(16, .good), (16, .good), (16, .good), (16, .bad), (0, .good), (4, .good), (8, .good), (16, .good)])
        #expect(states(flaky.next(running: [12], canStart: { [0, 4, 8, 16].contains($0) })) == [8])
    }

    @Test("What is confirmed at this moment is not asked for twice")
    func confirmations() {
        var evidence = Evidence(stepCount: 16)
        let seen: [(state: Int, observation: Observation, times: Int)] = [
            (16, .bad, 4), (0, .good, 1), (7, .good, 5), (8, .bad, 3),
        ]
        for (state, observation, times) in seen { for _ in 0..<times { evidence.add(observation, at: state) } }
        let options = BisectorOptions(confirmations: 5)
        #expect(states(Bisector(evidence, options).next(count: 4)) == [8, 8])
        #expect(states(Bisector(evidence, options).next(count: 4, running: [8])) == [8])
        #expect(states(Bisector(evidence, options).next(count: 4, running: [8, 8])) == [])
        for _ in 0..<2 { evidence.add(.bad, at: 8) }
        guard case .finished = Bisector(evidence, options).next() else {
            Issue.record("not finished")
            return
        }
    }

    @Test("The same evidence leads to the same decision")
    func deterministic() {
        var evidence = Evidence(stepCount: 20)
        for (state, observation) in [(20, Observation.bad), (0, .good), (10, .good), (15, .bad)] {
            evidence.add(observation, at: state)
        }
        #expect(Bisector(evidence).next() == Bisector(evidence).next())
    }

    @Test("A known rate is used as it is")
    func knownRate() {
        let belief = RateBelief.known(0.25)
        #expect(abs(belief.failureRate(failures: 9, passes: 0) - 0.25) < 1e-12)
        #expect(abs(RateBelief([.beta(1, 1, weight: 1)]).failureRate(failures: 3, passes: 1) - 4.0 / 6) < 1e-12)
        #expect(RateBelief.sound.failureRate(failures: 0, passes: 0) < 0.01)
    }
}
