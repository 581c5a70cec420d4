// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// The resolutions of conflicts that git-rerere(1) has recorded, shared by all work folders: `rerere` in the cache.
///
/// Each work folder has copies, so that it needs nothing of the cache, and its git can expire what it likes.
struct SharedResolutions {
    let cache: Cache

    private var folder: String { cache.root + "/rerere" }

    /// Gives a repository everything that was recorded.
    ///
    /// - Throws: ``LabError`` `lock-failed`, `file-unwritable`.
    func lend(to work: WorkRepository) async throws {
        try await work.check(["config", "rerere.enabled", "true"])
        try await work.check(["config", "rerere.autoUpdate", "true"])
        try await copy(from: folder, to: work.directory + "/rr-cache") { _ in true }
    }

    /// Keeps what was recorded in a repository; a new resolution of the same conflict replaces the old one.
    ///
    /// - Throws: ``LabError`` `lock-failed`, `file-unwritable`.
    func collect(from work: WorkRepository) async throws {
        try await copy(from: work.directory + "/rr-cache", to: folder) { names in
            names.contains { $0.hasPrefix("postimage") }
        }
    }

    private func copy(from source: String, to target: String, where isWanted: ([String]) -> Bool) async throws {
        let lock = try await FileLock.acquire(cache.path("locks", "rerere"))
        for conflict in Self.names(in: source) {
            let files = Self.names(in: "\(source)/\(conflict)").filter {
                $0.hasPrefix("preimage") || $0.hasPrefix("postimage")
            }
            guard isWanted(files) else { continue }
            // The postimage last: git takes a conflict without one for not resolved yet.
            for file in files.sorted(by: >) {
                let bytes = try Files.bytes("\(source)/\(conflict)/\(file)")
                let place = "\(target)/\(conflict)/\(file)"
                if Files.exists(place), try Files.bytes(place) == bytes { continue }
                try Files.write(bytes, to: place)
            }
        }
        withExtendedLifetime(lock) {}
    }

    private static func names(in folder: String) -> [String] {
        (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    }
}
