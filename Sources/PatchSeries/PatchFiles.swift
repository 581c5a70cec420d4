// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// Turns a list of files, each of them mail or plain diff, into patches.
struct PatchFiles {
    /// One file of a series.
    struct Entry: Sendable, Equatable {
        var path: String
        /// The name for messages and, where a diff has no subject of its own, for that.
        var origin: String
        var strip = 1
        var isReversed = false
    }

    let git: Git
    let staging: String

    /// The patches of a folder in the order in which they are applied: by leading number if all have one, else by name.
    static func names(in folder: String) throws -> [String] {
        let all: [String]
        do {
            all = try FileManager.default.contentsOfDirectory(atPath: folder)
        } catch {
            throw LabError(
                "series-unreadable", exit: .usage, "The folder \(folder) cannot be read",
                cause: (error as NSError).localizedDescription, next: "Check its permissions.")
        }
        let names = all.filter { !$0.hasPrefix(".") && ($0.hasSuffix(".patch") || $0.hasSuffix(".diff")) }
        guard names.count <= SeriesReader.mostPatches else { throw SeriesReader.tooMany(folder) }
        let numbered = names.map { (number: Int($0.prefix { ("0"..."9").contains($0) }), name: $0) }
        guard numbered.allSatisfy({ $0.number != nil }) else { return names.sorted() }
        return numbered.sorted { ($0.number ?? 0, $0.name) < ($1.number ?? 0, $1.name) }.map(\.name)
    }

    /// Reads the files; in a list, whose order the person gave, each file must hold a patch.
    func read(_ entries: [Entry], isList: Bool) async throws -> FoundPatches {
        var total = 0
        var plain: [Int: Patch] = [:]
        var mailFiles: [MailReader.File] = []
        for (index, entry) in entries.enumerated() {
            let limit = isList ? SeriesReader.largestPatch : SeriesReader.largestSeries
            let bytes = try BoundedFile.read(
                entry.path, limit: limit, code: isList ? "patch-too-large" : "series-too-large")
            total += bytes.count
            guard total <= SeriesReader.largestSeries else {
                throw BoundedFile.tooLarge(entry.path, total, SeriesReader.largestSeries, "series-too-large")
            }
            if MailHead.isMail(bytes) {
                mailFiles.append(
                    MailReader.File(id: index, path: entry.path, hasCarriageReturns: bytes.firstLine.last == 13))
            } else {
                plain[index] = try patch(plain: bytes, entry)
            }
        }
        let mails = try await MailReader(git: git, staging: staging).read(mailFiles)
        var found = FoundPatches()
        for (index, entry) in entries.enumerated() {
            if let patch = plain[index] {
                found.patches.append(patch)
            } else {
                try add(mails[index] ?? [], entry, isList: isList, to: &found)
            }
        }
        return found
    }

    // MARK: - Plain diffs

    private func patch(plain bytes: Data, _ entry: Entry) throws -> Patch {
        guard bytes.count <= SeriesReader.largestPatch else {
            throw BoundedFile.tooLarge(entry.path, bytes.count, SeriesReader.largestPatch, "patch-too-large")
        }
        let text = PlainText(bytes, name: entry.origin)
        let patch = try Patch(
            subject: text.subject, body: text.body, author: nil, origin: entry.origin, raw: bytes, decoded: bytes,
            strip: entry.strip, isReversed: entry.isReversed)
        guard !patch.files.isEmpty else {
            throw LabError(
                "series-unreadable", exit: .usage, "\(entry.path) is not a patch",
                cause: bytes.isEmpty
                    ? "It is empty."
                    : bytes.contains(0)
                        ? "It is binary data, neither a mail nor a diff." : "It holds neither a mail nor a diff.",
                next: "Give a folder of patches, a quilt series file, an mbox, or git:PATH@BASE..TIP.")
        }
        return patch
    }

    // MARK: - Mails

    private func add(_ mails: [Mail], _ entry: Entry, isList: Bool, to found: inout FoundPatches) throws {
        let hasPatchMails = mails.contains { !$0.isReply }
        var numbered: [MailOrder.Item] = []
        for mail in mails {
            let title = Printable.text(mail.title)
            if mail.isReply && hasPatchMails {
                found.notes.append("The reply \"\(title)\" was left out.")
                continue
            }
            let origin = mails.count == 1 ? entry.origin : "\(entry.origin), mail \(mail.number)"
            guard mail.raw.count <= SeriesReader.largestPatch else {
                throw BoundedFile.tooLarge(origin, mail.raw.count, SeriesReader.largestPatch, "patch-too-large")
            }
            let patch = try Patch(
                subject: mail.subject.isEmpty ? PlainText.subject(of: entry.origin) : mail.subject, body: mail.body,
                author: mail.author, origin: origin, raw: mail.raw, decoded: mail.patch, strip: entry.strip,
                isReversed: entry.isReversed)
            if !patch.files.isEmpty {
                numbered.append(MailOrder.Item(tag: mail.tag, patch: patch))
                continue
            }
            let isCover = mail.tag.index == 0 || entry.origin.contains("cover-letter")
            guard isCover || (mail.tag.index == nil && !(isList && mails.count == 1)) else {
                throw LabError(
                    "patch-malformed", exit: .usage, "\(Printable.text(origin)) holds no diff",
                    cause: "Its subject is \"\(title)\".",
                    next: "Get the mail again, or remove it if it is not a patch.")
            }
            if isCover, found.cover == nil { found.cover = CoverLetter(title: mail.subject, body: mail.body) }
            found.notes.append("\"\(title)\" has no diff and was left out.")
        }
        found.patches += try MailOrder.sorted(numbered, source: entry.origin, notes: &found.notes)
    }
}

/// What can be said about a diff that is not a mail.
struct PlainText {
    let subject: String
    let body: String

    init(_ bytes: Data, name: String) {
        subject = Self.subject(of: name)
        // A description longer than this is something else.
        let head = bytes.prefix(256 << 10)
        let lines = String(decoding: head, as: UTF8.self).split(
            omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        let end = lines.firstIndex { line in
            line == "---" || ["diff ", "--- ", "Index: ", "====", "Binary files "].contains { line.hasPrefix($0) }
        }
        body = end.map { CommitText.body(lines[..<$0].joined(separator: "\n")) } ?? ""
    }

    /// The subject that a file's name gives: `0003-mm-fix.patch` is `mm-fix`.
    static func subject(of name: String) -> String {
        let file = (name as NSString).lastPathComponent
        var stem = [".patch", ".diff"].first(where: file.hasSuffix).map { String(file.dropLast($0.count)) } ?? file
        if let match = stem.prefixMatch(of: #/\d+[-_.]/#), match.range.upperBound < stem.endIndex {
            stem = String(stem[match.range.upperBound...])
        }
        let text = CommitText.line(stem)
        return text.isEmpty ? "patch" : text
    }
}
