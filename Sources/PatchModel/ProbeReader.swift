// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import ProcessRunner

/// Looks into a base's sources for the texts by which patches are recognised.
public struct ProbeReader: Sendable {
    let store: ObjectStore
    let runner: ProcessRunner

    /// A reader for bases in a store.
    public init(store: ObjectStore, runner: ProcessRunner) {
        self.store = store
        self.runner = runner
    }

    /// What a commit's sources say about a patch.
    public enum Answer: String, Sendable, Codable {
        /// Every text was found.
        case contained
        /// Some text was not found.
        case absent
        /// The patch has no probe.
        case unknown
    }

    /// Whether a commit of the store contains a patch, by the patch's probes.
    ///
    /// - Throws: ``LabError`` of a git that fails; a file that is not there is no failure.
    public func answer(_ probes: [PatchMetadata.Probe], in commit: String) async throws -> Answer {
        guard !probes.isEmpty else { return .unknown }
        for probe in probes {
            let output = try await runner.run(
                store.command(["cat-file", "blob", "\(commit):\(probe.file)"]), outputLimit: 64 << 20)
            guard output.ending.isSuccess, output.standardOutput.contains(probe.text) else { return .absent }
        }
        return .contained
    }
}
