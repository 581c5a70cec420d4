// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// The version that a kernel's top Makefile states in its first lines.
enum KernelVersion {
    /// Reads `VERSION`, `PATCHLEVEL`, `SUBLEVEL` and `EXTRAVERSION`; nil if the text is no kernel's Makefile.
    static func parse(makefile: String) -> String? {
        var values: [String: String] = [:]
        for line in makefile.split(separator: "\n").prefix(20) {
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { continue }
            values[parts[0].trimmingCharacters(in: .whitespaces)] = parts[1].trimmingCharacters(in: .whitespaces)
        }
        guard let version = values["VERSION"], Int(version) != nil, let level = values["PATCHLEVEL"], Int(level) != nil
        else { return nil }
        return "\(version).\(level).\(values["SUBLEVEL"] ?? "0")\(values["EXTRAVERSION"] ?? "")"
    }

    /// The version of a source folder.
    ///
    /// - Throws: ``LabError`` `base-not-kernel`.
    static func of(folder: String, named name: String) throws -> String {
        guard let text = try? Files.text(folder + "/Makefile"), let version = parse(makefile: text) else {
            throw notKernel(name)
        }
        return version
    }

    /// The error for something that holds no kernel.
    static func notKernel(_ name: String) -> LabError {
        LabError(
            "base-not-kernel", exit: .usage, "\(name) is not a kernel source tree",
            cause: "It has no top Makefile that sets VERSION and PATCHLEVEL.",
            next: "Name the top folder of a Linux source tree.")
    }
}
