// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelBuild
import KernelSource
import PatchModel
import PatchSeries
import ProcessRunner

/// A patch to be checked, and what is known about it.
public struct CheckedPatch: Sendable {
    /// What reports call it.
    public var id: String
    /// The patch as it is applied.
    public var patch: Patch
    /// How a base that contains it is recognised; nil for a patch without a model.
    public var probes: [PatchMetadata.Probe]?
    /// Whether some base contains it: then the probes are texts of that base, and the patch may say it otherwise.
    public var isBackport = false

    /// Makes a patch to be checked.
    public init(id: String, patch: Patch, probes: [PatchMetadata.Probe]? = nil, isBackport: Bool = false) {
        self.id = id
        self.patch = patch
        self.probes = probes
        self.isBackport = isBackport
    }
}

/// Checks the patches of a series on one base.
///
/// Whatever a tool said is remembered by everything that decides it, so that a question is asked once: a patch that
/// changed is checked again, and so are those behind it, whose trees are others now.
public struct SeriesChecker: Sendable {
    let sources: KernelSources
    let builder: KernelBuilder
    let runner: ProcessRunner
    let cache: Cache
    let progress: ProgressHandler

    /// A checker for bases of a store.
    public init(
        sources: KernelSources, builder: KernelBuilder, runner: ProcessRunner, cache: Cache,
        progress: @escaping ProgressHandler = { _ in }
    ) {
        self.sources = sources
        self.builder = builder
        self.runner = runner
        self.cache = cache
        self.progress = progress
    }

    /// Checks patches, which are applied one on top of the other.
    ///
    /// - Parameters:
    ///   - patches: in the order in which they are applied.
    ///   - contained: patches that the base is said to have already, of which only the probes are looked at.
    ///   - series: the series that the patches are from, for its blobs.
    ///   - base: the base.
    ///   - options: what to look at, and with what.
    /// - Returns: one report for each patch, those that the base contains at the end.
    /// - Throws: ``LabError`` `patch-unsafe`, `host-exhausted`, `disk-full` and other failures of the host.
    public func check(
        _ patches: [CheckedPatch], contained: [CheckedPatch] = [], of series: PatchSeries, on base: Base,
        _ options: CheckOptions
    ) async throws -> [PatchReport] {
        let checks = options.checks
        let (applied, rejection) = try await apply(series, base)
        let steps = try await Steps(base: base, applied: applied, store: sources.store, runner: runner)
        var results = [[CheckName: CheckResult]](repeating: [:], count: patches.count)
        for (index, item) in patches.enumerated() {
            results[index][.applies] = Self.applies(index, applied, rejection)
            results[index][.message] = CheckResult(.message, MessageRules.findings(item.patch))
            if let probes = item.probes, checks.contains(.probe) {
                results[index][.probe] = try await probe(probes, index, steps, isBackport: patches[index].isBackport)
            }
            if index >= steps.count {
                for check in [CheckName.build, .sparse, .coccicheck, .kernelDoc] {
                    results[index][check] = CheckResult(check, notChecked: "the patch cannot be applied")
                }
            }
        }

        let style = Checkpatch(checker: self, base: base)
        let plan = try await TreePlan(
            checker: self, base: base, patches: Array(patches.prefix(steps.count)), steps: steps, options: options)
        var work: (@Sendable (String) async throws -> Void)?
        if checks.contains(.checkpatch), style.lacks(patches) {
            work = { source in try await style.run(patches, in: source) }
        }
        try await plan.run(work)
        for (index, item) in patches.enumerated() {
            if checks.contains(.checkpatch) {
                results[index][.checkpatch] = style.result(item.patch, withMessage: checks.contains(.message))
            }
            if index < steps.count {
                for result in plan.results(index) { results[index][result.check] = result }
            }
        }
        let order = CheckName.allCases.filter { checks.contains($0) }
        var reports: [PatchReport] = []
        for (index, item) in patches.enumerated() {
            reports.append(
                PatchReport(
                    base: base.spec.description, kernelVersion: base.kernelVersion, number: index + 1, patch: item.id,
                    subject: item.patch.subject, checks: order.compactMap { results[index][$0] }))
        }
        for item in contained where checks.contains(.probe) {
            reports.append(
                PatchReport(
                    base: base.spec.description, kernelVersion: base.kernelVersion, number: nil, patch: item.id,
                    subject: item.patch.subject, checks: [try await probe(contained: item.probes ?? [], base)]))
        }
        return reports
    }

