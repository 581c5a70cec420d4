// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import PatchModel
import PatchSeries
import ProcessRunner

extension PatchWorkshop {
    /// Takes the commits of a work folder back into the model that they came from.
    ///
    /// - Parameters:
    ///   - folder: what ``edit(_:base:topics:folder:)`` or a port has made.
    ///   - isDryRun: whether to only tell what would be written.
    ///   - isForced: whether to overwrite patches that somebody else has changed meanwhile.
    /// - Throws: ``LabError`` `session-missing`, `session-busy`, `session-base-lost`, `series-unreadable` for a merge,
    ///   `model-changed`, `depends-unmet`, `patch-not-storable` and others.
    public func export(_ folder: String, isDryRun: Bool = false, isForced: Bool = false) async throws -> ExportReport {
        let work = repository(Self.absolute(folder))
        let session = try WorkSession.load(from: work.folder)
        guard session.port == nil else {
            throw LabError(
                "session-busy", exit: .usage, "The port in \(work.folder) is not through",
                next: "Go on with hmmlab patches port --continue \(Command.quote(folder)), or give up with --abort.")
        }
        if let operation = work.operationInProgress {
            throw LabError(
                "session-busy", exit: .usage, "git is in the middle of \(operation) in \(work.folder)",
                next: "Finish it or abort it first; git status says how.")
        }
        return try await withModelLock {
            try await take(work, session, isDryRun: isDryRun, isForced: isForced) { _ in }
        }
    }

    /// Writes the commits of a folder to its session's model; the caller holds the model's lock.
    ///
    /// - Parameter addition: changes the model further, before anything is written.
    func take(
        _ work: WorkRepository, _ session: WorkSession, isDryRun: Bool, isForced: Bool,
        addition: (inout ModelUpdate) throws -> Void
    ) async throws -> ExportReport {
        let commits = try await work.commits(from: session.base.commit, reader: reader)
        try Self.refuseFixups(commits)
        let store = modelStore(session.model)
        let model = try await store.load()
        let matches = try CommitMatcher(session: session, model: model).match(commits)
        var update = ModelUpdate(session: session, model: model, isForced: isForced)
        try update.apply(matches)
        try addition(&update)
        let files =
            isDryRun
            ? try await rehearse(update.model, model) : try await store.save(update.model, previous: model)
        var notes = update.notes
        let uncommitted = try await work.uncommitted()
        if !uncommitted.isEmpty {
            let names = uncommitted.prefix(5).joined(separator: ", ")
            notes.append(
                "Changes that are not committed stay in the folder and were not exported: \(names)"
                    + (uncommitted.count > 5 ? " and \(uncommitted.count - 5) more." : "."))
        }
        let old = try await work.check(["rev-parse", WorkRepository.savedRef])
        let head = try await work.head()
        let base = session.base.commit
        let difference =
            update.changes.isEmpty && update.reordered.isEmpty
            ? "" : try await work.rangeDiff(CommitRange(base: base, tip: old), CommitRange(base: base, tip: head))
        if !isDryRun {
            let renamed = try await name(matches, in: work)
            if renamed > 0 {
                notes.append(
                    "\(renamed.of("commit")) got a Patch-Name and with it a new id, and so did the commits after it.")
            }
            let records = try await self.records(of: update, matches, in: work)
            var done = session
            done.port = nil
            try await remember(done, records, in: work)
        }
        return ExportReport(
            folder: work.folder, model: session.model, base: session.base, isDryRun: isDryRun, files: files,
            changes: update.changes, reordered: update.reordered, notes: notes, rangeDiff: difference)
    }

    private static func refuseFixups(_ commits: [WorkCommit]) throws {
        guard
            let left = commits.first(where: { commit in
                ["fixup! ", "squash! ", "amend! "].contains { commit.patch.subject.hasPrefix($0) }
            })
        else { return }
        throw LabError(
            "fixup-left", exit: .usage, "The commit \"\(Printable.text(left.patch.subject))\" is still to be squashed",
            next: "Run git rebase -i --autosquash on the base first.")
    }

