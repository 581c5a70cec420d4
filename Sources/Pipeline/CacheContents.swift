// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// Something in the cache that can be removed by itself.
public struct CacheThing: Sendable, Equatable {
    /// What a thing is; where two were last used at the same time, the kind that is named first goes first.
    public enum Kind: String, Sendable, Codable, CaseIterable {
        /// What a killed hmmlab was making.
        case staging
        /// Records of runs.
        case runs
        /// Initramfs images.
        case images
        /// Test programs of the base.
        case kselftests
        /// Our own modules.
        case modules
        /// Notes about applied patches.
        case series
        /// Answers of get_maintainer.
        case recipients
        /// Journals, runs and reports of bisections.
        case bisections
        /// Runs and results of the cells of matrices.
        case matrices
        /// What checkers said about patches.
        case checks
        /// Built kernels.
        case artifacts
        /// Object folders; of no use without the worktree beside them.
        case objects
        /// Checked out sources.
        case worktrees
    }

    /// What it is.
    public var kind: Kind
    /// Its files or folders below the cache, in the order in which they are to go.
    public var paths: [String]
    /// The space it takes on the disk, in bytes.
    public var size: Int64
    /// When it was made or last looked up.
    public var lastUse: Date
}

/// What the cache holds at one moment.
public struct CacheContents: Sendable {
    /// What can be removed.
    public var things: [CacheThing]
    /// The size in bytes of everything, what is never removed included.
    public var size: Int64
    /// The size of the bases, which are never removed.
    public var bases: Int64
    /// The size of ccache's folder, which ccache itself keeps below `CCACHE_MAXSIZE`.
    public var ccache: Int64
}

extension CacheContents {
    /// Looks at a cache; what vanishes meanwhile is left out.
    ///
    /// - Parameter known: sizes by path that are not measured again.
    /// - Throws: ``LabError`` `tool-missing` and others if du(1) cannot be run.
    init(of cache: Cache, runner: ProcessRunner, known: [String: Int64] = [:]) async throws {
        var sizes = known
        // du(1) counts what hard links share once, and blocks rather than bytes.
        if Files.isFolder(cache.root) {
            let command = Command(
                "du", ["-0", "-a", "-d", "3", "--block-size=1"] + known.keys.map { "--exclude=./\($0)" } + ["."],
                in: cache.root)
            for row in try await runner.run(command, outputLimit: 64 << 20).standardOutput.split(separator: "\0") {
                let fields = row.split(separator: "\t", maxSplits: 1)
                guard fields.count == 2, let size = Int64(fields[0]) else { continue }
                sizes[String(fields[1].dropFirst("./".count))] = size
            }
        }
        let things = sizes.compactMap { path, size -> CacheThing? in
            guard let kind = Self.kind(of: path), let lastUse = Self.time(of: cache.root + "/" + path) else {
                return nil
            }
            return CacheThing(kind: kind, paths: [path], size: size, lastUse: lastUse)
        }
        self.init(
            things: things, size: known.values.reduce(sizes[""] ?? 0, +), bases: sizes["store.git"] ?? 0,
            ccache: sizes["ccache"] ?? 0)
        joinWorktrees()
    }

    /// The sizes of what has so many files that measuring it takes long.
    var sizesWorthNoting: [String: Int64] {
        Dictionary(
            uniqueKeysWithValues: things.compactMap { thing in
                guard [.objects, .worktrees].contains(thing.kind), let path = thing.paths.last else { return nil }
                return (path, thing.size)
            })
    }

    private static func kind(of path: String) -> CacheThing.Kind? {
        let parts = path.split(separator: "/")
        switch (parts.first, parts.count) {
        case ("staging", 2): return .staging
        case ("images", 2): return .images
        case ("artifacts", 2): return .artifacts
        case ("kselftests", 2): return .kselftests
        case ("modules", 2): return .modules
        case ("series", 3): return .series
        case ("recipients", 3): return .recipients
        case ("bisections", 2): return .bisections
        case ("matrices", 2): return .matrices
        case ("checks", 3): return .checks
        // Everything else there is a link, such as `latest`.
        case ("runs", 2): return parts[1].first?.isNumber == true ? .runs : nil
        case ("work", 3): return parts[2] == "src" ? .worktrees : parts[2].hasPrefix("obj-") ? .objects : nil
        default: return nil
        }
    }

    private static func time(of path: String) -> Date? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        return Date(
            timeIntervalSince1970: TimeInterval(status.st_mtim.tv_sec) + TimeInterval(status.st_mtim.tv_nsec) / 1e9)
    }

    /// A worktree is as young as the youngest of its objects, since a new checkout would make all of them stale; its
    /// index goes with it.
    private mutating func joinWorktrees() {
        func workspace(_ thing: CacheThing) -> String { (thing.paths[0] as NSString).deletingLastPathComponent }
        var youngest: [String: Date] = [:]
        for thing in things where thing.kind == .objects {
            youngest[workspace(thing)] = max(youngest[workspace(thing)] ?? .distantPast, thing.lastUse)
        }
        for index in things.indices where things[index].kind == .worktrees {
            let workspace = workspace(things[index])
            things[index].lastUse = max(things[index].lastUse, youngest[workspace] ?? .distantPast)
            things[index].paths.insert(workspace + "/index", at: 0)
        }
    }

    /// What has to go for the rest to fit: what is left over from killed processes, then what was not used for longest.
    ///
    /// - Parameters:
    ///   - limit: in bytes, for the whole cache.
    ///   - start: what was used since then stays, whatever the limit.
    func removals(limit: Int64, keepingUsedSince start: Date = .distantFuture) -> [CacheThing] {
        var size = size
        let order = Dictionary(uniqueKeysWithValues: CacheThing.Kind.allCases.enumerated().map { ($1, $0) })
        func rank(_ thing: CacheThing) -> (Int, Date, Int, String) {
            (thing.kind == .staging ? 0 : 1, thing.lastUse, order[thing.kind] ?? 0, thing.paths.first ?? "")
        }
        return things.sorted { rank($0) < rank($1) }.filter { thing in
            let mustGo = thing.kind == .staging || (size > limit && thing.lastUse < start)
            if mustGo { size -= thing.size }
            return mustGo
        }
    }
}
