// SPDX-License-Identifier: Apache-2.0
import Bisection
import Foundation
import HarnessCore

/// Why a search ended.
enum SearchOutcome: Sendable, Equatable {
    case concluded(Conclusion)
    case budget
}

extension BisectionWork {
    /// What ended.
    private enum Ended: Sendable {
        case built(PreparedRun)
        case tested(StateRun)
        case reversal(PreparedReversal?)
    }

    /// Runs states until the engine is content.
    ///
    /// While guests run, the next kernel is built if it is clear which one that is; while a kernel is built, a guest that
    /// is free runs those again whose word is not sure enough.
    ///
    /// - Returns: why it ended, and the tip without the likeliest step if there was time to build that.
    func search(
        _ progress: inout BisectionProgress, _ journal: JournalFile
    ) async throws -> (SearchOutcome, PreparedReversal?) {
        let begin = ContinuousClock.now
        let earlier = progress.history.runs.count
        var reversal: PreparedReversal?
        var tried: Set<Int> = []
        return try await withThrowingTaskGroup(of: Ended.self) { group in
            while true {
                let spent = progress.history.runs.count + progress.running.count - earlier
                let isSpent =
                    selection.mostRuns.map { spent >= $0 } ?? false
                    || selection.mostMinutes.map { ContinuousClock.now - begin >= .seconds($0 * 60) } ?? false
                let decision = progress.next()
                if case .finished(let conclusion) = decision, progress.running.isEmpty, !progress.lanes.isReverting {
                    return (.concluded(conclusion), reversal)
                }
                if case .run(let runs) = decision, let proposal = runs.first, !isSpent {
                    start(proposal, &progress, &group)
                    continue
                }
                if progress.lanes.isBuilderFree, let step = progress.likelyCulprit, tried.insert(step).inserted {
                    progress.lanes.isReverting = true
                    // What keeps it from being built is told when its turn comes.
                    group.addTask {
                        .reversal((try? await prepareReverted(step)).map { PreparedReversal(step: step, run: $0) })
                    }
                }
                switch try await group.next() {
                case nil: return (.budget, reversal)
                case .built(let prepared):
                    progress.lanes.building = nil
                    test(prepared, &progress, &group)
                case .tested(let run): try take(run, &progress, journal)
                case .reversal(let prepared):
                    progress.lanes.isReverting = false
                    reversal = prepared ?? reversal
                }
            }
        }
    }

    private func start(
        _ proposal: ProposedRun, _ progress: inout BisectionProgress, _ group: inout ThrowingTaskGroup<Ended, any Error>
    ) {
        let kernel = range.states[proposal.state]
        if progress.built.contains(proposal.state) {
            progress.lanes.testing.append(proposal.state)
            group.addTask { .tested(try await perform(try await prepare(proposal, kernel))) }
        } else {
            progress.lanes.building = proposal.state
            group.addTask { .built(try await prepare(proposal, kernel)) }
        }
        onEvent(.began(view(progress), proposal))
    }

    private func test(
        _ prepared: PreparedRun, _ progress: inout BisectionProgress,
        _ group: inout ThrowingTaskGroup<Ended, any Error>
    ) {
        if prepared.isBuilt { progress.built.insert(prepared.run.state) }
        progress.lanes.testing.append(prepared.run.state)
        group.addTask { .tested(try await perform(prepared)) }
    }

    private func take(
        _ run: StateRun, _ progress: inout BisectionProgress, _ journal: JournalFile
    ) throws {
        progress.lanes.endTest(run.state)
        let known = progress.history.inertSteps
        try add(.ran(run), to: &progress, journal)
        progress.note(run)
        onEvent(.ended(view(progress), run, progress.history.observation(run)))
        for step in progress.history.inertSteps.subtracting(known).sorted() {
            onEvent(.inert(view(progress), step: step))
        }
    }
}
