// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// A folder that is made out of sight and appears under its own name when it is complete.
///
/// It lies in the cache's staging area, which every hmmlab sweeps, if that is on the same file system; else beside the
/// final name, where the next one that makes the same folder sweeps what a killed one left.
struct WorkFolder {
    /// The name it shall have.
    let final: String
    /// Where it is made; does not exist yet.
    let place: String
    private let staging: String?

    /// Finds a place.
    ///
    /// - Throws: ``LabError`` `folder-exists`, `folder-unwritable`, `cache-unwritable`.
    init(final: String, cache: Cache) throws {
        self.final = final
        try Self.requireEmpty(final)
        let parent = (final as NSString).deletingLastPathComponent
        let name = (final as NSString).lastPathComponent
        try Files.makeFolder(parent)
        Self.sweep(parent, name)
        let beside = "\(parent)/.\(name).hmmlab-\(getpid())-\(UUID().uuidString.prefix(8))"
        let staging = try cache.stagingFolder()
        // Only rename(2) itself knows whether two places are on one mount.
        try Files.makeFolder(staging + "/probe")
        if rename(staging + "/probe", beside) == 0 {
            rmdir(beside)
            self.staging = staging
            place = "\(staging)/\(name)"
        } else {
            let reason = errno
            try? FileManager.default.removeItem(atPath: staging)
            guard reason == EXDEV else {
                throw LabError(
                    "folder-unwritable", exit: .usage, "The folder \(final) cannot be made",
                    cause: String(cString: strerror(reason)), next: "Choose a folder that you can write.")
            }
            self.staging = nil
            place = beside
        }
    }

    /// Gives the folder its name; an empty folder of that name is replaced.
    ///
    /// - Throws: ``LabError`` `folder-exists`, `folder-unwritable`.
    func publish() throws {
        guard rename(place, final) != 0 else { return }
        let reason = errno
        try Self.requireEmpty(final)
        throw LabError(
            "folder-unwritable", exit: .usage, "The folder \(final) cannot be put in place",
            cause: String(cString: strerror(reason)), next: "Choose a folder that you can write.")
    }

    /// Removes what is left out of sight.
    func clean() { try? FileManager.default.removeItem(atPath: staging ?? place) }

    private static func requireEmpty(_ folder: String) throws {
        guard Files.exists(folder) else { return }
        if let held = try? FileManager.default.contentsOfDirectory(atPath: folder), held.isEmpty { return }
        throw LabError(
            "folder-exists", exit: .usage, "\(folder) exists and is not empty",
            next: WorkSession.exists(in: folder)
                ? "It is a work folder already: export it, or remove it." : "Choose another folder.")
    }

    private static func sweep(_ parent: String, _ name: String) {
        let prefix = ".\(name).hmmlab-"
        for entry in (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? [] where entry.hasPrefix(prefix)
        {
            guard let owner = entry.dropFirst(prefix.count).split(separator: "-").first.flatMap({ pid_t($0) }) else {
                continue
            }
            if kill(owner, 0) != 0 && errno == ESRCH {
                try? FileManager.default.removeItem(atPath: "\(parent)/\(entry)")
            }
        }
    }
}
