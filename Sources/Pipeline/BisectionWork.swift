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
    func run(
        _ catalog: SuiteCatalog, driver: GuestSelection.Driver, persistentMemory: Bool = false
    ) throws -> PredicateRun {
        try catalog.check(suites: suites, for: driver, persistentMemory: persistentMemory)
        switch subject {
        case .build: return .build
        case .boot: return .command(["true"], timeoutSeconds: 60)
        case .command(let command): return .command(["sh", "-c", command], timeoutSeconds: timeoutSeconds)
        case .suite(let name):
            try catalog.check(suites: [name], for: driver, persistentMemory: persistentMemory)
            if name != SuiteCatalog.kselftest { _ = try catalog.tests(suites: [name], filter: filter) }
            return .tests(suites: [name], filter: filter)
        case .crash:
            if let trigger { return try Self.run(test: trigger, catalog, driver, persistentMemory) }
            return .tests(suites: suites, filter: filter)
        case .test(let id): return try Self.run(test: id, catalog, driver, persistentMemory)
        }
    }

    private static func run(
        test id: String, _ catalog: SuiteCatalog, _ driver: GuestSelection.Driver, _ persistentMemory: Bool
    ) throws -> PredicateRun {
        let suite = catalog.suites.map(\.name).filter { id.hasPrefix($0 + "/") }.max { $0.count < $1.count }
        // The kernel's own tests are known only once a kernel is there.
        guard let suite, suite == SuiteCatalog.kselftest || catalog.own.contains(where: { $0.id == id }) else {
            throw LabError(
                "test-unknown", exit: .usage, "There is no test \(id)", next: "hmmlab list tests shows them.")
        }
        try catalog.check(suites: [suite], for: driver, persistentMemory: persistentMemory)
        // A slash needs no escape, and the pattern ends up in commands that people read.
        let pattern = NSRegularExpression.escapedPattern(for: id).replacing("\\/", with: "/")
        return .tests(suites: [suite], filter: "^\(pattern)$")
    }
}

/// A run of a state whose kernel is there, or cannot be made.
struct PreparedRun: Sendable {
    /// The run as far as it is known.
    var run: StateRun
    /// The kernel; the very source of it, once it is built.
    var kernel: KernelSelection
    /// What the folders of its runs are called.
    let name: String
    /// Whether there is anything to boot.
    var isBuilt = true

    init(_ run: StateRun, _ kernel: KernelSelection, _ name: String) {
        (self.run, self.kernel, self.name) = (run, kernel, name)
    }
}

/// The tip without a step, built while the search went on.
struct PreparedReversal: Sendable {
    var step: Int
    var run: PreparedRun
}

