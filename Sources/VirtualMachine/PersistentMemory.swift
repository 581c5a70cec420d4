// SPDX-License-Identifier: Apache-2.0

/// Guest memory that the kernel makes a persistent memory device of, since a word of its command line says so.
public struct PersistentMemory: Sendable, Equatable {
    /// The word, such as `memmap=384M!384M`.
    public let word: String
    /// The guest-physical addresses.
    public let bytes: Range<UInt64>

    /// Reads a word `memmap=SIZE!START` (Documentation/admin-guide/kernel-parameters.txt); nil for any other.
    public init?(word: String) {
        guard word.hasPrefix("memmap=") else { return nil }
        let parts = word.dropFirst("memmap=".count).split(separator: "!", omittingEmptySubsequences: false)
        guard parts.count == 2, let size = Self.number(parts[0]), let start = Self.number(parts[1]), size > 0 else {
            return nil
        }
        let (end, isTooLarge) = start.addingReportingOverflow(size)
        guard !isTooLarge else { return nil }
        self.word = word
        bytes = start..<end
    }

    /// A number as the kernel's memparse() reads it: decimal, or hexadecimal behind 0x, with K, M, G or T.
    private static func number(_ text: Substring) -> UInt64? {
        var digits = text
        var shift: UInt64 = 0
        if let unit = text.last?.uppercased(), let place = ["K", "M", "G", "T"].firstIndex(of: unit) {
            digits = text.dropLast()
            shift = UInt64(place + 1) * 10
        }
        let isHexadecimal = digits.lowercased().hasPrefix("0x")
        guard let value = UInt64(isHexadecimal ? digits.dropFirst(2) : digits, radix: isHexadecimal ? 16 : 10) else {
            return nil
        }
        let (shifted, overflow) = value.multipliedReportingOverflow(by: 1 << shift)
        return overflow ? nil : shifted
    }
}
