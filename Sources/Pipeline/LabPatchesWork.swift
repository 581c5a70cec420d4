// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchModel
import PatchWork

@_exported import struct PatchModel.BaseSeries
@_exported import enum PatchModel.PatchState
@_exported import struct PatchWork.EditReport
@_exported import struct PatchWork.ExportReport
@_exported import struct PatchWork.PatchChange
@_exported import enum PatchWork.PortDecision
@_exported import enum PatchWork.PortOutcome
@_exported import struct PatchWork.PortReport
@_exported import struct PatchWork.WorkBase

extension Lab {
    private var workshop: PatchWorkshop {
        PatchWorkshop(store: sources.store, runner: runner, cache: cache, progress: progress)
    }

    private func workBase(_ argument: String) async throws -> WorkBase {
        let spec = try BaseSpec(parsing: argument)
        let base = try await sources.resolve(spec)
        return WorkBase(spec: spec.description, commit: base.commit, series: try base.series)
    }

    /// Makes a folder with a model's patches for a base as commits.
    ///
    /// - Parameters:
    ///   - model: the model's folder; nil for hmmlab's own.
    ///   - base: the base, such as `debian:6.12`.
    ///   - topics: the topics by name; all for an empty list.
    ///   - folder: does not exist or is empty.
    /// - Throws: ``LabError`` `folder-exists`, `model-missing`, `patch-does-not-apply` and others.
    public func editPatches(model: String?, base: String, topics: [String], folder: String) async throws -> EditReport {
        let loaded = try await modelStore(model).load()
        _ = try loaded.topics(named: topics)
        return try await workshop.edit(loaded, base: try await workBase(base), topics: topics, folder: folder)
    }

    /// Takes the commits of a work folder back into its model.
    ///
    /// - Throws: ``LabError`` `session-missing`, `session-busy`, `model-changed` and others.
    public func exportPatches(_ folder: String, isDryRun: Bool, isForced: Bool) async throws -> ExportReport {
        try await workshop.export(folder, isDryRun: isDryRun, isForced: isForced)
    }

    /// Carries a model's patches to another base, as far as it goes without a person.
    ///
    /// - Parameters:
    ///   - model: the model's folder; nil for hmmlab's own.
    ///   - target: the new base.
    ///   - source: the base to take the patches from; if nil, Debian's kernel of each patch's home.
    ///   - topics: the topics by name; all for an empty list.
    ///   - folder: does not exist or is empty.
    /// - Throws: ``LabError`` `folder-exists`, `port-nothing` and others.
    public func portPatches(
        model: String?, to target: String, from source: String?, topics: [String], folder: String
    ) async throws -> PortReport {
        let loaded = try await modelStore(model).load()
        _ = try loaded.topics(named: topics)
        let new = try await workBase(target)
        var old: [WorkBase] = []
        if let source {
            old.append(try await workBase(source))
            _ = try PatchWorkshop.sources(of: loaded, to: new.series, from: old[0].series, topics: topics)
        } else {
            for series in try PatchWorkshop.sources(of: loaded, to: new.series, from: nil, topics: topics) {
                old.append(try await workBase("debian:\(series)"))
            }
        }
        return try await workshop.port(
            loaded, to: new, from: source == nil ? nil : old[0].series, bases: old, topics: topics, folder: folder)
    }

    /// Goes on with a port that waits for a person.
    ///
    /// - Throws: ``LabError`` `port-not-running`, `port-unresolved`, `port-head-moved`, `model-changed` and others.
    public func goOnWithPort(_ folder: String, _ decision: PortDecision, isForced: Bool) async throws -> PortReport {
        try await workshop.goOn(in: folder, decision, isForced: isForced)
    }

    /// Removes the folder of a port that is not through.
    ///
    /// - Throws: ``LabError`` `session-missing`, `port-not-running`, `folder-unwritable`.
    public func abortPort(_ folder: String) async throws { try await workshop.abort(in: folder) }
}
