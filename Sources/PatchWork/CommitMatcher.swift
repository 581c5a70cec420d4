// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import PatchModel
import PatchSeries

/// Tells which patch of the model each commit is.
struct CommitMatcher {
    /// A commit and the patch it is.
    struct Match: Equatable {
        /// `topic/name`.
        var id: String
        var commit: WorkCommit
        /// The patch that it was a part of, for one that a split has made.
        var splitFrom: String?
    }

    let session: WorkSession
    let model: PatchModel

    /// The patch of each commit, in the commits' order.
    ///
    /// A commit's first trailer decides. Where several commits have the same one, it stays with the one that is nearest
    /// to the patch, and the others are new patches of its topic. A commit without a trailer is the patch that has lost
    /// its commit and has the same subject; or else a new one in the topic of the commit before it.
    ///
    /// - Throws: ``LabError`` `patch-name-bad`, `topic-unknown`, `topic-needed`.
    func match(_ commits: [WorkCommit]) throws -> [Match] {
        var ids: [String?] = commits.map { $0.names.first }
        var splits: [String?] = commits.map { _ in nil }
        for (name, places) in Dictionary(grouping: ids.indices.filter { ids[$0] != nil }, by: { ids[$0] ?? "" }) {
            try check(name, commits[places[0]])
            guard places.count > 1 else { continue }
            let keeper = nearest(to: name, among: places, commits)
            for place in places where place != keeper { (ids[place], splits[place]) = (nil, name) }
        }
        for place in ids.indices where ids[place] == nil && splits[place] == nil {
            let lost = session.patches.first {
                $0.commit != nil && $0.subject == commits[place].patch.subject && !ids.contains($0.id)
            }
            ids[place] = lost?.id
        }
        var taken = Set(model.patches.map(\.id)).union(ids.compactMap { $0 })
        for place in ids.indices where ids[place] == nil {
            let neighbour =
                splits[place] ?? ids[..<place].last { $0 != nil } ?? ids[place...].first { $0 != nil } ?? nil
            let topic = try neighbour.flatMap { PatchName.parts($0)?.topic } ?? onlyTopic(commits[place])
            let names = taken.compactMap { PatchName.parts($0) }.filter { $0.topic == topic }.map(\.name)
            let id = "\(topic)/" + PatchText.name(for: commits[place].patch.subject, taken: Set(names))
            taken.insert(id)
            ids[place] = id
        }
        return commits.indices.map { Match(id: ids[$0] ?? "", commit: commits[$0], splitFrom: splits[$0]) }
    }

    private func check(_ name: String, _ commit: WorkCommit) throws {
        guard let parts = PatchName.parts(name) else {
            throw LabError(
                "patch-name-bad", exit: .usage,
                "The commit \(commit.commit.prefix(12)) (\(Printable.text(commit.patch.subject))) has a Patch-Name that is none",
                cause: "\"\(Printable.text(name))\" is not of the form topic/name.",
                next: "Reword the commit: correct the trailer, or remove it, and the patch gets a name of its own.")
        }
        _ = try model.topics(named: [parts.topic])
    }

    private func onlyTopic(_ commit: WorkCommit) throws -> String {
        if let topic = session.topics.first ?? model.topics.first?.name { return topic }
        throw LabError(
            "topic-needed", exit: .usage,
            "The commit \(commit.commit.prefix(12)) (\(Printable.text(commit.patch.subject))) belongs to no topic",
            cause: "The model has none yet.", next: "Make one: hmmlab patches import --topic NAME SERIES.")
    }

    // MARK: - Nearness

    private func nearest(to name: String, among places: [Int], _ commits: [WorkCommit]) -> Int? {
        guard let old = model.patches.first(where: { $0.id == name }) else { return places.first }
        let patch = (try? old.patch(on: session.base.series)) ?? old.patch
        let lines = Self.changedLines(patch)
        func score(_ place: Int) -> Double {
            let other = Self.changedLines(commits[place].patch)
            let shared = Double(lines.intersection(other).count) / Double(max(lines.union(other).count, 1))
            return shared + (commits[place].patch.subject == patch.subject ? 1 : 0)
        }
        // The first of equals.
        return places.reversed().max { score($0) < score($1) }
    }

    /// The lines that a diff adds or removes.
    private static func changedLines(_ patch: Patch) -> Set<Data> {
        Set(
            patch.diff.split(separator: 10).filter { line in
                (line.first == UInt8(ascii: "+") || line.first == UInt8(ascii: "-")) && !line.starts(with: "+++ ".utf8)
                    && !line.starts(with: "--- ".utf8)
            }.map { Data($0) })
    }
}
