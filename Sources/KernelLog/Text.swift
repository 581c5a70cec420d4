// SPDX-License-Identifier: Apache-2.0

/// Byte-wise searching in console text.
///
/// The kernel's markers are ASCII, so bytes are compared instead of characters: it is faster, and a combining character
/// in a program's output next to a marker cannot hide it. An index found at an ASCII byte is always a character's edge.
extension Substring {
    func starts(with marker: String) -> Bool { utf8.starts(with: marker.utf8) }

    func ends(with marker: String) -> Bool { utf8.reversed().starts(with: marker.utf8.reversed()) }

    func range(of marker: String) -> Range<Index>? {
        guard let first = marker.utf8.first else { return nil }
        var start = utf8.startIndex
        while let candidate = utf8[start...].firstIndex(of: first) {
            guard let end = utf8.index(candidate, offsetBy: marker.utf8.count, limitedBy: utf8.endIndex) else {
                return nil
            }
            if utf8[candidate..<end].elementsEqual(marker.utf8) { return candidate..<end }
            start = utf8.index(after: candidate)
        }
        return nil
    }

    func has(_ marker: String) -> Bool { range(of: marker) != nil }

    /// What follows the first occurrence of a marker.
    func after(_ marker: String) -> Substring? { range(of: marker).map { self[$0.upperBound...] } }

    /// What comes before the first occurrence of a marker; everything if it does not occur.
    func upTo(_ marker: String) -> Substring { range(of: marker).map { self[..<$0.lowerBound] } ?? self }

    /// What follows a marker that the text begins with.
    func dropping(_ marker: String) -> Substring? {
        starts(with: marker) ? self[utf8.index(startIndex, offsetBy: marker.utf8.count)...] : nil
    }

    var trimmed: Substring {
        var text = self
        while let byte = text.utf8.first, byte == 0x20 || byte == 0x09 {
            text = text[text.utf8.index(after: text.startIndex)...]
        }
        while let byte = text.utf8.last, byte == 0x20 || byte == 0x09 {
            text = text[..<text.utf8.index(before: text.endIndex)]
        }
        return text
    }

    /// The words between blanks.
    var words: [Substring] { split { $0 == " " || $0 == "\t" } }

    /// The decimal number that the text begins with.
    var leadingNumber: Int? { Int(prefix { $0.isASCII && $0.isNumber }) }
}

extension UInt8 {
    var isDigit: Bool { self >= 0x30 && self <= 0x39 }
    var isHexDigit: Bool { isDigit || (self >= 0x61 && self <= 0x66) || (self >= 0x41 && self <= 0x46) }
    var isLetter: Bool { (self >= 0x41 && self <= 0x5a) || (self >= 0x61 && self <= 0x7a) }
}
