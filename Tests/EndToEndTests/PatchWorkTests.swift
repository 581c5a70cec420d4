// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

extension EndToEnd {
    /// Patches of the real kernels, carried from 6.12 to 7.2 and changed there.
    @Suite(.serialized) struct PatchWorkTests {
        let tool: Tool

        init() throws { tool = try Tool() }

        /// A patch with one change at the first lines of a file, which are the same on both bases.
        private func add(_ name: String, _ file: String, _ context: [String], adding line: String) throws {
            let head = context.prefix(1).map { " \($0)\n" }.joined()
            let tail = context.dropFirst().map { " \($0)\n" }.joined()
            _ = try tool.patch(
                "model/fixes/\(name).patch",
                """
                From: A Developer <dev@example.org>
                Date: Sun, 22 Nov 2026 08:00:00 +0000
                Subject: [PATCH] mm: \(name)

                Signed-off-by: A Developer <dev@example.org>
                ---
                diff --git a/\(file) b/\(file)
                --- a/\(file)
                +++ b/\(file)
                @@ -1,\(context.count) +1,\(context.count + 1) @@
                \(head)+\(line)
                \(tail)
                """)
        }

        private func git(_ arguments: String...) async throws -> String {
            try await tool.runner.check(
                Command(
                    "git", ["-c", "user.name=T", "-c", "user.email=t@example.org"] + arguments,
                    environment: ["GIT_CONFIG_GLOBAL": "/dev/null"], in: tool.folder + "/work"))
        }

        private func text(_ file: String) throws -> String { try Files.text("\(tool.folder)/\(file)") }

        private func expect(_ arguments: [String], exit code: Int32 = 0, says words: String...) async throws {
            let output = try await tool.run(["patches"] + arguments)
            #expect(output.ending == .exited(code), "\(output.standardError)")
            for word in words { #expect((output.standardOutput + output.standardError).contains(word), "\(output)") }
        }

        @Test func portAndExport() async throws {
            defer { tool.remove() }
            _ = try tool.patch("model/topics", "fixes\n")
            _ = try tool.patch("model/fixes/topic.toml", "title = \"Fixes\"\nbases = [\"6.12\"]\ntext = \"Text.\"\n")
            _ = try tool.patch("model/fixes/series", "one.patch\ntwo.patch\n")
            let license = "// SPDX-License-Identifier: GPL-2.0"
            let first = [license, "/*", " * Device Memory Migration functionality."]
            try add("one", "mm/migrate_device.c", first, adding: "/* one */")
            try add("two", "mm/hmm.c", [license + "-or-later", "/*"], adding: "/* two */")
            let before = try text("model/fixes/one.patch")

            // One checkout for all of it: what a port has made is a folder to work in and to export from.
            try await expect(
                ["port", "--model", "model", "--to", "debian:7.2", "work"], says: "ported clean", "mm: two")
            #expect(try text("model/fixes/one.toml").contains("bases = [\"6.12\", \"7.2\"]"))
            #expect(try FileManager.default.contentsOfDirectory(atPath: tool.folder + "/model/fixes").count == 6)
            try await expect(["export", "work"], says: "Nothing changed")
            _ = try await git("commit", "-q", "--amend", "-m", "mm: two in other words", "-m", "Patch-Name: fixes/two")
            try await expect(["export", "work"], says: "fixes/two.patch", "mm: two in other words")
            #expect(try text("model/fixes/one.patch") == before)
            #expect(try await git("log", "-2", "--format=%s") == "mm: two in other words\nmm: one\n")
            #expect(try await git("status", "--porcelain") == "")
            try await expect(
                ["edit", "--model", "model", "--base", "debian:6.12", "work"], exit: 64, says: "not empty")
            try await expect(["port", "--continue", "work"], exit: 64, says: "no port to go on with")
        }
    }
}
