// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

extension EndToEnd {
    /// The entry points themselves, before there is any hmmlab to run.
    @Suite(.serialized) struct ScriptTests {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path

        /// Runs scripts/hmmlab where no package is installed but what the script itself needs.
        private func bare(_ arguments: String...) async throws -> CommandOutput {
            let bin = NSTemporaryDirectory() + "hmmlab-bin-\(UUID().uuidString)"
            defer { try? FileManager.default.removeItem(atPath: bin) }
            try FileManager.default.createDirectory(atPath: bin, withIntermediateDirectories: true)
            for name in ["bash", "dirname", "readlink", "cut"] {
                let path = try #require(ProcessRunner.find(name))
                try FileManager.default.createSymbolicLink(atPath: "\(bin)/\(name)", withDestinationPath: path)
            }
            return try await ProcessRunner().run(
                Command("bash", ["\(root)/scripts/hmmlab", "--no-install"] + arguments, environment: ["PATH": bin]))
        }

        @Test func aMachineThatLacksPackagesSaysSo() async throws {
            let output = try await bare("test")
            #expect(output.ending == .exited(69))
            #expect(output.standardError.contains("apt-get install") && output.standardError.contains(" gcc "))
        }

        /// 1 to 127 would be a verdict about the kernel.
        @Test func aBisectionIsStoppedByASetUpThatFails() async throws {
            #expect(try await bare("test", "--bisect-exit").ending == .exited(128))
            #expect(try await bare("run", "--", "x", "--bisect-exit").ending == .exited(69))
        }
    }
}
