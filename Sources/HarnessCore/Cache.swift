// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Where hmmlab keeps what it can make again: `$XDG_CACHE_HOME/hmmlab`, else `~/.cache/hmmlab`.
///
/// Names inside are content digests or base identifiers, so entries are never changed in place: they are staged beside
/// their final name and renamed, which makes a half-written entry invisible (rename(2) is atomic).
public struct Cache: Sendable {
    /// The folder itself, as an absolute path without a trailing slash.
    public let root: String

    /// The cache at an explicit place; for tests.
    public init(root: String) { self.root = root }

    /// The cache that the environment names.
    public init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        if let place = environment["XDG_CACHE_HOME"], place.hasPrefix("/") {
            root = place + "/hmmlab"
        } else {
            root = (environment["HOME"] ?? NSHomeDirectory()) + "/.cache/hmmlab"
        }
    }

    /// The size that the cache is kept below: `HMMLAB_CACHE_SIZE`, such as `30G`, else 20 GiB.
    ///
    /// - Throws: ``LabError`` `cache-size-bad`.
    public static func limit(
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws -> ByteCount {
        guard let text = environment["HMMLAB_CACHE_SIZE"], !text.isEmpty else { return ByteCount(20 << 30) }
        guard let limit = ByteCount(parsing: text) else {
            throw LabError(
                "cache-size-bad", exit: .usage, "HMMLAB_CACHE_SIZE is \(text), which is no size",
                next: "Give a whole number with K, M, G or T behind it, such as 30G.")
        }
        return limit
    }

    /// The lock that every command holds shared while it uses the cache, and that pruning takes for itself.
    ///
    /// - Throws: ``LabError`` `cache-unwritable`.
    public func useLock() throws -> String { try path("locks", "use") }

    /// Gives a file or folder the present time, by which pruning knows what was used last.
    public func markUsed(_ path: String) { _ = utimensat(AT_FDCWD, path, nil, 0) }

    /// A path below the cache; the folders above it are made.
    ///
    /// - Throws: ``LabError`` `cache-unwritable`.
    public func path(_ components: String...) throws -> String {
        let path = ([root] + components).joined(separator: "/")
        try makeFolder((path as NSString).deletingLastPathComponent)
        return path
    }

    /// A folder below the cache, made if it is missing.
    ///
    /// - Throws: ``LabError`` `cache-unwritable`.
    public func folder(_ components: String...) throws -> String {
        let path = ([root] + components).joined(separator: "/")
        try makeFolder(path)
        return path
    }

    private func makeFolder(_ path: String) throws {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw LabError(
                "cache-unwritable", "The cache folder \(path) cannot be made", cause: error.localizedDescription,
                next: "Set XDG_CACHE_HOME to a folder that you can write.")
        }
    }

    /// A new, empty folder inside the cache for work in progress, on the same filesystem as the final places.
    ///
    /// Folders whose maker is gone are removed by ``sweepStaging()``.
    ///
    /// - Throws: ``LabError`` `cache-unwritable`.
    public func stagingFolder() throws -> String {
        try folder("staging", "\(getpid())-\(UUID().uuidString.prefix(8))")
    }

    /// Removes staging folders that a killed hmmlab left behind.
    public func sweepStaging() {
        let parent = root + "/staging"
        for name in (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? [] {
            guard let owner = name.split(separator: "-").first.flatMap({ pid_t($0) }) else { continue }
            if kill(owner, 0) != 0 && errno == ESRCH {
                try? FileManager.default.removeItem(atPath: parent + "/" + name)
            }
        }
    }

    /// Moves a finished staging file or folder to its final name; if somebody was faster, theirs stays and ours goes.
    ///
    /// - Throws: ``LabError`` `cache-unwritable`.
    public func publish(_ staged: String, as final: String) throws {
        try makeFolder((final as NSString).deletingLastPathComponent)
        if rename(staged, final) == 0 { return }
        let reason = errno
        if [EEXIST, ENOTEMPTY].contains(reason) {
            try? FileManager.default.removeItem(atPath: staged)
            return
        }
        throw LabError(
            "cache-unwritable", "\(final) cannot be put in place", cause: String(cString: strerror(reason)),
            next: reason == ENOSPC ? "Free some disk space, or set XDG_CACHE_HOME to another disk." : nil)
    }
}
