// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// One thing that hmmlab needs, and whether the host has it.
public struct DoctorFinding: Sendable, Equatable, Codable {
    /// What was looked for.
    public var name: String
    /// Whether it is there.
    public var isPresent: Bool
    /// Whether hmmlab can work without it.
    public var isOptional: Bool
    /// Where it was found, or what it is needed for.
    public var detail: String
    /// The Debian package that brings it, if one does.
    public var package: String?
}

/// Looks at the host without changing it.
public struct Doctor: Sendable {
    private let installation: Installation
    private let cache: Cache

    /// A doctor for an installation and its cache.
    public init(installation: Installation, cache: Cache) {
        self.installation = installation
        self.cache = cache
    }

    /// Everything that was looked at, in a fixed order.
    ///
    /// - Throws: ``LabError`` `file-unreadable`.
    public func examine() throws -> [DoctorFinding] {
        var findings = try Self.dependencies(try Files.text(installation.dependencies)).map { entry in
            let place =
                entry.probe.hasPrefix("/")
                ? (Files.exists(entry.probe) ? entry.probe : nil) : ProcessRunner.find(entry.probe)
            return DoctorFinding(
                name: entry.probe, isPresent: place != nil, isOptional: false, detail: place ?? entry.purpose,
                package: entry.package)
        }
        let accessible = access("/dev/kvm", R_OK | W_OK) == 0
        findings.append(
            DoctorFinding(
                name: "/dev/kvm", isPresent: accessible, isOptional: true,
                detail: accessible ? "there; whether it works is proved by a short boot" : "guests run under TCG",
                package: nil))
        let folder = (try? cache.folder()) ?? cache.root
        let free = Files.freeSpace(at: folder) ?? 0
        findings.append(
            DoctorFinding(
                name: "disk space", isPresent: free > 10 << 30, isOptional: false,
                detail: "\(free >> 30) GiB free in \(folder); a base, its objects and its kernels take about 6 GiB",
                package: nil))
        return findings
    }

    /// The lines of scripts/dependencies.txt.
    static func dependencies(_ text: String) throws -> [(package: String, probe: String, purpose: String)] {
        try text.split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
            let words = line.split(separator: " ", maxSplits: 2, omittingEmptySubsequences: true).map(String.init)
            guard words.count == 3 else {
                throw LabError(
                    "dependencies-bad", "A line of scripts/dependencies.txt is short of something", cause: String(line))
            }
            return (words[0], words[1], words[2].trimmingCharacters(in: .whitespaces))
        }
    }
}
