// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchModel

/// What each patch of a model is on each base.
public struct PatchMatrix: Sendable, Encodable {
    /// A base of the matrix.
    public struct Column: Sendable, Encodable {
        /// The kernel series.
        public var series: BaseSeries
        /// The version that was looked into; nil if none is in the cache, so that nothing was verified.
        public var version: String?
    }

    /// A patch on a base.
    public struct Cell: Sendable, Encodable {
        /// What the metadata says.
        public var state: PatchState
        /// What the base's sources say; nil if they are not in the cache.
        public var probe: ProbeReader.Answer?

        /// The state as a word.
        public var word: String { state.word }

        /// Whether metadata and sources contradict each other.
        public var isContradicted: Bool {
            switch (state, probe) {
            case (.contained, .absent), (.ours, .contained), (.variant, .contained), (.notApplicable, .contained): true
            default: false
            }
        }
    }

    /// A patch on all bases.
    public struct Row: Sendable, Encodable {
        /// `topic/name`.
        public var id: String
        /// The patch's subject.
        public var subject: String
        /// In the order of the columns.
        public var cells: [Cell]
    }

    /// The bases, oldest first.
    public var bases: [Column]
    /// The patches, in the order in which they are applied.
    public var patches: [Row]

    /// One sentence for each contradiction.
    public var contradictions: [String] {
        patches.flatMap { row in
            zip(bases, row.cells).compactMap { base, cell in
                guard cell.isContradicted, let version = base.version else { return nil }
                return cell.state == .contained
                    ? "\(row.id) is said to be in \(base.series), but \(version) lacks what its probe looks for."
                    : "\(row.id) is not said to be in \(base.series), but its probe finds it in \(version)."
            }
        }
    }
}

extension Lab {
    /// The matrix patch by base, verified on the bases that are in the cache.
    ///
    /// - Parameters:
    ///   - folder: the model; nil for hmmlab's own.
    ///   - topics: topics by name; all for an empty list.
    /// - Throws: ``LabError`` of reading the model.
    public func patchMatrix(model folder: String?, topics: [String]) async throws -> PatchMatrix {
        var model = try await modelStore(folder).load()
        model.topics = try model.topics(named: topics)
        let reader = ProbeReader(store: sources.store, runner: runner)
        let cached = try await sources.store.bases()
        var columns: [(BaseSeries, Base?)] = []
        for series in model.bases {
            let newest = try await sources.newestStored(ofSeries: "\(series)")
            columns.append((series, newest ?? cached.first { (try? $0.series) == series }))
        }
        var rows: [PatchMatrix.Row] = []
        for patch in model.patches {
            var cells: [PatchMatrix.Cell] = []
            for (series, base) in columns {
                var answer: ProbeReader.Answer?
                if let base { answer = try await reader.answer(patch.metadata.probes, in: base.commit) }
                cells.append(PatchMatrix.Cell(state: patch.state(on: series), probe: answer))
            }
            rows.append(PatchMatrix.Row(id: patch.id, subject: patch.patch.subject, cells: cells))
        }
        return PatchMatrix(
            bases: columns.map { PatchMatrix.Column(series: $0.0, version: $0.1?.version) }, patches: rows)
    }
}
