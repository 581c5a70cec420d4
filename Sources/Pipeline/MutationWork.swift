// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import KernelBuild
import Mutation
import PatchSeries
import ProcessRunner
import TestResults

/// One call of `hmmlab mutate`.
struct MutationWork: Sendable {
    let lab: Lab
    let selection: MutationSelection
    let onEvent: @Sendable (MutationEvent) -> Void

    /// A mutant's kernel, or why there is none.
    private struct Planted: Sendable {
        var lab: Lab
        var kernel: KernelSelection
        var seconds: Double
        var obstacle: String?
        /// A copy of hmmlab's modules, to be removed; nil if there is none.
        var copy: String?
    }

    func run(_ mutants: [Mutant]) async throws -> MutationReport {
        let sound = try await lab.prepare(selection.kernel)
        let ledger = try TrialLedger(
            lab.cache.folder("mutations"), context: try context(sound), isFresh: selection.again)
        let columns = selection.columns
        let known = mutants.flatMap { mutant in columns.compactMap { ledger.trial(of: mutant, $0.name) } }
        onEvent(.planned(mutants: mutants.count, trials: mutants.count * columns.count, known: known.count))
        let open = mutants.filter { mutant in columns.contains { ledger.trial(of: mutant, $0.name) == nil } }
        var trials = known
        if !open.isEmpty {
            for column in columns { try await control(column, ledger) }
            var next = Task { try await plant(open[0], sound) }
            for (number, mutant) in open.enumerated() {
                onEvent(.began(number + 1, mutant, "building"))
                let planted = try await withTaskCancellationHandler {
                    try await next.value
                } onCancel: { [next] in
                    next.cancel()
                }
                if number + 1 < open.count {
                    let following = open[number + 1]
                    next = Task { try await plant(following, sound) }
                }
                defer { if let copy = planted.copy { try? FileManager.default.removeItem(atPath: copy) } }
                do {
                    for column in columns where ledger.trial(of: mutant, column.name) == nil {
                        onEvent(.began(number + 1, mutant, column.name))
                        let trial = try await trial(of: mutant, column, planted)
                        try ledger.keep(trial, of: mutant)
                        trials.append(trial)
                        onEvent(.ended(mutant, trial))
                    }
                } catch {
                    next.cancel()
                    if let copy = try? await next.value.copy { try? FileManager.default.removeItem(atPath: copy) }
                    throw error
                }
            }
        }
        return MutationReport(mutants: mutants, columns: columns.map(\.name), trials: trials)
    }

    /// Everything that a trial depends on but the mutant and the suites.
    private func context(_ sound: PreparedKernel) throws -> Digest {
        var signature = Signature()
        signature.add("kernel", sound.artifact.signature)
        signature.add("guest", "\(selection.guest)")
        signature.add("filter", selection.filter ?? "")
        try lab.signPrograms(&signature)
        return signature.digest
    }

    // MARK: - Without a fault

    /// Tests that fail without a fault could kill nothing.
    private func control(_ column: MutationSelection.Column, _ ledger: TrialLedger) async throws {
        guard !ledger.isSound(column.name) else { return }
        onEvent(.control(column.name))
        let report = try await lab.test(test(column, selection.kernel, keepGoing: true))
        let failed =
            report.record.tests.filter { $0.outcome == .unexpected }.map(\.id)
            + report.record.problems.map(\.sentence)
        guard failed.isEmpty, !report.record.isInterrupted else {
            if report.record.isInterrupted { throw CancellationError() }
            throw LabError(
                "control-fails", exit: .testsFailed,
                "The kernel without a fault does not pass \(column.name), so that nothing could be said of one with it",
                cause: failed.prefix(10).joined(separator: "\n"),
                next: "Mend these tests, list them in qemu/expectations.toml, or leave them out with --suite.")
        }
        try ledger.keepSound(column.name)
    }

    private func test(
        _ column: MutationSelection.Column, _ kernel: KernelSelection, keepGoing: Bool
    ) -> TestSelection {
        var guest = selection.guest
        guest.driver = column.driver
        return TestSelection(
            kernel: kernel, guest: guest, suites: column.suites, filter: selection.filter, keepGoing: keepGoing)
    }

    // MARK: - With one

