// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import ProcessRunner
import Testing

extension EndToEnd {
    /// Real builds: errors that name the culprit, results that do not depend on history.
    @Suite(.serialized) struct BuildTests {
        let tool: Tool

        init() throws { tool = try Tool() }

        struct Built: Decodable {
            struct Kernel: Decodable {
                var signature: String
                var folder: String
                var vmlinux: String
            }
            var kernel: Kernel
        }

        private func build(_ arguments: String..., environment: [String: String?] = [:]) async throws -> Built {
            let command = try tool.command(["build", "--json", "-"] + arguments, environment: environment)
            let output = try await tool.runner.run(command, deadline: .seconds(3000))
            #expect(output.ending == .exited(0), "\(output.standardError.suffix(2000))")
            return try JSON.value(Built.self, from: Data(output.standardOutput.utf8))
        }

        /// Adds a line to mm/migrate_device.c, at its first lines, which have been the same since the file was made.
        private func series(adding text: String, subject: String) throws -> String {
            try tool.patch(
                "\(subject).patch",
                """
                From: A Developer <dev@example.org>
                Subject: [PATCH] \(subject)

                ---
                diff --git a/mm/migrate_device.c b/mm/migrate_device.c
                --- a/mm/migrate_device.c
                +++ b/mm/migrate_device.c
                @@ -1,3 +1,4 @@
                 // SPDX-License-Identifier: GPL-2.0
                +\(text)
                 /*
                  * Device Memory Migration functionality.

                """)
        }

        @Test func anUnchangedBuildDoesNotCallMake() async throws {
            defer { tool.remove() }
            let first = try await build()
            let fake = tool.folder + "/bin"
            try Files.write("#!/bin/sh\ntouch \"$(dirname \"$0\")/called\"\nexit 1\n", to: fake + "/make")
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: fake + "/make")
            let path = fake + ":" + (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")
            let second = try await build(environment: ["PATH": path])
            #expect(second.kernel.signature == first.kernel.signature)
            #expect(!Files.exists(fake + "/called"))
        }

        @Test func killsAtRandomMomentsLeaveNothingBehind() async throws {
            defer { tool.remove() }
            let clean = try await build()
            let expected = try Digest(ofFile: clean.kernel.vmlinux)
            let series = try series(adding: "#define HMMLAB_INTERRUPTED 1", subject: "interrupted")
            for _ in 0..<4 {
                try await tool.killDuring(["build", "--series", series], milliseconds: 50...6000)
            }
            _ = try await build("--series", series)
            // Back to the base: if a half-written object had stayed, or a wrong one been kept, the image would differ.
            try FileManager.default.removeItem(atPath: clean.kernel.folder)
            let again = try await build()
            #expect(try Digest(ofFile: again.kernel.vmlinux) == expected)
        }

        @Test func aPatchThatDoesNotApplyIsShown() async throws {
            defer { tool.remove() }
            let series = try tool.patch(
                "wrong.patch",
                """
                diff --git a/mm/hmm.c b/mm/hmm.c
                --- a/mm/hmm.c
                +++ b/mm/hmm.c
                @@ -10,3 +10,3 @@
                 this line is nowhere in the file
                -nor is this one
                +and this one comes instead
                 and nor is this

                """)
            let output = try await tool.run("build", "--series", series, "--json", "-")
            #expect(output.ending == .exited(2))
            #expect(output.standardError.contains("mm/hmm.c"), "\(output.standardError)")
            #expect(output.standardError.contains("nor is this one"))
            #expect(output.standardOutput.contains("\"path\" : \"mm/hmm.c\""), "\(output.standardOutput)")
            #expect(output.standardOutput.contains("\"-nor is this one\""))
        }

        @Test func aPatchThatDoesNotCompileIsNamed() async throws {
            defer { tool.remove() }
            let series = try series(
                adding: "int hmmlab_broken(void) { return undeclared_thing; }", subject: "break-hmm")
            let output = try await tool.run("build", "--series", series)
            #expect(output.ending == .exited(2))
            #expect(output.standardError.contains("undeclared_thing"), "\(output.standardError)")
            #expect(
                output.standardError.contains("last touched by patch") && output.standardError.contains("break-hmm"))
        }

        @Test func aDroppedSymbolIsNamedWithItsDependency() async throws {
            defer { tool.remove() }
            let output = try await tool.run("build", "--set", "CONFIG_KGDB_KDB=y")
            #expect(output.ending == .exited(2))
            #expect(output.standardError.contains("CONFIG_KGDB_KDB"))
            #expect(output.standardError.contains("KGDB=n"), "\(output.standardError)")
        }
    }
}
