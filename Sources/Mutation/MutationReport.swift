// SPDX-License-Identifier: Apache-2.0

/// What each of some groups of suites has made of each mutant.
public struct MutationReport: Sendable {
    /// How many of some mutants were killed.
    public struct Score: Sendable, Equatable {
        /// Killed.
        public var killed = 0
        /// Killed, or alive to the end.
        public var judged = 0

        /// As people write it: `12 of 15 (80%)`.
        public var text: String {
            judged == 0 ? "-" : "\(killed) of \(judged) (\((100 * killed + judged / 2) / judged)%)"
        }
    }

    /// The mutants, in the order in which they were tried.
    public let mutants: [Mutant]
    /// The groups of suites, each as one word.
    public let columns: [String]
    private let trials: [String: [String: Trial]]

    /// Makes a report.
    public init(mutants: [Mutant], columns: [String], trials: [Trial]) {
        self.mutants = mutants
        self.columns = columns
        var table: [String: [String: Trial]] = [:]
        for trial in trials { table[trial.mutant, default: [:]][trial.suites] = trial }
        self.trials = table
    }

    /// What a group has made of a mutant; nil if it was not tried.
    public func trial(_ mutant: Mutant, _ column: String) -> Trial? { trials[mutant.id]?[column] }

    /// The mutants that tests should kill.
    public var live: [Mutant] { mutants.filter { $0.inert == nil } }

    /// How many of some mutants a group has killed; inert ones do not count.
    public func score(_ column: String, of mutants: [Mutant]) -> Score {
        var score = Score()
        for mutant in mutants where mutant.inert == nil {
            guard let isKilled = trial(mutant, column)?.isKilled else { continue }
            score.judged += 1
            if isKilled { score.killed += 1 }
        }
        return score
    }

    /// The categories, by their first word (`OOB` of `OOB/DATA`), in alphabetical order, with their mutants.
    public var categories: [(name: String, mutants: [Mutant])] {
        Dictionary(grouping: live) { String($0.category.prefix { $0.isLetter || $0 == "-" }) }
            .sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    /// Mutants that should be killed and that no group has killed, although one was judged.
    public var survivors: [Mutant] {
        live.filter { mutant in
            let known = columns.compactMap { trial(mutant, $0)?.isKilled }
            return !known.isEmpty && !known.contains(true)
        }
    }

    /// Mutants that no group could say anything of, with the first reason.
    public var unjudged: [(mutant: Mutant, reason: String)] {
        mutants.compactMap { mutant in
            let trials = columns.compactMap { trial(mutant, $0) }
            guard !trials.isEmpty, trials.allSatisfy({ $0.isKilled == nil }) else { return nil }
            for trial in trials { if case .unjudged(let reason) = trial.fate { return (mutant, reason) } }
            return nil
        }
    }

    /// Mutants that were said to be inert and were killed nevertheless.
    public var surprises: [Mutant] {
        mutants.filter { mutant in
            mutant.inert != nil && columns.contains { trial(mutant, $0)?.isKilled == true }
        }
    }
}
