// SPDX-License-Identifier: Apache-2.0

/// Cuts a stream of bytes into lines; a line that never ends is given out in pieces so that memory stays bounded.
public struct LineSplitter: Sendable {
    /// The longest line given out in one piece, in bytes.
    public let maximumLength: Int
    private var pending: [UInt8] = []

    /// A splitter with nothing pending.
    public init(maximumLength: Int = 1 << 16) { self.maximumLength = max(maximumLength, 1) }

    /// Takes in bytes and returns the lines they complete, without LF or CR LF, as UTF-8 with repairs.
    public mutating func feed(_ bytes: some Sequence<UInt8>) -> [String] {
        var lines: [String] = []
        for byte in bytes {
            if byte == UInt8(ascii: "\n") {
                if pending.last == UInt8(ascii: "\r") { pending.removeLast() }
                lines.append(take())
            } else {
                pending.append(byte)
                if pending.count >= maximumLength { lines.append(take()) }
            }
        }
        return lines
    }

    /// The unfinished last line, if there is one; the splitter is empty afterwards.
    public mutating func finish() -> String? {
        pending.isEmpty ? nil : take()
    }

    private mutating func take() -> String {
        defer { pending.removeAll(keepingCapacity: true) }
        return String(decoding: pending, as: UTF8.self)
    }
}