    /// What saving would write, seen on a copy.
    private func rehearse(_ model: PatchModel, _ previous: PatchModel) async throws -> [String] {
        let staging = try cache.stagingFolder()
        defer { try? FileManager.default.removeItem(atPath: staging) }
        try FileManager.default.copyItem(atPath: previous.folder, toPath: staging + "/model")
        return try await modelStore(staging + "/model").save(model, previous: previous)
    }

    /// The patches of this base as they are now; those without a commit stay as they were recorded.
    ///
    /// Where nothing was taken over, the model may have changed by another hand: its old state stays recorded, so that
    /// this is noticed when the commit changes later.
    private func records(
        of update: ModelUpdate, _ matches: [CommitMatcher.Match], in work: WorkRepository
    ) async throws -> [WorkSession.Record] {
        let session = update.session
        let commits = try await work.commits(from: session.base.commit, reader: reader)
        let committed = zip(matches, commits).compactMap { match, commit -> WorkSession.Record? in
            guard let patch = update.model.patches.first(where: { $0.id == match.id }) else { return nil }
            var record = Self.record(patch, commit, on: session.base.series)
            if !update.changes.contains(where: { $0.id == match.id }),
                let old = session.patches.first(where: { $0.id == match.id })
            {
                record.model = old.model
            }
            return record
        }
        return committed
            + session.patches.filter { record in
                record.commit == nil && !committed.contains { $0.id == record.id }
            }
    }

    /// Gives the commits the trailers of the patches that they have become.
    ///
    /// Only messages change: the work tree and the index stay right.
    ///
    /// - Returns: how many commits lacked theirs.
    private func name(_ matches: [CommitMatcher.Match], in work: WorkRepository) async throws -> Int {
        guard let first = matches.firstIndex(where: { $0.commit.names != [$0.id] }) else { return 0 }
        let head = try await work.head()
        let staging = try cache.stagingFolder()
        defer { try? FileManager.default.removeItem(atPath: staging) }
        var renamed: [String: String] = [:]
        let ids = try await work.check([
            "rev-list", "--topo-order", "--reverse", "\(matches[first].commit.commit)^..HEAD",
        ])
        var count = 0
        for id in ids.split(separator: "\n").map(String.init) {
            let raw = try await work.check(["cat-file", "commit", id])
            let parts = raw.components(separatedBy: "\n\n")
            // A signature would not be true of the new message.
            var header: [String] = []
            var isSignature = false
            for line in parts[0].split(separator: "\n").map(String.init) {
                isSignature = line.hasPrefix("gpgsig") || (isSignature && line.hasPrefix(" "))
                if isSignature { continue }
                let parent = line.hasPrefix("parent ") ? renamed[String(line.dropFirst("parent ".count))] : nil
                header.append(parent.map { "parent " + $0 } ?? line)
            }
            var message = parts.dropFirst().joined(separator: "\n\n")
            let isForeign = header.contains { $0.hasPrefix("encoding ") }
            if let match = matches.first(where: { $0.commit.commit == id }),
                isForeign || match.commit.names != [match.id]
            {
                let patch = match.commit.patch
                message = "\(patch.subject)\n\n" + PatchName.adding(match.id, to: patch.body)
                header.removeAll { $0.hasPrefix("encoding ") }
                if match.commit.names != [match.id] { count += 1 }
            }
            try Files.write(header.joined(separator: "\n") + "\n\n" + message + "\n", to: staging + "/commit")
            renamed[id] = try await work.check(["hash-object", "-t", "commit", "-w", staging + "/commit"])
        }
        guard let tip = renamed[head] else { return 0 }
        try await work.check(["update-ref", "-m", "hmmlab: names of patches", "HEAD", tip, head])
        return count
    }
}

/// What ``PatchWorkshop/export(_:isDryRun:isForced:)`` has done.
public struct ExportReport: Sendable, Encodable {
    /// The work folder.
    public var folder: String
    /// The model.
    public var model: String
    /// The base that the commits stand on.
    public var base: WorkBase
    /// Whether nothing was written.
    public var isDryRun: Bool
    /// The files that were written or removed, relative to the model, sorted.
    public var files: [String]
    /// What became of the patches that changed.
    public var changes: [PatchChange]
    /// The topics whose order changed.
    public var reordered: [String]
    /// What else the person should know.
    public var notes: [String]
    /// What git range-diff says about the commits before and now; empty if no patch changed.
    public var rangeDiff: String
}
