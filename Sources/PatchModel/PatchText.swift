// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import PatchSeries

/// The form in which a patch is stored and compared.
public enum PatchText {
    /// The header that a stored patch carries; git takes no notice of it.
    static let license = "SPDX-License-Identifier: GPL-2.0"

    /// The stored form: a mail that git-am(1) takes, whose bytes follow from author, message and diff alone.
    ///
    /// A message that no mail can carry (a line `---`, a line that begins like a diff, a subject in brackets) would
    /// come back changed; the caller compares what it reads back, see ``PatchModelStore/save(_:previous:)``.
    public static func mail(_ patch: Patch) -> Data {
        var head = ""
        if let author = patch.author {
            head += "From: \(phrase(author.name)) <\(author.email)>\n"
            if let date = author.date { head += "Date: \(date)\n" }
        }
        head += "Subject: [PATCH] \(patch.subject)\n\(license)\n"
        let text = head + patch.body
        if !text.utf8.allSatisfy({ $0 < 128 }) {
            head +=
                "MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n"
        }
        head += "\n" + (patch.body.isEmpty ? "" : patch.body + "\n") + "---\n"
        return Data(head.utf8) + patch.diff
    }

    /// A name as RFC 5322 wants it in front of an address: quoted if it holds a special character.
    static func phrase(_ name: String) -> String {
        guard name.contains(where: { "()<>[]:;@\\,.\"".contains($0) }) else { return name }
        return "\"" + name.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }

    /// Whether nothing in a patch could be taken for something else by git-mailinfo(1), so that its mail surely reads back.
    ///
    /// Rather too strict than too lax: who is not plain is tried.
    static func isPlain(_ patch: Patch) -> Bool {
        let head = patch.subject + (patch.author.map { $0.name + $0.email } ?? "")
        guard let author = patch.author, author.date != nil, author.name.wholeMatch(of: /[A-Za-z0-9 \-]+/) != nil,
            author.email.wholeMatch(of: /[A-Za-z0-9.+_\-]+@[A-Za-z0-9.\-]+/) != nil,
            head.utf8.allSatisfy({ (32..<127).contains($0) }), patch.subject.count < 200,
            patch.subject.wholeMatch(of: /[A-Za-z0-9][^\[\]=]*/) != nil,
            patch.subject.prefixMatch(of: #/re\s*:/#.ignoresCase()) == nil,
            patch.body.utf8.allSatisfy({ (32..<127).contains($0) || $0 == 10 || $0 == 9 })
        else { return false }
        let lines = patch.body.split(separator: "\n", omittingEmptySubsequences: false)
        // A first line such as "From:" would be a header inside of the message.
        guard lines.first?.contains(/^[A-Za-z\-]+:/) != true else { return false }
        return lines.allSatisfy { line in
            !["---", "diff", "Index:", "From ", ">From", "***", "-- "].contains(where: line.hasPrefix)
                && !line.contains(">8") && !line.contains("8<")
        }
    }

    /// Whether two diffs say the same but for line numbers, the function names behind `@@`, and blob ids.
    public static func isSame(_ one: Data, _ other: Data) -> Bool {
        one == other || comparable(one) == comparable(other)
    }

    /// A diff without line numbers, the function names behind `@@`, and blob ids.
    public static func comparable(_ diff: Data) -> Data {
        var result = Data()
        for line in diff.split(separator: 10, omittingEmptySubsequences: false) {
            if line.starts(with: "index ".utf8) { continue }
            result += line.starts(with: "@@ ".utf8) ? Data("@@".utf8) : line
            result.append(10)
        }
        return result
    }

    /// A file name made from a subject: lower case, at most 60 characters, never empty.
    ///
    /// - Parameters:
    ///   - subject: the patch's subject.
    ///   - taken: names that are in use; a number is put behind one that is.
    public static func name(for subject: String, taken: Set<String>) -> String {
        let words = subject.lowercased().split { !($0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_")) }
        var stem = ""
        for word in words {
            let longer = stem.isEmpty ? String(word.prefix(60)) : "\(stem)-\(word)"
            if longer.count > 60 { break }
            stem = longer
        }
        if stem.isEmpty { stem = "patch" }
        var name = stem
        var number = 2
        while taken.contains(name) {
            name = "\(stem)-\(number)"
            number += 1
        }
        return name
    }
}
