// SPDX-License-Identifier: Apache-2.0

/// One line of KTAP, without regard to its neighbours.
enum KTAPLine: Equatable {
    /// `KTAP version 1`, `TAP version 13`.
    case version
    /// `1..N`, with the reason behind `# SKIP`.
    case plan(Int, skipReason: String?)
    /// `ok 1 name # DIRECTIVE note`.
    case result(KTAPTest)
    /// `Bail out! reason`.
    case bailOut(String)
    /// Anything else; ``text(of:column:)`` takes its prefixes off.
    case text

    /// The deepest nesting that is followed, in columns; what is indented further is text.
    private static let columnLimit = 64
    /// A plan beyond this is taken for this; sums of plans stay far from overflow.
    private static let planLimit = 1 << 40

    /// Reads a line; `column` tells how far a structural line is nested, blanks and leading `# ` counted alike.
    ///
    /// KTAP indents subtests by two blanks, KUnit by four, and the kselftest runner puts `# ` before every line of the
    /// program it runs.
    static func parse(_ line: some StringProtocol) -> (line: KTAPLine, column: Int) {
        var rest = Substring(line)
        var column = 0
        while column <= columnLimit {
            if let found = structural(rest) { return (found, column) }
            guard rest.hasPrefix("  ") || rest.hasPrefix("# ") else {
                break
            }
            rest = rest.dropFirst(2)
            column += 2
        }
        return (.text, 0)
    }

    private static func structural(_ text: Substring) -> KTAPLine? {
        if text.hasPrefix("KTAP version ") || text.hasPrefix("TAP version ") { return .version }
        if text.hasPrefix("Bail out!") { return .bailOut(trimmed(text.dropFirst(9))) }
        if text.hasPrefix("1..") { return plan(text.dropFirst(3)) }
        if let rest = word("ok", of: text) { return result(rest, isOK: true) }
        if let rest = word("not ok", of: text) { return result(rest, isOK: false) }
        return nil
    }

    private static func plan(_ text: Substring) -> KTAPLine? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard !digits.isEmpty else { return nil }
        let tail = trimmed(text[digits.endIndex...])
        guard tail.isEmpty || tail.hasPrefix("#") else { return nil }
        let (directive, note) = directive(in: Substring(tail).dropFirst())
        return .plan(min(Int(digits) ?? planLimit, planLimit), skipReason: directive == .skip ? note : nil)
    }

    /// The result after `ok` or `not ok`: `[number] [- ][description] [# [directive] [note]]`.
    private static func result(_ text: Substring, isOK: Bool) -> KTAPLine? {
        var rest = text
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        let after = rest[digits.endIndex...]
        var number: Int?
        if !digits.isEmpty && (after.isEmpty || after.hasPrefix(" ")) {
            number = Int(digits)
            rest = after.drop { $0 == " " }
        }
        if rest.hasPrefix("- ") { rest = rest.dropFirst(2) }
        let (description, tail) = splitAtHash(rest)
        var test = KTAPTest(number: number, name: unescapedName(trimmed(description)), isOK: isOK)
        if let tail { (test.directive, test.note) = directive(in: tail) }
        // ksft_test_result_skip() and its kin print the name behind the directive: `ok 3 # SKIP name`.
        if test.name.isEmpty, test.directive != nil { (test.name, test.note) = (test.note, "") }
        return .result(test)
    }

    private static func word(_ word: String, of text: Substring) -> Substring? {
        guard text.hasPrefix(word) else { return nil }
        let rest = text.dropFirst(word.count)
        return rest.isEmpty ? rest : rest.hasPrefix(" ") ? rest.drop { $0 == " " } : nil
    }

    /// Splits a description from what follows its first hash that is not escaped.
    private static func splitAtHash(_ text: Substring) -> (Substring, Substring?) {
        var isEscaped = false
        for index in text.indices {
            if text[index] == "#" && !isEscaped { return (text[..<index], text[text.index(after: index)...]) }
            isEscaped = text[index] == "\\" && !isEscaped
        }
        return (text, nil)
    }

    private static func directive(in text: Substring) -> (KTAPDirective?, String) {
        let text = Substring(trimmed(text))
        // Our own mark for a note whose first word only looks like a directive.
        if text.hasPrefix("- ") { return (nil, String(text.dropFirst(2))) }
        let word = text.prefix { $0.isASCII && $0.isLetter }
        guard let directive = KTAPDirective(rawValue: word.uppercased()) else { return (nil, String(text)) }
        let rest = text[word.endIndex...]
        guard rest.isEmpty || rest.hasPrefix(" ") || rest.hasPrefix(":") else { return (nil, String(text)) }
        return (directive, trimmed(rest.drop { $0 == ":" }))
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text.drop { $0 == " " || $0 == "\t" }
        while let last = text.last, last == " " || last == "\t" { text = text.dropLast() }
        return String(text)
    }

    // MARK: Escapes

    /// A description that holds no hash of its own, `\#` and `\\` as TAP 14 has it, and no separator at its start.
    static func escaped(name: String) -> String {
        let name = name.replacing("\\", with: "\\\\").replacing("#", with: "\\#")
        return name.hasPrefix("- ") ? "- " + name : name
    }

    /// A note that is not taken for a directive.
    static func escaped(note: String) -> String { directive(in: note[...]) == (nil, note) ? note : "- " + note }

    /// A diagnostic line; a backslash keeps a text that looks like a result, or like a nested line, from being taken for one.
    static func escaped(text: String) -> String {
        let isPlain = parse(text).line == .text && !text.hasPrefix("\\") && text.first(where: { $0 != " " }) != "#"
        return isPlain ? text.isEmpty ? "#" : "# " + text : "# \\" + text
    }

    /// The text of a line that is no KTAP, without the indentation of the level at a column and without `# `.
    static func text(of line: some StringProtocol, column: Int) -> String {
        var rest = Substring(line)
        for _ in 0..<column / 2 where rest.hasPrefix("  ") || rest.hasPrefix("# ") {
            let inner = rest.dropFirst(2)
            guard inner.first(where: { $0 != " " }) == "#" else { break }
            rest = inner
        }
        guard rest.hasPrefix("# ") else { return rest == "#" ? "" : String(rest) }
        let text = rest.dropFirst(2)
        return String(text.hasPrefix("\\") ? text.dropFirst() : text)
    }

    private static func unescapedName(_ name: String) -> String {
        guard name.contains("\\") else { return name }
        var result = ""
        var isEscaped = false
        for character in name {
            if isEscaped && character != "#" && character != "\\" { result.append("\\") }
            isEscaped = character == "\\" && !isEscaped
            if !isEscaped { result.append(character) }
        }
        return isEscaped ? result + "\\" : result
    }
}
