// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import PatchModel
import PatchSeries

/// What became of one patch of the model.
public struct PatchChange: Sendable, Equatable, Codable {
    /// The ways in which a patch can change.
    public enum Kind: String, Sendable, Equatable, Codable {
        /// It is new.
        case added
        /// It left the model.
        case removed
        /// It is no longer for this base, but for others.
        case baseRemoved = "base-removed"
        /// It is for this base as well now.
        case baseAdded = "base-added"
        /// The base contains it.
        case contained
        /// Its message changed.
        case message
        /// Its author changed.
        case author
        /// Its diff changed.
        case diff
        /// The base has a diff of its own now.
        case variantAdded = "variant-added"
        /// The base's own diff went, since it says the same as the home base's.
        case variantRemoved = "variant-removed"
    }

    /// `topic/name`.
    public var id: String
    /// What changed, in this order.
    public var kinds: [Kind]
}

/// Takes the commits of a work folder over into a model.
struct ModelUpdate {
    let session: WorkSession
    /// Whether patches that somebody else has changed meanwhile are overwritten.
    let isForced: Bool
    private(set) var model: PatchModel
    private(set) var changes: [PatchChange] = []
    private(set) var notes: [String] = []
    /// The topics whose order changed.
    private(set) var reordered: [String] = []
    private let before: PatchModel

    private var base: BaseSeries { session.base.series }

    init(session: WorkSession, model: PatchModel, isForced: Bool) {
        self.session = session
        self.model = model
        self.isForced = isForced
        before = model
    }

    /// Takes over which patches there are, what they say, and their order.
    ///
    /// - Throws: ``LabError`` `model-changed`, `depends-unmet`, `patch-malformed`.
    mutating func apply(_ matches: [CommitMatcher.Match]) throws {
        try checkForeignChanges(matches)
        for match in matches {
            let record = session.patches.first { $0.id == match.id }
            switch (record, place(of: match.id)) {
            case (let record?, let place?): try update(place, from: record, to: match.commit)
            case (nil, let place?): try adopt(match, place)
            case (let record?, nil) where record.digests == TextDigests(match.commit.patch):
                notes.append("\(match.id) has left the model since, and stays away: nothing of it changed here.")
            case (_, nil): try add(match)
            }
        }
        for record in session.patches where isGone(record, matches) { try remove(record.id) }
        try arrange(matches.map(\.id))
        try checkDependencies()
    }

    /// Says that the base contains a patch.
    mutating func markContained(_ id: String) {
        guard let place = place(of: id), !model[place].metadata.contained.contains(base) else { return }
        model[place].metadata.contained = (model[place].metadata.contained + [base]).sorted()
        note(id, [.contained])
    }

    // MARK: - Somebody else

    private func isGone(_ record: WorkSession.Record, _ matches: [CommitMatcher.Match]) -> Bool {
        record.commit != nil && !matches.contains { $0.id == record.id }
    }

    /// Refuses to overwrite what has changed in the model since the session took it from there.
    private func checkForeignChanges(_ matches: [CommitMatcher.Match]) throws {
        guard !isForced else { return }
        var foreign: [String] = []
        for record in session.patches {
            let match = matches.first { $0.id == record.id }
            let isOurs = match.map { TextDigests($0.commit.patch) != record.digests } ?? isGone(record, matches)
            let isPorted = place(of: record.id).map { !model[$0].metadata.bases.contains(base) } ?? false
            guard isOurs || isPorted else { continue }
            let now = place(of: record.id).map { model[$0].fingerprint(on: base) }
            if now != record.model { foreign.append(record.id) }
        }
        for topic in model.topics {
            let known = session.patches.map(\.id).filter { PatchName.parts($0)?.topic == topic.name }
            let now = topic.patches.map(\.id).filter(known.contains)
            let wanted = matches.map(\.id).filter(known.contains)
            if wanted != known.filter(wanted.contains), now != known.filter(now.contains) {
                foreign.append("the order of \(topic.name)")
            }
        }
        guard foreign.isEmpty else {
            throw LabError(
                "model-changed", exit: .usage, "The model has changed since this folder was made from it",
                cause: "In \(model.folder): \(foreign.joined(separator: ", ")).",
                next: "Edit afresh and cherry-pick your commits there, or overwrite those changes with --force.")
        }
    }

