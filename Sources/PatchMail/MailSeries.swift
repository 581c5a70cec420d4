// SPDX-License-Identifier: Apache-2.0
import Foundation
import PatchSeries

/// One file of a mailed series.
public struct MailFile: Sendable, Equatable {
    /// What a file is.
    public enum Kind: String, Sendable, Codable {
        /// Number 0: what the series is for.
        case cover
        /// A mail with a patch.
        case patch
        /// The list of the patches as quilt(1) reads it.
        case series
    }

    /// What it is.
    public var kind: Kind
    /// Its name in the folder.
    public var name: String
    /// The mail's subject with what stands in brackets; nil for the list.
    public var subject: String?
    /// Who gets it.
    public var recipients: Recipients
    /// Its content.
    public var bytes: Data
}

/// A series as mails, ready to be written.
public struct MailSeries: Sendable, Equatable {
    /// The version, from 1.
    public var version: Int
    /// The cover letter, the patches in order, the list.
    public var files: [MailFile]
    /// What is different from the version before; nil for the first.
    public var changes: Changelog?
    /// What a person should know: one sentence each.
    public var notes: [String]
}

/// A patch with everything that its mail says.
struct MailPatch {
    /// Author and message.
    var patch: Patch
    /// The commit in the store.
    var commit: String
    /// The diff made anew from the commit.
    var diff: Data
    /// What git-diff(1) `--stat --summary` says of it.
    var stat: Data
    /// The author.
    var author: Patch.Author
    var recipients = Recipients()
    /// What changed since the version before, in one line.
    var note: String?

    var sender: Address { Address(name: author.name, email: author.email) }
}

/// Writes mails whose bytes follow from what they say alone.
struct MailWriter {
    let version: Int
    let total: Int

    /// `[PATCH v2 03/12]`.
    func prefix(_ number: Int) -> String {
        let width = String(total).count
        let digits = String(number)
        let padded = String(repeating: "0", count: max(0, width - digits.count)) + digits
        return "[PATCH\(version > 1 ? " v\(version)" : "") \(padded)/\(total)]"
    }

    /// A whole mail.
    ///
    /// - Parameters:
    ///   - number: the place in the series; 0 for the cover letter.
    ///   - subject: without what stands in brackets.
    ///   - sender: who it is from.
    ///   - date: in the form of RFC 5322.
    ///   - content: everything below the headers.
    func mail(
        _ number: Int, subject: String, sender: Address, date: String?, recipients: Recipients, content: Data
    ) -> Data {
        // The form by which git-am(1) knows its mails, with a commit that is nobody's (git-format-patch --zero-commit).
        var head = "From \(String(repeating: "0", count: 40)) Mon Sep 17 00:00:00 2001\n"
        head += "From: \(sender.header)\n"
        if let date { head += "Date: \(date)\n" }
        head += HeaderText.subject(prefix: prefix(number), subject)
        head += HeaderText.list("To", recipients.to) + HeaderText.list("Cc", recipients.cc)
        if !content.allSatisfy({ $0 < 128 }) {
            head += "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n"
        }
        return Data((head + "\n").utf8) + content
    }

    func file(_ patch: MailPatch, number: Int) -> MailFile {
        var content = Data((patch.patch.body + (patch.patch.body.isEmpty ? "" : "\n") + "---\n").utf8)
        if let note = patch.note { content += Data((note + "\n\n").utf8) }
        content += patch.stat + Data("\n".utf8) + patch.diff
        return MailFile(
            kind: .patch, name: MailNames.file(version: version, number: number, subject: patch.patch.subject),
            subject: "\(prefix(number)) \(patch.patch.subject)", recipients: patch.recipients,
            bytes: mail(
                number, subject: patch.patch.subject, sender: patch.sender, date: patch.author.date,
                recipients: patch.recipients, content: content))
    }

    /// The cover letter.
    func cover(title: String, content: String, first: MailPatch, date: String?, recipients: Recipients) -> MailFile {
        MailFile(
            kind: .cover, name: MailNames.file(version: version, number: 0, subject: "cover letter"),
            subject: "\(prefix(0)) \(title)", recipients: recipients,
            bytes: mail(
                0, subject: title, sender: first.sender, date: date, recipients: recipients, content: Data(content.utf8)
            ))
    }

    /// The list for quilt(1); the cover letter is no patch.
    static func list(_ files: [MailFile]) -> MailFile {
        let names = files.filter { $0.kind == .patch }.map(\.name)
        return MailFile(
            kind: .series, name: "series", subject: nil, recipients: Recipients(),
            bytes: Data(names.map { $0 + "\n" }.joined().utf8))
    }
}
