// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelBuild
import KernelSource
import PatchModel
import PatchSeries
import ProcessRunner
import QEMU
@_exported import TestResults
import VirtualMachine

@_exported import struct KernelBuild.Flavour
@_exported import struct KernelBuild.KernelArtifact
@_exported import struct KernelSource.Base
@_exported import enum KernelSource.BaseSpec
@_exported import struct PatchSeries.AppliedSeries

/// A kernel that is ready to boot, and how it came to be.
public struct PreparedKernel: Sendable {
    /// The base.
    public var base: Base
    /// The series as applied; nil for the bare base.
    public var series: AppliedSeries?
    /// The kernel in the cache.
    public var artifact: KernelArtifact
    var input: KernelInput
    var config: ConfigRequest
    /// The words that its flavour has for the command line of every boot.
    var append: [String] = []
}

/// A kernel that is decided on, whether or not it is built.
struct KernelPlan: Sendable {
    /// The series as applied; nil for the bare base.
    var series: AppliedSeries?
    var input: KernelInput
    var config: ConfigRequest
    /// The words that the flavour has for the command line of every boot.
    var append: [String]
}

/// Everything that the commands share: the cache, the tools, the sources.
public struct Lab: Sendable {
    /// Where things are kept that can be made again.
    public let cache: Cache
    /// hmmlab's own files.
    public internal(set) var installation: Installation
    /// The bases.
    public let sources: KernelSources
    let runner: ProcessRunner
    let environment: [String: String]
    let progress: ProgressHandler

    /// Sets everything up for one command; staging folders of killed runs are swept.
    ///
    /// - Throws: ``LabError`` `installation-unknown`.
    public init(
        environment: [String: String] = ProcessInfo.processInfo.environment, progress: @escaping ProgressHandler
    ) throws {
        self.environment = environment
        self.progress = progress
        cache = Cache(environment: environment)
        installation = try Installation(environment: environment)
        runner = ProcessRunner()
        sources = KernelSources(cache: cache, runner: runner, progress: progress, environment: environment)
        cache.sweepStaging()
    }

    /// The flavours' names, for shell completion.
    ///
    /// - Throws: ``LabError`` if the clone cannot be found.
    public static func flavourNames() throws -> [String] {
        let installation = try Installation(environment: ProcessInfo.processInfo.environment)
        return try FlavourFolder(installation.kconfig).all().map(\.name)
    }

    /// The flavours.
    ///
    /// - Throws: ``LabError`` `flavours-bad`.
    public func flavours() throws -> [Flavour] { try FlavourFolder(installation.kconfig).all() }

    /// Whether the guest gets persistent memory, by the words of its command line.
    func hasPersistentMemory(_ kernel: KernelSelection, _ guest: GuestSelection) throws -> Bool {
        let words = try FlavourFolder(installation.kconfig).flavour(kernel.flavour).append + guest.append
        return words.contains { PersistentMemory(word: $0) != nil }
    }

    /// The machine descriptions.
    ///
    /// - Throws: ``LabError`` if one cannot be read.
    public func machines() throws -> [MachineDescription] {
        let folder = MachineFolder(installation.machines)
        return try folder.names().map { try folder.machine($0) }
    }

    /// The suites and their tests.
    ///
    /// - Throws: ``LabError`` `catalog-unreadable`.
    public func catalog() async throws -> SuiteCatalog {
        try await SuiteCatalog(program: installation.guestTests, runner: runner)
    }

    /// Fetches, patches, configures and builds what is not there yet.
    ///
    /// - Throws: ``LabError`` with exit code 2 if a patch does not apply or the kernel does not build; many others.
    public func prepare(
        _ selection: KernelSelection, image: ImageNeed = .always
    ) async throws -> PreparedKernel {
        let plan = try await plan(selection)
        let artifact = try await builder.build(plan.input, plan.config, image: image)
        return PreparedKernel(
            base: plan.input.base, series: plan.series, artifact: artifact, input: plan.input, config: plan.config,
            append: plan.append)
    }

    /// Fetches and patches what is not there yet, and says what is to be built.
    ///
    /// - Throws: ``LabError`` with exit code 2 if a patch does not apply; many others.
    func plan(_ selection: KernelSelection) async throws -> KernelPlan {
        let spec = try BaseSpec(parsing: selection.base)
        // What is cheap to refuse is refused before anything is fetched.
        let folder = FlavourFolder(installation.kconfig)
        let flavour = try folder.flavour(selection.flavour)
        let settings = try Fragment(settings: selection.settings)
        let given = try selection.configFiles.map { Fragment.File(path: $0, text: try Files.text($0, exit: .usage)) }
        try builder.checkPaths()
        let (input, applied) = try await input(selection, spec)
        let config = try ConfigRequest(
            flavour: flavour.name, files: given,
            fragments: folder.fragments(of: flavour, kernelVersion: input.base.kernelVersion), settings: settings)
        return KernelPlan(series: applied, input: input, config: config, append: flavour.append)
    }

    /// The base with the series on it.
    private func input(
        _ selection: KernelSelection, _ spec: BaseSpec
    ) async throws -> (KernelInput, AppliedSeries?) {
        if let pinned = selection.pinned { return (pinned, nil) }
        // A series that cannot be read is refused before a base is fetched.
        let source = try await seriesSource(selection)
        let base = try await sources.resolve(spec, refresh: selection.refresh ? .always : .whenStale)
        let series = try source?(base).prefix(selection.upTo)
        guard let series, !series.patches.isEmpty else {
            return (KernelInput(base: base, commit: base.commit, tree: base.tree), nil)
        }
        for note in series.notes { progress(.note(note)) }
        progress(.step("Applying \(series.patches.count.of("patch", plural: "patches"))"))
        let applied = try await apply(series, onto: base)
        for note in applied.notes { progress(.note(note)) }
        return (KernelInput(base: base, commit: applied.tip, tree: applied.tree), applied)
    }

    /// Reads what `--series` names: a series, or a model that has one for each base; nil if it names nothing.
    func seriesSource(_ selection: KernelSelection) async throws -> (@Sendable (Base) throws -> PatchSeries)? {
        guard let argument = selection.series else { return nil }
        if let model = try await model(at: argument) { return { try model.resolve(for: $0).series } }
        let series = try await SeriesReader(runner: runner, cache: cache).read(argument)
        _ = try series.prefix(selection.upTo)
        return { _ in series }
    }

    func apply(_ series: PatchSeries, onto base: Base) async throws -> AppliedSeries {
        try await SeriesApplier(gitDirectory: sources.store.gitDirectory, runner: runner, cache: cache).apply(
            series, onto: base.commit)
    }

    var builder: KernelBuilder {
        KernelBuilder(cache: cache, runner: runner, sources: sources, environment: environment, progress: progress)
    }
}
