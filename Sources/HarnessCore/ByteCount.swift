// SPDX-License-Identifier: Apache-2.0
import Foundation

/// An amount of storage as people write and read it; units are powers of 1024.
public struct ByteCount: Sendable, Equatable, CustomStringConvertible {
    /// The amount in bytes.
    public let bytes: Int64

    /// An amount in bytes.
    public init(_ bytes: Int64) { self.bytes = bytes }

    /// Reads a whole number of bytes, or of KiB, MiB, GiB or TiB with K, M, G or T behind it; nil for anything else.
    public init?(parsing text: String) {
        guard let match = text.wholeMatch(of: /([0-9]+)([KMGT]?)/.ignoresCase()), let number = Int64(match.1) else {
            return nil
        }
        let power = ["K": 10, "M": 20, "G": 30, "T": 40][match.2.uppercased()] ?? 0
        let (bytes, isTooLarge) = number.multipliedReportingOverflow(by: 1 << power)
        guard !isTooLarge else { return nil }
        self.bytes = bytes
    }

    /// The amount in the largest unit of which there is at least one, such as `1.5 GiB`.
    public var description: String {
        var value = Double(bytes)
        for unit in ["B", "KiB", "MiB", "GiB"] {
            if value < 1024 { return unit == "B" ? "\(bytes) B" : String(format: "%.1f \(unit)", value) }
            value /= 1024
        }
        return String(format: "%.1f TiB", value)
    }
}