    // MARK: - Patches

    private mutating func update(
        _ place: PatchPlace, from record: WorkSession.Record, to commit: WorkCommit
    ) throws {
        let digests = TextDigests(commit.patch)
        var kinds: [PatchChange.Kind] = []
        if digests.message != record.digests.message || digests.author != record.digests.author {
            let old = model[place].patch
            let author = digests.author == record.digests.author ? old.author : commit.patch.author
            if digests.message != record.digests.message { kinds.append(.message) }
            if digests.author != record.digests.author { kinds.append(.author) }
            let isReworded = digests.message != record.digests.message
            model[place].patch = try old.replacingMessage(
                subject: isReworded ? commit.patch.subject : old.subject,
                body: isReworded ? commit.patch.body : old.body, author: author)
        }
        if !model[place].metadata.bases.contains(base) {
            let base = base
            model[place].metadata.bases.append(base)
            model[place].metadata.contained.removeAll { $0 == base }
            kinds.append(.baseAdded)
            // The same commit as on a base that has the home's text needs no text of its own.
            let source = session.port?.steps.first { $0.id == record.id }?.source
            let isOurs = source.map { model[place].variants[$0] == nil } ?? false
            if !isOurs || digests.diff != record.digests.diff { kinds += try setDiff(place, commit) }
        } else if digests.diff != record.digests.diff {
            kinds.append(.diff)
            kinds += try setDiff(place, commit)
        }
        if !kinds.isEmpty { note(record.id, kinds) }
    }

    /// A commit that names a patch of the model which is not for this base yet.
    private mutating func adopt(_ match: CommitMatcher.Match, _ place: PatchPlace) throws {
        let old = model[place]
        let digests = TextDigests(try old.patch(on: base))
        let record = WorkSession.Record(
            id: match.id, commit: nil, subject: old.patch.subject, digests: digests, model: old.fingerprint(on: base))
        try update(place, from: record, to: match.commit)
    }

    /// The diff goes to the `.patch` on the home base, to a variant elsewhere; a variant that says the same goes.
    private mutating func setDiff(_ place: PatchPlace, _ commit: WorkCommit) throws -> [PatchChange.Kind] {
        var patch = model[place]
        let diff = commit.patch.diff
        var kinds: [PatchChange.Kind] = []
        if patch.home == base {
            patch.patch = try patch.patch.replacingDiff(diff, origin: commit.patch.origin)
            let followers = patch.metadata.bases.dropFirst().filter { patch.variants[$0] == nil }
            if !followers.isEmpty {
                notes.append(
                    "\(patch.id) changed for \(Self.list(followers)) as well, which \(followers.count == 1 ? "has" : "have") no diff of \(followers.count == 1 ? "its" : "their") own: see whether it applies there."
                )
            }
            let others = patch.variants.keys.sorted().filter { !PatchText.isSame(patch.variants[$0] ?? Data(), diff) }
            if !others.isEmpty { notes.append("\(patch.id) stays as it is on \(Self.list(others)).") }
        } else if PatchText.isSame(diff, patch.patch.diff) {
            if patch.variants.removeValue(forKey: base) != nil { kinds.append(.variantRemoved) }
        } else {
            if patch.variants.updateValue(diff, forKey: base) == nil { kinds.append(.variantAdded) }
        }
        for other in patch.variants.keys.sorted()
        where PatchText.isSame(patch.variants[other] ?? Data(), patch.patch.diff) {
            patch.variants[other] = nil
            if !kinds.contains(.variantRemoved) { kinds.append(.variantRemoved) }
        }
        model[place] = patch
        return kinds
    }

    private mutating func add(_ match: CommitMatcher.Match) throws {
        guard let parts = PatchName.parts(match.id),
            let topic = model.topics.firstIndex(where: { $0.name == parts.topic })
        else { return }
        var bases = [base]
        // A part of a patch goes wherever the patch's own text went.
        if let origin = match.splitFrom.flatMap({ place(of: $0) }).map({ model[$0] }), origin.home == base {
            bases += origin.metadata.bases.dropFirst().filter { origin.variants[$0] == nil }
        }
        model.topics[topic].patches.append(
            ModelPatch(
                topic: parts.topic, name: parts.name, patch: match.commit.patch,
                metadata: PatchMetadata(bases: bases)))
        note(match.id, [.added])
    }

