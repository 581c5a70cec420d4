// SPDX-License-Identifier: Apache-2.0

/// What one run of a state said.
public enum Observation: String, Sendable, Codable {
    /// What is looked for was not there.
    case good
    /// It was there.
    case bad
    /// Nothing can be said: it did not build or boot, or the host gave out.
    case unknown
}

/// The runs of one state.
public struct Tally: Sendable, Equatable, Codable {
    /// How many said good.
    public var good = 0
    /// How many said bad.
    public var bad = 0
    /// How many said nothing.
    public var unknown = 0

    /// No runs.
    public init() {}

    /// All runs.
    public var runs: Int { good + bad + unknown }

    mutating func add(_ observation: Observation) {
        switch observation {
        case .good: good += 1
        case .bad: bad += 1
        case .unknown: unknown += 1
        }
    }
}

/// Everything that was seen in a range of states.
///
/// State 0 is the good end, state `stepCount` the bad one, and step k leads from state k-1 to state k. The culprit is the
/// step that leads to the first bad state.
public struct Evidence: Sendable, Equatable, Codable {
    /// The steps between the two ends; at least 1.
    public let stepCount: Int
    /// The runs of each state that was run.
    public private(set) var tallies: [Int: Tally] = [:]
    /// States that cannot be tested; running them again is of no use.
    public private(set) var untestable: Set<Int> = []
    /// Steps that change nothing, and are no culprits: both their states are the same kernel.
    public private(set) var inert: Set<Int> = []

    /// Nothing was seen yet.
    public init(stepCount: Int) { self.stepCount = stepCount }

    /// Takes down a run.
    public mutating func add(_ observation: Observation, at state: Int) {
        tallies[state, default: Tally()].add(observation)
    }

    /// Takes down that a state cannot be tested.
    public mutating func addUntestable(_ state: Int) { untestable.insert(state) }

    /// Takes down that a step changes nothing.
    public mutating func addInert(step: Int) { inert.insert(step) }

    /// The runs of a state.
    public func tally(_ state: Int) -> Tally { tallies[state] ?? Tally() }
}
