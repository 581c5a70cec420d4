// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

extension EndToEnd {
    /// docs/kernel-patches.md, as it stands there.
    @Suite(.serialized) struct PatchWalkTests {
        let tool: Tool

        init() throws { tool = try Tool() }

        private var root: String { (#filePath as NSString).deletingLastPathComponent + "/../.." }

        /// The lines behind `$` in the document.
        private func commands() throws -> [String] {
            try Files.text(root + "/docs/kernel-patches.md").split(separator: "\n").compactMap { line in
                line.hasPrefix("$ ") ? String(line.dropFirst(2)) : nil
            }
        }

        @Test func everyCommandOfTheDocument() async throws {
            defer { tool.remove() }
            let commands = try commands()
            #expect(commands.count > 20)
            try FileManager.default.createDirectory(atPath: tool.folder + "/bin", withIntermediateDirectories: true)
            try FileManager.default.createSymbolicLink(
                atPath: tool.folder + "/bin/hmmlab", withDestinationPath: try Tool.binary)
            let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
            let environment: [String: String?] = [
                "PATH": "\(tool.folder)/bin:\(path)", "GIT_AUTHOR_NAME": "A Developer",
                "GIT_AUTHOR_EMAIL": "dev@example.org", "GIT_COMMITTER_NAME": "A Developer",
                "GIT_COMMITTER_EMAIL": "dev@example.org", "GIT_CONFIG_GLOBAL": "/dev/null",
                "HMMLAB_ROOT": URL(fileURLWithPath: root).standardizedFileURL.path,
            ]
            var outputs: [String: String] = [:]
            for command in commands {
                let output = try await tool.runner.run(
                    Command("sh", ["-c", command], environment: environment, in: tool.folder), deadline: .seconds(2400))
                try #require(
                    output.ending == .exited(0), "\(command)\n\(output.standardOutput)\n\(output.standardError)")
                outputs[command, default: ""] += output.standardOutput
            }
            func said(_ beginning: String) -> String {
                commands.filter { $0.hasPrefix(beginning) }.reduce(into: "") { $0 += outputs[$1] ?? "" }
            }
            #expect(
                said("git -C work log -2 ").hasPrefix("mm/hmm: shorten the reference to the header\nmm/hmm: say when\n")
            )
            #expect(said("hmmlab patches port").contains("ported"))
            #expect(said("hmmlab list series --model series").contains("mm-hmm-say-when"))
            #expect(said("hmmlab patches compare").contains("fail"))
            #expect(said("grep -A 3").contains("v1"))
            // The mails make the tree that the commits made.
            #expect(said("git -C fresh diff").isEmpty)
        }
    }
}
