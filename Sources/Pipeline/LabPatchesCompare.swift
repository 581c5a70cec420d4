// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchModel
import TestResults

/// What the reproducers say about each patch on several bases.
public struct PatchComparison: Sendable, Encodable {
    /// A reproducer on a base.
    public struct Cell: Sendable, Encodable, Equatable {
        /// The kernel series.
        public var base: BaseSeries
        /// What the metadata says of the patch there.
        public var state: PatchState
        /// Without the patch, on top of those before it; nil where it is not applied.
        public var before: Verdict?
        /// With it, or on the base that contains it; nil where it was not run.
        public var after: Verdict?
        /// Why it was not run.
        public var note: String?

        /// Whether the test shows that the patch does its work there; nil where there is nothing to be shown.
        public var isProved: Bool? {
            switch state {
            case .notApplicable: nil
            case .contained: note == nil ? after == .pass : nil
            case .ours, .variant: note == nil ? Self.isFailure(before) && after == .pass : nil
            }
        }

        private static func isFailure(_ verdict: Verdict?) -> Bool {
            verdict == .fail || verdict == .crash || verdict == .timeout
        }
    }

    /// A reproducer on all bases.
    public struct Row: Sendable, Encodable {
        /// `topic/name`.
        public var patch: String
        /// The test; nil for a patch without one.
        public var test: String?
        /// One for each base.
        public var cells: [Cell]
    }

    /// The reproducers in the order of the patches.
    public var rows: [Row]
    /// The suites that were asked for, in the order of the patches; empty if none was.
    public var suites: [SuiteComparison] = []

    /// One sentence for each place where a test does not show what it should.
    public var doubts: [String] {
        reproducerDoubts + suites.flatMap(\.doubts)
    }

    private var reproducerDoubts: [String] {
        rows.flatMap { row in
            guard let test = row.test else { return ["\(row.patch) has no reproducer: nothing shows what it does."] }
            return row.cells.filter { $0.isProved == false }.map { cell in
                if cell.state == .contained {
                    return
                        "\(row.patch): \(cell.base) is said to contain it, but there \(test) ends with \(cell.word(\.after))."
                }
                if cell.after != .pass {
                    return "\(row.patch): with it, \(test) ends with \(cell.word(\.after)) on \(cell.base)."
                }
                return "\(row.patch): \(test) ends with \(cell.word(\.before)) on \(cell.base) without it, too."
            }
        }
    }
}

extension PatchComparison.Cell {
    /// A verdict as a word.
    public func word(_ side: KeyPath<Self, Verdict?>) -> String { self[keyPath: side]?.rawValue ?? "-" }

    /// The state as a word.
    public var stateWord: String { state.word }
}

extension Lab {
    /// Runs the reproducers of each patch on each base without the patch and with it.
    ///
    /// The kernel without a patch has all patches before it, which is the kernel with the one before; kernels and
    /// objects are those of `hmmlab test`, so what is cached is not built again.
    ///
    /// - Parameters:
    ///   - folder: the model; nil for hmmlab's own.
    ///   - topics: topics by name; all for an empty list.
    ///   - patches: patches by id or name; all for an empty list.
    ///   - bases: the bases as typed.
    ///   - suites: suites to run before and after each patch, too; a test that ends worse with it is a doubt.
    ///   - driver: the driver for those suites.
    /// - Throws: ``LabError`` `patch-unknown`, and what building and booting throw.
    public func comparePatches(
        model folder: String?, topics: [String], patches names: [String], bases specifications: [String],
        suites: [String] = [], driver: GuestSelection.Driver = .testHmm
    ) async throws -> PatchComparison {
        try await catalog().check(suites: suites, for: driver)
        let store = modelStore(folder)
        let model = try await store.load()
        let asked = try model.topics(named: topics).flatMap(\.patches)
        for name in names where !asked.contains(where: { $0.isCalled(name) }) {
            throw LabError(
                "patch-unknown", exit: .usage, "There is no patch \(name) in \(store.folder)",
                next: "hmmlab list series shows them.")
        }
        let chosen = names.isEmpty ? asked : asked.filter { patch in names.contains(where: patch.isCalled) }
        var bases: [(spec: String, series: BaseSeries, resolution: Resolution)] = []
        for specification in specifications {
            let base = try await sources.resolve(try BaseSpec(parsing: specification))
            let series = try base.series
            bases.append((specification, series, try model.resolve(for: series)))
        }
        var rows: [PatchComparison.Row] = []
        var besides: [SuiteComparison] = []
        // A patch's kernel is the next one's "before": each is tested once.
        var seen: [String: [String: Verdict]] = [:]
        for patch in chosen {
            if patch.metadata.reproducers.isEmpty { rows.append(.init(patch: patch.id, test: nil, cells: [])) }
            for reproducer in patch.metadata.reproducers {
                var cells: [PatchComparison.Cell] = []
                for base in bases {
                    progress(.step("\(patch.id) on \(base.series): \(reproducer.test)"))
                    cells.append(
                        try await cell(patch, reproducer, base.series, base.resolution) { upTo in
                            try await self.verdict(of: reproducer, base: base.spec, series: store.folder, upTo: upTo)
                        })
                }
                rows.append(.init(patch: patch.id, test: reproducer.test, cells: cells))
            }
            for base in bases {
                guard let index = base.resolution.patches.firstIndex(where: { $0.id == patch.id }) else { continue }
                for suite in suites {
                    progress(.step("\(patch.id) on \(base.series): \(suite)"))
                    let run = { (upTo: Int, filter: String?) in
                        try await self.verdicts(
                            KernelSelection(base: base.spec, series: store.folder, upTo: upTo, flavour: "fast"),
                            driver: driver, suite: suite, filter: filter)
                    }
                    var sides: [[String: Verdict]] = []
                    for upTo in [index, index + 1] {
                        let key = "\(base.spec) \(upTo) \(suite)"
                        let verdicts = if let known = seen[key] { known } else { try await run(upTo, nil) }
                        seen[key] = verdicts
                        sides.append(verdicts)
                    }
                    besides.append(
                        try await SuiteComparison(
                            patch: patch.id, base: base.series, suite: suite, before: sides[0], after: sides[1]
                        ) { isAfter, filter in try await run(isAfter ? index + 1 : index, filter) })
                }
            }
        }
        return PatchComparison(rows: rows, suites: besides)
    }

