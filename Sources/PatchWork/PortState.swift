// SPDX-License-Identifier: Apache-2.0
import Foundation
import PatchModel

/// A base that patches are carried from, and its patches as commits.
struct PortSource: Sendable, Equatable, Codable {
    var base: WorkBase
    /// The commit of the last patch there.
    var tip: String
}

/// How far a port is; a part of ``WorkSession``.
struct PortState: Sendable, Equatable, Codable {
    /// One patch, in the model's order.
    struct Step: Sendable, Equatable, Codable {
        var id: String
        var subject: String
        /// The commit to pick; nil for a patch that needs none, whose outcome is known from the beginning.
        var commit: String?
        /// The base that the patch comes from; nil for one that is for the new base already.
        var source: BaseSeries?
        /// What became of it; nil if its turn has not come.
        var outcome: PortOutcome?
        /// Why, for a person.
        var reason: String?
        /// The files that could not be merged.
        var conflicts: [String] = []
        /// The patch as it was in the model at the beginning.
        var record: WorkSession.Record
    }

    /// The bases that patches come from.
    var sources: [PortSource]
    /// The patches.
    var steps: [Step]
    /// HEAD before the step that is the turn of.
    var tip: String
    /// Whether that step waits for a person.
    var isStopped = false

    /// The step whose turn it is; nil if all are through.
    var current: Int? { steps.firstIndex { $0.outcome == nil } }
}

/// What became of a patch when a series was carried to another base.
public enum PortOutcome: String, Sendable, Equatable, Codable {
    /// It was for the new base before.
    case kept
    /// Its text is the same on both bases.
    case clean
    /// Merging it gave another text.
    case merged
    /// A person has resolved its conflicts.
    case byHand = "by-hand"
    /// Conflicts were resolved as a person has resolved the same ones before.
    case reused
    /// The new base has it already.
    case contained
    /// A person has left it out.
    case skipped

    /// For a table.
    public var words: String {
        switch self {
        case .kept: "there before"
        case .clean: "ported clean"
        case .merged: "ported with merge"
        case .byHand: "resolved by hand"
        case .reused: "reused resolution"
        case .contained: "already in base"
        case .skipped: "skipped"
        }
    }
}

/// What a port has done so far.
public struct PortReport: Sendable, Encodable {
    /// How it stands.
    public enum State: String, Sendable, Encodable {
        /// It is through, and the model has it.
        case done
        /// It waits for a person.
        case conflict
    }

    /// A patch.
    public struct Row: Sendable, Encodable {
        /// `topic/name`.
        public var id: String
        /// The subject.
        public var subject: String
        /// What became of it; nil if its turn has not come, or if it is the one that waits.
        public var outcome: PortOutcome?
        /// Why, for a person.
        public var reason: String?
        /// The files that could not be merged.
        public var conflicts: [String]
    }

    /// How the port stands.
    public var state: State
    /// The work folder.
    public var folder: String
    /// The model.
    public var model: String
    /// The new base.
    public var base: WorkBase
    /// The bases that the patches come from.
    public var from: [WorkBase]
    /// The patches, in the order in which they are applied.
    public var patches: [Row]
    /// The patch that waits for a person.
    public var stopped: Row?
    /// The files of the model that were written or removed.
    public var files: [String]
    /// What became of the model's patches.
    public var changes: [PatchChange]
    /// What else the person should know.
    public var notes: [String]
    /// What git range-diff says about the series on the old base and on the new one.
    public var rangeDiff: String
}
