// SPDX-License-Identifier: Apache-2.0
import Foundation

/// What is believed about how often a test fails: certain rates and beta distributions, each with a weight.
///
/// Every part is conjugate to runs that fail or pass independently of each other, so that the likelihood of any number of
/// runs is exact and no rate has to be estimated first.
public struct RateBelief: Sendable, Equatable, Codable {
    /// One part of the mixture.
    public struct Part: Sendable, Equatable, Codable {
        /// The part's weight; they sum up to 1.
        public var weight: Double
        /// Failures that were as good as seen; infinite for a rate of exactly 1.
        var alpha: Double
        /// Passes that were as good as seen; infinite for a rate of exactly 0.
        var beta: Double
        /// The rate, if the part is certain of one.
        var rate: Double?

        /// A rate that is known.
        public static func exactly(_ rate: Double, weight: Double) -> Part {
            Part(weight: weight, alpha: 1, beta: 1, rate: min(max(rate, 0), 1))
        }

        /// A rate as if so many failures and passes had been seen; (1, 1) is equally ready for every rate.
        public static func beta(_ failures: Double, _ passes: Double, weight: Double) -> Part {
            Part(weight: weight, alpha: failures, beta: passes, rate: nil)
        }

        func logLikelihood(_ failures: Int, _ passes: Int) -> Double {
            if let rate {
                return Self.logPower(rate, failures) + Self.logPower(1 - rate, passes)
            }
            return Self.logBeta(alpha + Double(failures), beta + Double(passes)) - Self.logBeta(alpha, beta)
        }

        private static func logPower(_ base: Double, _ exponent: Int) -> Double {
            exponent == 0 ? 0 : Double(exponent) * log(base)
        }

        private static func logBeta(_ a: Double, _ b: Double) -> Double { lgamma(a) + lgamma(b) - lgamma(a + b) }
    }

    /// The parts; at least one.
    public var parts: [Part]

    /// Makes a belief; the weights are scaled to sum up to 1.
    public init(_ parts: [Part]) {
        let total = parts.reduce(0) { $0 + $1.weight }
        self.parts = parts.map { part in
            var part = part
            part.weight /= total
            return part
        }
    }

    /// A test that fails wherever the fault is: mostly every time, but perhaps at any rate.
    public static let faulty = RateBelief([.exactly(1, weight: 0.6), .beta(1, 1, weight: 0.4)])
    /// A test where the fault is not: mostly it never fails, but it may be flaky.
    public static let sound = RateBelief([.exactly(0, weight: 0.95), .beta(1, 19, weight: 0.05)])

    /// A failure rate that a person has given, between 0 and 1.
    public static func known(_ rate: Double) -> RateBelief { RateBelief([.exactly(rate, weight: 1)]) }

    /// Whether there is one rate that is certain.
    var isKnown: Bool { parts.count == 1 && parts[0].rate != nil }

    /// The natural logarithm of the probability of seeing exactly these runs in their order.
    func logLikelihood(failures: Int, passes: Int) -> Double {
        var sum = -Double.infinity
        for part in parts { sum = LogSum.of(sum, log(part.weight) + part.logLikelihood(failures, passes)) }
        return sum
    }

    /// The probability that the next run fails, after these.
    public func failureRate(failures: Int, passes: Int) -> Double {
        let now = logLikelihood(failures: failures, passes: passes)
        guard now > -.infinity else { return 0.5 }
        return exp(logLikelihood(failures: failures + 1, passes: passes) - now)
    }
}

/// Sums of numbers of which only the logarithms are at hand.
enum LogSum {
    static func of(_ one: Double, _ other: Double) -> Double {
        let (small, large) = one < other ? (one, other) : (other, one)
        return small > -.infinity ? large + log1p(exp(small - large)) : large
    }

    static func of(_ logarithms: [Double]) -> Double {
        var sum = -Double.infinity
        for logarithm in logarithms where logarithm > -.infinity { sum = of(sum, logarithm) }
        return sum
    }
}
