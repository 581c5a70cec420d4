// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// Unpacks source archives with the host's own tar and dpkg-deb.
struct Unpacker: Sendable {
    let runner: ProcessRunner

    /// Space for an unpacked kernel with its archive beside it, in bytes.
    static let space: Int64 = 2 << 30

    /// Unpacks a tar archive, compressed or not.
    ///
    /// An archive whose files all lie in one folder is that folder. GNU tar itself keeps members inside the target,
    /// whatever `..`, absolute names or symbolic links they hold.
    ///
    /// - Parameters:
    ///   - file: the archive.
    ///   - target: an empty folder.
    /// - Returns: the folder that holds the top level.
    /// - Throws: ``LabError`` `archive-missing`, `archive-unreadable`, `tool-missing`, `disk-full`.
    func tar(_ file: String, into target: String) async throws -> String {
        guard Files.exists(file), !Files.isFolder(file) else {
            throw LabError("archive-missing", exit: .usage, "There is no file \(file)", next: "Name a tar archive.")
        }
        try Files.requireSpace(Self.space, at: target, for: "unpacking \(file)")
        let output = try await runner.run(
            Command(
                "tar", ["-x", "--no-same-owner", "--no-same-permissions", "-f", file, "-C", target],
                environment: ["LC_ALL": "C", "TAR_OPTIONS": nil]))
        guard output.ending.isSuccess else {
            // tar names the decompressor that it cannot start.
            if let tool = output.standardError.firstMatch(of: /\(child\): ([a-z0-9]+): Cannot exec/) {
                throw ProcessRunner.missing(String(tool.1))
            }
            try Files.requireSpace(64 << 20, at: target, for: "unpacking \(file)")
            throw LabError(
                "archive-unreadable", exit: .usage, "\(file) cannot be unpacked",
                cause: output.standardError.trimmingCharacters(in: .newlines),
                next: "Name a complete archive of type .tar, .tar.gz, .tar.xz or .tar.zst.")
        }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: target)) ?? []
        if names.count == 1, let only = names.first, Files.isFolder("\(target)/\(only)") { return "\(target)/\(only)" }
        return target
    }

    /// Unpacks the source archive inside a linux-source package.
    ///
    /// - Parameters:
    ///   - package: the .deb.
    ///   - target: an empty folder.
    /// - Returns: the top folder of the sources.
    /// - Throws: ``LabError`` `package-unreadable`, and what ``tar(_:into:)`` throws.
    func linuxSource(package: String, into target: String) async throws -> String {
        let parts = target + "/package"
        let sources = target + "/sources"
        for folder in [parts, sources] { try makeFolder(folder) }
        try await runner.check(Command("dpkg-deb", ["-x", package, parts], environment: ["LC_ALL": "C"]))
        let place = parts + "/usr/src"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: place)) ?? []
        guard let name = names.first(where: { $0.hasPrefix("linux-source-") && $0.contains(".tar") }) else {
            throw LabError(
                "package-unreadable", "\((package as NSString).lastPathComponent) holds no source archive",
                cause: "There is no linux-source-*.tar.* in its /usr/src.")
        }
        let top = try await tar("\(place)/\(name)", into: sources)
        try? FileManager.default.removeItem(atPath: parts)
        return top
    }
}
