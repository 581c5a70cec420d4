// SPDX-License-Identifier: Apache-2.0
import Foundation
import PatchModel
import TestResults

/// How the tests of a suite end without a patch and with it.
public struct SuiteComparison: Sendable, Encodable {
    /// A test that ends otherwise with the patch, both times that it was run.
    public struct Change: Sendable, Encodable, Equatable {
        /// The test's name within its suite.
        public var test: String
        /// Without the patch; nil if there is no such test then.
        public var before: Verdict?
        /// With it; nil if there is no such test then.
        public var after: Verdict?

        /// Whether the patch does harm, as far as this test goes.
        public var isWorse: Bool { (after ?? .infra) > (before ?? .pass) }

        /// A verdict as a word.
        public func word(_ side: KeyPath<Self, Verdict?>) -> String { self[keyPath: side]?.rawValue ?? "absent" }
    }

    /// The name under which the run itself stands beside the tests: complaints of the kernel while none ran.
    static let run = "(the run)"

    /// `topic/name`.
    public var patch: String
    /// The kernel series.
    public var base: BaseSeries
    /// The suite.
    public var suite: String
    /// How many tests have ended, with the patch or without it.
    public var tests: Int
    /// What the patch changes, in alphabetical order.
    public var changes: [Change] = []
    /// Tests that ended otherwise only once, and so tell nothing of the patch.
    public var unsteady: [String] = []

    /// Compares, and runs what differs once more on both kernels.
    ///
    /// - Parameters:
    ///   - before: the verdicts without the patch.
    ///   - after: the verdicts with it.
    ///   - again: runs the tests that match a regular expression, with the patch (`true`) or without it.
    /// - Throws: what `again` throws.
    init(
        patch: String, base: BaseSeries, suite: String, before: [String: Verdict], after: [String: Verdict],
        again: (Bool, String) async throws -> [String: Verdict]
    ) async throws {
        (self.patch, self.base, self.suite) = (patch, base, suite)
        let names = Set(before.keys).union(after.keys)
        tests = names.subtracting([Self.run]).count
        let different = names.filter { before[$0] != after[$0] }.sorted()
        guard !different.isEmpty else { return }
        // Whatever made the kernel complain between two tests can only be met by all of them.
        let pattern =
            different.contains(Self.run)
            ? ""
            : "^(" + different.map { NSRegularExpression.escapedPattern(for: "\(suite)/\($0)") }.joined(separator: "|")
                + ")$"
        let (second, third) = (try await again(false, pattern), try await again(true, pattern))
        for test in different {
            if second[test] == before[test], third[test] == after[test] {
                changes.append(Change(test: test, before: before[test], after: after[test]))
            } else {
                unsteady.append(test)
            }
        }
    }

    /// One sentence for each test that the patch does harm to.
    var doubts: [String] {
        changes.filter(\.isWorse).map { change in
            "\(patch): with it, \(suite)/\(change.test) ends with \(change.word(\.after)) on \(base), without it with \(change.word(\.before))."
        }
    }
}
