// SPDX-License-Identifier: Apache-2.0
import HarnessCore
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

    @Test("of a crash names each report once")
    func repeated() {
        #expect(Judge.summary(of: ["WARNING in a", "BUG in b", "WARNING in a"]) == "WARNING in a (2 times); BUG in b")
    }

    /// The records of a program of the kernel's own that printed something and ended well.
    private func records(
        _ output: String..., remains: [String] = [], known: KnownOutcomes = KnownOutcomes()
    ) -> [TestRecord] {
        let context = RunContext(kernelVersion: "6.12.117", driver: "test_hmm", flavour: "fast", commandLine: "")
        let outcome = SessionOutcome(
            test: .of("kselftest:mm/hmm/fork", form: .ktap), ending: .exited(0), output: output, milliseconds: 5,
            remains: remains)
        return Judge(known: known, context: context).records(of: outcome, [], nil, boot: 0)
    }

    @Test("comes with a warning where a program of the kernel's own does not speak KTAP as it should")
    func malformed() {
        #expect(records("TAP version 13", "1..1", "ok 1 fork").map(\.warnings) == [[]])
        let found = records("TAP version 13", "1..3", "ok 1 fork", "ok exit")
        #expect(found.map(\.verdict) == [.pass, .pass, .fail])
        #expect(found.map(\.duration) == [0, 0, 0])
        #expect(
            found.map(\.warnings) == [
                [
                    "its KTAP is not well formed in line 4: a result has no number",
                    "its KTAP is not well formed: no result for 1 of 3 planned tests",
                ], [], [],
            ])
        #expect(records("nothing of the kind").first?.warnings.isEmpty == false)
    }

    @Test("is fail where something is left behind, of a program with many results as one more")
    func remains() {
        let one = records("TAP version 13", "1..1", "ok 1 fork", remains: ["3 pages", "a lock"])
        #expect(one.map(\.verdict) == [.fail] && one.map(\.reason) == ["left behind: 3 pages; a lock"])
        #expect(one[0].output.suffix(2) == ["hmmlab: left behind: 3 pages", "hmmlab: left behind: a lock"])
        let bad = records("TAP version 13", "1..1", "not ok 1 fork # why", remains: ["3 pages"])
        #expect(bad.map(\.verdict) == [.fail] && bad.map(\.reason) == ["why; left behind: 3 pages"])
        #expect(bad[0].output.last == "hmmlab: left behind: 3 pages")
        let many = records("TAP version 13", "1..2", "ok 1 fork", "ok 2 exit", remains: ["3 pages"])
        #expect(many.map(\.name) == ["fork", "exit", "hmm/fork"])
        #expect(many.map(\.verdict) == [.pass, .pass, .fail])
        #expect(many[2].output == ["hmmlab: left behind: 3 pages"])
    }

    @Test(
        "is no news where something is left behind only if that is known",
        arguments: [("", false), ("title = \"3 pages\"", true), ("title = \"4 pages\"", false)])
    func knownRemains(title: String, isKnown: Bool) async throws {
        let known = try await withTemporaryFolder { folder in
            let entry = "tests = [\"*\"]\noutcome = \"fail\"\nreason = \"so\""
            try Files.write("[[known]]\n\(entry)\n\(title)\n", to: folder + "/known.toml")
            return try KnownOutcomes(path: folder + "/known.toml")
        }
        for line in ["ok 1 fork", "not ok 1 fork"] {
            let found = records("TAP version 13", "1..1", line, remains: ["3 pages"], known: known)
            #expect(found.map(\.verdict) == [.fail] && (found.first?.expectation != nil) == isKnown)
        }
    }

    @Test(
        "names the signal that ended it",
        arguments: [(11, "SIGSEGV"), (7, "SIGBUS"), (9, "SIGKILL"), (64, "signal 64")])
    func signals(number: Int32, name: String) {
        #expect(Judge.signalName(number) == name)
    }
}
