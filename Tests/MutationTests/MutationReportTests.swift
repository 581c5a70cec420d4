// SPDX-License-Identifier: Apache-2.0
import TestResults
import Testing

@testable import Mutation

@Suite("What mutants say of suites")
struct MutationReportTests {
    private func mutant(_ id: String, _ category: String = "DATA", inert: String? = nil) throws -> Mutant {
        try Mutant(
            text: MutantTests.text(["Mutant": id, "Class": category, "Inert": inert].filter { $0.value != nil }),
            path: "\(id).patch")
    }

    private func report() throws -> MutationReport {
        MutationReport(
            mutants: [
                try mutant("a"), try mutant("b", "LEAK/x"), try mutant("c"), try mutant("d"),
                try mutant("e", inert: "No caller|at all."), try mutant("f", inert: "Same code."),
            ],
            columns: ["ours", "theirs"],
            trials: [
                Trial(mutant: "a", suites: "ours", fate: .killed(by: "x/y", how: .crash), seconds: 20.6),
                Trial(mutant: "a", suites: "theirs", fate: .survived),
                Trial(mutant: "b", suites: "ours", fate: .survived),
                Trial(mutant: "b", suites: "theirs", fate: .survived),
                Trial(mutant: "c", suites: "ours", fate: .unjudged("no build")),
                Trial(mutant: "c", suites: "theirs", fate: .unjudged("no build")),
                Trial(mutant: "d", suites: "ours", fate: .unjudged("disk")),
                Trial(mutant: "d", suites: "theirs", fate: .killed(by: "z", how: .fail)),
                Trial(mutant: "e", suites: "ours", fate: .survived),
                Trial(mutant: "e", suites: "theirs", fate: .survived),
                Trial(mutant: "f", suites: "ours", fate: .killed(by: "x/z", how: .fail)),
            ])
    }

    @Test func whoIsLeft() throws {
        let report = try report()
        #expect(report.survivors.map(\.id) == ["b"])
        #expect(report.unjudged.map(\.mutant.id) == ["c"] && report.unjudged.first?.reason == "no build")
        #expect(report.surprises.map(\.id) == ["f"])
    }

    @Test func scoresLeaveOutWhatTellsNothing() throws {
        let report = try report()
        #expect(report.score("ours", of: report.mutants) == .init(killed: 1, judged: 2))
        #expect(report.score("theirs", of: report.live).text == "1 of 3 (33%)")
        #expect(report.score("nobody", of: report.live).text == "-")
        #expect(report.categories.map(\.name) == ["DATA", "LEAK"])
        #expect(report.categories.first?.mutants.map(\.id) == ["a", "c", "d"])
    }

    @Test func theTable() throws {
        let text = try report().markdown(title: "6.12, debug")
        for line in [
            "## 6.12, debug", "| all | 1 of 2 (50%) | 1 of 3 (33%) |", "| historical | 1 of 2 (50%) | 1 of 3 (33%) |",
            "| LEAK | 0 of 1 (0%) | 0 of 1 (0%) |",
            "| a | mm/hmm.c hmm_vma_walk_hole() | DATA | crash: x/y, 21 s | **alive** |",
            "| e (inert) | mm/hmm.c hmm_vma_walk_hole() | DATA | **alive** | **alive** |",
            "| f (inert) | mm/hmm.c hmm_vma_walk_hole() | DATA | fail: x/z, 0 s | - |", "- c: no build",
            "- e: No caller\\|at all.", "- b: It is off by one.",
        ] {
            #expect(text.split(separator: "\n").contains(Substring(line)), "\(line) in\n\(text)")
        }
    }
}
