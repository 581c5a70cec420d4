// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Takes file names out of diff headers: quoting undone, leading folders cut off.
///
/// A name may be quoted like a string in C (git-config(1), core.quotePath), which is how `..` can be hidden in it.
struct NameParser {
    /// How many leading folders are cut off.
    let strip: Int

    /// Longer than two paths of PATH_MAX with every byte escaped; such a line is not a header, but work for the parser.
    private static let longestLine = 32 << 10

    /// The name in a `--- ` or `+++ ` line, which is the next one; nil for /dev/null.
    func fileName(_ lines: LineCursor, after prefix: StaticString) throws -> String? {
        let line = try headerLine(lines)
        let text = lines.bytes[line].dropFirst(prefix.utf8CodeUnitCount)
        let name: [UInt8]
        if text.first == UInt8(ascii: "\"") {
            name = try unquote(text, lines).name
        } else {
            name = Array(withoutDate(text))
        }
        if name.elementsEqual("/dev/null".utf8) { return nil }
        return try self.text(stripped(name[...], strip), lines)
    }

    /// The name behind one of several prefixes of the next line, such as `rename from `; nil if it has none of them.
    ///
    /// These names come without `a/` or `b/`, so one folder less is cut off.
    func movedName(_ lines: LineCursor, after prefixes: [StaticString]) throws -> String? {
        guard let line = lines.peek(), let prefix = prefixes.first(where: { lines.has($0, at: line) }) else {
            return nil
        }
        let text = lines.bytes[line].dropFirst(prefix.utf8CodeUnitCount)
        let name = text.first == UInt8(ascii: "\"") ? try unquote(text, lines).name : Array(text)
        return try self.text(stripped(name[...], max(strip - 1, 0)), lines)
    }

    /// The name that both halves of the `diff --git` line share; nil if they differ or cannot be told apart.
    func commonName(_ lines: LineCursor) throws -> String? {
        let text = lines.bytes[try headerLine(lines)].dropFirst("diff --git ".utf8.count)
        if text.first == UInt8(ascii: "\"") {
            let (name, rest) = try unquote(text, lines)
            let second = rest.drop { $0 == UInt8(ascii: " ") }
            let other = second.first == UInt8(ascii: "\"") ? try unquote(second, lines).name : Array(second)
            return try common(name[...], other[...], lines)
        }
        for index in text.indices where text[index] == UInt8(ascii: " ") {
            let second = text[(index + 1)...]
            let other = second.first == UInt8(ascii: "\"") ? try unquote(second, lines).name[...] : second
            if let name = try common(text[..<index], other, lines) { return name }
        }
        return nil
    }

    private func headerLine(_ lines: LineCursor) throws -> Range<Int> {
        guard let line = lines.peek() else { throw lines.problem("a file's header ends too early") }
        guard line.count <= Self.longestLine else { throw lines.problem("a file's header has an endless line") }
        return line
    }

    private func common(_ first: ArraySlice<UInt8>, _ second: ArraySlice<UInt8>, _ lines: LineCursor) throws -> String?
    {
        guard let first = stripped(first, strip), let second = stripped(second, strip), !first.isEmpty,
            first.elementsEqual(second)
        else { return nil }
        return try text(first, lines)
    }

    /// A name ends at a tab, or before a date that diff(1) puts behind it.
    private func withoutDate(_ text: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        let name = text.prefix { $0 != UInt8(ascii: "\t") && $0 != UInt8(ascii: "\r") }
        let words = String(decoding: name.prefix(4096), as: UTF8.self)
        guard let date = words.firstMatch(of: #/ +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/#) else { return name }
        return name.prefix(words[..<date.range.lowerBound].utf8.count)
    }

    /// Cuts off folders; nil if the name has too few of them.
    private func stripped(_ name: ArraySlice<UInt8>, _ count: Int) -> ArraySlice<UInt8>? {
        var rest = name
        for _ in 0..<count {
            guard let slash = rest.firstIndex(of: UInt8(ascii: "/")) else { return nil }
            rest = rest[(slash + 1)...]
        }
        return rest
    }

    private func text(_ name: ArraySlice<UInt8>?, _ lines: LineCursor) throws -> String {
        guard let name, !name.isEmpty else {
            throw lines.problem("a file name has fewer folders than the \(strip) that are cut off (-p\(strip))")
        }
        guard let text = String(validating: name, as: UTF8.self) else {
            throw lines.problem("a file name is not UTF-8")
        }
        return text
    }

    private func unquote(
        _ text: ArraySlice<UInt8>, _ lines: LineCursor
    ) throws -> (name: [UInt8], rest: ArraySlice<UInt8>) {
        var name: [UInt8] = []
        var rest = text.dropFirst()
        let escapes: [UInt8: UInt8] = [
            UInt8(ascii: "a"): 7, UInt8(ascii: "b"): 8, UInt8(ascii: "t"): 9, UInt8(ascii: "n"): 10,
            UInt8(ascii: "v"): 11, UInt8(ascii: "f"): 12, UInt8(ascii: "r"): 13,
            UInt8(ascii: "\\"): UInt8(ascii: "\\"), UInt8(ascii: "\""): UInt8(ascii: "\""),
        ]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "\"") { return (name, rest) }
            guard byte == UInt8(ascii: "\\") else {
                name.append(byte)
                continue
            }
            if let next = rest.first, let escape = escapes[next] {
                name.append(escape)
                rest = rest.dropFirst()
            } else {
                let digits = String(decoding: rest.prefix(3), as: UTF8.self)
                guard digits.utf8.count == 3, let value = UInt8(digits, radix: 8) else {
                    throw lines.problem("a quoted file name has an unknown escape")
                }
                name.append(value)
                rest = rest.dropFirst(3)
            }
        }
        throw lines.problem("a quoted file name has no end")
    }
}
