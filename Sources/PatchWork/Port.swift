// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchModel
import PatchSeries
import ProcessRunner

extension PatchWorkshop {
    /// The bases that ``port(_:to:from:topics:folder:)`` takes patches from, oldest first.
    ///
    /// - Parameters:
    ///   - model: the model.
    ///   - target: the new base.
    ///   - source: the only base to take them from; each patch's home if nil.
    ///   - topics: the topics by name; all for an empty list.
    /// - Throws: ``LabError`` `topic-unknown`, `port-nothing`.
    public static func sources(
        of model: PatchModel, to target: BaseSeries, from source: BaseSeries?, topics: [String]
    ) throws -> [BaseSeries] {
        let found = try model.topics(named: topics).flatMap(\.patches).compactMap {
            candidate($0, to: target, from: source)
        }
        guard !found.isEmpty else {
            throw LabError(
                "port-nothing", exit: .usage,
                "No patch of \(model.folder) is left to be carried to \(target)",
                cause: source.map { "Each one is for \(target) already, or in it, or not for \($0)." }
                    ?? "Each one is for \(target) already, or in it.", next: "hmmlab list series shows which is where.")
        }
        return Set(found).sorted()
    }

    /// The base that a patch is carried from; nil for one that is not carried.
    private static func candidate(
        _ patch: ModelPatch, to target: BaseSeries, from source: BaseSeries?
    ) -> BaseSeries? {
        guard patch.state(on: target) == .notApplicable, let from = source ?? patch.home,
            patch.metadata.bases.contains(from)
        else { return nil }
        return from
    }

    /// Carries patches to another base, in a folder of its own, as far as it goes without a person.
    ///
    /// - Parameters:
    ///   - model: the model, as it lies in its folder.
    ///   - target: the new base.
    ///   - source: the base to take patches from; each patch's home if nil.
    ///   - bases: the bases of ``sources(of:to:from:topics:)``.
    ///   - topics: the topics by name; all for an empty list.
    ///   - folder: does not exist or is empty.
    /// - Returns: what was done; if a conflict waits for a person, the model has not changed.
    /// - Throws: ``LabError`` `folder-exists`, `port-nothing`, `patch-does-not-apply`, `disk-full` and others.
    public func port(
        _ model: PatchModel, to target: WorkBase, from source: BaseSeries?, bases: [WorkBase], topics: [String],
        folder: String
    ) async throws -> PortReport {
        let final = try WorkFolder(final: Self.absolute(folder), cache: cache)
        defer { final.clean() }
        _ = try Self.sources(of: model, to: target.series, from: source, topics: topics)
        let plan = try await self.plan(model, target, source, bases, topics)
        var session = WorkSession(
            base: target, model: Self.absolute(model.folder), topics: topics, patches: [], port: plan)
        try await checkOut(session, at: plan.tip, in: final.place)
        let work = repository(final.place)
        try await work.check(["update-ref", WorkRepository.savedRef, "HEAD"])
        try await SharedResolutions(cache: cache).lend(to: work)
        try session.save(in: work.folder)
        try await advance(&session, in: work)
        try final.publish()
        return try await conclude(session, in: repository(final.final), isForced: false)
    }

