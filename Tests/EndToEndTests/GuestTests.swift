// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

extension EndToEnd {
    /// Real kernels in real guests.
    ///
    /// One after the other: each boots guests that want both of a small machine's cores.
    @Suite(.serialized) struct GuestTests {
        let tool: Tool

        init() throws { tool = try Tool() }

        @Test func theMainJobPasses() async throws {
            defer { tool.remove() }
            let output = try await tool.run("test", "--json", "run.json", "--ktap", "run.ktap", "--junit", "run.xml")
            #expect(Files.exists(tool.folder + "/run.json"), "\(output.ending): \(output.standardError.suffix(3000))")
            let run = try RunDocument(path: tool.folder + "/run.json")
            for surprise in run.surprises { Issue.record("\(surprise)") }
            #expect(output.ending == .exited(0), "\(output.standardError.suffix(2000))")
            #expect(run.tests.count { !$0.suite.hasPrefix("kselftest") } >= 60)
            #expect(run.tests.count { $0.suite == "kselftest:mm/hmm" } >= 58)
            #expect(!run.tests.contains { $0.verdict == "skip" && $0.outcome == "unexpected" })
            #expect(run.summary.total == run.tests.count)
            #expect(try Files.text(tool.folder + "/run.ktap").hasPrefix("KTAP version 1\n"))
            #expect(try Files.text(tool.folder + "/run.xml").contains("<testsuite"))
            for file in ["record.json", "results.ktap", "junit.xml", "reproduce.sh", "boot-0/console.log"] {
                #expect(Files.exists("\(run.folder)/\(file)"), "\(file)")
            }
        }

        @Test(arguments: [0, 7, 255])
        func theGuestsExitCodeIsPassedThrough(_ code: Int32) async throws {
            defer { tool.remove() }
            let output = try await tool.run(
                "run", "--quiet", "--", "sh", "-c", "echo to out; echo to err >&2; exit \(code)")
            #expect(output.ending == .exited(code), "\(output.standardError)")
            #expect(output.standardOutput == "to out\n")
            #expect(output.standardError.contains("to err\n"))
        }

        @Test func aPanicIsACrashWithItsTitle() async throws {
            defer { tool.remove() }
            let output = try await tool.run(
                "run", "--", "sh", "-c",
                "modprobe lkdtm && echo PANIC > /sys/kernel/debug/provoke-crash/DIRECT; sleep 60")
            #expect(output.ending == .exited(1))
            #expect(output.standardError.contains("kernel: "), "\(output.standardError)")
        }

        @Test func aWarningIsACrashEvenIfTheCommandSucceeds() async throws {
            defer { tool.remove() }
            let output = try await tool.run(
                "run", "--", "sh", "-c", "modprobe lkdtm && echo WARNING > /sys/kernel/debug/provoke-crash/DIRECT")
            #expect(output.ending == .exited(1))
            #expect(output.standardError.contains("WARNING in lkdtm"), "\(output.standardError)")
        }

        @Test func theNewestBasePasses() async throws { try await passes("debian:latest", "fast") }

        /// The flavour that looks closest.
        @Test func theDebugFlavourPasses() async throws { try await passes("debian:6.12", "debug") }

        private func passes(_ base: String, _ flavour: String) async throws {
            defer { tool.remove() }
            let output = try await tool.run("test", "--base", base, "--flavour", flavour, "--json", "run.json")
            #expect(Files.exists(tool.folder + "/run.json"), "\(output.ending): \(output.standardError.suffix(3000))")
            let run = try RunDocument(path: tool.folder + "/run.json")
            for surprise in run.surprises { Issue.record("\(surprise)") }
            #expect(output.ending == .exited(0), "\(output.standardError.suffix(2000))")
            #expect(run.tests.count { $0.verdict == "pass" } >= 250)
        }

        /// hmmlab's own driver with its suites, but the random requests of `robustness`, and upstream's hmm-tests unchanged.
        @Test func ourOwnDriverPassesToo() async throws {
            defer { tool.remove() }
            let suites = ["mirror", "migrate", "devmem", "faults", "mirror-odp", "model", "kselftest:mm/hmm"]
            let output = try await tool.run(
                ["test", "--driver", "hmm_dmirror", "--json", "run.json"] + suites.flatMap { ["--suite", $0] })
            #expect(Files.exists(tool.folder + "/run.json"), "\(output.ending): \(output.standardError.suffix(3000))")
            let run = try RunDocument(path: tool.folder + "/run.json")
            for surprise in run.surprises { Issue.record("\(surprise)") }
            #expect(output.ending == .exited(0), "\(output.standardError.suffix(2000))")
            for suite in suites {
                #expect(run.tests.contains { $0.id.hasPrefix(suite) && $0.verdict == "pass" }, "\(suite) did not run")
            }
        }

