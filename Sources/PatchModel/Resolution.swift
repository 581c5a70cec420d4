// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import PatchSeries

/// What a patch is on a base.
public enum PatchState: String, Sendable, Codable, CaseIterable {
    /// Applied with the text of its home base.
    case ours
    /// Applied with a diff of its own.
    case variant
    /// Not applied: the base has it already.
    case contained
    /// Not applied: nobody says that it is for this base.
    case notApplicable = "not-applicable"

    /// The word for it in a table.
    public var word: String {
        switch self {
        case .ours: "ours"
        case .variant: "variant"
        case .contained: "in base"
        case .notApplicable: "-"
        }
    }
}

extension ModelPatch {
    /// What the metadata says about a base.
    public func state(on base: BaseSeries) -> PatchState {
        if metadata.contained.contains(base) { return .contained }
        if !metadata.bases.contains(base) { return .notApplicable }
        return variants[base] == nil ? .ours : .variant
    }
}

extension PatchModel {
    /// The patches for a base, in the order in which they are applied.
    ///
    /// - Parameters:
    ///   - base: the base's series.
    ///   - topics: the topics by name; all for an empty list.
    /// - Returns: each patch that is applied there, and the same as a series.
    /// - Throws: ``LabError`` `topic-unknown`, `topic-not-for-base`, `depends-unmet`.
    public func resolve(for base: BaseSeries, topics names: [String] = []) throws -> Resolution {
        let asked = try topics(named: names).flatMap(\.patches)
        let applied = asked.filter { [.ours, .variant].contains($0.state(on: base)) }
        var isBefore: Set<String> = []
        for patch in patches where patch.state(on: base) == .contained { isBefore.insert(patch.id) }
        for patch in applied {
            for need in patch.dependencies where !isBefore.contains(need) {
                throw LabError(
                    "depends-unmet", exit: .usage, "\(patch.id) cannot be applied to \(base): it depends on \(need)",
                    cause: "\(need) is not among the patches before it.",
                    next: "Take its topic along, correct the order, or correct depends in \(patch.name).toml.")
            }
            isBefore.insert(patch.id)
        }
        if applied.isEmpty, !asked.isEmpty, !asked.contains(where: { $0.state(on: base) == .contained }) {
            throw LabError(
                "topic-not-for-base", exit: .usage, "No patch of \(folder) is for \(base)",
                cause: "They are for: \(bases.map(\.description).joined(separator: ", ")).",
                next: "Port them: hmmlab patches port --to debian:\(base) FOLDER.")
        }
        return Resolution(
            base: base, patches: applied,
            left: asked.filter { patch in !applied.contains { $0.id == patch.id } },
            series: PatchSeries(source: folder, patches: try applied.map { try $0.patch(on: base) }))
    }
}

extension ModelPatch {
    /// The ids of the patches it depends on.
    public var dependencies: [String] { metadata.depends.map { $0.contains("/") ? $0 : "\(topic)/\($0)" } }
}

/// A model's patches for one base.
public struct Resolution: Sendable, Equatable {
    /// The base's series.
    public let base: BaseSeries
    /// The patches that are applied, in order.
    public let patches: [ModelPatch]
    /// The patches that are not: the base has them, or they are not for it.
    public let left: [ModelPatch]
    /// The patches that are applied, as a series; in the same order.
    public let series: PatchSeries
}