    /// What is to be done for each patch; the steps that need no work have been made when it returns.
    private func plan(
        _ model: PatchModel, _ target: WorkBase, _ source: BaseSeries?, _ bases: [WorkBase], _ topics: [String]
    ) async throws -> PortState {
        var picked: [String: String] = [:]
        var commits: [String: WorkCommit] = [:]
        var sources: [PortSource] = []
        for base in bases {
            let resolution = try model.resolve(for: base.series, topics: topics)
            let applied = try await apply(resolution, base)
            sources.append(PortSource(base: base, tip: applied.tip))
            commits.merge(try await read(base, applied.tip)) { one, _ in one }
            for (patch, step) in zip(resolution.patches, applied.patches) where step.outcome != .alreadyApplied {
                picked["\(base.series) \(patch.id)"] = step.commit
            }
        }
        var there: (patches: [ModelPatch], steps: [AppliedPatch]) = ([], [])
        do {
            let resolution = try model.resolve(for: target.series, topics: topics)
            let applied = try await apply(resolution, target)
            there = (resolution.patches, applied.patches)
            commits.merge(try await read(target, applied.tip)) { one, _ in one }
        } catch let error as LabError where error.code == "topic-not-for-base" {
            // The first port of a topic to this base.
        }

        var state = PortState(sources: sources, steps: [], tip: target.commit)
        for patch in try model.topics(named: topics).flatMap(\.patches) {
            var step = PortState.Step(
                id: patch.id, subject: patch.patch.subject, record: Self.record(patch, nil, on: target.series))
            if let place = there.patches.firstIndex(where: { $0.id == patch.id }) {
                let known = there.steps[place]
                step.commit = known.outcome == .alreadyApplied ? nil : known.commit
                // What stands before the first carried patch needs no picking.
                if step.commit == nil || state.steps.allSatisfy({ $0.outcome != nil }) {
                    step.outcome = .kept
                    state.tip = step.commit ?? state.tip
                }
            } else if let from = Self.candidate(patch, to: target.series, from: source) {
                step.source = from
                step.commit = picked["\(from) \(patch.id)"]
                let old = bases.first { $0.series == from }
                if let reason = try await reasonToLeave(patch, target, old) {
                    (step.outcome, step.reason) = (.contained, reason)
                } else if step.commit == nil {
                    (step.outcome, step.reason) = (.skipped, "It changes nothing on \(from).")
                }
            } else {
                continue
            }
            // What git makes of the patch, not how its file was written: that may have less context, or no author.
            if let commit = step.commit {
                let made = commits[String(commit.prefix(12))]
                step.record = Self.record(patch, made, on: target.series)
            }
            state.steps.append(step)
        }
        return state
    }

    /// The commits of a series in the store, by the first 12 digits of their ids.
    private func read(_ base: WorkBase, _ tip: String) async throws -> [String: WorkCommit] {
        guard tip != base.commit else { return [:] }
        let series = try await reader.read(.commits(repository: store.gitDirectory, base: base.commit, tip: tip))
        return try Dictionary(
            series.patches.map { ($0.origin, try WorkCommit(commit: $0.origin, $0)) },
            uniquingKeysWith: { one, _ in one })
    }

    /// Why a base contains a patch, by the patch's probes; nil if they do not say so.
    ///
    /// A probe that the old base has as well cannot tell one from the other.
    private func reasonToLeave(_ patch: ModelPatch, _ target: WorkBase, _ old: WorkBase?) async throws -> String? {
        let reader = ProbeReader(store: store, runner: runner)
        let probes = patch.metadata.probes
        guard try await reader.answer(probes, in: target.commit) == .contained else { return nil }
        if let old, try await reader.answer(probes, in: old.commit) == .contained {
            progress(
                .warning("The probes of \(patch.id) are true of \(old.spec) as well, which lacks it; they do not count")
            )
            return nil
        }
        let texts = probes.map { "\($0.file) has \"\($0.text)\"" }.joined(separator: ", ")
        return "Its probe is there: \(texts)."
    }

    // MARK: - Picking

    /// Picks commits until all are through or one needs a person.
    func advance(_ session: inout WorkSession, in work: WorkRepository) async throws {
        guard var state = session.port else { return }
        while let index = state.current {
            try Task.checkCancellation()
            let step = state.steps[index]
            progress(.step("Carrying \(step.id) to \(session.base.spec)"))
            try await pick(&state, index, in: work)
            session.port = state
            try session.save(in: work.folder)
            if state.isStopped { break }
        }
        try await SharedResolutions(cache: cache).collect(from: work)
    }

    private func pick(_ state: inout PortState, _ index: Int, in work: WorkRepository) async throws {
        guard let commit = state.steps[index].commit else { return }
        let output = try await work.run(["cherry-pick", "--ff", commit])
        if output.ending.isSuccess {
            state.tip = try await work.head()
            state.steps[index].outcome =
                state.steps[index].source == nil
                ? .kept : try await isSameText(commit, state.tip, in: work) ? .clean : .merged
            return
        }
        guard Files.exists(work.directory + "/CHERRY_PICK_HEAD") else {
            throw ProcessRunner.failure(of: work.command(["cherry-pick", commit]), output)
        }
        let unmerged = try await work.unmerged()
        let isReused =
            output.standardOutput.contains("previous resolution")
            || output.standardError.contains("previous resolution")
        if unmerged.isEmpty {
            try await commitPick(&state, index, in: work, as: isReused ? .reused : .merged)
        } else {
            state.steps[index].conflicts = unmerged
            state.isStopped = true
        }
    }

