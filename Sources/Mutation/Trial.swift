// SPDX-License-Identifier: Apache-2.0
import TestResults

/// What some suites have made of a mutant.
public struct Trial: Sendable, Equatable, Codable {
    /// How it ended.
    public enum Fate: Sendable, Equatable, Codable {
        /// A test that the kernel without the fault passes did not pass: its name, and how it ended.
        case killed(by: String, how: Verdict)
        /// Every test ended as without the fault.
        case survived
        /// Nothing can be said, with the reason: it does not apply, does not build, or the host gave out.
        case unjudged(String)
    }

    /// The mutant's name.
    public var mutant: String
    /// The suites, as one word: `mirror,migrate`.
    public var suites: String
    /// How it ended.
    public var fate: Fate
    /// Wall-clock seconds for booting and testing until then.
    public var seconds: Double
    /// Wall-clock seconds for applying and building, which all suites of a mutant share.
    public var buildSeconds: Double

    /// Makes a trial.
    public init(mutant: String, suites: String, fate: Fate, seconds: Double = 0, buildSeconds: Double = 0) {
        self.mutant = mutant
        self.suites = suites
        self.fate = fate
        self.seconds = seconds
        self.buildSeconds = buildSeconds
    }

    /// Whether a test noticed the fault; nil if that cannot be said.
    public var isKilled: Bool? {
        switch fate {
        case .killed: true
        case .survived: false
        case .unjudged: nil
        }
    }
}
