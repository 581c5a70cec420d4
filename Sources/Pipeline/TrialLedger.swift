// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import Mutation

/// The trials that are known, in a file that is appended to and synced, under everything that they depend on.
final class TrialLedger: Sendable {
    private struct Line: Codable {
        /// The digest of the mutant's diff; nil for a line about the kernel without a fault.
        var diff: Digest?
        var trial: Trial?
        /// Suites that the kernel without a fault has passed.
        var sound: String?
    }

    private let lock: FileLock
    private let journal: JournalFile
    private let known: LockedValue<(trials: [String: Trial], sound: Set<String>)>

    /// Opens the ledger of a context.
    ///
    /// - Parameters:
    ///   - folder: where ledgers lie.
    ///   - context: what the trials depend on.
    ///   - isFresh: whether to forget what is known.
    /// - Throws: ``LabError`` `mutation-busy` if another hmmlab has it open, and what reading and writing files throws.
    init(_ folder: String, context: Digest, isFresh: Bool) throws {
        let path = "\(folder)/\(context.short)"
        guard let lock = try FileLock.acquireNow(path + ".lock") else {
            throw LabError(
                "mutation-busy", exit: .usage, "Another hmmlab plants mutants into the same kernel",
                next: "Wait for it.")
        }
        self.lock = lock
        var trials: [String: Trial] = [:]
        var sound: Set<String> = []
        if !isFresh, Files.exists(path) {
            // A line that cannot be read costs a trial, not the ledger.
            for line in try JournalFile.lines(at: path).compactMap({ try? JSON.value(Line.self, from: $0) }) {
                if let trial = line.trial, let diff = line.diff { trials[Self.key(diff, trial.suites)] = trial }
                if let suites = line.sound { sound.insert(suites) }
            }
            journal = try JournalFile(continuing: path)
        } else {
            try? FileManager.default.removeItem(atPath: path)
            journal = try JournalFile(creating: path)
        }
        known = LockedValue((trials, sound))
    }

    private static func key(_ diff: Digest, _ suites: String) -> String { "\(diff.short) \(suites)" }

    /// What is known of a mutant under its present name.
    func trial(of mutant: Mutant, _ suites: String) -> Trial? {
        guard var trial = known.withLock({ $0.trials[Self.key(Digest(of: mutant.diff), suites)] }) else { return nil }
        trial.mutant = mutant.id
        return trial
    }

    /// Keeps a trial, unless it says nothing.
    ///
    /// - Throws: what writing throws.
    func keep(_ trial: Trial, of mutant: Mutant) throws {
        guard trial.isKilled != nil else { return }
        let diff = Digest(of: mutant.diff)
        try journal.append(Line(diff: diff, trial: trial))
        known.withLock { $0.trials[Self.key(diff, trial.suites)] = trial }
    }

    /// Whether the kernel without a fault has passed some suites.
    func isSound(_ suites: String) -> Bool { known.withLock { $0.sound.contains(suites) } }

    /// Keeps that it has.
    ///
    /// - Throws: what writing throws.
    func keepSound(_ suites: String) throws {
        try journal.append(Line(sound: suites))
        known.withLock { _ = $0.sound.insert(suites) }
    }
}
