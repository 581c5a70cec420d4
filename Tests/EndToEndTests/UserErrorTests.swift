// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

extension EndToEnd {
    /// Mistakes that people make: each gets a sentence, a next step and the right exit code.
    @Suite(.serialized) struct UserErrorTests {
        let tool: Tool

        init() throws { tool = try Tool() }

        private func expect(
            _ arguments: [String], exit code: Int32, says words: String..., environment: [String: String?] = [:],
            sourceLocation: SourceLocation = #_sourceLocation
        ) async throws {
            defer { tool.remove() }
            let output = try await tool.runner.run(
                try tool.command(arguments, environment: environment), deadline: .seconds(900))
            #expect(output.ending == .exited(code), "\(output.standardError)", sourceLocation: sourceLocation)
            for word in words {
                #expect(output.standardError.contains(word), "\(output.standardError)", sourceLocation: sourceLocation)
            }
        }

        @Test func anUnknownBase() async throws {
            try await expect(["build", "--base", "debian:1.2"], exit: 64, says: "1.2", "next: ")
        }

        @Test func aBaseOfNoKnownForm() async throws {
            try await expect(["build", "--base", "linux-6.12"], exit: 64, says: "debian:6.12", "git:PATH@REV")
        }

        @Test func aFilterThatMatchesNothing() async throws {
            try await expect(
                ["test", "--suite", "mirror", "--filter", "no-such-test"], exit: 64, says: "No test matches",
                "hmmlab list tests")
        }

        @Test func anUnknownSuite() async throws {
            try await expect(["test", "--suite", "nonsense"], exit: 64, says: "no suite nonsense", "mirror")
        }

        @Test func aSuiteOfAnotherDriver() async throws {
            try await expect(["test", "--suite", "devmem"], exit: 64, says: "devmem", "next: ", "--driver hmm_dmirror")
        }

        @Test func anUnknownFlavour() async throws {
            try await expect(["build", "--flavour", "slow"], exit: 64, says: "no flavour slow", "fast")
        }

        @Test func aBadFragment() async throws {
            try Files.write("CONFIG_A=y\nnonsense\n", to: tool.folder + "/my.config")
            try await expect(["build", "--config", "my.config"], exit: 64, says: "my.config line 2", "nonsense")
        }

        @Test func aSeriesThatIsNotThere() async throws {
            try await expect(["build", "--series", "nowhere.mbox"], exit: 64, says: "nowhere.mbox")
        }

        @Test func anUnreadableMbox() async throws {
            try Data((0..<5000).map { _ in UInt8.random(in: 0...255) }).write(
                to: URL(fileURLWithPath: tool.folder + "/x.mbox"))
            try await expect(["build", "--series", "x.mbox"], exit: 64, says: "x.mbox")
        }

        @Test func aPatchThatReachesOutside() async throws {
            let patch = "diff --git a/../x b/../x\n--- a/../x\n+++ b/../x\n@@ -0,0 +1 @@\n+x\n"
            _ = try tool.patch("x.patch", patch)
            try await expect(["build", "--series", "x.patch"], exit: 64, says: "..")
            #expect(!Files.exists((tool.folder as NSString).deletingLastPathComponent + "/x"))
        }

        @Test func noNetworkAndAnEmptyCache() async throws {
            try await expect(
                ["base", "fetch", "debian:6.12"], exit: 69, says: "next: ",
                environment: ["HMMLAB_MIRROR": "http://127.0.0.1:9/none", "XDG_CACHE_HOME": tool.folder + "/cache"])
        }

        @Test func aMissingTool() async throws {
            // Everything but ld: found out before anything is built. dpkg compares versions where the cache has several.
            let bin = tool.folder + "/bin"
            try FileManager.default.createDirectory(atPath: bin, withIntermediateDirectories: true)
            for name in ["git", "gcc", "sh", "xz", "tar", "dpkg"] {
                if let path = ProcessRunner.find(name) {
                    try FileManager.default.createSymbolicLink(atPath: "\(bin)/\(name)", withDestinationPath: path)
                }
            }
            try await expect(["build"], exit: 69, says: "ld is not installed", "doctor", environment: ["PATH": bin])
        }

        @Test func aCacheThatCannotBeWritten() async throws {
            try Files.write("", to: tool.folder + "/file")
            try await expect(
                ["build"], exit: 69, says: "XDG_CACHE_HOME", environment: ["XDG_CACHE_HOME": tool.folder + "/file"])
        }

        @Test func tooLittleMemory() async throws {
            try await expect(["run", "--memory", "64", "--", "true"], exit: 64, says: "--memory")
        }

        @Test func optionsThatContradict() async throws {
            try await expect(["build", "--upto", "3"], exit: 64, says: "--upto needs --series")
        }

        @Test func aUsageErrorEndsABisection() async throws {
            try await expect(["test", "--bisect-exit", "--upto", "3"], exit: 128, says: "--upto needs --series")
        }

        @Test func aCommandThatIsTooLong() async throws {
            let script = String(repeating: ":;", count: 40_000)
            try await expect(["run", "--", "sh", "-c", script], exit: 64, says: "too long", "next: ")
        }

        @Test func errorsAreInTheJSONToo() async throws {
            defer { tool.remove() }
            let output = try await tool.run("build", "--base", "linux-6.12", "--json", "-")
            #expect(
                output.standardOutput.contains("\"exitCode\" : 64") && output.standardOutput.contains("\"schema\" : 1"))
        }
    }
}
