// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// Finds out why a patch did not apply.
struct RejectionFinder {
    /// Files larger than this are not searched for the places of hunks: 4 MiB.
    private static let largestSearchedFile = 4 << 20
    /// The most hunks that are reported for a file.
    private static let mostHunks = 20

    let session: ApplySession
    let patch: Patch
    let number: Int
    let drift: [String]

    /// The rejection for what `git apply` would not object to: a remark of diff(1) that two binary files differ, and a
    /// new file where the base has a folder, which the small index does not show.
    func obstacleThatGitCannotSee() -> PatchRejection? {
        for file in patch.files where file.paths.isEmpty {
            guard case .binaryWithoutData(let remark) = file.content else { continue }
            return rejection(.binary, [.init(path: remark, reason: .binary, hunks: [])], said: "")
        }
        let paths = patch.files.compactMap(\.newPath).filter(session.folders.contains)
        guard !paths.isEmpty else { return nil }
        return rejection(.fileExists, paths.map { .init(path: $0, reason: .fileExists, hunks: []) }, said: "")
    }

    /// The rejection of the patch that git just refused; the session's index still has the state before it.
    func rejection(said: String) async throws -> PatchRejection {
        if try await session.gitApply(patch, ["--check"], backwards: true).ending.isSuccess {
            return rejection(.alreadyInBase, [], said: said)
        }
        var files: [PatchRejection.File] = []
        for change in patch.files {
            if let file = try await obstacle(change, said) { files.append(file) }
        }
        let order: [PatchRejection.Reason] = [.fileMissing, .fileExists, .binary, .context]
        let reason = order.first { reason in files.contains { $0.reason == reason } }
        return rejection(reason ?? .other, files, said: said)
    }

    private func rejection(
        _ reason: PatchRejection.Reason, _ files: [PatchRejection.File], said: String
    ) -> PatchRejection {
        PatchRejection(
            number: number, total: session.total, subject: patch.subject, origin: patch.origin,
            reason: reason, files: files, drift: drift, toolOutput: said)
    }

    private func obstacle(_ change: FileChange, _ said: String) async throws -> PatchRejection.File? {
        let path = change.oldPath ?? change.newPath ?? ""
        if case .binaryWithoutData = change.content { return .init(path: path, reason: .binary, hunks: []) }
        let made = patch.files.compactMap(\.newPath)
        let removed = patch.files.filter { $0.newPath == nil }.compactMap(\.oldPath)
        if let old = change.oldPath, session.entries[old] == nil {
            // An earlier part of the same patch may have made the file.
            return made.contains(old) && change.newPath != old
                ? nil : .init(path: old, reason: .fileMissing, hunks: [])
        }
        if let new = change.newPath, new != change.oldPath, session.entries[new] != nil, !removed.contains(new) {
            return .init(path: new, reason: .fileExists, hunks: [])
        }
        if change.content == .binary {
            return said.contains("'\(path)'") || said.contains("error: \(path):")
                ? .init(path: path, reason: .binary, hunks: []) : nil
        }
        guard let entry = session.entries[path] else { return nil }
        let hunks = try await rejectedHunks(of: change, path, entry, said)
        return hunks.isEmpty ? nil : .init(path: path, reason: .context, hunks: hunks)
    }

    /// The hunks whose lines are nowhere in the base's file, and the one that git named.
    private func rejectedHunks(
        of change: FileChange, _ path: String, _ entry: ApplySession.Entry, _ said: String
    ) async throws -> [PatchRejection.RejectedHunk] {
        guard !change.hunks.isEmpty else { return [] }
        try await session.git.runner.check(
            session.git.script(
                #""$git" cat-file blob "$1" >blob"#, [entry.blob], directory: session.repository, in: session.staging))
        let bytes = try BoundedFile.read(
            session.staging + "/blob", limit: SeriesReader.largestPatch, code: "patch-too-large")
        let named = said.split(separator: "\n").compactMap { line -> Int? in
            let prefix = "error: patch failed: \(path):"
            return line.hasPrefix(prefix) ? Int(line.dropFirst(prefix.count)) : nil
        }
        let place = HunkPlace(base: bytes.count <= Self.largestSearchedFile ? bytes : Data())
        var rejected: [PatchRejection.RejectedHunk] = []
        for hunk in change.hunks where rejected.count < Self.mostHunks {
            let start = patch.isReversed ? hunk.newStart : hunk.oldStart
            let lines = patch.diff[hunk.body].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
                .dropLast(patch.diff[hunk.body].last == UInt8(ascii: "\n") ? 1 : 0)
            let added = UInt8(ascii: patch.isReversed ? "-" : "+")
            let wanted = lines.filter { $0.first != added && $0.first != UInt8(ascii: "\\") }.map { $0.dropFirst() }
            let (first, fits) = place.find(wanted, near: start)
            guard !fits || named.contains(start) else { continue }
            rejected.append(
                PatchRejection.RejectedHunk(
                    header: hunk.header,
                    lines: lines.prefix(PatchRejection.longestHunk).map { Printable.line($0) },
                    baseStart: place.count == 0 ? 0 : first + 1,
                    baseLines: place.lines(first, min(max(wanted.count, 1), PatchRejection.longestHunk)), isThere: fits)
            )
        }
        return rejected
    }
}

/// Finds where a hunk belongs in a file, or where it comes nearest to.
private struct HunkPlace {
    private let text: [Data.SubSequence]
    /// A number for each line, the same for the same line, so that comparing lines is cheap.
    private let numbers: [Int]
    private let known: [Data.SubSequence: Int]

    init(base: Data) {
        var lines = base.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        if lines.last?.isEmpty ?? false { lines.removeLast() }
        var known: [Data.SubSequence: Int] = [:]
        numbers = lines.map { line in
            let number = known[line] ?? known.count
            known[line] = number
            return number
        }
        text = lines
        self.known = known
    }

    var count: Int { text.count }

    /// The index of the line where the wanted lines are, or where most of them are in place; nearest to a line number.
    func find(_ wanted: [Data.SubSequence], near line: Int) -> (first: Int, fits: Bool) {
        let wanted = wanted.prefix(PatchRejection.longestHunk).map { known[$0] ?? -1 }
        guard !numbers.isEmpty else { return (0, wanted.isEmpty) }
        var best = (first: min(max(line - 1, 0), numbers.count - 1), score: 0, distance: Int.max)
        for first in numbers.indices {
            var score = 0
            for (offset, number) in wanted.enumerated() where first + offset < numbers.count {
                if numbers[first + offset] == number { score += 1 }
            }
            let distance = abs(first - (line - 1))
            if score > best.score || (score == best.score && score > 0 && distance < best.distance) {
                best = (first, score, distance)
            }
        }
        return (best.first, best.score == wanted.count)
    }

    func lines(_ first: Int, _ count: Int) -> [String] {
        text.dropFirst(first).prefix(count).map { Printable.line($0) }
    }
}
