// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchModel
import PatchSeries

/// Who wrote a patch.
public typealias PatchAuthor = Patch.Author

extension Lab {
    /// The model that hmmlab's own patches live in.
    public var ownModelFolder: String { installation.root + "/kernel-patches/series" }

    /// The store of a model's files.
    ///
    /// - Parameter folder: the model; nil for hmmlab's own.
    public func modelStore(_ folder: String?) -> PatchModelStore {
        PatchModelStore(folder: folder ?? ownModelFolder, runner: runner, cache: cache)
    }

    /// The model, or the one topic of it, that `--series` names; nil if it names neither.
    ///
    /// - Throws: ``LabError`` `model-bad` and what reading patches throws.
    func model(at argument: String) async throws -> PatchModel? {
        if PatchModelStore.isModel(argument) { return try await modelStore(argument).load() }
        guard let place = PatchModelStore.topic(at: argument) else { return nil }
        var model = try await modelStore(place.model).load()
        model.topics = try model.topics(named: [place.topic])
        return model
    }
}

extension PatchModel {
    /// The patches for a base.
    ///
    /// - Throws: ``LabError`` `base-without-series` and what ``resolve(for:topics:)-(BaseSeries,_)`` throws.
    public func resolve(for base: Base, topics: [String] = []) throws -> Resolution {
        try resolve(for: base.series, topics: topics)
    }
}

extension Base {
    /// The kernel series that patches are written for.
    ///
    /// - Throws: ``LabError`` `base-without-series`.
    public var series: BaseSeries {
        get throws {
            guard let series = BaseSeries(ofKernel: kernelVersion) else {
                throw LabError(
                    "base-without-series", exit: .usage, "\(spec) does not say which kernel series it is",
                    cause: "Its version is \"\(kernelVersion)\".", next: "Use a base with a kernel's top Makefile.")
            }
            return series
        }
    }
}

extension Patch.Author {
    /// Reads `Name <address>`; nil for anything else.
    public init?(parsing text: String) {
        guard let match = text.wholeMatch(of: /\s*([^<>]+?)\s*<([^<>\s]+@[^<>\s]+)>\s*/) else { return nil }
        self.init(name: String(match.1), email: String(match.2), date: nil)
    }
}
