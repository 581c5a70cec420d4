// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// Where hmmlab's own files lie: the data folders of its source tree, and the programs built beside it.
public struct Installation: Sendable {
    /// The folder with `qemu`, `scripts` and `kernel-patches`.
    public let root: String
    /// Our own modules in `modules`, and the header that they share with programs.
    public internal(set) var kernelPatches: String

    /// Finds the source tree: `HMMLAB_ROOT`, else the folder above the running program that has `qemu/kconfig`.
    ///
    /// - Throws: ``LabError`` `installation-unknown`.
    public init(environment: [String: String]) throws {
        if let given = environment["HMMLAB_ROOT"], Files.isFolder(given + "/qemu/kconfig") {
            (root, kernelPatches) = (given, given + "/kernel-patches")
            return
        }
        var folder = (ProcessRunner.besideExecutable("x") as NSString).deletingLastPathComponent
        while folder.count > 1 {
            if Files.isFolder(folder + "/qemu/kconfig") {
                (root, kernelPatches) = (folder, folder + "/kernel-patches")
                return
            }
            folder = (folder as NSString).deletingLastPathComponent
        }
        throw LabError(
            "installation-unknown", "hmmlab does not find its own files",
            cause: "There is no qemu/kconfig above \(ProcessRunner.besideExecutable("hmmlab")).",
            next: "Start it as scripts/hmmlab, or set HMMLAB_ROOT to the clone.")
    }

    /// Configuration fragments and flavours.
    public var kconfig: String { root + "/qemu/kconfig" }
    /// Machine descriptions.
    public var machines: String { root + "/qemu/machines" }
    /// Known failures and skips.
    public var expectations: String { root + "/qemu/expectations.toml" }
    /// What hmmlab needs from the host.
    public var dependencies: String { root + "/scripts/dependencies.txt" }
    /// PID 1 of the guest.
    public var guestInit: String { ProcessRunner.besideExecutable("guest-init") }
    /// The test programs of the guest.
    public var guestTests: String { ProcessRunner.besideExecutable("guest-tests") }
}
