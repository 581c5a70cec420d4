// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelBuild
import ProcessRunner

/// Adds source lines to a kernel's stacks with the kernel's own scripts/decode_stacktrace.sh.
struct StackDecoder: Sendable {
    let lab: Lab
    let artifact: KernelArtifact
    /// Modules that lie outside the kernel's own folder.
    let externalModules: [String]

    /// The report with `(file:line)` behind its functions; as it was if the script cannot be run.
    func decode(_ lines: [String]) async throws -> String {
        let text = lines.joined(separator: "\n") + "\n"
        // The script would disassemble every Code: line, which takes seconds and says nothing that the source does not.
        let decodable = lines.filter { !$0.hasPrefix("Code: ") }.joined(separator: "\n") + "\n"
        let folder = try lab.cache.stagingFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Files.write(decodable, to: folder + "/report")
        // The script looks for modules below one folder; links cost nothing.
        let modules = folder + "/modules"
        try await lab.runner.check(
            Command("cp", ["-rl", "\(artifact.modules)/lib/modules/\(artifact.release)", modules]))
        if !externalModules.isEmpty {
            try await lab.runner.check(Command("cp", ["-lt", modules] + externalModules))
        }
        // The script reads standard input only, which the supervisor keeps for itself.
        let output = try? await lab.runner.run(
            Command(
                "bash",
                [
                    "-c", "exec bash \"$0\" \"$1\" . \"$2\" < \"$3\"", artifact.stackDecoder, artifact.vmlinux,
                    modules, folder + "/report",
                ]), deadline: .seconds(60))
        guard let output, output.ending.isSuccess, !output.standardOutput.isEmpty else { return text }
        // Objects are built beside the sources; people know files by their names in the tree.
        return output.standardOutput.replacingOccurrences(of: "../src/", with: "")
            .replacing(try Regex("[^ (]*\(ModuleBuilder.folder)/"), with: "kernel-patches/")
            .replacingOccurrences(of: "kernel-patches/modules/../../", with: "")
    }
}
