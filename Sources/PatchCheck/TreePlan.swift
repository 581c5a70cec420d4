// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import KernelBuild
import KernelSource
import PatchSeries
import ProcessRunner

/// What has to be known about each tree of a series, and what is known.
///
/// Step 0 is the base, step n the tree after patch n. A patch is judged by comparing the tree before it with the one
/// after it, so that each tree is visited once, in order: its files are switched, and what is missing is made there.
final class TreePlan: Sendable {
    /// Who is asked; `build` with the number of a configuration.
    enum Kind: Hashable {
        case build(Int)
        case sparse
        case coccicheck
        case kernelDoc
    }

    private struct Slot: Hashable {
        var kind: Kind
        var step: Int
    }

    let checker: SeriesChecker
    let base: Base
    let patches: [CheckedPatch]
    let steps: Steps
    let options: CheckOptions
    let touched: [TouchedObjects.Touched]
    private let maker: ObjectMaker
    private let tools: ToolVersions
    private let kinds: [Kind]
    private let ledger: CheckLedger
    private let records = LockedValue<[Slot: TreeRecord]>([:])
    private let fresh = LockedValue<Set<Slot>>([])

    init(
        checker: SeriesChecker, base: Base, patches: [CheckedPatch], steps: Steps, options: CheckOptions
    ) async throws {
        self.checker = checker
        self.base = base
        self.patches = patches
        self.steps = steps
        self.options = options
        ledger = CheckLedger(cache: checker.cache)
        maker = try await ObjectMaker(checker.builder)
        tools = try await ToolVersions(options.checks, runner: checker.runner)
        let finder = TouchedObjects(store: checker.sources.store, runner: checker.runner, ledger: ledger)
        var touched: [TouchedObjects.Touched] = []
        for (index, item) in patches.enumerated() {
            touched.append(try await finder.of(item.patch, tree: steps.trees[index + 1]))
        }
        self.touched = touched
        var kinds: [Kind] = []
        if options.checks.contains(.build) { kinds += options.configurations.indices.map { .build($0) } }
        if tools.reason(.sparse, options) == nil { kinds.append(.sparse) }
        if tools.reason(.coccicheck, options) == nil { kinds.append(.coccicheck) }
        if options.checks.contains(.kernelDoc) { kinds.append(.kernelDoc) }
        self.kinds = kinds
        for kind in kinds {
            for step in steps.commits.indices { try await load(kind, step) }
        }
    }

    /// Why a check is not made at all; nil if it is.
    func reason(_ check: CheckName) -> String? { tools.reason(check, options) }

    /// What is known of a step.
    func record(_ kind: Kind, _ step: Int) -> TreeRecord {
        records.withLock { $0[Slot(kind: kind, step: step)] } ?? TreeRecord()
    }

    /// Whether nothing had to be asked for a patch.
    func isCached(_ kind: Kind, _ patch: Int) -> Bool {
        fresh.withLock { fresh in
            !fresh.contains(Slot(kind: kind, step: patch)) && !fresh.contains(Slot(kind: kind, step: patch + 1))
        }
    }

    /// The objects of all patches up to one.
    func objects(upTo patch: Int) -> [String] { Set(touched[...patch].flatMap(\.objects)).sorted() }

    /// What a step is asked about: for the patch that it follows and for the one that follows it.
    private func names(_ kind: Kind, _ step: Int) -> [String] {
        guard !patches.isEmpty else { return [] }
        if case .build = kind { return objects(upTo: min(step, patches.count - 1)) }
        return Set([step - 1, step].filter(touched.indices.contains).flatMap { names(kind, of: $0) }).sorted()
    }

    /// What is compared for a patch.
    func names(_ kind: Kind, of patch: Int) -> [String] {
        switch kind {
        case .build: objects(upTo: patch)
        case .sparse: touched[patch].objects.filter { $0.hasSuffix(".o") }
        case .coccicheck: touched[patch].files.filter { $0.hasSuffix(".c") }.map { String($0.dropLast(1) + "o") }
        case .kernelDoc: touched[patch].files
        }
    }

    // MARK: - What is known

    private func load(_ kind: Kind, _ step: Int) async throws {
        var record = TreeRecord()
        for (key, _) in try await keys(kind, step, names(kind, step)) {
            guard let known = ledger.read(TreeRecord.self, key) else { continue }
            record.objects.merge(known.objects) { old, _ in old }
            record.obstacle = record.obstacle ?? known.obstacle
        }
        records.withLock { [record] in $0[Slot(kind: kind, step: step)] = record }
    }