    // MARK: - Without the sources

    /// Applies as much of a series as can be applied.
    private func apply(_ series: PatchSeries, _ base: Base) async throws -> (AppliedSeries, PatchRejection?) {
        let applier = SeriesApplier(gitDirectory: sources.store.gitDirectory, runner: runner, cache: cache)
        switch try await applier.attempt(series, onto: base.commit) {
        case .applied(let applied): return (applied, nil)
        case .rejected(let rejection):
            return (try await applier.apply(series, onto: base.commit, upTo: rejection.number - 1), rejection)
        }
    }

    private static func applies(_ index: Int, _ applied: AppliedSeries, _ rejection: PatchRejection?) -> CheckResult {
        if index < applied.patches.count {
            let isCached = index < applied.cachedCount
            guard applied.patches[index].outcome == .alreadyApplied else {
                return CheckResult(.applies, [], isCached: isCached)
            }
            return CheckResult(
                .applies, [Finding(isFailure: false, "It changes nothing: the base already has it")],
                isCached: isCached)
        }
        guard let rejection, index == rejection.number - 1 else {
            return CheckResult(.applies, notChecked: "a patch before it cannot be applied")
        }
        let error = rejection.labError
        let lines = [error.sentence] + (error.cause ?? "").split(separator: "\n").map { "    " + $0 }
        return CheckResult(.applies, [Finding(isFailure: true, lines.joined(separator: "\n"))])
    }

    private func probe(
        _ probes: [PatchMetadata.Probe], _ index: Int, _ steps: Steps, isBackport: Bool
    ) async throws -> CheckResult {
        guard !probes.isEmpty else { return CheckResult(.probe, notChecked: "the patch has no probe") }
        guard index < steps.count else { return CheckResult(.probe, notChecked: "the patch cannot be applied") }
        let reader = ProbeReader(store: sources.store, runner: runner)
        if try await reader.answer(probes, in: steps.commits[index]) == .contained {
            return CheckResult(
                .probe, [Finding(isFailure: true, "The base has the texts of its probes without the patch")])
        }
        if isBackport { return CheckResult(.probe, []) }
        guard try await reader.answer(probes, in: steps.commits[index + 1]) == .contained else {
            return CheckResult(
                .probe, [Finding(isFailure: false, "The patch itself does not bring the texts of its probes")])
        }
        return CheckResult(.probe, [])
    }

    private func probe(contained probes: [PatchMetadata.Probe], _ base: Base) async throws -> CheckResult {
        switch try await ProbeReader(store: sources.store, runner: runner).answer(probes, in: base.commit) {
        case .unknown: return CheckResult(.probe, notChecked: "the patch has no probe")
        case .contained: return CheckResult(.probe, [])
        case .absent:
            return CheckResult(
                .probe,
                [Finding(isFailure: true, "The base is said to contain the patch, but lacks the texts of its probes")])
        }
    }
}

/// The base and the commits on top of it, one for each patch that can be applied.
struct Steps: Sendable {
    /// The base's commit, then that of each patch.
    let commits: [String]
    /// Their trees.
    let trees: [String]

    /// How many patches there are.
    var count: Int { commits.count - 1 }

    init(base: Base, applied: AppliedSeries, store: ObjectStore, runner: ProcessRunner) async throws {
        commits = [base.commit] + applied.patches.map(\.commit)
        let output = try await runner.check(store.command(["rev-parse"] + commits.map { $0 + "^{tree}" }))
        trees = output.split(separator: "\n").map(String.init)
        guard trees.count == commits.count else {
            throw LabError("tool-failed", "git rev-parse did not name the trees of the series", cause: output)
        }
    }
}
