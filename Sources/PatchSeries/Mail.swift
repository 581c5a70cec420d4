// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A mail that git-mailinfo(1) has decoded.
struct Mail: Sendable {
    /// The mail's place in its file, from 1.
    var number: Int
    /// The subject with everything in front of it.
    var title: String
    var author: Patch.Author?
    /// The message below the subject.
    var body: String
    /// The part with the diff, decoded, with what stands around the diff.
    var patch: Data
    /// The mail itself.
    var raw: Data

    var subject: String { CommitText.subject(title) }

    var isReply: Bool { title.prefixMatch(of: #/\s*(?:re|aw|fwd?)\s*:/#.ignoresCase()) != nil }

    var tag: Tag { Tag(title) }

    /// The numbers in `[PATCH v2 3/7]`.
    struct Tag: Equatable {
        var version: Int?
        var index: Int?
        var total: Int?

        init(_ title: String) {
            for group in title.prefixMatch(of: #/(?:\s|:|[Rr][Ee]:|\[[^\]]*\])*/#)?.output.split(separator: "[") ?? [] {
                if let match = group.firstMatch(of: #/(?:^|\s|,)(\d{1,4})/(\d{1,4})(?:\]|\s|,|$)/#) {
                    index = Int(match.1)
                    total = Int(match.2)
                }
                if let match = group.firstMatch(of: #/(?:^|\s|PATCH|RFC)[vV](\d{1,3})(?:\]|\s|,|$)/#) {
                    version = Int(match.1)
                }
            }
        }
    }
}

/// Tells a mail from a plain diff by how it begins.
enum MailHead {
    /// Whether a file begins like an mbox, or with mail headers among which there is a sender or a subject.
    static func isMail(_ bytes: Data) -> Bool {
        let head = bytes.prefix(256 << 10)
        if head.starts(with: "From ".utf8) { return true }
        var names: Set<String> = []
        for (index, line) in head.split(separator: 10, omittingEmptySubsequences: false).enumerated() {
            let text = line.last == 13 ? line.dropLast() : line
            if text.isEmpty {
                if index == 0 { continue }
                break
            }
            if index > 0 && (text.first == 32 || text.first == 9) { continue }
            guard let colon = text.firstIndex(of: UInt8(ascii: ":")), colon > text.startIndex,
                text[..<colon].allSatisfy({ (33...126).contains($0) })
            else { return false }
            names.insert(String(decoding: text[..<colon], as: UTF8.self).lowercased())
        }
        return !names.isDisjoint(with: ["from", "subject"])
    }
}

extension Collection<UInt8> {
    /// The bytes before the first LF.
    var firstLine: SubSequence { prefix { $0 != 10 } }
}