    /// The names of the records that hold what is known about objects.
    private func keys(_ kind: Kind, _ step: Int, _ names: [String]) async throws -> [String: [String]] {
        let tree = steps.trees[step]
        switch kind {
        case .build(let number):
            let config = options.configurations[number].request.digest.hexadecimal
            return [
                CheckLedger.key([
                    "question": "build", "recipe": ObjectMaker.recipe, "tree": tree, "config": config,
                    "tools": maker.identity,
                ]): names
            ]
        case .sparse:
            let config = options.configurations[0].request.digest.hexadecimal
            return [
                CheckLedger.key([
                    "question": "sparse", "recipe": ObjectMaker.recipe, "tree": tree, "config": config,
                    "tools": maker.identity + tools.sparse,
                ]): names
            ]
        case .kernelDoc:
            return [CheckLedger.key(["question": "kernel-doc", "tree": tree, "tools": tools.scripts]): names]
        case .coccicheck:
            // Too slow to be done again because another file has changed.
            var keys: [String: [String]] = [:]
            for name in names {
                let blob = try await checker.sources.store.objectID(of: "\(tree):\(name.dropLast(1))c")
                let key = CheckLedger.key([
                    "question": "semantic patches", "base": base.tree, "tools": tools.spatch, "file": name,
                    "blob": blob ?? "",
                ])
                keys[key, default: []].append(name)
            }
            return keys
        }
    }

    private func remember(_ new: TreeRecord, _ kind: Kind, _ step: Int) async throws {
        let slot = Slot(kind: kind, step: step)
        let merged = records.withLock { records in
            var record = records[slot] ?? TreeRecord()
            record.objects.merge(new.objects) { _, new in new }
            record.obstacle = new.obstacle
            records[slot] = record
            return record
        }
        fresh.withLock { _ = $0.insert(slot) }
        // What spatch lacks is not named in the records' keys, so that it is tried again.
        if kind == .coccicheck && new.obstacle != nil { return }
        for (key, names) in try await keys(kind, step, Array(merged.objects.keys)) {
            let part = merged.objects.filter { names.contains($0.key) }
            try ledger.write(TreeRecord(objects: part, obstacle: merged.obstacle), key)
        }
    }

    // MARK: - Work

    private func missing(_ kind: Kind, _ step: Int) -> [String] { record(kind, step).missing(names(kind, step)) }

    /// Makes what is missing.
    ///
    /// - Parameter style: work that needs the base's sources; nil if there is none.
    func run(_ style: (@Sendable (String) async throws -> Void)?) async throws {
        for step in steps.commits.indices {
            let open = kinds.filter { !missing($0, step).isEmpty }
            let first = step == 0 ? style : nil
            if open.isEmpty && first == nil { continue }
            let worktree = checker.sources.worktree(for: base)
            try await worktree.withCheckout(of: steps.commits[step]) { source in
                try await first?(source)
                if !open.isEmpty { self.announce(step) }
                try await self.work(open, step, source)
            }
        }
    }

