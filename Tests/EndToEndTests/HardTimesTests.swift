// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

extension EndToEnd {
    /// A machine that gives out: the next call, once the trouble is over, works as if nothing had happened.
    @Suite(.serialized) struct HardTimesTests {
        let tool: Tool

        init() throws { tool = try Tool() }

        /// A source tree as far as a base needs one, with 40 MB that do not compress.
        private func sourceTree() throws -> String {
            let tree = tool.folder + "/linux"
            try Files.write(
                "VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\nEXTRAVERSION =\nNAME = Small\n", to: tree + "/Makefile")
            try Files.write("mainmenu \"Linux\"\n", to: tree + "/Kconfig")
            for index in 0..<400 {
                let noise = Data(
                    (0..<12_500).flatMap { _ in withUnsafeBytes(of: UInt64.random(in: 0...UInt64.max)) { Array($0) } })
                try Files.write(noise, to: "\(tree)/mm/\(index).c")
            }
            return tree
        }

        /// Containers and chroots may forbid it; a disk that is full as a program's answer is tested without one, too.
        private static var mayMount: Bool {
            get async {
                let probe = Command("unshare", ["--mount", "--map-root-user", "true"])
                return (try? await ProcessRunner().run(probe))?.ending.isSuccess == true
            }
        }

        @Test(.enabled("unshare(1) may not make a small disk here") { await mayMount })
        func aDiskThatFillsUp() async throws {
            defer { tool.remove() }
            let tree = try sourceTree()
            let cache = tool.folder + "/cache"
            try FileManager.default.createDirectory(atPath: cache, withIntermediateDirectories: true)
            // A small disk of our own, in a namespace that ends with the shell; then the disk grows.
            let script = """
                mount -t tmpfs -o size=12m tmpfs "$1" || exit 99
                "$2" base fetch "dir:$3"; echo "first: $?"
                mount -o remount,size=8g "$1" || exit 99
                "$2" base fetch "dir:$3"; echo "second: $?"
                """
            let output = try await tool.runner.run(
                Command(
                    "unshare", ["--mount", "--map-root-user", "sh", "-c", script, "sh", cache, try Tool.binary, tree],
                    environment: ["XDG_CACHE_HOME": cache], in: tool.folder))
            #expect(output.standardOutput.contains("first: 69\n"), "\(output.standardOutput)\(output.standardError)")
            #expect(output.standardError.contains("pace"), "\(output.standardError)")
            #expect(output.standardError.contains("next: Free some"), "\(output.standardError)")
            #expect(output.standardOutput.contains("second: 0\n"), "\(output.standardOutput)\(output.standardError)")
        }

        @Test func killsDuringAnImportLeaveNothingBehind() async throws {
            defer { tool.remove() }
            let spec = "dir:" + (try sourceTree())
            func fetch(into cache: String) async throws -> CommandOutput {
                try await tool.run("base", "fetch", spec, environment: ["XDG_CACHE_HOME": "\(tool.folder)/\(cache)"])
            }
            let undisturbed = try await fetch(into: "undisturbed")
            #expect(undisturbed.ending == .exited(0), "\(undisturbed.standardError)")
            for _ in 0..<6 {
                try await tool.killDuring(
                    ["base", "fetch", spec], milliseconds: 5...1500,
                    environment: ["XDG_CACHE_HOME": tool.folder + "/killed"])
            }
            let after = try await fetch(into: "killed")
            #expect(after.ending == .exited(0), "\(after.standardError)")
            // The same tree, whatever happened on the way: the commit's name is made of its content.
            #expect(after.standardOutput == undisturbed.standardOutput)
            let left =
                (try? FileManager.default.contentsOfDirectory(atPath: tool.folder + "/killed/hmmlab/staging")) ?? []
            #expect(left.isEmpty)
        }

        @Test func aMachineWithoutQEMU() async throws {
            defer { tool.remove() }
            // Every program but QEMU.
            let bin = tool.folder + "/bin"
            try FileManager.default.createDirectory(atPath: bin, withIntermediateDirectories: true)
            for folder in (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":") {
                for name in (try? FileManager.default.contentsOfDirectory(atPath: String(folder))) ?? []
                where !name.hasPrefix("qemu-system") && !Files.exists("\(bin)/\(name)") {
                    try? FileManager.default.createSymbolicLink(
                        atPath: "\(bin)/\(name)", withDestinationPath: "\(folder)/\(name)")
                }
            }
            let output = try await tool.run("run", "--", "true", environment: ["PATH": bin])
            #expect(output.ending == .exited(69), "\(output.standardError)")
            #expect(output.standardError.contains("qemu-system-x86_64 is not installed"), "\(output.standardError)")
            #expect(output.standardError.contains("doctor"))
            #expect(!output.standardError.contains("Booting"), "it is told before anything is done")
        }
    }
}
