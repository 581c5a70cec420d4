// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Walks over the lines of a text without copying them; a line's range excludes its LF.
struct LineCursor {
    let bytes: [UInt8]
    /// Where the next line begins.
    private(set) var offset = 0
    /// The next line's number, from 1.
    private(set) var number = 1

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// The next line; nil at the end.
    func peek() -> Range<Int>? { line(at: offset) }

    /// The line that begins at an offset; nil at the end.
    func line(at start: Int) -> Range<Int>? {
        guard start < bytes.count else { return nil }
        let end = bytes.withUnsafeBytes { buffer -> Int in
            guard let base = buffer.baseAddress, let found = memchr(base + start, 10, buffer.count - start) else {
                return buffer.count
            }
            return UnsafeRawPointer(found) - base
        }
        return start..<end
    }

    /// Goes behind the next line.
    mutating func advance() {
        guard let line = peek() else { return }
        offset = min(line.upperBound + 1, bytes.count)
        number += 1
    }

    func has(_ prefix: StaticString, at line: Range<Int>) -> Bool {
        guard line.count >= prefix.utf8CodeUnitCount else { return false }
        return bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return false }
            return memcmp(base + line.lowerBound, prefix.utf8Start, prefix.utf8CodeUnitCount) == 0
        }
    }

    func ends(_ line: Range<Int>, with suffix: String) -> Bool {
        line.count >= suffix.utf8.count && bytes[line].suffix(suffix.utf8.count).elementsEqual(suffix.utf8)
    }

    /// A line as text that can be shown, bounded in length.
    func text(_ line: Range<Int>) -> String { Printable.line(bytes[line]) }

    /// Whether `--- `, `+++ ` and `@@ -` follow each other here, which begins a file in a diff without git's headers.
    func startsPlainFile() -> Bool {
        guard let first = peek(), has("--- ", at: first), let second = line(at: first.upperBound + 1),
            has("+++ ", at: second), let third = line(at: second.upperBound + 1)
        else { return false }
        return has("@@ -", at: third)
    }

    /// Whether the first file's first line ends in CR LF.
    func firstFileHeaderEndsInCarriageReturn() -> Bool {
        var ahead = self
        while let line = ahead.peek() {
            if has("diff --git ", at: line) || ahead.startsPlainFile() {
                return bytes[line].last == UInt8(ascii: "\r")
            }
            ahead.advance()
        }
        return false
    }

    func problem(_ what: String, line: Int? = nil) -> DiffProblem {
        DiffProblem(line: line ?? number, what: what)
    }
}

/// Text from patches, made fit to be shown: no control characters, no endless lines.
public enum Printable {
    /// The longest line shown, in bytes.
    static let longestLine = 400

    /// A line's bytes as UTF-8 with repairs; control characters but the tab become U+FFFD.
    static func line(_ bytes: some Collection<UInt8>) -> String {
        let text = text(String(decoding: bytes.prefix(longestLine), as: UTF8.self))
        return bytes.count > longestLine ? text + "…" : text
    }

    /// A text with its control characters, which a terminal would obey, replaced by U+FFFD.
    public static func text(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { isHarmless($0) ? $0 : "\u{FFFD}" }))
    }

    private static func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "\t" || scalar.properties.generalCategory != .control
    }
}
