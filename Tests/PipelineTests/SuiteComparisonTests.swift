// SPDX-License-Identifier: Apache-2.0
import PatchModel
import TestResults
import Testing

@testable import Pipeline

@Suite("A suite without a patch and with it")
struct SuiteComparisonTests {
    private typealias Verdicts = [String: Verdict]

    private let before: [String: Verdict] = [
        "steady": .pass, "known": .fail, "broken": .pass, "mended": .crash, "gone": .pass, SuiteComparison.run: .pass,
    ]

    private func compare(
        _ changes: Verdicts, again: Verdicts = [:], removing gone: String? = nil
    ) async throws -> (comparison: SuiteComparison, patterns: [String]) {
        var after = before.merging(changes) { $1 }
        if let gone { after[gone] = nil }
        var patterns: [String] = []
        let base = try #require(BaseSeries("6.12"))
        let comparison = try await SuiteComparison(
            patch: "topic/patch", base: base, suite: "a/b", before: before, after: after
        ) { isAfter, pattern in
            patterns.append(pattern)
            return isAfter ? after.merging(again) { $1 } : before
        }
        return (comparison, patterns)
    }

    @Test func nothingDiffers() async throws {
        let (comparison, patterns) = try await compare([:])
        #expect(comparison.tests == 5 && comparison.changes.isEmpty && comparison.unsteady.isEmpty)
        #expect(patterns.isEmpty && comparison.doubts.isEmpty)
    }

    @Test func onlyWhatDiffersIsRunAgain() async throws {
        let (comparison, patterns) = try await compare(["broken": .fail, "mended": .pass])
        #expect(patterns == [#"^(a\/b\/broken|a\/b\/mended)$"#, #"^(a\/b\/broken|a\/b\/mended)$"#])
        #expect(
            comparison.changes == [
                .init(test: "broken", before: .pass, after: .fail), .init(test: "mended", before: .crash, after: .pass),
            ])
        #expect(
            comparison.doubts == ["topic/patch: with it, a/b/broken ends with fail on 6.12, without it with pass."])
    }

    @Test func whatFailsOnlyOnceTellsNothing() async throws {
        let (comparison, _) = try await compare(["broken": .fail], again: ["broken": .pass])
        #expect(comparison.changes.isEmpty && comparison.unsteady == ["broken"] && comparison.doubts.isEmpty)
    }

    @Test func aTestThatIsGoneIsADoubtAndASkipIsOneToo() async throws {
        let (comparison, _) = try await compare(["steady": .skip], removing: "gone")
        #expect(comparison.changes.map(\.test) == ["gone", "steady"] && comparison.doubts.count == 2)
        #expect(comparison.doubts.first?.contains("ends with absent") == true)
    }

    @Test func aComplaintBetweenTestsIsLookedForWithAllOfThem() async throws {
        let (comparison, patterns) = try await compare([SuiteComparison.run: .crash, "broken": .fail])
        #expect(patterns == ["", ""])
        #expect(comparison.doubts.count == 2 && comparison.tests == 5)
    }

    @Test(arguments: [(Verdict.fail, Verdict.skip, false), (.crash, .fail, false), (.skip, .fail, true)])
    func worse(_ before: Verdict, _ after: Verdict, _ isWorse: Bool) {
        #expect(SuiteComparison.Change(test: "x", before: before, after: after).isWorse == isWorse)
    }
}
