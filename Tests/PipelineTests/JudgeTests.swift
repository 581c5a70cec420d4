// SPDX-License-Identifier: Apache-2.0
import TestResults
import Testing

@testable import Pipeline

@Suite("The verdict of a test of our own")
struct JudgeTests {
    @Test(
        "comes from its status and its words",
        arguments: [
            (0, [], .pass, ""), (0, ["read 4096 bytes", "SKIP: this"], .pass, ""),
            (0, ["a", "FAIL read:12: 1 is not 2"], .fail, "read:12: 1 is not 2"),
            (0, ["it did not FAIL", " FAIL indented"], .pass, ""),
            (4, ["checking", "SKIP:  no huge pages "], .skip, "no huge pages"), (4, [], .skip, "no reason was given"),
            (1, ["FAIL read:12: first", "FAIL read:13: second"], .fail, "read:12: first"),
            (1, ["nothing to see"], .fail, "it ended with status 1 and no word"),
            (127, ["SKIP: no"], .fail, "it ended with status 127 and no word"),
        ] as [(Int32, [String], Verdict, String)])
    func judge(status: Int32, output: [String], verdict: Verdict, reason: String) {
        let judged = Judge.judge(status: status, output: output)
        #expect(judged.0 == verdict)
        #expect(judged.1 == reason)
    }

    @Test(
        "names the signal that ended it",
        arguments: [(11, "SIGSEGV"), (7, "SIGBUS"), (9, "SIGKILL"), (64, "signal 64")])
    func signals(number: Int32, name: String) {
        #expect(Judge.signalName(number) == name)
    }
}
