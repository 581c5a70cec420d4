// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelBuild
import TestResults

/// How the predicate is asked of a kernel.
enum PredicateRun: Sendable {
    /// Building it is all.
    case build
    /// Tests are run.
    case tests(suites: [String], filter: String?)
    /// A command is run in the guest.
    case command([String], timeoutSeconds: Int?)
}

extension BisectionPredicate {
    /// How the predicate is asked of a kernel.
    ///
    /// - Throws: ``LabError`` for a test or a suite that does not exist.
    func run(_ catalog: SuiteCatalog, driver: GuestSelection.Driver) throws -> PredicateRun {
        try catalog.check(suites: suites, for: driver)
        switch subject {
        case .build: return .build
        case .boot: return .command(["true"], timeoutSeconds: 60)
        case .command(let command): return .command(["sh", "-c", command], timeoutSeconds: timeoutSeconds)
        case .suite(let name):
            try catalog.check(suites: [name], for: driver)
            if name != SuiteCatalog.kselftest { _ = try catalog.tests(suites: [name], filter: filter) }
            return .tests(suites: [name], filter: filter)
        case .crash:
            if let trigger { return try Self.run(test: trigger, catalog, driver) }
            return .tests(suites: suites, filter: filter)
        case .test(let id): return try Self.run(test: id, catalog, driver)
        }
    }

    private static func run(
        test id: String, _ catalog: SuiteCatalog, _ driver: GuestSelection.Driver
    ) throws -> PredicateRun {
        let suite = catalog.suites.map(\.name).filter { id.hasPrefix($0 + "/") }.max { $0.count < $1.count }
        // The kernel's own tests are known only once a kernel is there.
        guard let suite, suite == SuiteCatalog.kselftest || catalog.own.contains(where: { $0.id == id }) else {
            throw LabError(
                "test-unknown", exit: .usage, "There is no test \(id)", next: "hmmlab list tests shows them.")
        }
        try catalog.check(suites: [suite], for: driver)
        // A slash needs no escape, and the pattern ends up in commands that people read.
        let pattern = NSRegularExpression.escapedPattern(for: id).replacing("\\/", with: "/")
        return .tests(suites: [suite], filter: "^\(pattern)$")
    }
}

/// One bisection at work.
struct BisectionWork: Sendable {
    let lab: Lab
    let selection: BisectionSelection
    let range: BisectionRange
    let run: PredicateRun
    let folder: BisectionFolder
    let onEvent: @Sendable (BisectionEvent) -> Void

    /// Runs states until the engine is content, then the tip without the culprit.
    ///
    /// - Parameter entries: what an earlier part of the bisection has found out.
    func find(_ entries: [HistoryEntry]) async throws -> BisectionReport {
        let journal = try JournalFile(continuing: folder.journal)
        var progress = BisectionProgress(
            history: History(
                stepCount: range.steps.count, takesAnyFailure: selection.takesAnyFailure, entries: entries),
            options: selection.options)
        for step in range.inert.sorted() where !progress.history.inertSteps.contains(step) {
            try add(.inert(step: step), to: &progress, journal)
        }
        for state in range.states.indices where await isBuilt(state) { progress.built.insert(state) }
        onEvent(.planned(view(progress), folder: folder.path))
        let outcome = try await search(&progress, journal)
        if case .concluded(.found(let step, _)) = outcome { try await revert(step, &progress, journal) }
        return try await BisectionReport(
            of: self, history: progress.history, outcome: outcome)
    }

    private func add(
        _ entry: HistoryEntry, to progress: inout BisectionProgress, _ journal: JournalFile
    ) throws {
        try journal.append(entry)
        progress.history.add(entry)
    }

    private func view(_ progress: BisectionProgress) -> BisectionView {
        progress.view(steps: range.steps, noun: range.noun)
    }

    // MARK: - The search

    /// Why the search ended.
    enum Outcome: Sendable, Equatable {
        case concluded(Conclusion)
        case budget
    }