    private func plant(_ mutant: Mutant, _ sound: PreparedKernel) async throws -> Planted {
        let start = ContinuousClock.now
        var planted = Planted(lab: lab, kernel: selection.kernel, seconds: 0, obstacle: nil)
        do {
            if mutant.isOfSeries, selection.kernel.series == nil {
                planted.obstacle = "it is a fault of the series: add --series"
            } else if mutant.target == .driver {
                let copy = try lab.cache.stagingFolder()
                planted.copy = copy
                planted.lab.installation.kernelPatches = try await modules(with: mutant, in: copy)
            } else {
                planted.kernel.pinned = try await input(with: mutant, sound)
                _ = try await lab.prepare(planted.kernel)
            }
        } catch let error as LabError where error.exitCode == .buildFailed || error.exitCode == .usage {
            planted.obstacle = [error.sentence, error.cause].compactMap { $0 }.joined(separator: ": ")
        }
        planted.seconds = (ContinuousClock.now - start).seconds
        return planted
    }

    private func input(with mutant: Mutant, _ sound: PreparedKernel) async throws -> KernelInput {
        let series = try await SeriesReader(runner: lab.runner, cache: lab.cache).read(mutant.path)
        let applier = SeriesApplier(
            gitDirectory: lab.sources.store.gitDirectory, runner: lab.runner, cache: lab.cache)
        let applied = try await applier.apply(series, onto: sound.input.commit)
        return KernelInput(base: sound.input.base, commit: applied.tip, tree: applied.tree)
    }

    /// Copies hmmlab's modules and plants a fault there; returns the place that stands for `kernel-patches`.
    private func modules(with mutant: Mutant, in folder: String) async throws -> String {
        for part in ["modules", "abi"] {
            try Files.makeFolder(folder + "/kernel-patches")
            try FileManager.default.copyItem(
                atPath: "\(lab.installation.kernelPatches)/\(part)", toPath: "\(folder)/kernel-patches/\(part)")
        }
        try Files.write(Data(mutant.diff.utf8), to: folder + "/mutant.diff")
        // In a repository, git would take the diff's paths from that one's root.
        let output = try await lab.runner.run(
            Command(
                "git", ["apply", "mutant.diff"],
                environment: [
                    "GIT_CEILING_DIRECTORIES": (folder as NSString).deletingLastPathComponent, "GIT_DIR": nil,
                ],
                in: folder))
        guard output.ending == .exited(0) else {
            throw LabError(
                "patch-does-not-apply", exit: .buildFailed, "\(mutant.id) does not apply to hmmlab's modules",
                cause: output.standardError)
        }
        return folder + "/kernel-patches"
    }

    private func trial(
        of mutant: Mutant, _ column: MutationSelection.Column, _ planted: Planted
    ) async throws -> Trial {
        var trial = Trial(
            mutant: mutant.id, suites: column.name, fate: .survived, buildSeconds: planted.seconds)
        if let obstacle = planted.obstacle {
            trial.fate = .unjudged(obstacle)
            return trial
        }
        if mutant.target == .driver, column.driver != .hmmDmirror {
            trial.fate = .unjudged("it is a fault of hmm_dmirror, which these suites do not use")
            return trial
        }
        let start = ContinuousClock.now
        let record: RunRecord
        do {
            record = try await planted.lab.test(test(column, planted.kernel, keepGoing: false)).record
        } catch let error as LabError where error.exitCode == .buildFailed {
            trial.fate = .unjudged([error.sentence, error.cause].compactMap { $0 }.joined(separator: ": "))
            return trial
        }
        if record.isInterrupted { throw CancellationError() }
        trial.fate = Self.fate(record)
        trial.seconds = (ContinuousClock.now - start).seconds
        return trial
    }

    /// The first test that failed, or what happened while none ran.
    static func fate(_ record: RunRecord) -> Trial.Fate {
        if let problem = record.problems.first(where: { $0.verdict == .infra }) { return .unjudged(problem.sentence) }
        if let test = record.tests.first(where: { $0.outcome == .unexpected }) {
            return test.verdict == .infra ? .unjudged(test.reason) : .killed(by: test.id, how: test.verdict)
        }
        guard let problem = record.problems.first else { return .survived }
        return .killed(by: problem.sentence, how: problem.verdict)
    }
}

extension Duration {
    fileprivate var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