extension StateRun {
    fileprivate mutating func take(_ judgement: RunJudgement) {
        (outcome, symptoms, sentence) = (judgement.outcome, judgement.symptoms, judgement.sentence)
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
            options: selection.options, parallel: selection.parallel)
        for step in range.inert.sorted() where !progress.history.inertSteps.contains(step) {
            try add(.inert(step: step), to: &progress, journal)
        }
        for state in range.states.indices where await isBuilt(state) { progress.built.insert(state) }
        onEvent(.planned(view(progress), folder: folder.path))
        let (outcome, early) = try await search(&progress, journal)
        if case .concluded(.found(let step, _)) = outcome { try await revert(step, early, &progress, journal) }
        return try await BisectionReport(
            of: self, history: progress.history, outcome: outcome)
    }

    func add(
        _ entry: HistoryEntry, to progress: inout BisectionProgress, _ journal: JournalFile
    ) throws {
        try journal.append(entry)
        progress.history.add(entry)
    }

    func view(_ progress: BisectionProgress) -> BisectionView {
        progress.view(steps: range.steps, noun: range.noun)
    }

    // MARK: - One kernel

    /// Builds a kernel, or finds it in the cache; throws only what is no fault of the kernel's, and when it is cancelled.
    func prepare(_ proposal: ProposedRun, _ kernel: KernelSelection, _ name: String = "state") async throws
        -> PreparedRun
    {
        let start = ContinuousClock.now
        var prepared = PreparedRun(
            StateRun(state: proposal.state, purpose: proposal.purpose, outcome: .clean), kernel, name)
        do {
            let plan = try await lab.plan(kernel)
            let isCached = try await lab.builder.cached(plan.input, plan.config, image: imageNeed) != nil
            let artifact = try await lab.builder.build(plan.input, plan.config, image: imageNeed)
            prepared.run.kernel = try identity(of: artifact)
            prepared.kernel.pinned = plan.input
            if !isCached { prepared.run.buildSeconds = (ContinuousClock.now - start) / .seconds(1) }
        } catch let error as LabError {
            guard let judgement = selection.predicate.judge(error) else { throw error }
            prepared.run.take(judgement)
            prepared.isBuilt = false
            prepared.run.buildSeconds = (ContinuousClock.now - start) / .seconds(1)
        }
        try Task.checkCancellation()
        return prepared
    }

    /// Boots and tests a kernel; throws as ``prepare(_:_:_:)``.
    func perform(_ prepared: PreparedRun) async throws -> StateRun {
        guard prepared.isBuilt else { return prepared.run }
        var run = prepared.run
        let start = ContinuousClock.now
        let number = run.state < 10 ? "0\(run.state)" : "\(run.state)"
        do {
            let judgement = try await judge(prepared.kernel, "\(folder.path)/runs/\(prepared.name)-\(number)", &run)
            run.take(judgement)
        } catch let error as LabError {
            guard let judgement = selection.predicate.judge(error) else { throw error }
            run.take(judgement)
        }
        // Whatever an interrupted run looks like, it says nothing about the kernel.
        try Task.checkCancellation()
        run.testSeconds = (ContinuousClock.now - start) / .seconds(1)
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

    /// A search for what does not build is about all of it.
    private var imageNeed: ImageNeed {
        if case .build = run { return .always }
        // A machine that is not there is told by whoever boots it.
        return (try? lab.machine(selection.guest).imageNeed) ?? .always
    }

    private func isBuilt(_ state: Int) async -> Bool {
        // A state whose source is not at hand would have to be fetched just to know.
        guard range.states[state].pinned != nil, let plan = try? await lab.plan(range.states[state]) else {
            return false
        }
        return (try? await lab.builder.cached(plan.input, plan.config, image: imageNeed)) != nil
    }

    // MARK: - Without the culprit

    /// The tip without a step, built; throws as ``prepare(_:_:_:)``, and if it cannot be taken out.
    func prepareReverted(_ step: Int) async throws -> PreparedRun {
        let kernel = try await range.withoutStep(step)
        // What keeps the rest from applying is no word on the kernel.
        _ = try await lab.plan(kernel)
        return try await prepare(ProposedRun(state: range.steps.count, purpose: .confirm), kernel, "reverted")
    }

    /// Runs the tip without the culprit, as often as its failure rate asks for.
    ///
    /// - Parameter early: what was built for that while the search went on.
    private func revert(
        _ step: Int, _ early: PreparedReversal?, _ progress: inout BisectionProgress, _ journal: JournalFile
    ) async throws {
        guard progress.history.irreversible == nil else { return }
        let wanted = progress.passesToBelieve(confidence: selection.options.confidence)
        guard progress.history.revertedRuns.count < wanted else { return }
        onEvent(.reverting(range.steps[step - 1]))
        var prepared: PreparedRun
        do {
            if let early, early.step == step {
                prepared = early.run
            } else {
                prepared = try await prepareReverted(step)
            }
        } catch let error as LabError where error.exitCode == .buildFailed {
            return try add(.irreversible(error.sentence), to: &progress, journal)
        }
        while progress.history.revertedRuns.count < wanted {
            let missing = wanted - progress.history.revertedRuns.count
            var batch = [PreparedRun](
                repeating: prepared, count: prepared.isBuilt ? min(selection.parallel, missing) : 1)
            // It was built once.
            prepared.run.buildSeconds = 0
            for index in batch.indices.dropFirst() { batch[index] = prepared }
            let isGood = try await withThrowingTaskGroup(of: StateRun.self) { group in
                for prepared in batch { group.addTask { try await perform(prepared) } }
                var isGood = true
                for try await run in group {
                    try add(.reverted(run), to: &progress, journal)
                    let observation = progress.history.observation(run)
                    onEvent(.reverted(run, observation))
                    isGood = isGood && observation == .good
                }
                return isGood
            }
            // It fails without it as well, or cannot be tested: nothing more is to be learnt.
            if !isGood { return }
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
        if let nodes = guest.nodes { words += ["--nodes", "\(nodes)"] }
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