    /// Does the work on one tree, side by side where no object folder is shared: one make has too few objects to keep the
    /// processors busy, and much of its time goes into reading makefiles.
    private func work(_ open: [Kind], _ step: Int, _ source: String) async throws {
        let lanes = Dictionary(grouping: open) { kind in
            switch kind {
            case .build(let number): number
            case .sparse, .coccicheck: 0
            case .kernelDoc: -1
            }
        }.sorted { $0.value.count > $1.value.count }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, lane) in lanes.enumerated() {
                if index >= ProcessInfo.processInfo.activeProcessorCount { try await group.next() }
                group.addTask { for kind in lane.value { try await self.work(kind, step, source) } }
            }
            try await group.waitForAll()
        }
    }

    private func announce(_ step: Int) {
        let name = base.kernelVersion
        guard step > 0 else { return checker.progress(.step("Making the touched objects of \(name)")) }
        checker.progress(
            .step("Checking patch \(step) of \(patches.count) on \(name): \(patches[step - 1].patch.subject)"))
    }

    private func work(_ kind: Kind, _ step: Int, _ source: String) async throws {
        let names = missing(kind, step)
        let input = KernelInput(base: base, commit: steps.commits[step], tree: steps.trees[step])
        var record = TreeRecord()
        switch kind {
        case .build(let number):
            let configuration = options.configurations[number]
            checker.progress(.update("compiling with \(configuration.name)", fraction: nil))
            do {
                record.objects = try await maker.compile(names, of: input, configuration.request, in: source)
            } catch let error as LabError where error.code == "config-dropped" {
                record.obstacle = "\(error.sentence): \((error.cause ?? "").split(separator: "\n").first ?? "")"
            }
        case .sparse:
            checker.progress(.update("sparse", fraction: nil))
            record = try await look(["C=2"], names, input, source)
        case .coccicheck:
            checker.progress(.update("coccicheck", fraction: nil))
            record = try await look(["C=2", "CHECK=\(source)/scripts/coccicheck"], names, input, source)
        case .kernelDoc:
            record = try await documentation(names, source)
        }
        try await remember(record, kind, step)
    }

    private func look(
        _ variables: [String], _ names: [String], _ input: KernelInput, _ source: String
    ) async throws -> TreeRecord {
        let request = options.configurations[0].request
        do {
            let output = try await maker.check(variables, names, of: input, request, in: source)
            // What it did not look at does not exist here or does not compile.
            let objects = names.map {
                ($0, output.diagnostics[$0].map { MadeObject(.built, $0) } ?? MadeObject(.absent))
            }
            return TreeRecord(objects: Dictionary(uniqueKeysWithValues: objects), obstacle: output.obstacle)
        } catch let error as LabError where error.code == "config-dropped" {
            return TreeRecord(obstacle: error.sentence)
        }
    }

    private func documentation(_ files: [String], _ source: String) async throws -> TreeRecord {
        let present = files.filter { Files.exists("\(source)/\($0)") }
        var record = TreeRecord(
            objects: Dictionary(
                uniqueKeysWithValues: files.map { ($0, MadeObject(present.contains($0) ? .built : .absent)) }))
        guard !present.isEmpty else { return record }
        let output = try await checker.runner.run(
            Command(source + "/scripts/kernel-doc", ["-none"] + present, in: source))
        let lines = (output.standardOutput + output.standardError).split(whereSeparator: \.isNewline)
        let diagnostics = lines.compactMap { Diagnostic($0, source: source) }
        for diagnostic in diagnostics { record.objects[diagnostic.file]?.diagnostics.append(diagnostic) }
        if diagnostics.isEmpty, !output.ending.isSuccess {
            record.obstacle = "kernel-doc: \(lines.last.map(String.init) ?? "it failed")"
        }
        return record
    }
}

/// The versions of the tools that are not part of the base, as far as they are needed.
struct ToolVersions: Sendable {
    /// sparse's; empty if it is not installed or not needed.
    private(set) var sparse = ""
    /// coccinelle's; likewise.
    private(set) var spatch = ""
    /// perl's and Python's: kernel-doc is written in one or the other.
    private(set) var scripts = ""

    init(_ checks: Set<CheckName>, runner: ProcessRunner) async throws {
        func version(_ tool: String) async throws -> String {
            guard ProcessRunner.find(tool) != nil else { return "" }
            let output = try await runner.run(Command(tool, ["--version"]))
            return output.standardOutput.split(separator: "\n").first.map(String.init) ?? tool
        }
        if checks.contains(.sparse) { sparse = try await version("sparse") }
        if checks.contains(.coccicheck) { spatch = try await version("spatch") }
        if checks.contains(.kernelDoc) { scripts = try await version("perl") + (try await version("python3")) }
    }

    /// Why a check is not made at all; nil if it is.
    func reason(_ check: CheckName, _ options: CheckOptions) -> String? {
        if let reason = options.skipped[check] { return reason }
        switch check {
        case .sparse where sparse.isEmpty: return "sparse is not installed"
        case .coccicheck where spatch.isEmpty: return "spatch is not installed (packages coccinelle and ocaml-nox)"
        default: return options.checks.contains(check) ? nil : "nobody asked for it"
        }
    }
}

/// What is to be checked, and with what.
public struct CheckOptions: Sendable {
    /// What to look at.
    public var checks: Set<CheckName>
    /// Checks that are reported as not made, each with the reason.
    public var skipped: [CheckName: String]
    /// What to compile with; sparse and coccicheck use the first one.
    public var configurations: [CheckConfiguration]

    /// Makes options.
    public init(
        checks: Set<CheckName>, skipped: [CheckName: String] = [:], configurations: [CheckConfiguration]
    ) {
        self.checks = checks
        self.skipped = skipped
        self.configurations = configurations
    }
}
