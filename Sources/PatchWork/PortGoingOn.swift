// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// What a person says to a port that has stopped at a conflict.
public enum PortDecision: Sendable, Equatable {
    /// The conflicts are resolved.
    case goOn
    /// The patch is left out on the new base.
    case skip
}

extension PatchWorkshop {
    /// Goes on with a port that has stopped at a conflict, or that was killed.
    ///
    /// - Parameters:
    ///   - folder: the port's folder.
    ///   - decision: what becomes of the patch that it has stopped at.
    ///   - isForced: whether to overwrite patches of the model that somebody else has changed meanwhile.
    /// - Throws: ``LabError`` `session-missing`, `port-not-running`, `port-unresolved`, `port-head-moved`,
    ///   `model-changed` and others.
    public func goOn(in folder: String, _ decision: PortDecision, isForced: Bool = false) async throws -> PortReport {
        let work = repository(Self.absolute(folder))
        var session = try WorkSession.load(from: work.folder)
        guard var state = session.port else { throw Self.notRunning(work.folder) }
        if let index = state.current {
            switch decision {
            case .goOn: try await resolve(&state, index, in: work)
            case .skip: try await skip(&state, index, in: work)
            }
            session.port = state
            try session.save(in: work.folder)
        }
        try await advance(&session, in: work)
        return try await conclude(session, in: work, isForced: isForced)
    }

    /// Removes the folder of a port that is not through; the model has not changed yet.
    ///
    /// - Throws: ``LabError`` `session-missing`, `port-not-running`, `folder-unwritable`.
    public func abort(in folder: String) async throws {
        let path = Self.absolute(folder)
        let session = try WorkSession.load(from: path)
        guard session.port != nil else { throw Self.notRunning(path) }
        do {
            try FileManager.default.removeItem(atPath: path)
        } catch {
            throw LabError(
                "folder-unwritable", exit: .usage, "The folder \(path) cannot be removed",
                cause: error.localizedDescription, next: "Remove it by hand.")
        }
    }

    /// Takes over what a person has done about the patch whose turn it is.
    private func resolve(_ state: inout PortState, _ index: Int, in work: WorkRepository) async throws {
        let head = try await work.head()
        if Files.exists(work.directory + "/CHERRY_PICK_HEAD") {
            guard state.isStopped else {
                // Killed while git was at it.
                try await work.check(["cherry-pick", "--abort"])
                return
            }
            try await refuseUnresolved(state.steps[index], in: work)
            try await commitPick(&state, index, in: work, as: .byHand)
        } else if head == state.tip {
            // Somebody has ended the pick: it is tried again.
            guard try await work.uncommitted().isEmpty else {
                throw LabError(
                    "port-unresolved", exit: .usage, "\(state.steps[index].id) is not being picked any more",
                    cause: "There are changes that are not committed in \(work.folder).",
                    next: "Commit them with the trailer Patch-Name: \(state.steps[index].id), or git reset --hard.")
            }
            state.isStopped = false
        } else if try await work.check(["rev-parse", "HEAD^"]) == state.tip,
            PatchName.taking(from: try await work.check(["log", "-1", "--no-show-signature", "--format=%b"])).ids
                == [state.steps[index].id]
        {
            // Committed by the person, or by a hmmlab that was killed before it could write that down.
            state.steps[index].outcome = state.isStopped ? .byHand : state.steps[index].source == nil ? .kept : .merged
            state.tip = head
            state.isStopped = false
        } else {
            throw LabError(
                "port-head-moved", exit: .usage, "HEAD of \(work.folder) is not where the port has left it",
                cause:
                    "It should be \(state.tip.prefix(12)), or one commit on it with Patch-Name: \(state.steps[index].id).",
                next: "Bring it there: git reset --hard \(state.tip.prefix(12)).")
        }
    }

    private func refuseUnresolved(_ step: PortState.Step, in work: WorkRepository) async throws {
        var files = try await work.unmerged()
        var cause = "git still calls them unmerged."
        if files.isEmpty {
            files = try await work.check(["diff", "--name-only"]).split(separator: "\n").map(String.init)
            cause = "They were changed and not added."
        }
        if files.isEmpty, !step.conflicts.isEmpty {
            // Status 1 of git grep means that there is none.
            let output = try await work.run(
                ["grep", "--cached", "-l", "-E", "^(<<<<<<<|>>>>>>>) ", "--"] + step.conflicts)
            files = output.standardOutput.split(separator: "\n").map(String.init)
            cause = "They still have conflict markers."
        }
        guard files.isEmpty else {
            throw LabError(
                "port-unresolved", exit: .usage, "\(step.id) is not resolved: \(files.joined(separator: ", "))",
                cause: cause, next: "Edit the files, then: git add \(files.map(Command.quote).joined(separator: " ")).")
        }
    }

    private func skip(_ state: inout PortState, _ index: Int, in work: WorkRepository) async throws {
        let head = try await work.head()
        guard head == state.tip else {
            throw LabError(
                "port-head-moved", exit: .usage, "HEAD of \(work.folder) is not where the port has left it",
                cause: "It should be \(state.tip.prefix(12)).",
                next: "If the patch is committed, go on with --continue; else git reset --hard \(state.tip.prefix(12))."
            )
        }
        if Files.exists(work.directory + "/CHERRY_PICK_HEAD") {
            try await work.check(["cherry-pick", "--skip"])
        } else {
            try await work.check(["reset", "-q", "--hard"])
        }
        state.steps[index].outcome = .skipped
        state.steps[index].reason = "You have skipped it."
        state.isStopped = false
    }
}