    private func search(_ progress: inout BisectionProgress, _ journal: JournalFile) async throws -> Outcome {
        let begin = ContinuousClock.now
        let earlier = progress.history.runs.count
        return try await withThrowingTaskGroup(of: StateRun.self) { group in
            while true {
                let free = selection.parallel - progress.running.count
                let spent = progress.history.runs.count + progress.running.count - earlier
                let left = selection.mostRuns.map { max(0, $0 - spent) } ?? free
                let decision = Bisector(progress.history.evidence, selection.options).next(
                    count: max(1, min(free, left)), running: progress.running, seconds: progress.cost)
                let isSpent =
                    left == 0 || selection.mostMinutes.map { ContinuousClock.now - begin >= .seconds($0 * 60) } ?? false
                switch decision {
                case .finished(let conclusion) where progress.running.isEmpty: return .concluded(conclusion)
                case .run(let runs) where !isSpent && free > 0:
                    for proposal in runs {
                        progress.running.append(proposal.state)
                        onEvent(.began(view(progress), proposal))
                        let kernel = range.states[proposal.state]
                        group.addTask { try await perform(proposal.state, proposal.purpose, kernel, "state") }
                    }
                case .run, .finished: break
                }
                guard let result = try await group.next() else { return .budget }
                try take(result, &progress, journal)
            }
        }
    }

    private func take(
        _ run: StateRun, _ progress: inout BisectionProgress, _ journal: JournalFile
    ) throws {
        if let index = progress.running.firstIndex(of: run.state) { progress.running.remove(at: index) }
        let known = progress.history.inertSteps
        try add(.ran(run), to: &progress, journal)
        progress.note(run)
        onEvent(.ended(view(progress), run, progress.history.observation(run)))
        for step in progress.history.inertSteps.subtracting(known).sorted() {
            onEvent(.inert(view(progress), step: step))
        }
    }

    // MARK: - One kernel

    /// Builds, boots and tests a kernel; throws only what is no fault of the kernel's, and when it is cancelled.
    private func perform(
        _ state: Int, _ purpose: ProposedRun.Purpose, _ kernel: KernelSelection, _ name: String
    ) async throws -> StateRun {
        let clock = ContinuousClock()
        let start = clock.now
        var run = StateRun(state: state, purpose: purpose, outcome: .clean)
        func since(_ instant: ContinuousClock.Instant) -> Double { (clock.now - instant) / .seconds(1) }
        var booted = start
        var isBuilt = false
        do {
            let plan = try await lab.plan(kernel)
            let isCached = try await lab.builder.cached(plan.input, plan.config) != nil
            let artifact = try await lab.builder.build(plan.input, plan.config)
            isBuilt = true
            run.kernel = try identity(of: artifact)
            run.buildSeconds = isCached ? 0 : since(start)
            booted = clock.now
            var pinned = kernel
            pinned.pinned = plan.input
            let number = state < 10 ? "0\(state)" : "\(state)"
            let judgement = try await judge(pinned, "\(folder.path)/runs/\(name)-\(number)", &run)
            (run.outcome, run.symptoms, run.sentence) = (judgement.outcome, judgement.symptoms, judgement.sentence)
        } catch let error as LabError {
            guard let judgement = selection.predicate.judge(error) else { throw error }
            (run.outcome, run.symptoms, run.sentence) = (judgement.outcome, judgement.symptoms, judgement.sentence)
            if !isBuilt {
                run.buildSeconds = since(start)
                booted = clock.now
            }
        }
        // Whatever an interrupted run looks like, it says nothing about the kernel.
        try Task.checkCancellation()
        run.testSeconds = since(booted)
        return run
    }

    /// What the kernel does, as far as the predicate can see it; nil where something else may make the difference.
    private func identity(of artifact: KernelArtifact) throws -> String? {
        // The kernel's own tests are built from each state's sources; a boot without the PVH entry runs more than vmlinux.
        if case .tests(let suites, _) = run, suites.isEmpty || suites.contains(SuiteCatalog.kselftest) { return nil }
        return artifact.hasPVHEntry ? try KernelIdentity(of: artifact).digest : nil
    }

