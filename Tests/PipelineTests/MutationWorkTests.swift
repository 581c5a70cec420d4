// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import Mutation
import TestResults
import Testing

@testable import Pipeline

@Suite("Trials of mutants")
struct MutationWorkTests {
    private func fate(_ tests: [TestRecord], _ problems: [RunProblem] = []) -> Trial.Fate {
        MutationWork.fate(
            RunRecord(
                base: "b", series: nil, flavour: "debug", kernelSignature: "", machine: "q35", accelerator: "tcg",
                started: Date(), ended: Date(), tests: tests, problems: problems, notRun: [], isInterrupted: false,
                remarks: []))
    }

    @Test func theFirstTestThatFailsKills() {
        let known = TestRecord(
            suite: "s", name: "known", verdict: .fail, expectation: ExpectedResult(.fail, reason: "known"))
        let tests = [TestRecord(suite: "s", name: "a", verdict: .pass), known]
        #expect(fate(tests) == .survived)
        let killer = TestRecord(suite: "s", name: "b", verdict: .crash)
        #expect(
            fate(tests + [killer, TestRecord(suite: "s", name: "c", verdict: .fail)]) == .killed(by: "s/b", how: .crash)
        )
        #expect(fate(tests, [RunProblem(.fail, "the driver stays")]) == .killed(by: "the driver stays", how: .fail))
    }

    @Test func theHostsTroublesKillNothing() {
        let killer = TestRecord(suite: "s", name: "b", verdict: .fail)
        #expect(fate([killer], [RunProblem(.infra, "the disk is full")]) == .unjudged("the disk is full"))
        #expect(fate([TestRecord(suite: "s", name: "b", verdict: .infra, reason: "no QEMU")]) == .unjudged("no QEMU"))
    }

    @Test func whatIsKnownIsKept() throws {
        let folder = NSTemporaryDirectory() + "ledger-\(UUID().uuidString)"
        try Files.makeFolder(folder)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let header = "Kind: mutation\nWhere: x\nClass: x\nDefect: x\nSymptom: x\n\n"
        let diff = "--- a/x.c\n+++ b/x.c\n@@ -1 +1 @@\n-a\n+b\n"
        let mutant = try Mutant(text: "Mutant: M1\n" + header + diff, path: "p")
        let renamed = try Mutant(text: "Mutant: M2\n" + header + diff, path: "p")
        let other = try Mutant(text: "Mutant: M1\n" + header + diff.replacing("+b", with: "+c"), path: "p")
        let context = Digest(of: "context")
        do {
            let ledger = try TrialLedger(folder, context: context, isFresh: false)
            try ledger.keep(Trial(mutant: "M1", suites: "a", fate: .killed(by: "t", how: .fail)), of: mutant)
            try ledger.keep(Trial(mutant: "M1", suites: "b", fate: .unjudged("no build")), of: mutant)
            try ledger.keepSound("a")
            let error = #expect(throws: LabError.self) { try TrialLedger(folder, context: context, isFresh: false) }
            #expect(error?.code == "mutation-busy")
        }
        let ledger = try TrialLedger(folder, context: context, isFresh: false)
        #expect(ledger.isSound("a") && !ledger.isSound("b"))
        #expect(ledger.trial(of: renamed, "a")?.mutant == "M2" && ledger.trial(of: mutant, "b") == nil)
        #expect(ledger.trial(of: other, "a") == nil)
        #expect(try TrialLedger(folder, context: Digest(of: "x"), isFresh: false).trial(of: mutant, "a") == nil)
    }

    @Test func whatIsForgottenIsGone() throws {
        let folder = NSTemporaryDirectory() + "ledger-\(UUID().uuidString)"
        try Files.makeFolder(folder)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        do { try TrialLedger(folder, context: Digest(of: "x"), isFresh: false).keepSound("a") }
        do { #expect(try !TrialLedger(folder, context: Digest(of: "x"), isFresh: true).isSound("a")) }
        #expect(try !TrialLedger(folder, context: Digest(of: "x"), isFresh: false).isSound("a"))
    }
}
