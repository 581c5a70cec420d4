// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

@Suite struct ProcessRunnerTests {
    let runner = ProcessRunner()

    @Test func keepsOutputAndStatusApart() async throws {
        let output = try await runner.run(Command("sh", ["-c", "echo out; echo err >&2; exit 3"]))
        #expect(output == CommandOutput(ending: .exited(3), standardOutput: "out\n", standardError: "err\n"))
    }

    @Test func theSignalThatEndedItIsReported() async throws {
        #expect(try await runner.run(Command("sh", ["-c", "kill -SEGV $$"])).ending == .signalled(SIGSEGV))
    }

    @Test func onlyTheEndOfLongOutputIsKept() async throws {
        let output = try await runner.run(
            Command("sh", ["-c", "head -c 300000 /dev/zero | tr '\\0' x; echo end"]), outputLimit: 1000)
        #expect(output.isTruncated)
        #expect(output.standardOutput.utf8.count == 1000)
        #expect(output.standardOutput.hasSuffix("xend\n"))
    }

    @Test func longOutputIsNoResult() async throws {
        let command = Command("sh", ["-c", "head -c 3000 /dev/zero >&2; head -c 1001 /dev/zero | tr '\\0' x"])
        let error = await #expect(throws: LabError.self) { try await runner.check(command, outputLimit: 1000) }
        #expect(error?.code == "tool-output-too-large")
        // What a program has to say about its work may be of any length.
        #expect(try await runner.check(command, outputLimit: 1001).utf8.count == 1001)
    }

    @Test func environmentIsChangedAndRemoved() async throws {
        let output = try await runner.check(
            Command("sh", ["-c", "echo ${HMMLAB_A-unset} ${HOME-unset}"], environment: ["HMMLAB_A": "1", "HOME": nil]))
        #expect(output == "1 unset\n")
    }

    @Test func aMissingToolIsASentence() async throws {
        let error = await #expect(throws: LabError.self) { try await runner.run(Command("hmmlab-no-such-tool")) }
        #expect(error?.code == "tool-missing")
        #expect(error?.nextStep != nil)
    }

    @Test func aFailureCarriesTheToolsOwnWords() async throws {
        let error = await #expect(throws: LabError.self) {
            try await runner.check(Command("sh", ["-c", "echo the reason >&2; exit 1"]))
        }
        #expect(error?.cause == "the reason")
    }

    @Test func aDeadlineEndsTheWholeGroup() async throws {
        let mark = "\(Int.random(in: 100_000...999_999)).25"
        let error = await #expect(throws: LabError.self) {
            try await runner.run(Command("sh", ["-c", "sleep \(mark) & sleep \(mark)"]), deadline: .milliseconds(300))
        }
        #expect(error?.code == "tool-timeout")
        #expect(try await processes(mark).isEmpty)
    }

    @Test func whatTheProgramLeavesBehindIsEndedWithIt() async throws {
        let mark = "\(Int.random(in: 100_000...999_999)).5"
        // setsid leaves the process group: only the subreaper can find it.
        let output = try await runner.run(
            Command("sh", ["-c", "setsid sleep \(mark) >/dev/null 2>&1 & sleep 0.2; exit 0"]))
        #expect(output.ending.isSuccess)
        #expect(try await processes(mark).isEmpty)
    }

    @Test func killingTheOwnerEndsTheChild() async throws {
        let mark = "\(Int.random(in: 100_000...999_999)).75"
        let supervisor = ProcessRunner.besideExecutable("hmmlab-supervise")
        // The inner shell stands for hmmlab: it holds the lifeline and is then killed with SIGKILL.
        let script = """
            sh -c 'sleep 60 | "\(supervisor)" sleep \(mark)' & owner=$!
            for i in $(seq 200); do pgrep -f "^sleep \(mark)" >/dev/null && break; sleep 0.05; done
            pgrep -f "^sleep \(mark)" >/dev/null || { echo "never started"; exit 1; }
            pkill -KILL -P $owner sleep; kill -KILL $owner
            for i in $(seq 100); do pgrep -f "^sleep \(mark)" >/dev/null || exit 0; sleep 0.05; done
            echo "still there"; exit 1
            """
        let output = try await runner.run(Command("bash", ["-c", script]))
        #expect(output.ending.isSuccess, "\(output.standardOutput)")
    }

    @Test(arguments: ["TERM", "INT", "HUP", "QUIT"]) func everySignalOfATerminalEndsTheGroup(_ signal: String)
        async throws
    {
        let mark = "\(Int.random(in: 100_000...999_999)).125"
        let supervisor = ProcessRunner.besideExecutable("hmmlab-supervise")
        // A shell without job control starts programs that ignore SIGINT and SIGQUIT. The FIFO is a lifeline that stays
        // open.
        let script = """
            folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; mkfifo "$folder/lifeline"
            env --default-signal "\(supervisor)" sh -c 'sleep \(mark) & sleep \(mark) & wait' 3<>"$folder/lifeline" <&3 & own=$!
            for i in $(seq 200); do [ "$(pgrep -fc "^sleep \(mark)")" = 2 ] && break; sleep 0.05; done
            [ "$(pgrep -fc "^sleep \(mark)")" = 2 ] || { echo "never started"; exit 1; }
            kill -\(signal) $own; wait $own
            for i in $(seq 100); do pgrep -f "^sleep \(mark)" >/dev/null || exit 0; sleep 0.05; done
            echo "still there"; pkill -f "^sleep \(mark)"; exit 1
            """
        let output = try await runner.run(Command("bash", ["-c", script]), deadline: .seconds(120))
        #expect(output.ending.isSuccess, "\(output.standardOutput)\(output.standardError)")
    }

    private func processes(_ mark: String) async throws -> String {
        try await runner.run(Command("pgrep", ["-f", "^sleep \(mark)"])).standardOutput
    }
}

@Suite struct CommandTests {
    @Test func shellTextCanBeTypedAgain() {
        let command = Command("a b", ["plain", "it's", "$x", ""], environment: ["K": "v w"], in: "/tmp/x y")
        #expect(command.shellText == "cd '/tmp/x y' && K='v w' 'a b' plain 'it'\\''s' '$x' ''")
    }
}

@Suite struct LineSplitterTests {
    @Test func linesComeWholeHoweverTheBytesArrive() {
        let text = Array("one\r\ntwo\n\nthree".utf8)
        for cut in 0...text.count {
            var splitter = LineSplitter()
            var lines = splitter.feed(text[..<cut]) + splitter.feed(text[cut...])
            splitter.finish().map { lines.append($0) }
            #expect(lines == ["one", "two", "", "three"])
        }
    }

    @Test func anEndlessLineDoesNotGrow() {
        var splitter = LineSplitter(maximumLength: 4)
        #expect(splitter.feed(Array("abcdefghi".utf8)) == ["abcd", "efgh"])
        #expect(splitter.finish() == "i")
    }
}
