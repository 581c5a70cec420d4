// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelBuild
import KernelSource
import PatchModel
import PatchSeries

@_exported import struct PatchCheck.B4Answer
import struct PatchCheck.CheckConfiguration
@_exported import enum PatchCheck.CheckName
import struct PatchCheck.CheckOptions
@_exported import struct PatchCheck.CheckReport
import struct PatchCheck.CheckedPatch
import struct PatchCheck.PatchReport
import struct PatchCheck.SeriesChecker

/// What `hmmlab patches check` is asked for.
public struct CheckSelection: Sendable {
    /// Bases as people name them; the patches' own if empty.
    public var bases: [String]
    /// The patch model's folder; nil for hmmlab's own.
    public var model: String?
    /// Topics of the model; all if empty.
    public var topics: [String]
    /// A series instead of a model; nil for the model.
    public var series: String?
    /// The only checks to make; all that are not slow if empty.
    public var only: [CheckName]
    /// Whether slow checks are made, too.
    public var isSlow: Bool

    /// Makes a selection.
    public init(
        bases: [String] = [], model: String? = nil, topics: [String] = [], series: String? = nil,
        only: [CheckName] = [], isSlow: Bool = false
    ) {
        self.bases = bases
        self.model = model
        self.topics = topics
        self.series = series
        self.only = only
        self.isSlow = isSlow
    }
}

extension Lab {
    /// The base of a series that comes without a model.
    private static let defaultBase = "debian:6.12"

    /// Checks patches on bases.
    ///
    /// - Throws: ``LabError`` for patches that cannot be read, bases that were named and cannot be had, and failures of
    ///   the host.
    public func checkPatches(_ selection: CheckSelection) async throws -> CheckReport {
        try builder.checkPaths()
        var model: PatchModel?
        if let series = selection.series {
            model = try await self.model(at: series)
        } else {
            model = try await modelStore(selection.model).load()
        }
        if let model {
            var reports: [PatchReport] = []
            for base in try await bases(of: model, selection) { reports += try await check(model, on: base, selection) }
            return CheckReport(reports)
        }
        let series = try await SeriesReader(runner: runner, cache: cache).read(selection.series ?? "")
        for note in series.notes { progress(.note(note)) }
        var reports: [PatchReport] = []
        for name in selection.bases.isEmpty ? [Self.defaultBase] : selection.bases {
            reports += try await check(series, on: try await sources.resolve(BaseSpec(parsing: name)), selection)
        }
        return CheckReport(reports)
    }

    /// Checks one mail for b4.
    ///
    /// - Parameters:
    ///   - mail: the mail as it came.
    ///   - selection: the first base counts, and the checks; without checks those that one mail alone can be judged by
    ///     in seconds.
    /// - Throws: as ``checkPatches(_:)``.
    public func checkMail(_ mail: Data, _ selection: CheckSelection) async throws -> B4Answer {
        try builder.checkPaths()
        let staging = try cache.stagingFolder()
        defer { try? FileManager.default.removeItem(atPath: staging) }
        try Files.write(mail, to: staging + "/mail.patch")
        let series = try await SeriesReader(runner: runner, cache: cache).read(staging + "/mail.patch")
        guard series.patches.count == 1 else {
            throw LabError(
                "mail-not-one", exit: .usage, "Standard input holds \(series.patches.count) patches instead of one",
                next: "Check a whole series with hmmlab patches check --series MBOX.")
        }
        var selection = selection
        if selection.only.isEmpty { selection.only = [.applies, .checkpatch, .message, .kernelDoc] }
        let base = try await sources.resolve(BaseSpec(parsing: selection.bases.first ?? Self.defaultBase))
        guard let report = try await check(series, on: base, selection).first else {
            throw LabError("mail-not-one", exit: .usage, "Standard input holds no patch")
        }
        return B4Answer(report, isPart: B4Answer.isPart(mail))
    }

    // MARK: - Bases

    /// The bases that were named, or those that the patches are for or contained in as far as they can be had.
    private func bases(of model: PatchModel, _ selection: CheckSelection) async throws -> [Base] {
        var bases: [Base] = []
        for name in selection.bases { bases.append(try await sources.resolve(BaseSpec(parsing: name))) }
        if !bases.isEmpty { return bases }
        var problem: LabError?
        let patches = try model.topics(named: selection.topics).flatMap(\.patches)
        for series in Set(patches.flatMap { $0.metadata.bases + $0.metadata.contained }).sorted() {
            do {
                bases.append(try await sources.resolve(BaseSpec(parsing: "debian:\(series)")))
            } catch let error as LabError where error.exitCode == .unavailable || error.code == "base-unknown" {
                progress(.warning("NOT CHECKED on \(series): \(error.sentence)"))
                problem = problem ?? error
            }
        }
        if bases.isEmpty, let problem { throw problem }
        return bases
    }

    // MARK: - One base

    private func check(_ model: PatchModel, on base: Base, _ selection: CheckSelection) async throws -> [PatchReport] {
        let resolution = try model.resolve(for: base, topics: selection.topics)
        let series = try base.series
        let patches = try resolution.patches.map {
            CheckedPatch(
                id: $0.id, patch: try $0.patch(on: series), probes: $0.metadata.probes,
                isBackport: !$0.metadata.contained.isEmpty)
        }
        let contained = resolution.left.filter { $0.state(on: series) == .contained }.map {
            CheckedPatch(id: $0.id, patch: $0.patch, probes: $0.metadata.probes)
        }
        return try await checker.check(
            patches, contained: contained, of: resolution.series, on: base, try options(selection, base, hasModel: true)
        )
    }

    private func check(
        _ series: PatchSeries, on base: Base, _ selection: CheckSelection
    ) async throws -> [PatchReport] {
        let patches = series.patches.map { CheckedPatch(id: $0.origin, patch: $0) }
        return try await checker.check(patches, of: series, on: base, try options(selection, base, hasModel: false))
    }

    private var checker: SeriesChecker {
        SeriesChecker(sources: sources, builder: builder, runner: runner, cache: cache, progress: progress)
    }

    private func options(_ selection: CheckSelection, _ base: Base, hasModel: Bool) throws -> CheckOptions {
        var checks = Set(selection.only.isEmpty ? CheckName.allCases : selection.only)
        // Only a model knows probes.
        if !hasModel { checks.remove(.probe) }
        var skipped: [CheckName: String] = [:]
        if checks.contains(.coccicheck), !selection.isSlow, selection.only.isEmpty {
            skipped[.coccicheck] = "it is slow; --slow or --only coccicheck asks for it"
        }
        let folder = FlavourFolder(installation.kconfig)
        let fragments = try folder.fragments(of: folder.flavour("fast"), kernelVersion: base.kernelVersion)
        return CheckOptions(checks: checks, skipped: skipped, configurations: CheckConfiguration.all(fragments))
    }
}
