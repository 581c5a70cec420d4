// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import TestResults
import Testing

@Suite("Verdicts and records")
struct RecordTests {
    @Test("Verdicts are ordered infra > boot > crash > timeout > fail > skip > pass")
    func order() {
        #expect(Verdict.allCases.shuffled().sorted(by: >) == [.infra, .boot, .crash, .timeout, .fail, .skip, .pass])
    }

    @Test("Only the verdict that was expected is expected")
    func outcomes() {
        let known = ExpectedResult(.fail, reason: "r")
        func outcome(_ verdict: Verdict, _ expectation: ExpectedResult?) -> Outcome {
            TestRecord(suite: "s", name: "n", verdict: verdict, expectation: expectation).outcome
        }
        #expect(outcome(.pass, nil) == .passed)
        #expect(outcome(.pass, known) == .unexpectedPass)
        #expect(outcome(.fail, known) == .expected)
        #expect(outcome(.crash, known) == .unexpected)
        #expect(outcome(.skip, nil) == .unexpected)
        #expect(outcome(.skip, ExpectedResult(.skip, reason: "r")) == .expected)
    }

    @Test("An unexpected skip says that it counts as a failure, and why it was skipped")
    func skipReason() {
        let record = TestRecord(suite: "s", name: "n", verdict: .skip, reason: "no device")
        #expect(
            record.explanation == "skipped, which nothing allows and which therefore counts as a failure: no device")
    }

    @Test("The exit code follows the worst of what nobody expected")
    func exitCodes() {
        func code(_ verdict: Verdict, _ expectation: ExpectedResult? = nil) -> ExitCode {
            Sample.run([
                TestRecord(suite: "s", name: "good", verdict: .pass),
                TestRecord(suite: "s", name: "n", verdict: verdict, expectation: expectation),
            ]).exitCode
        }
        #expect(code(.pass) == .passed)
        #expect(code(.skip) == .testsFailed)
        #expect(code(.fail) == .testsFailed)
        #expect(code(.timeout) == .testsFailed)
        #expect(code(.crash) == .testsFailed)
        #expect(code(.boot) == .bootFailed)
        #expect(code(.infra) == .unavailable)
        #expect(code(.fail, ExpectedResult(.fail, reason: "r")) == .passed)
        #expect(code(.pass, ExpectedResult(.fail, reason: "r")) == .passed)
        #expect(Sample.run([], []).exitCode == .testsFailed)
        let good = [TestRecord(suite: "s", name: "good", verdict: .pass)]
        #expect(Sample.run(good, [RunProblem(.crash, "a warning after the last test")]).exitCode == .testsFailed)
        #expect(
            Sample.run(good, [RunProblem(.infra, "the disk is full"), RunProblem(.boot, "b")]).exitCode == .unavailable)
    }

    @Test("The summary counts every test once by verdict and names what nobody expected")
    func summary() {
        let summary = Sample.run.summary
        #expect(summary.total == 7)
        #expect(summary.counts == ["pass": 2, "fail": 2, "timeout": 1, "skip": 1, "crash": 1, "boot": 0, "infra": 0])
        #expect(summary.counts.values.reduce(0, +) == summary.total)
        #expect(summary.expected == 1)
        #expect(summary.unexpectedPasses == ["mirror/fixed"])
        #expect(summary.unexpected == ["mirror/wrong data", "mirror/hang", "mirror/coherent", "kselftest:mm/hmm/fork"])
        #expect(summary.verdict == .boot)
        #expect(summary.exitCode == 3)
    }

    @Test("The JSON carries schema 1 and the derived figures, and reads back to the same record")
    func json() throws {
        let text = try Sample.run.json()
        let object = try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(object["schema"] as? Int == 1)
        #expect((object["summary"] as? [String: Any])?["exitCode"] as? Int == 3)
        let first = try #require((object["tests"] as? [[String: Any]])?.last)
        #expect(first["id"] as? String == "kselftest:mm/hmm/fork")
        #expect(first["outcome"] as? String == "unexpected")
        #expect(first["warnings"] as? [String] == [])
        #expect(try JSON.value(RunRecord.self, from: Data(text.utf8)) == Sample.run)
    }

    @Test("Output is cut in its middle, and long lines at their end")
    func bounds() {
        let lines = (0..<10_000).map { "line \($0)" }
        let record = TestRecord(suite: "s", name: "n", verdict: .fail, output: lines)
        #expect(record.output.count == TestRecord.outputLimit)
        #expect(record.output.first == "line 0")
        #expect(record.output.last == "line 9999")
        #expect(record.output.contains("... 9601 lines left out ..."))
        let long = TestRecord.bounded([String(repeating: "x", count: 1_000_000)])
        #expect(long[0].utf8.count == TestRecord.lineLimit + 3)
    }
}

@Suite("Summary table")
struct SummaryTableTests {
    @Test("Rows by suite, then what did not pass, worst first, then one sentence")
    func table() {
        #expect(
            SummaryTable.lines(for: Sample.run) == [
                "suite             pass  fail  crash  timeout  skip  expected",
                "mirror               2     1      0        1     1         1",
                "kselftest:mm/hmm     0     0      1        0     0         0",
                "total                2     1      1        1     1         1",
                "",
                "BOOT     the guest did not reach its first test",
                "NOTE     the emulator spoiled boot 2",
                "CRASH    kselftest:mm/hmm/fork: the kernel crashed; KASAN: slab-use-after-free Read in foo (0.0 s)",
                "TIMEOUT  mirror/hang: no end within 10 s (10.0 s)",
                "FAIL     mirror/wrong data: page 3 holds 0x0 (1.0 s)",
                "SKIP     mirror/coherent: skipped, which nothing allows and which therefore counts as a failure: no device (0.0 s)",
                "KNOWN    mirror/exclusive: EBUSY; known: 6.12 cannot make a tail page exclusive (0.0 s)",
                "XPASS    mirror/fixed: passed, although it is known to fail: a bug of 6.1 (0.0 s)",
                "",
                "The guest did not boot: the guest did not reach its first test; 7 tests ran.",
            ])
    }

    @Test("The closing sentence")
    func closing() {
        let pass = TestRecord(suite: "s", name: "a", verdict: .pass)
        #expect(SummaryTable.closingLine(for: Sample.run([pass])) == "All 1 test passed in 42.0 s.")
        #expect(SummaryTable.closingLine(for: Sample.run([])) == "No test ran, so nothing is known.")
        #expect(
            SummaryTable.closingLine(for: Sample.run(Sample.tests))
                == "2 of 7 tests passed in 42.0 s, 1 crashed the kernel, 1 timed out, 1 failed, 1 skipped without permission,"
                + " 1 did not pass, as is known, 1 passed although known to fail.")
        #expect(
            SummaryTable.closingLine(for: Sample.run([], [RunProblem(.infra, "QEMU is gone")]))
                == "The host failed: QEMU is gone; no test ran.")
        #expect(
            SummaryTable.closingLine(for: Sample.run([pass], [RunProblem(.crash, "w")]))
                == "All 1 test passed in 42.0 s, the kernel misbehaved 1 time while no test ran.")
    }
}
