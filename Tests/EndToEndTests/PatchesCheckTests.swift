// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

extension EndToEnd {
    /// `hmmlab patches check` on a real kernel.
    @Suite(.serialized) struct PatchesCheckTests {
        let tool: Tool

        init() throws { tool = try Tool() }

        private struct Answer: Decodable {
            struct Patch: Decodable {
                var patch: String
                var checks: [Check]
            }
            struct Check: Decodable {
                struct Finding: Decodable {
                    var text: String
                    var configuration: String?
                }
                var check: String
                var status: String
                var findings: [Finding]
                var isCached: Bool
            }
            var patches: [Patch]

            func check(_ patch: Int, _ name: String) throws -> Check {
                try #require(patches[patch].checks.first { $0.check == name })
            }
        }

        /// The first lines of mm/hmm.c have been the same since the file got its license line.
        private func mail(_ subject: String, removing old: String?, adding new: String?) -> String {
            let change = (old.map { "-\($0)\n" } ?? "") + (new.map { "+\($0)\n" } ?? "")
            let counts = "-1,\(old == nil ? 2 : 3) +1,\(new == nil ? 2 : 3)"
            return """
                From: A Developer <dev@example.org>
                Date: Sun, 22 Nov 2026 08:00:00 +0000
                Subject: [PATCH] \(subject)

                Because.

                Signed-off-by: A Developer <dev@example.org>
                ---
                diff --git a/mm/hmm.c b/mm/hmm.c
                --- a/mm/hmm.c
                +++ b/mm/hmm.c
                @@ \(counts) @@
                 // SPDX-License-Identifier: GPL-2.0-or-later
                \(change) /*

                """
        }

        private func check(_ arguments: String..., exit: Int32) async throws -> Answer {
            let output = try await tool.run(["patches", "check", "--base", "debian:6.12", "--json", "-"] + arguments)
            #expect(output.ending == .exited(exit), "\(output.standardError.suffix(2000))\n\(output.standardOutput)")
            return try JSON.value(Answer.self, from: Data(output.standardOutput.utf8))
        }

        /// A topic of hmmlab's own, and the one that it builds on, on the bases that are in use; `scripts/check --series`
        /// checks all of them.
        @Test func oneOfOurTopicsPasses() async throws {
            defer { tool.remove() }
            let bases = ["debian:6.12", "debian:7.2"].flatMap { ["--base", $0] }
            let output = try await tool.run(["patches", "check", "--topic", "mainline", "--topic", "errors"] + bases)
            #expect(output.ending == .exited(0), "\(output.standardError.suffix(2000))\n\(output.standardOutput)")
        }

        @Test func aPatchThatBreaksTheBuildByItself() async throws {
            defer { tool.remove() }
            let broken = "static int twice = undeclared_\(UInt32.random(in: 0 ... .max));"
            _ = try tool.patch("series/1.patch", mail("mm/hmm: break the build", removing: nil, adding: broken))
            _ = try tool.patch("series/2.patch", mail("mm/hmm: mend the build", removing: broken, adding: nil))
            let answer = try await check("--series", "series", "--only", "build", "--only", "message", exit: 1)
            let (first, second) = (try answer.check(0, "build"), try answer.check(1, "build"))
            #expect(first.status == "fail" && second.status == "ok")
            #expect(first.findings.contains { $0.text.hasPrefix("mm/hmm.c:2:") && $0.text.contains("undeclared") })
            #expect(first.findings.allSatisfy { $0.configuration?.contains("DEVICE_PRIVATE=y") == true })
            #expect(try answer.check(0, "message").status == "ok")

            let again = try await check("--series", "series", "--only", "build", exit: 1)
            #expect(try again.check(0, "build").isCached && again.check(1, "build").isCached)
            #expect(try again.check(0, "build").status == "fail")
        }

        @Test func b4AsksAboutAMail() async throws {
            defer { tool.remove() }
            let path = try tool.patch("mail", mail("mm/hmm: added teh thing.", removing: nil, adding: "/* x */"))
            for (flag, parts) in [
                ("--b4", ["\"tool\" : \"hmmlab message\"", "\"status\" : \"fail\"", "full stop", "misspelled"]),
                ("--b4-lines", ["message: ERROR: ", "checkpatch: WARNING: "]),
            ] {
                let command = "exec \"$0\" patches check --base debian:6.12 \(flag) <\(Command.quote(path))"
                let output = try await tool.runner.run(
                    Command("sh", ["-c", command, try Tool.binary], in: tool.folder))
                #expect(output.ending == .exited(1) && output.standardError == "", "\(output)")
                for part in parts { #expect(output.standardOutput.contains(part), "\(output.standardOutput)") }
            }
        }

        @Test func optionsThatContradict() async throws {
            defer { tool.remove() }
            for arguments in [["--b4", "--series", "x"], ["--series", "x", "--topic", "y"], ["--only", "nothing"]] {
                #expect(try await tool.run(["patches", "check"] + arguments).ending == .exited(64))
            }
        }
    }
}
