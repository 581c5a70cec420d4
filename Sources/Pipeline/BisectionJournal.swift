// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// What a journal says of its bisection as a whole; its first line.
struct BisectionHeader: Sendable, Equatable, Codable {
    var schema = 1
    /// The arguments behind `hmmlab`, as typed.
    var arguments: [String]
    /// The folder that relative paths among them start from.
    var directory: String
    /// The base as it was when the bisection began, such as `debian:6.12.117-1`; nil where the range names its bases.
    var base: String?
    /// The range by names that mean the same tomorrow; nil where the arguments and the base say it.
    var space: BisectionSpace?
    /// ``BisectionRange/digest``.
    var digest: String
    var started: Date
}

/// A bisection's folder: its journal, the runs of every step, and at its end the report.
public struct BisectionFolder: Sendable, Equatable {
    /// How many are kept; older ones go when a new one begins.
    static let kept = 20

    /// The name that `--resume` takes.
    public let id: String
    /// The folder, absolute.
    public let path: String

    var journal: String { path + "/journal" }

    /// Makes a folder for a new bisection.
    static func make(in cache: Cache, now: Date = Date()) throws -> BisectionFolder {
        let all = try cache.folder("bisections")
        let folder = try RunFolder.make(at: "\(all)/\(RunFolder.stem(now))")
        for name in names(in: all).dropLast(kept) {
            // One that goes on is somebody's.
            guard let lock = try? FileLock.acquireNow("\(all)/\(name)/lock") else { continue }
            try? FileManager.default.removeItem(atPath: "\(all)/\(name)")
            _ = consume lock
        }
        return BisectionFolder(id: folder.id, path: folder.path)
    }

    /// The bisection with a name, or the newest one.
    ///
    /// - Parameter id: the name; nil or `latest` for the newest.
    /// - Throws: ``LabError`` `bisection-unknown`.
    static func find(_ id: String?, in cache: Cache) throws -> BisectionFolder {
        let all = try cache.folder("bisections")
        let names = names(in: all).filter { Files.exists("\(all)/\($0)/journal") }
        let wanted = id == nil || id == "latest" ? names.last : names.first { $0 == id }
        guard let wanted else {
            throw LabError(
                "bisection-unknown", exit: .usage,
                id.map { "There is no bisection \($0)" } ?? "There is no bisection to go on with",
                cause: names.isEmpty ? nil : "There are: " + names.joined(separator: ", "),
                next: "Begin one with hmmlab bisect --series ...")
        }
        return BisectionFolder(id: wanted, path: "\(all)/\(wanted)")
    }

    private static func names(in folder: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).filter { $0.first?.isNumber == true }
            .sorted()
    }
}

/// The journal of a bisection: its header, then what happened.
enum BisectionJournal {
    /// What a journal holds.
    ///
    /// - Throws: ``LabError`` `journal-damaged`.
    static func read(_ path: String) throws -> (header: BisectionHeader, entries: [HistoryEntry]) {
        let lines = try JournalFile.lines(at: path)
        guard let first = lines.first, let header = try? JSON.value(BisectionHeader.self, from: first) else {
            throw damaged(path, 1)
        }
        let entries = try lines.enumerated().dropFirst().map { index, line in
            guard let entry = try? JSON.value(HistoryEntry.self, from: line) else { throw damaged(path, index + 1) }
            return entry
        }
        return (header, entries)
    }

    private static func damaged(_ path: String, _ line: Int) -> LabError {
        LabError(
            "journal-damaged", "Line \(line) of the journal \(path) cannot be read",
            next: "Begin the bisection anew; kernels that were built are in the cache.")
    }
}
