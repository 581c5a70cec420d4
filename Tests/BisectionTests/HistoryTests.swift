// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import Bisection

@Suite("What happened, and what it means")
struct HistoryTests {
    private func run(_ state: Int, _ outcome: StateRun.Outcome, _ symptoms: [String] = []) -> HistoryEntry {
        .ran(StateRun(state: state, purpose: .search, outcome: outcome, symptoms: symptoms))
    }

    @Test("A failure that the bad end never showed says nothing")
    func otherFailures() {
        var history = History(stepCount: 4)
        history.add(run(2, .failing, ["crash: foo"]))
        #expect(history.evidence.tally(2).bad == 1, "before the bad end has failed, any failure may be the one")
        history.add(run(4, .failing, ["fail"]))
        #expect(history.evidence.tally(2).bad == 0 && history.evidence.tally(2).unknown == 1)
        #expect(history.otherSymptoms.map(\.symptom) == ["crash: foo"])
        #expect(history.otherSymptoms.first?.states == [2])
        // The bad end shows it after all, with the next run.
        history.add(run(4, .failing, ["crash: foo"]))
        #expect(history.evidence.tally(2).bad == 1)
        #expect(history.otherSymptoms.isEmpty)
    }

    @Test("Every failure counts if a person wants it so")
    func anyFailure() {
        let entries = [run(4, .failing, ["fail"]), run(1, .failing, ["crash: foo"])]
        #expect(History(stepCount: 4, takesAnyFailure: true, entries: entries).evidence.tally(1).bad == 1)
        #expect(History(stepCount: 4, entries: entries).evidence.tally(1).bad == 0)
    }

    @Test("What did not build is not tried again")
    func untestable() {
        let history = History(stepCount: 4, entries: [run(2, .untestable), run(3, .nothing), .inert(step: 1)])
        #expect(history.evidence.untestable == [2])
        #expect(history.evidence.tally(3).unknown == 1)
        #expect(history.evidence.inert == [1])
    }

    @Test("A step between kernels that do the same is none")
    func sameKernels() {
        func run(_ state: Int, _ kernel: String?) -> HistoryEntry {
            .ran(StateRun(state: state, purpose: .search, outcome: .clean, kernel: kernel))
        }
        var history = History(stepCount: 4, entries: [run(0, "a"), run(2, "a"), run(3, "b"), run(4, nil)])
        #expect(history.inertSteps.isEmpty, "what lies between is not known")
        history.add(run(1, "a"))
        #expect(history.inertSteps == [1, 2])
        #expect(history.evidence.inert == [1, 2])
    }

    @Test("The tip without the culprit is no state of the range")
    func reverted() {
        let history = History(
            stepCount: 4,
            entries: [.reverted(StateRun(state: 4, purpose: .confirm, outcome: .clean)), .irreversible("it does not")])
        #expect(history.evidence.tallies.isEmpty)
        #expect(history.revertedRuns.count == 1)
        #expect(history.irreversible == "it does not")
    }

    @Test("Entries survive a journal")
    func coding() throws {
        let entries = [
            run(2, .failing, ["crash: \"foo\"\n"]), .inert(step: 3), .irreversible("x"),
            .reverted(StateRun(state: 4, purpose: .confirm, outcome: .clean)),
        ]
        for entry in entries {
            #expect(try JSONDecoder().decode(HistoryEntry.self, from: JSONEncoder().encode(entry)) == entry)
        }
    }

    @Test("An end that cannot be tested ends the bisection", arguments: [0, 4])
    func untestableEnds(end: Int) {
        var history = History(stepCount: 4)
        if end == 0 { history.add(run(4, .failing, ["fail"])) }
        history.add(run(end, .nothing))
        #expect(Bisector(history.evidence).next() != .finished(.endUntestable(state: end)), "it is tried once more")
        history.add(run(end, .nothing))
        #expect(Bisector(history.evidence).next() == .finished(.endUntestable(state: end)))
        let once = History(stepCount: 4, entries: [run(4, .failing, ["fail"]), run(0, .untestable)])
        #expect(Bisector(once.evidence).next() == .finished(.endUntestable(state: 0)), "what does not build is not")
    }
}