    private mutating func remove(_ id: String) throws {
        guard let place = place(of: id) else { return }
        let patch = model[place]
        let others = patch.metadata.bases.filter { $0 != base }
        if others.isEmpty {
            model.topics[place.topic].patches.remove(at: place.patch)
            note(id, [.removed])
        } else {
            model[place] = try patch.withoutBase(base)
            note(id, [.baseRemoved])
            notes.append("\(id) is no longer for \(base); it stays for \(Self.list(others)).")
        }
    }

    // MARK: - Order

    /// Brings this base's patches into the commits' order; a patch that is not among them stays behind the one that it
    /// stood behind.
    private mutating func arrange(_ ids: [String]) throws {
        for index in model.topics.indices {
            let topic = model.topics[index]
            let wanted = ids.filter { PatchName.parts($0)?.topic == topic.name }
            let known = session.patches.map(\.id).filter(wanted.contains)
            var order = wanted
            if wanted.filter(known.contains) == known {
                // Nobody moved anything here, so that the model's present order stays.
                order = topic.patches.map(\.id).filter(known.contains)
                for (place, id) in wanted.enumerated() where !known.contains(id) {
                    let previous = wanted[..<place].last.flatMap(order.firstIndex(of:))
                    order.insert(id, at: previous.map { $0 + 1 } ?? 0)
                }
            }
            var groups: [String: [ModelPatch]] = [:]
            var leader = ""
            for patch in topic.patches {
                if order.contains(patch.id) { leader = patch.id }
                groups[leader, default: []].append(patch)
            }
            model.topics[index].patches = ([""] + order).flatMap { groups[$0] ?? [] }
            let names = model.topics[index].patches.map(\.id)
            let old = before.topics.first { $0.name == topic.name }?.patches.map(\.id) ?? []
            if names.filter(old.contains) != old.filter(names.contains) { reordered.append(topic.name) }
        }
        let places = ids.compactMap { PatchName.parts($0)?.topic }.map { name in
            model.topics.firstIndex { $0.name == name } ?? 0
        }
        if places != places.sorted() {
            notes.append(
                "Topics are applied one after the other, so that commits of different topics do not stay mixed.")
        }
    }

    /// No base may lose what its patches depend on.
    private func checkDependencies() throws {
        for base in before.bases where (try? before.resolve(for: base)) != nil {
            do {
                _ = try model.resolve(for: base)
            } catch let error as LabError where error.code == "topic-not-for-base" {
                continue
            }
        }
    }

    // MARK: - Small things

    private func place(of id: String) -> PatchPlace? {
        for (topic, content) in model.topics.enumerated() {
            if let patch = content.patches.firstIndex(where: { $0.id == id }) {
                return PatchPlace(topic: topic, patch: patch)
            }
        }
        return nil
    }

    private mutating func note(_ id: String, _ kinds: [PatchChange.Kind]) {
        changes.append(PatchChange(id: id, kinds: kinds))
    }

    private static func list(_ bases: some Sequence<BaseSeries>) -> String {
        bases.map(\.description).joined(separator: ", ")
    }
}

/// Where a patch stands in a model.
private struct PatchPlace {
    var topic: Int
    var patch: Int
}

extension PatchModel {
    fileprivate subscript(_ place: PatchPlace) -> ModelPatch {
        get { topics[place.topic].patches[place.patch] }
        set { topics[place.topic].patches[place.patch] = newValue }
    }
}

extension ModelPatch {
    /// The patch without one of its bases; if that was the home, the next base's text becomes the `.patch`.
    func withoutBase(_ base: BaseSeries) throws -> ModelPatch {
        var result = self
        result.metadata.bases.removeAll { $0 == base }
        result.variants[base] = nil
        guard home == base, let newHome = result.home, let diff = variants[newHome] else { return result }
        result.patch = try patch.replacingDiff(diff, origin: "\(id)@\(newHome)")
        for other in result.metadata.bases.dropFirst() {
            let text = variants[other] ?? patch.diff
            result.variants[other] = PatchText.isSame(text, diff) ? nil : text
        }
        result.variants[newHome] = nil
        return result
    }
}
