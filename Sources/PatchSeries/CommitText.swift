// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Cleans the parts of a commit as git-am(1) does, so that the same mail gives the same commit with either.
enum CommitText {
    /// One line: line breaks and other control characters become spaces.
    static func line(_ text: some StringProtocol) -> String {
        let scalars = text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }
        return String(String.UnicodeScalarView(scalars)).trimmingCharacters(in: .whitespaces)
    }

    /// A message's text: no space at line ends, no two empty lines in a row, none around it (git-stripspace(1)).
    static func body(_ text: String) -> String {
        var kept: [Substring] = []
        // Over bytes: CR LF is one Character, and a combining mark must not glue itself to a line break.
        for line in text.utf8.split(separator: 10, omittingEmptySubsequences: false) {
            let end = line.lastIndex { !($0 == 32 || (9...13).contains($0)) }
            let trimmed = end.map { Substring(line[...$0]) } ?? ""
            if trimmed.isEmpty && (kept.last?.isEmpty ?? true) { continue }
            kept.append(trimmed)
        }
        while kept.last?.isEmpty ?? false { kept.removeLast() }
        return kept.joined(separator: "\n").replacing("\0", with: "\u{FFFD}")
    }

    /// A name or an address as git puts it into a commit: without what would end the field, and without decoration.
    static func identity(_ text: String) -> String {
        let decoration = Set(".,:;<>\"\\'".unicodeScalars)
        let isDecoration = { (scalar: Unicode.Scalar) in scalar.value <= 32 || decoration.contains(scalar) }
        let scalars = text.unicodeScalars
        guard let first = scalars.firstIndex(where: { !isDecoration($0) }),
            let last = scalars.lastIndex(where: { !isDecoration($0) })
        else { return "" }
        return String(String.UnicodeScalarView(scalars[first...last].filter { !["\n", "<", ">", "\0"].contains($0) }))
    }

    /// A mail's date if it is one that git understands without guessing; nil otherwise.
    static func date(_ text: String) -> String? {
        let form =
            #/
            (?:[A-Z][a-z][a-z],\s+)?
            (?:0?[1-9]|[12]\d|3[01])\s+
            (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\s+
            (?:19[7-9]\d|20\d\d)\s+
            (?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?\s+
            [+-](?:0\d|1[0-4])[0-5]\d
            /#
        return text.prefixMatch(of: form).map {
            String($0.output).split(whereSeparator: \.isWhitespace).joined(separator: " ")
        }
    }

    /// A mail's subject without `Re:` and the groups in brackets in front of it, as git-mailinfo(1) cuts it.
    static func subject(_ title: String) -> String {
        var rest = Substring(title)
        while let first = rest.first {
            if first == "[", let end = rest.firstIndex(of: "]") {
                rest = rest[rest.index(after: end)...]
            } else if first == " " || first == "\t" || first == ":" {
                rest = rest.dropFirst()
            } else if rest.prefix(3).lowercased() == "re:" {
                rest = rest.dropFirst(3)
            } else {
                break
            }
        }
        return rest.trimmingCharacters(in: .whitespaces)
    }
}
