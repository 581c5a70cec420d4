// SPDX-License-Identifier: Apache-2.0

/// The text of mail headers: RFC 5322 for what is ASCII, encoded words of RFC 2047 for the rest.
enum HeaderText {
    /// The length that a header's line should not exceed (RFC 5322, section 2.1.1).
    private static let lineLength = 78

    /// A name in front of an address: an encoded word, quoted, or plain.
    static func phrase(_ name: String) -> String {
        if needsEncoding(name) { return encodedWords(name, offset: 10).joined(separator: "\n ") }
        guard name.contains(where: { "()<>[]:;@\\,.\"".contains($0) }) else { return name }
        return "\"" + name.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }

    /// A whole `Subject:` header, folded, with a newline at its end.
    ///
    /// - Parameters:
    ///   - prefix: what stands in brackets, such as `[PATCH v2 1/3]`; ASCII.
    ///   - subject: the patch's own subject.
    static func subject(prefix: String, _ subject: String) -> String {
        let start = "Subject: \(prefix) "
        if needsEncoding(subject) {
            return start + encodedWords(subject, offset: start.count).joined(separator: "\n ") + "\n"
        }
        var lines = [start]
        for (index, word) in subject.split(separator: " ", omittingEmptySubsequences: false).enumerated() {
            let last = lines.count - 1
            // A line of the header never ends or begins with an empty word: folded space would be lost.
            if index > 0, !word.isEmpty, !lines[last].hasSuffix(" "), lines[last].count + 1 + word.count > lineLength {
                lines.append(" " + word)
            } else {
                lines[last] += (index > 0 ? " " : "") + word
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// A whole header with addresses, one a line; empty if there is none.
    static func list(_ name: String, _ addresses: [Address]) -> String {
        guard !addresses.isEmpty else { return "" }
        return "\(name): " + addresses.map(\.header).joined(separator: ",\n ") + "\n"
    }

    private static func needsEncoding(_ text: String) -> Bool {
        !text.utf8.allSatisfy { (32...126).contains($0) } || text.contains("=?")
    }

    /// Encoded words of at most 75 characters, none of which ends inside of a character.
    private static func encodedWords(_ text: String, offset: Int) -> [String] {
        let (start, end) = ("=?UTF-8?q?", "?=")
        var words = [""]
        var room = 76 - offset - start.count - end.count
        for scalar in text.unicodeScalars {
            let piece = String(scalar).utf8.map(quoted).joined()
            if piece.count > room, !(words.last ?? "").isEmpty {
                words.append("")
                room = 75 - start.count - end.count
            }
            words[words.count - 1] += piece
            room -= piece.count
        }
        return words.map { start + $0 + end }
    }

    /// One byte in the Q encoding, with the characters that may stand in a name (RFC 2047, section 5, rule 3).
    private static func quoted(_ byte: UInt8) -> String {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "!"), UInt8(ascii: "*"),
            UInt8(ascii: "+"), UInt8(ascii: "/"):
            return String(UnicodeScalar(byte))
        case 32: return "_"
        default:
            let digits = String(byte, radix: 16, uppercase: true)
            return digits.count == 1 ? "=0\(digits)" : "=\(digits)"
        }
    }
}
