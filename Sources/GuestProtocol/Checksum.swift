// SPDX-License-Identifier: Apache-2.0

/// The CRC-32 of ISO 3309 (reflected polynomial 0xEDB88320), the one that gzip and Ethernet use.
///
/// It notices every burst of damage up to 32 bits, and lets one random line in four thousand million through.
enum Checksum {
    /// What eight shifts do to each possible low byte.
    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
    }

    /// The checksum of some bytes.
    static func crc32(_ bytes: some Sequence<UInt8>) -> UInt32 {
        ~bytes.reduce(~UInt32(0)) { value, byte in
            value >> 8 ^ table[Int(UInt8(truncatingIfNeeded: value) ^ byte)]
        }
    }
}
