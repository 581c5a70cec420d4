// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestResults

/// One run with a test of every kind.
enum Sample {
    static let finding = KernelFinding(
        title: "KASAN: slab-use-after-free Read in foo", kind: "kasan", text: "BUG: KASAN: ...\n foo (mm/foo.c:12)",
        isFatal: true)

    static let tests = [
        TestRecord(suite: "mirror", name: "snapshot", verdict: .pass, duration: 0.25),
        TestRecord(
            suite: "mirror", name: "wrong data", verdict: .fail, reason: "page 3 holds 0x0",
            warnings: ["a result has no number"], output: ["line 1", "ok 7 fake"], duration: 1),
        TestRecord(suite: "mirror", name: "hang", verdict: .timeout, reason: "no end within 10 s", duration: 10),
        TestRecord(
            suite: "mirror", name: "exclusive", verdict: .fail,
            expectation: ExpectedResult(.fail, reason: "6.12 cannot make a tail page exclusive"), reason: "EBUSY"),
        TestRecord(suite: "mirror", name: "coherent", verdict: .skip, reason: "no device"),
        TestRecord(
            suite: "mirror", name: "fixed", verdict: .pass, expectation: ExpectedResult(.fail, reason: "a bug of 6.1")),
        TestRecord(
            suite: "kselftest:mm/hmm", name: "fork", verdict: .crash, reason: "the kernel crashed", reports: [finding],
            boot: 1),
    ]

    static let problem = RunProblem(
        .boot, "the guest did not reach its first test", boot: 2, console: ["[    1.0] the last line"])

    static let run = run(tests, [problem], remarks: ["the emulator spoiled boot 2"])

    static func run(
        _ tests: [TestRecord], _ problems: [RunProblem] = [], remarks: [String] = []
    ) -> RunRecord {
        RunRecord(
            base: "debian:6.12", flavour: "debug", kernelSignature: "abc", machine: "q35", accelerator: "tcg",
            started: Date(timeIntervalSince1970: 1_700_000_000), ended: Date(timeIntervalSince1970: 1_700_000_042),
            tests: tests, problems: problems, remarks: remarks)
    }
}
