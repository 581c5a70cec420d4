// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// The folder of one run: everything needed to look at it again.
public struct RunFolder: Sendable {
    /// How many runs are kept; older ones are removed when a new one begins.
    static let kept = 50

    /// The run's name: its time and this process's number, unique on one machine.
    public let id: String
    /// The folder, absolute.
    public let path: String

    /// Makes a folder for a new run below the cache's `runs`.
    ///
    /// - Parameter isLatest: whether `runs/latest` is to point to it.
    /// - Throws: ``LabError`` `cache-unwritable`.
    public static func make(in cache: Cache, isLatest: Bool = true, now: Date = Date()) throws -> RunFolder {
        let runs = try cache.folder("runs")
        // mkdir(2) decides between two runs that begin within one second.
        let folder = try make(at: "\(runs)/\(stem(now))")
        prune(runs)
        guard isLatest else { return folder }
        let link = "\(runs)/.latest-\(getpid())"
        try? FileManager.default.removeItem(atPath: link)
        try? FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: folder.id)
        _ = rename(link, runs + "/latest")
        return folder
    }

    /// A name that sorts by time: the time in UTC and this process's number.
    static func stem(_ now: Date) -> String {
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(identifier: "UTC")
        format.dateFormat = "yyyyMMdd-HHmmss"
        return "\(format.string(from: now))-\(getpid())"
    }

    /// A folder that is kept by whoever names it, with a number behind its name if it is taken.
    ///
    /// - Throws: ``LabError`` `cache-unwritable`.
    static func make(at path: String) throws -> RunFolder {
        try Files.makeFolder((path as NSString).deletingLastPathComponent)
        var (place, count) = (path, 1)
        while mkdir(place, 0o755) != 0 {
            guard errno == EEXIST else {
                throw LabError(
                    "cache-unwritable", "\(place) cannot be made", cause: String(cString: strerror(errno)),
                    next: "Make room there, or set XDG_CACHE_HOME to another folder.")
            }
            count += 1
            place = "\(path)-\(count)"
        }
        return RunFolder(id: (place as NSString).lastPathComponent, path: place)
    }

    private init(id: String, path: String) {
        self.id = id
        self.path = path
    }

    /// A folder inside for one boot; boots count from 0.
    public func boot(_ index: Int) throws -> String {
        let path = "\(self.path)/boot-\(index)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    /// Names sort by time; a run that another hmmlab is still busy with is among the newest.
    private static func prune(_ runs: String) {
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: runs)) ?? []).filter {
            $0.first?.isNumber == true
        }.sorted()
        for name in names.dropLast(kept) { try? FileManager.default.removeItem(atPath: "\(runs)/\(name)") }
    }
}
