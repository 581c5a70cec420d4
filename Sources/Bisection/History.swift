// SPDX-License-Identifier: Apache-2.0

/// What one run of a state showed by itself, before it is compared with what other states showed.
public struct StateRun: Sendable, Equatable, Codable {
    /// What came out of it.
    public enum Outcome: String, Sendable, Codable {
        /// What is looked for may go wrong did not.
        case clean
        /// Something went wrong; ``StateRun/symptoms`` says what.
        case failing
        /// Nothing can be said this time: it did not boot, or the host gave out.
        case nothing
        /// Nothing can be said, and no further run will change that: it does not build.
        case untestable
    }

    /// The state, from 0.
    public var state: Int
    /// Why it was run.
    public var purpose: ProposedRun.Purpose
    /// What came out of it.
    public var outcome: Outcome
    /// What went wrong, as names that are the same whenever the same goes wrong, such as `crash: KASAN in foo`.
    public var symptoms: [String]
    /// What happened, in one sentence without a full stop; empty if there is nothing to say.
    public var sentence: String
    /// Seconds spent on building; 0 for a kernel that was there.
    public var buildSeconds: Double
    /// Seconds spent on booting and testing.
    public var testSeconds: Double
    /// The folder with the run's logs; nil if it did not come to a run.
    public var folder: String?
    /// Names what the kernel does: the same for two kernels that do the same; nil if that is not known.
    public var kernel: String?

    /// Makes a run from its parts.
    public init(
        state: Int, purpose: ProposedRun.Purpose, outcome: Outcome, symptoms: [String] = [], sentence: String = "",
        buildSeconds: Double = 0, testSeconds: Double = 0, folder: String? = nil, kernel: String? = nil
    ) {
        self.state = state
        self.purpose = purpose
        self.outcome = outcome
        self.symptoms = symptoms
        self.sentence = sentence
        self.buildSeconds = buildSeconds
        self.testSeconds = testSeconds
        self.folder = folder
        self.kernel = kernel
    }
}

/// One line of a bisection's journal; exactly one part is set.
public struct HistoryEntry: Sendable, Equatable, Codable {
    /// A state was run.
    public var run: StateRun?
    /// A step was found to change nothing.
    public var inertStep: Int?
    /// The tip without the culprit was run; its state counts as the last one.
    public var reverted: StateRun?
    /// The culprit cannot be taken out of the tip; why, in a sentence without a full stop.
    public var irreversible: String?

    /// The entry for a run.
    public static func ran(_ run: StateRun) -> HistoryEntry { HistoryEntry(run: run) }
    /// The entry for a step that changes nothing.
    public static func inert(step: Int) -> HistoryEntry { HistoryEntry(inertStep: step) }
    /// The entry for a run of the tip without the culprit.
    public static func reverted(_ run: StateRun) -> HistoryEntry { HistoryEntry(reverted: run) }
    /// The entry for a culprit that cannot be taken out of the tip.
    public static func irreversible(_ why: String) -> HistoryEntry { HistoryEntry(irreversible: why) }
}

/// Everything that happened in a bisection so far, in its order; what it means is derived anew each time.
///
/// The bad end says what is looked for: a state that fails in another way is neither good nor bad, because that failure may
/// hide the one that is looked for. Which symptoms count is known only once the bad end has failed, and may grow with every
/// run of it, so that runs are kept as they were and judged when they are asked about.
public struct History: Sendable, Equatable {
    /// The steps between the two ends; at least 1.
    public let stepCount: Int
    /// Whether every failure counts, whatever its symptoms.
    public let takesAnyFailure: Bool
    /// The entries so far.
    public private(set) var entries: [HistoryEntry] = []

    /// Begins, or begins again with what is in a journal.
    public init(stepCount: Int, takesAnyFailure: Bool = false, entries: [HistoryEntry] = []) {
        self.stepCount = stepCount
        self.takesAnyFailure = takesAnyFailure
        self.entries = entries
    }

    /// Takes down what happened.
    public mutating func add(_ entry: HistoryEntry) { entries.append(entry) }

    /// The runs so far.
    public var runs: [StateRun] { entries.compactMap(\.run) }

    /// The steps that change nothing: those that were found so, and those between kernels that do the same.
    public var inertSteps: Set<Int> {
        var kernels: [Int: String] = [:]
        for run in runs { if let kernel = run.kernel { kernels[run.state] = kernel } }
        let equal = kernels.keys.filter { kernels[$0 - 1] != nil && kernels[$0 - 1] == kernels[$0] }
        return Set(entries.compactMap(\.inertStep)).union(equal)
    }

    /// The runs of the tip without the culprit.
    public var revertedRuns: [StateRun] { entries.compactMap(\.reverted) }

    /// Why the culprit cannot be taken out of the tip; nil if that was not found.
    public var irreversible: String? { entries.compactMap(\.irreversible).first }

    /// What goes wrong at the bad end.
    public var symptoms: Set<String> {
        Set(runs.filter { $0.state == stepCount && $0.outcome == .failing }.flatMap(\.symptoms))
    }

    /// What a run says, seen beside the bad end.
    public func observation(_ run: StateRun) -> Observation { observation(run, symptoms) }

    private func observation(_ run: StateRun, _ symptoms: Set<String>) -> Observation {
        switch run.outcome {
        case .clean: return .good
        case .nothing, .untestable: return .unknown
        case .failing:
            let isSame = takesAnyFailure || symptoms.isEmpty || !symptoms.isDisjoint(with: run.symptoms)
            return isSame ? .bad : .unknown
        }
    }

    /// What the engine goes by.
    public var evidence: Evidence {
        let symptoms = symptoms
        var evidence = Evidence(stepCount: stepCount)
        for step in inertSteps { evidence.addInert(step: step) }
        for run in runs {
            evidence.add(observation(run, symptoms), at: run.state)
            if run.outcome == .untestable { evidence.addUntestable(run.state) }
        }
        return evidence
    }

    /// Failures that are none of the bad end's, each with the states that showed it.
    public var otherSymptoms: [(symptom: String, states: [Int])] {
        let symptoms = symptoms
        guard !symptoms.isEmpty, !takesAnyFailure else { return [] }
        var states: [String: Set<Int>] = [:]
        for run in runs where run.outcome == .failing {
            for symptom in run.symptoms where !symptoms.contains(symptom) {
                states[symptom, default: []].insert(run.state)
            }
        }
        return states.sorted { $0.key < $1.key }.map { ($0.key, $0.value.sorted()) }
    }
}