    /// The verdicts of a suite by test, and under ``SuiteComparison/run`` what happened while no test ran.
    private func verdicts(
        _ kernel: KernelSelection, driver: GuestSelection.Driver, suite: String, filter: String?
    ) async throws -> [String: Verdict] {
        let report = try await test(
            TestSelection(kernel: kernel, guest: GuestSelection(driver: driver), suites: [suite], filter: filter))
        var verdicts = Dictionary(report.record.tests.map { ($0.name, $0.verdict) }) { max($0, $1) }
        verdicts[SuiteComparison.run] = report.record.problems.map(\.verdict).max() ?? .pass
        return verdicts
    }

    private func cell(
        _ patch: ModelPatch, _ reproducer: PatchMetadata.Reproducer, _ base: BaseSeries, _ resolution: Resolution,
        _ verdict: (Int) async throws -> Verdict
    ) async throws -> PatchComparison.Cell {
        var cell = PatchComparison.Cell(base: base, state: patch.state(on: base))
        if let only = reproducer.bases, !only.contains(base) {
            cell.note = "the test says nothing about \(base)"
        } else if cell.state == .contained {
            cell.after = try await verdict(0)
        } else if let index = resolution.patches.firstIndex(where: { $0.id == patch.id }) {
            cell.before = try await verdict(index)
            cell.after = try await verdict(index + 1)
        }
        return cell
    }

    private func verdict(
        of reproducer: PatchMetadata.Reproducer, base: String, series: String, upTo: Int
    ) async throws -> Verdict {
        let driver = reproducer.driver ?? GuestSelection.Driver.testHmm.rawValue
        guard let driver = GuestSelection.Driver(rawValue: driver) else {
            throw LabError(
                "model-bad", exit: .usage, "The reproducer \(reproducer.test) names the unknown driver \(driver)",
                next: "The drivers are \(GuestSelection.Driver.allCases.map(\.rawValue).joined(separator: " and ")).")
        }
        let kernel = KernelSelection(
            base: base, series: series, upTo: upTo, flavour: reproducer.flavour ?? "fast")
        let pattern = NSRegularExpression.escapedPattern(for: reproducer.test).replacing("\\*", with: ".*")
        let report = try await test(
            TestSelection(
                kernel: kernel, guest: GuestSelection(driver: driver), suites: [reproducer.suite],
                filter: "^\(pattern)$"))
        let tests = report.record.tests.map(\.verdict)
        // A guest that did not boot, or a test that was skipped, has shown nothing.
        return max(tests.max() ?? .infra, report.record.problems.map(\.verdict).max() ?? .pass)
    }
}

extension ModelPatch {
    fileprivate func isCalled(_ text: String) -> Bool { id == text || name == text }
}
