// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import PatchMail

@Suite("Records of tested trees")
struct TestedRunsTests {
    private func run(
        _ counts: [String: Int], known: [String: Int] = [:], suites: [String] = ["mirror"], flavour: String = "fast",
        restrictions: [String] = [], problems: Int = 0
    ) -> TestedRun {
        TestedRun(
            tree: "abc", base: "debian-6.12.117-1", kernelVersion: "6.12.117", flavour: flavour, driver: "test_hmm",
            suites: suites, restrictions: restrictions, counts: counts, known: known, problems: problems,
            date: Date(timeIntervalSince1970: 1))
    }

    @Test("The newest of a kind stays, other kinds stay beside it, other trees know nothing")
    func newest() throws {
        let root = NSTemporaryDirectory() + "hmmlab-tested-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: root) }
        let records = TestedRuns(cache: Cache(root: root))
        try records.keep(run(["pass": 1]))
        try records.keep(run(["pass": 2]))
        try records.keep(run(["pass": 3], restrictions: ["--filter a/b"]))
        try records.keep(run(["pass": 4], flavour: "debug"))
        try records.keep(run(["pass": 5], suites: (1...99).map { "suite\($0)" }))
        try Files.write("{", to: root + "/tested/abc/torn.json")
        let found = records.runs(of: "abc")
        #expect(found.map(\.counts) == [["pass": 4], ["pass": 2], ["pass": 3], ["pass": 5]])
        #expect(records.runs(of: "abd") == [])
    }

    @Test("Figures say everything that happened and nothing else")
    func figures() {
        #expect(
            run(["pass": 279], known: ["fail": 3], suites: ["mirror", "migrate"]).figures
                == "suites mirror, migrate: 279 passed, 3 known failures")
        #expect(
            run(
                ["pass": 1, "fail": 2, "timeout": 1, "crash": 1, "skip": 4, "infra": 0],
                known: ["fail": 1, "crash": 2, "skip": 1], restrictions: ["--filter x"], problems: 2
            ).figures
                == "suite mirror (--filter x): 1 passed, 2 failed, 1 timed out, 1 crashed the kernel, 4 skipped, "
                + "1 known failure, 2 known crashes, 1 known skip, 2 problems outside of tests")
    }

    @Test("A base without a run is said to have none")
    func bases() {
        #expect(TestedBase(version: "7.2", source: nil, runs: []).lines == ["7.2: not run"])
        #expect(TestedBase(version: "7.2.13", source: "debian", runs: []).lines == ["7.2.13 (debian): not run"])
        #expect(
            TestedBase(version: "6.12.117", source: "debian", runs: [run(["pass": 2])]).lines
                == ["6.12.117 (debian, fast, test_hmm): suite mirror: 2 passed"])
    }
}