        /// Upstream's harness explains itself on another stream than it gives results on.
        @Test func aTestOfUpstreamsSaysWhyItFailed() async throws {
            defer { tool.remove() }
            let series = try tool.patch(
                "impatient.patch",
                """
                From: A Developer <dev@example.org>
                Subject: [PATCH] hmm-tests: fail in two ways

                ---
                diff --git a/tools/testing/selftests/mm/hmm-tests.c b/tools/testing/selftests/mm/hmm-tests.c
                --- a/tools/testing/selftests/mm/hmm-tests.c
                +++ b/tools/testing/selftests/mm/hmm-tests.c
                @@ -284,4 +284,11 @@
                  */
                -TEST_F(hmm, open_close)
                +TEST_F_TIMEOUT(hmm, open_close, 1)
                 {
                +	sleep(30);
                +}
                +
                +TEST_F(hmm, open_count)
                +{
                +	int seven = 7;
                +	ASSERT_EQ(seven, 8);
                 }

                """)
            let output = try await tool.run(
                "test", "--series", series, "--suite", "kselftest:mm/hmm", "--filter", "device_private.open_c",
                "--json",
                "run.json")
            #expect(output.ending == .exited(1), "\(output.standardError.suffix(2000))")
            let run = try RunDocument(path: tool.folder + "/run.json")
            let tests = Dictionary(uniqueKeysWithValues: run.tests.map { ($0.id.split(separator: ".").last ?? "", $0) })
            #expect(tests["open_close"]?.verdict == "timeout")
            #expect(tests["open_count"]?.verdict == "fail")
            #expect(tests["open_count"]?.explanation.contains("Expected seven (7) == 8 (8)") == true)
            #expect(tests.values.allSatisfy { $0.outcome == "unexpected" } && tests.count == 2, "\(run.surprises)")
        }

        @Test func ctrlCKeepsTheResultsSoFar() async throws {
            defer { tool.remove() }
            let process = try tool.start(
                ["test", "--suite", "migrate", "--json", "run.json"], standardError: "errors")
            let hasResults = try await tool.wait(seconds: 1800) {
                try Files.text(tool.folder + "/errors").contains("pass    migrate/round-trip-coherent")
            }
            #expect(hasResults, "no result came")
            process.interrupt()
            process.waitUntilExit()
            #expect(process.terminationStatus == 130)
            let run = try RunDocument(path: tool.folder + "/run.json")
            #expect(run.tests.contains { $0.id == "migrate/round-trip-coherent" && $0.verdict == "pass" })
            #expect(run.interrupted && run.notRun.contains("migrate/threads-release-coherent"))
            #expect(Set(run.notRun).isDisjoint(with: run.tests.map(\.id)))
        }

        @Test func aGuestThatHangsIsATimeoutWithItsPlace() async throws {
            defer { tool.remove() }
            let output = try await tool.run(
                "run", "--cpus", "1", "--timeout", "3", "--", "sh", "-c",
                "modprobe lkdtm && echo HARDLOCKUP > /sys/kernel/debug/provoke-crash/DIRECT")
            #expect(output.ending == .exited(124), "\(output.standardError)")
            #expect(output.standardError.contains("hung in lkdtm_HARDLOCKUP"), "\(output.standardError)")
        }

        @Test func noQEMUSurvivesAKilledHmmlab() async throws {
            defer { tool.remove() }
            let mark = "hmmlab.mark=\(Int.random(in: 100_000...999_999))"
            let process = try tool.start(["run", "--append", mark, "--", "sleep", "600"])
            #expect(try await tool.wait { try await !tool.guests(with: mark).isEmpty }, "the guest never started")
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            #expect(try await tool.wait { try await tool.guests(with: mark).isEmpty }, "QEMU is still there")
        }

        @Test func twoRunsSideBySideDoNotMeet() async throws {
            defer { tool.remove() }
            async let first = tool.run("run", "--quiet", "--", "sh", "-c", "echo one > /tmp/x; sleep 2; cat /tmp/x")
            async let second = tool.run("run", "--quiet", "--", "sh", "-c", "echo two > /tmp/x; sleep 2; cat /tmp/x")
            let outputs = try await (first, second)
            #expect(outputs.0.standardOutput == "one\n", "\(outputs.0.standardError)")
            #expect(outputs.1.standardOutput == "two\n", "\(outputs.1.standardError)")
        }

        @Test func theDryRunsLineRunsAsItIs() async throws {
            defer { tool.remove() }
            let output = try await tool.run("test", "--dry-run", "--suite", "mirror", "--quiet", "--cpus", "1")
            #expect(output.ending == .exited(0))
            let line = output.standardOutput
            #expect(line.hasPrefix("cd /") && line.contains(" -smp 1 "))
            // Nobody talks to this guest; that its kernel starts is enough.
            let folder = try #require(line.dropFirst(3).split(separator: " ").first)
            let ending = LockedValue<CommandOutput?>(nil)
            let booting = Task { [runner = tool.runner] in
                let output = try await runner.run(Command("sh", ["-c", line]), deadline: .seconds(120))
                ending.withLock { $0 = output }
            }
            let started = try await tool.wait {
                ((try? Files.text("\(folder)/console.log")) ?? "").contains("Linux version")
            }
            #expect(started, "\(String(describing: ending.withLock { $0 }))")
            booting.cancel()
            _ = await booting.result
        }

        @Test func aShellThatIsTerminatedLeavesNothing() async throws {
            defer { tool.remove() }
            let mark = "hmmlab.mark=\(Int.random(in: 100_000...999_999))"
            let process = try tool.start(["shell", "--append", mark])
            #expect(try await tool.wait(seconds: 1800) { try await !tool.guests(with: mark).isEmpty })
            process.terminate()
            #expect(try await tool.wait { !process.isRunning }, "hmmlab is still there")
            #expect(try await tool.wait { try await tool.guests(with: mark).isEmpty }, "QEMU is still there")
            if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        }

        @Test func theShellTakesWhatIsTyped() async throws {
            defer { tool.remove() }
            // script(1) gives hmmlab a terminal.
            let typed = "(sleep 25; echo 'echo sum=$((40+2)); tty'; sleep 3; echo exit; sleep 5)"
            let output = try await tool.runner.run(
                Command(
                    "bash", ["-c", "\(typed) | script -qec \"$0 shell\" /dev/null", try Tool.binary], in: tool.folder),
                deadline: .seconds(200))
            #expect(output.standardOutput.contains("sum=42"), "\(output.standardOutput.suffix(3000))")
        }
    }
}
