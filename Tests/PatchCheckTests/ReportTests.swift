// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelBuild
import ProcessRunner
import Testing

@testable import PatchCheck

@Suite("Reports of checks")
struct ReportTests {
    private func report() -> CheckReport {
        func patch(_ base: String, _ name: String, _ checks: [CheckResult]) -> PatchReport {
            PatchReport(
                base: base, kernelVersion: "6.12.1", number: 1, patch: name, subject: "mm: do it", checks: checks)
        }
        let failure = Finding(isFailure: true, "mm/a.c:1:2: error: no", configuration: "SHMEM=n")
        return CheckReport([
            patch(
                "debian:6.12", "fixes/one",
                [
                    CheckResult(.applies, [], isCached: true),
                    CheckResult(.checkpatch, [Finding(isFailure: false, "message: warning: odd", type: "ODD")]),
                    CheckResult(.build, [failure], notes: ["SHMEM=n has no mm/shmem.o"]),
                    CheckResult(.coccicheck, notChecked: "it is slow"),
                ]),
            patch(
                "debian:6.12", "fixes/second",
                [CheckResult(.applies, []), CheckResult(.coccicheck, notChecked: "it is slow")]),
        ])
    }

    @Test("A table, the findings, the reasons and a sentence")
    func table() {
        #expect(
            report().text == """
                debian:6.12 (6.12.1)  applies  checkpatch  build  coccicheck
                fixes/one             cached   warn        FAIL   not checked
                fixes/second          ok       -           -      not checked

                warn fixes/one, checkpatch: message: warning: odd [ODD]
                FAIL fixes/one, build, SHMEM=n: mm/a.c:1:2: error: no
                left out of build: SHMEM=n has no mm/shmem.o (fixes/one)
                NOT CHECKED coccicheck: it is slow (all patches)

                2 patches on 1 base: 2 ok, 1 with warnings, 1 failed, 2 not checked (1 known from an earlier run).

                """)
        #expect(!report().hasPassed)
    }

    @Test("JSON has everything")
    func json() throws {
        let text = try JSON.text(Document(report()))
        for part in [
            "\"schema\" : 1", "\"status\" : \"not-checked\"", "\"notChecked\" : \"it is slow\"",
            "\"check\" : \"build\"",
            "\"configuration\" : \"SHMEM=n\"", "\"isCached\" : true", "\"fail\" : 1",
        ] { #expect(text.contains(part), "\(part)") }
        #expect(try JSON.value(CheckReport.self, from: Data(text.utf8)) == report())
    }

    @Test("b4's review command gets an array with tool, status, summary and details")
    func b4() throws {
        let answer = B4Answer(report().patches[0], isPart: false)
        #expect(answer.entries.map(\.tool).first == "hmmlab applies")
        #expect(answer.entries.map(\.status) == ["pass", "warn", "fail", "warn"])
        #expect(
            answer.entries[2].summary == "1 failure" && answer.entries[2].details.hasPrefix("mm/a.c:1:2: error: no"))
        #expect(answer.entries[3].summary == "not checked: it is slow")
        let array = try #require(
            try JSONSerialization.jsonObject(with: Data(answer.json().utf8)) as? [[String: String]])
        #expect(array.count == 4 && Set(array[0].keys) == ["tool", "status", "summary", "details"])
        #expect(!answer.hasPassed)
    }

    @Test("b4's prep and am commands get lines as checkpatch prints them, none for a patch that passes")
    func b4Lines() {
        let lines = B4Answer(report().patches[0], isPart: false).lines.split(separator: "\n")
        #expect(
            lines == [
                "checkpatch: WARNING: message: warning: odd", "build: ERROR: mm/a.c:1:2: error: no (SHMEM=n)",
                "coccicheck: WARNING: not checked: it is slow",
            ])
        var good = report().patches[0]
        good.checks = [CheckResult(.applies, [])]
        #expect(B4Answer(good, isPart: false).lines == "")
    }

    @Test("A mail from the middle of a series may not apply by itself")
    func parts() {
        var row = report().patches[0]
        row.checks = [CheckResult(.applies, [Finding(isFailure: true, "It does not apply")])]
        #expect(!B4Answer(row, isPart: false).hasPassed && B4Answer(row, isPart: true).hasPassed)
        for (subject, isPart) in [
            ("[PATCH v2 3/7] mm: x", true), ("[PATCH 1/7] mm: x", false), ("[PATCH] mm: 2/3", false),
            ("[PATCH hmm v2 02/11] x", true),
        ] { #expect(B4Answer.isPart(Data("From: a\nSubject: \(subject)\n\nbody\n".utf8)) == isPart, "\(subject)") }
    }

    @Test("checkpatch's lines")
    func checkpatch() {
        func said(_ text: String, _ error: String = "") -> CommandOutput {
            CommandOutput(ending: .exited(1), standardOutput: text, standardError: error)
        }
        let answer = Checkpatch.answer(
            said(":1: WARNING:TYPO: 'Teh'\nmm/hmm.c:2: ERROR:SPACING: spaces: a:b\nmm/hmm.c:3: CHECK:X: y\ntotal: 1\n"))
        #expect(answer.findings.map(\.isFailure) == [false, true, false])
        #expect(answer.findings[1].text == "mm/hmm.c:2: error: spaces: a:b" && answer.findings[0].type == "TYPO")
        #expect(Checkpatch.answer(said("", "Can't locate X.pm\n")).notChecked == "checkpatch: Can't locate X.pm")
    }

    @Test("A diagnostic is new if it was said less often before, wherever it stood")
    func new() {
        func line(_ place: String, _ text: String = "warning: x") -> Diagnostic {
            Diagnostic(file: "mm/a.c", place: place, isError: false, text: text)
        }
        #expect(NewDiagnostics.of([line("9:1")], before: [line("1:1")]) == [])
        #expect(NewDiagnostics.of([line("1:1"), line("9:1")], before: [line("1:1")]) == [line("9:1")])
        #expect(NewDiagnostics.of([line("1:1", "warning: y")], before: [line("1:1")]).count == 1)
    }
}
