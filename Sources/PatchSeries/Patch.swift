// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore

/// One patch of a series, decoded: who, what it says, and what it changes.
public struct Patch: Sendable, Equatable {
    /// Who wrote a patch, and when.
    public struct Author: Sendable, Equatable, Codable {
        /// The name, as a commit would carry it; never empty.
        public var name: String
        /// The address without angle brackets.
        public var email: String
        /// The date in the form of RFC 5322, section 3.3; nil where the mail has none that can be read.
        public var date: String?

        /// Makes an author.
        public init(name: String, email: String, date: String?) {
            self.name = name
            self.email = email
            self.date = date
        }
    }

    /// The first line of the commit message, without `[PATCH n/m]` and the like.
    public let subject: String
    /// The commit message below the subject, without blank lines around it; may be empty.
    public let body: String
    /// The author; nil for a plain diff.
    public let author: Author?
    /// Where the patch came from: a file's name, `name, mail 3`, or a commit id.
    public private(set) var origin: String
    /// The bytes as they came: the mail or the plain diff; for a commit its diff.
    public let raw: Data
    /// The diff alone, from the first file's header to the last hunk's end.
    public let diff: Data
    /// What the diff changes, in its order and in the direction in which it is applied.
    public let files: [FileChange]
    /// How many leading folders of each name are cut off (`-p` of patch(1)).
    public let strip: Int
    /// Whether the diff is applied backwards (`-R` of patch(1)).
    public let isReversed: Bool
    /// Names everything that decides the resulting commit, and nothing else: no origin, none of a mail's other headers.
    public let digest: Digest

    init(
        subject: String, body: String, author: Author?, origin: String, raw: Data, decoded: Data, strip: Int = 1,
        isReversed: Bool = false
    ) throws {
        self.subject = subject
        self.body = body
        self.author = author
        self.origin = origin
        self.strip = strip
        self.isReversed = isReversed
        self.raw = raw
        let diff: Data
        (diff, files) = try DiffParser.parse(decoded, strip: strip, isReversed: isReversed, origin: origin)
        self.diff = diff
        var signature = Signature()
        signature.add("subject", subject)
        signature.add("body", body)
        signature.add("author", author.map { "\($0.name) <\($0.email)> \($0.date ?? "")" } ?? "")
        signature.add("diff", Digest(of: diff).hexadecimal)
        signature.add("direction", "-p\(strip)\(isReversed ? " -R" : "")")
        digest = signature.digest
    }

    /// The same patch with another diff, which is applied forwards and with `-p1`.
    ///
    /// - Parameters:
    ///   - diff: a diff as git writes it.
    ///   - origin: where it came from.
    /// - Throws: ``LabError`` `patch-malformed`.
    public func replacingDiff(_ diff: Data, origin: String) throws -> Patch {
        let patch = try Patch(subject: subject, body: body, author: author, origin: origin, raw: diff, decoded: diff)
        guard !patch.files.isEmpty else {
            throw LabError(
                "patch-malformed", exit: .usage, "\(Printable.text(origin)) holds no diff",
                next: "Write it again, or remove it.")
        }
        return patch
    }

    /// The same patch under another name.
    ///
    /// - Parameter origin: where it came from, as messages say it.
    public func named(_ origin: String) -> Patch {
        var patch = self
        patch.origin = origin
        return patch
    }

    /// The same diff with another message.
    ///
    /// - Parameters:
    ///   - subject: the first line.
    ///   - body: the rest, without blank lines around it.
    ///   - author: who wrote it.
    /// - Throws: ``LabError`` `patch-malformed`.
    public func replacingMessage(subject: String, body: String, author: Author?) throws -> Patch {
        try Patch(
            subject: subject, body: body, author: author, origin: origin, raw: raw, decoded: diff, strip: strip,
            isReversed: isReversed)
    }

    /// Every path that the patch reads, writes, creates or removes, sorted.
    public var touchedPaths: [String] { Set(files.flatMap(\.paths)).sorted() }

    /// The whole commit message, with a newline at its end.
    public var message: String { body.isEmpty ? subject + "\n" : subject + "\n\n" + body + "\n" }
}