    private func judge(
        _ kernel: KernelSelection, _ place: String, _ run: inout StateRun
    ) async throws -> RunJudgement {
        switch self.run {
        case .build: return RunJudgement(outcome: .clean)
        case .tests(let suites, let filter):
            var tests = TestSelection(
                kernel: kernel, guest: selection.guest, suites: suites, filter: filter,
                arguments: words(for: kernel))
            tests.place = place
            let report = try await lab.test(tests)
            run.folder = report.folder.path
            return selection.predicate.judge(report.record)
        case .command(let command, let timeout):
            let output = LockedValue([UInt8]())
            let result = try await lab.run(
                command, kernel: kernel, guest: selection.guest, timeoutSeconds: timeout, place: place
            ) { stream, bytes in
                if stream == .standardOutput { output.withLock { $0 += bytes } }
            }
            run.folder = result.folder.path
            let text = String(decoding: output.withLock { $0 }, as: UTF8.self)
            try Files.write(text, to: result.folder.path + "/output")
            return selection.predicate.judge(result, output: text)
        }
    }

    private func isBuilt(_ state: Int) async -> Bool {
        // A state whose source is not at hand would have to be fetched just to know.
        guard range.states[state].pinned != nil, let plan = try? await lab.plan(range.states[state]) else {
            return false
        }
        return (try? await lab.builder.cached(plan.input, plan.config)) != nil
    }

    // MARK: - Without the culprit

    /// Runs the tip without the culprit, as often as its failure rate asks for.
    private func revert(
        _ step: Int, _ progress: inout BisectionProgress, _ journal: JournalFile
    ) async throws {
        guard progress.history.irreversible == nil else { return }
        let wanted = progress.passesToBelieve(confidence: selection.options.confidence)
        guard progress.history.revertedRuns.count < wanted else { return }
        onEvent(.reverting(range.steps[step - 1]))
        let kernel: KernelSelection
        do {
            kernel = try await range.withoutStep(step)
            _ = try await lab.plan(kernel)
        } catch let error as LabError where error.exitCode == .buildFailed {
            return try add(.irreversible(error.sentence), to: &progress, journal)
        }
        while progress.history.revertedRuns.count < wanted {
            let run = try await perform(range.steps.count, .confirm, kernel, "reverted")
            try add(.reverted(run), to: &progress, journal)
            let observation = progress.history.observation(run)
            onEvent(.reverted(run, observation))
            // It fails without it as well, or cannot be tested: nothing more is to be learnt.
            if observation != .good { return }
        }
    }

    // MARK: - Commands

    /// The arguments of an `hmmlab` command that runs the predicate on a kernel of the range.
    func words(for kernel: KernelSelection) -> [String] {
        var words: [String]
        var tail: [String] = []
        switch run {
        case .build: words = ["build"]
        case .tests(let suites, let filter):
            words = ["test"]
            tail = suites.flatMap { ["--suite", $0] } + (filter.map { ["--filter", $0] } ?? [])
        case .command(let command, let timeout):
            words = ["run"]
            tail = (timeout.map { ["--timeout", "\($0)"] } ?? []) + ["--"] + command
        }
        words +=
            ["--base", Self.absolute(kernel.base)] + (kernel.series.map { ["--series", Self.absolute($0)] } ?? [])
        if kernel.series != nil, let upTo = kernel.upTo { words += ["--upto", "\(upTo)"] }
        words += ["--flavour", kernel.flavour]
        words +=
            kernel.configFiles.flatMap { ["--config", Self.absolute($0)] } + kernel.settings.flatMap { ["--set", $0] }
        if case .build = run { return words }
        let guest = selection.guest
        words += ["--driver", guest.driver.rawValue, "--machine", guest.machine]
        if let cpus = guest.cpus { words += ["--cpus", "\(cpus)"] }
        if let memory = guest.memoryMiB { words += ["--memory", "\(memory)"] }
        if guest.accelerator != .auto { words += ["--accel", guest.accelerator.rawValue] }
        words += guest.append.flatMap { ["--append", $0] }
        return words + tail
    }

    /// A path that can be given in any folder, behind `git:`, `dir:` or `tar:` as well; what is no path stays as it is.
    private static func absolute(_ text: String) -> String {
        for prefix in ["git:", "dir:", "tar:"] where text.hasPrefix(prefix) {
            let path = String(text.dropFirst(prefix.count))
            if path.hasPrefix("/") || path.hasPrefix("~") { return text }
            return prefix + FileManager.default.currentDirectoryPath + "/" + path
        }
        return Files.exists(text) ? URL(fileURLWithPath: text).path : text
    }
}
