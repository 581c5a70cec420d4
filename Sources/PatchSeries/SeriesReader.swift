// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// Reads a patch series from a folder, a quilt series file, an mbox, a single patch, or a range of commits.
public struct SeriesReader: Sendable {
    /// The largest patch that is read: 64 MiB.
    public static let largestPatch = 64 << 20
    /// The largest series that is read: 256 MiB.
    public static let largestSeries = 256 << 20
    /// The most patches that one series may have.
    public static let mostPatches = 5000

    let git: Git
    let cache: Cache

    /// A reader; mails are taken apart in a staging folder of the cache.
    public init(runner: ProcessRunner, cache: Cache) {
        self.init(git: Git(runner: runner), cache: cache)
    }

    init(git: Git, cache: Cache) {
        self.git = git
        self.cache = cache
    }

    /// Reads the series that a `--series` argument names.
    ///
    /// - Throws: ``LabError`` `series-unclear`, and what ``read(_:)-(SeriesSpec)`` throws.
    public func read(_ argument: String) async throws -> PatchSeries {
        try await read(SeriesSpec(argument))
    }

    /// Reads a series; every patch in it has been checked to stay inside its tree.
    ///
    /// - Throws: ``LabError`` `series-missing`, `series-unreadable`, `series-empty`, `series-too-large`,
    ///   `series-incomplete`, `series-mixed`, `patch-malformed`, `patch-unsafe`, all of them with ``ExitCode/usage``;
    ///   `repository-foreign`, `tool-missing` and other failures of the host; `CancellationError`.
    public func read(_ spec: SeriesSpec) async throws -> PatchSeries {
        let staging = try cache.stagingFolder()
        defer { try? FileManager.default.removeItem(atPath: staging) }
        let series: PatchSeries
        switch spec {
        case .commits(let repository, let base, let tip):
            series = try await CommitReader(git: git, staging: staging).read(repository, base, tip)
        case .path(let path):
            let found = try await patches(at: path, staging)
            series = PatchSeries(
                source: path, patches: found.patches, notes: found.notes, repository: nil, cover: found.cover)
        }
        guard !series.patches.isEmpty else {
            throw Self.empty(series.source, notes: series.notes)
        }
        guard series.patches.count <= Self.mostPatches else { throw Self.tooMany(series.source) }
        var safety = SeriesSafety()
        for (index, patch) in series.patches.enumerated() { try safety.check(patch, number: index + 1) }
        return series
    }

    /// Reads files of one patch each; every patch has been checked to stay inside its tree.
    ///
    /// - Returns: as many patches as files, in their order.
    /// - Throws: as ``read(_:)-(SeriesSpec)``.
    public func read(files: [String]) async throws -> [Patch] {
        let staging = try cache.stagingFolder()
        defer { try? FileManager.default.removeItem(atPath: staging) }
        let reader = PatchFiles(git: git, staging: staging)
        let entries = files.map { PatchFiles.Entry(path: $0, origin: ($0 as NSString).lastPathComponent) }
        let found = try await reader.read(entries, isList: true)
        guard found.patches.count == files.count else {
            throw LabError(
                "patch-malformed", exit: .usage,
                "\(files.count) files hold \(found.patches.count) patches instead of one each",
                cause: found.notes.isEmpty ? nil : found.notes.joined(separator: "\n"))
        }
        var safety = SeriesSafety()
        for (index, patch) in found.patches.enumerated() { try safety.check(patch, number: index + 1) }
        return found.patches
    }

    private func patches(at path: String, _ staging: String) async throws -> FoundPatches {
        guard Files.exists(path) else {
            throw LabError(
                "series-missing", exit: .usage, "The series \(path) does not exist",
                next: "Give a folder of patches, a quilt series file, an mbox, or git:PATH@BASE..TIP.")
        }
        let files = PatchFiles(git: git, staging: staging)
        if Files.isFolder(path) {
            if Files.exists(path + "/series") { return try await quilt(path + "/series", files) }
            let names = try PatchFiles.names(in: path)
            return try await files.read(names.map { PatchFiles.Entry(path: "\(path)/\($0)", origin: $0) }, isList: true)
        }
        let name = (path as NSString).lastPathComponent
        let bytes = try BoundedFile.read(path, limit: Self.largestSeries, code: "series-too-large")
        if !MailHead.isMail(bytes), name == "series" || QuiltSeries.looksLikeOne(bytes, beside: path) {
            return try await quilt(path, files)
        }
        return try await files.read([PatchFiles.Entry(path: path, origin: name)], isList: false)
    }

    private func quilt(_ path: String, _ files: PatchFiles) async throws -> FoundPatches {
        let bytes = try BoundedFile.read(path, limit: QuiltSeries.largestFile, code: "series-too-large")
        return try await files.read(try QuiltSeries.entries(of: bytes, at: path), isList: true)
    }

    private static func empty(_ source: String, notes: [String]) -> LabError {
        LabError(
            "series-empty", exit: .usage, "There is no patch in \(source)",
            cause: notes.isEmpty ? nil : notes.prefix(10).joined(separator: "\n"),
            next:
                "A folder needs *.patch or *.diff files, a range needs commits, an mbox needs mails with diffs."
        )
    }

    static func tooMany(_ source: String) -> LabError {
        LabError(
            "series-too-large", exit: .usage, "\(source) has more than \(mostPatches) patches",
            next: "Use a base that is nearer to the series.")
    }
}

/// What a reader found: patches in order, and what it left out.
struct FoundPatches {
    var patches: [Patch] = []
    var notes: [String] = []
    var cover: CoverLetter?
}

/// Reads files that may be of any size or kind.
enum BoundedFile {
    /// A regular file's bytes.
    ///
    /// - Throws: ``LabError`` `series-unreadable`, or the given code if the file is larger than the limit.
    static func read(_ path: String, limit: Int, code: String) throws -> Data {
        var status = stat()
        guard stat(path, &status) == 0 else { throw unreadable(path, String(cString: strerror(errno))) }
        // Opening a FIFO or a device could wait for ever.
        guard status.st_mode & S_IFMT == S_IFREG else { throw unreadable(path, "It is not a regular file.") }
        guard status.st_size <= limit else { throw tooLarge(path, Int(status.st_size), limit, code) }
        do {
            let file = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            defer { try? file.close() }
            var bytes = Data()
            while let piece = try file.read(upToCount: min(1 << 20, limit + 1 - bytes.count)), !piece.isEmpty {
                bytes.append(piece)
                guard bytes.count <= limit else { throw tooLarge(path, bytes.count, limit, code) }
            }
            return bytes
        } catch let error as LabError {
            throw error
        } catch {
            throw unreadable(path, (error as NSError).localizedDescription)
        }
    }

    private static func unreadable(_ path: String, _ cause: String) -> LabError {
        LabError(
            "series-unreadable", exit: .usage, "\(path) cannot be read", cause: cause,
            next: "Check the path and its permissions.")
    }

    static func tooLarge(_ path: String, _ size: Int, _ limit: Int, _ code: String) -> LabError {
        LabError(
            code, exit: .usage, "\(path) is too large to be a patch series",
            cause: "It has \(size >> 20) MiB; at most \(limit >> 20) MiB are read.",
            next: "Check that this is the right file.")
    }
}