    private func isSameText(_ one: String, _ other: String, in work: WorkRepository) async throws -> Bool {
        var texts: [Data] = []
        for commit in [one, other] {
            let diff = try await work.check(
                ["diff-tree", "-p", "-M", "--no-commit-id", "--full-index", "--binary", commit], outputLimit: 64 << 20)
            texts.append(Data(diff.utf8))
        }
        return PatchText.isSame(texts[0], texts[1])
    }

    /// Commits what a pick has staged, with the patch's own author and message; a pick that stages nothing is dropped.
    func commitPick(
        _ state: inout PortState, _ index: Int, in work: WorkRepository, as outcome: PortOutcome
    ) async throws {
        guard let commit = state.steps[index].commit else { return }
        if try await work.run(["diff", "--cached", "--quiet", "HEAD"]).ending.isSuccess {
            // Skipping forgets the conflict unless it is recorded before.
            if outcome == .byHand { try await work.check(["rerere"]) }
            try await work.check(["cherry-pick", "--skip"])
            let isCarried = state.steps[index].source != nil
            state.steps[index].outcome = isCarried ? .contained : .kept
            state.steps[index].reason =
                switch outcome {
                case .byHand: "Nothing is left of it once its conflicts are resolved."
                case .reused: "Nothing is left of it once its conflicts are resolved as they were before."
                default: "Merging it changes nothing."
                }
        } else {
            try await work.check(["commit", "-q", "--no-verify", "--cleanup=verbatim", "-C", commit])
            state.steps[index].outcome = outcome
        }
        state.tip = try await work.head()
        state.isStopped = false
    }

    // MARK: - The end

    /// Writes a port that is through to the model, or tells what it waits for.
    func conclude(_ session: WorkSession, in work: WorkRepository, isForced: Bool) async throws -> PortReport {
        guard let state = session.port else { throw Self.notRunning(work.folder) }
        var report = PortReport(
            state: state.current == nil ? .done : .conflict, folder: work.folder, model: session.model,
            base: session.base, from: state.sources.map(\.base), patches: state.steps.map(Self.row),
            stopped: state.current.map { Self.row(state.steps[$0]) }, files: [], changes: [], notes: [], rangeDiff: "")
        guard state.current == nil else { return report }
        var finished = session
        finished.patches = state.steps.compactMap { step in
            var record = step.record
            switch step.outcome {
            case .contained, nil: return nil
            case .skipped: if step.source != nil { return nil }
            default: record.commit = step.commit
            }
            return record
        }
        progress(.step("Writing the model"))
        let export = try await withModelLock {
            try await take(work, finished, isDryRun: false, isForced: isForced) { update in
                for step in state.steps where step.outcome == .contained && step.source != nil {
                    update.markContained(step.id)
                }
            }
        }
        let head = try await work.head()
        let new = CommitRange(base: session.base.commit, tip: head)
        var differences: [String] = []
        for source in state.sources {
            differences.append(try await work.rangeDiff(CommitRange(base: source.base.commit, tip: source.tip), new))
        }
        (report.files, report.changes, report.notes) = (export.files, export.changes, export.notes)
        report.rangeDiff = differences.joined(separator: "\n")
        return report
    }

    private static func row(_ step: PortState.Step) -> PortReport.Row {
        PortReport.Row(
            id: step.id, subject: step.subject, outcome: step.outcome, reason: step.reason, conflicts: step.conflicts)
    }

    static func notRunning(_ folder: String) -> LabError {
        LabError(
            "port-not-running", exit: .usage, "There is no port to go on with in \(folder)",
            cause: "It is through, or the folder was made by hmmlab patches edit.",
            next: "hmmlab patches export takes over what you change there.")
    }
}
