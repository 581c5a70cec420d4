// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// Sizes of worktrees and object folders as they were measured a while ago.
///
/// They have so many files that du(1) takes a second for them, and change little once they are filled.
struct SizeNotes: Codable, Sendable {
    /// How long a size is believed, in seconds.
    static let lifetime: TimeInterval = 3600

    private struct Note: Codable {
        var size: Int64
        var measured: Date
    }

    private var notes: [String: Note] = [:]

    /// Sizes in bytes by the path below the cache.
    var sizes: [String: Int64] { notes.mapValues(\.size) }

    init() {}

    /// What was noted in a cache and is still to be believed; nothing if there are no notes that can be read.
    init(in cache: Cache, now: Date = Date()) {
        self = (try? Files.bytes(Self.path(in: cache))).flatMap { try? JSON.value(Self.self, from: $0) } ?? Self()
        notes = notes.filter { path, note in
            (0..<Self.lifetime).contains(now.timeIntervalSince(note.measured))
                && Files.isFolder("\(cache.root)/\(path)")
        }
    }

    /// Takes in what was measured now.
    mutating func add(_ measured: [String: Int64], now: Date = Date()) {
        for (path, size) in measured where notes[path] == nil { notes[path] = Note(size: size, measured: now) }
    }

    /// Notes them in the cache, whose lock the caller holds alone.
    func write(to cache: Cache) throws { try Files.write(try JSON.text(self), to: Self.path(in: cache)) }

    private static func path(in cache: Cache) -> String { cache.root + "/sizes.json" }
}
