// SPDX-License-Identifier: Apache-2.0

/// One line on the wire: a verb with named values, before it is known what the verb means.
///
/// The form, in ASCII, is
///
///     #hmmlab1 VERB KEY=VALUE KEY=VALUE ... CHECKSUM LF
///
/// - `#` begins a frame and occurs nowhere else in it, so that a reader finds the next frame after a torn one.
/// - The digits after `hmmlab` are the version of this form, ``Frame/version``.
/// - Verbs and keys are lower case letters and hyphens. A key may occur several times; the order counts then.
/// - Values are bytes. Letters, digits and `-._~/:,@+` stand for themselves, every other byte is `%` and two upper
///   case hexadecimal digits.
/// - The checksum is the CRC-32 of everything before the space that precedes it, as eight lower case hexadecimal
///   digits. Without it, a line cut in the middle of its last value would look whole.
public struct Frame: Sendable, Equatable {
    /// One named value.
    public struct Field: Sendable, Equatable {
        /// What the value is for; lower case letters and hyphens.
        public let key: String
        /// The value, decoded.
        public let value: [UInt8]
    }

    /// The version of the line's form that this code writes and reads.
    public static let version = 1

    /// The longest frame, in bytes with its LF: 64 KiB.
    ///
    /// Longer lines are neither written nor read.
    public static let maximumLength = 1 << 16

    /// What the frame is about.
    public let verb: String
    /// The values, in the order they were written.
    public private(set) var fields: [Field] = []

    static let start = UInt8(ascii: "#")
    static let end = UInt8(ascii: "\n")
    static let magic = Array("#hmmlab".utf8)

    init(_ verb: String) { self.verb = verb }
}

/// A message that does not fit into one frame.
public struct FrameTooLong: Error, Sendable, Equatable, CustomStringConvertible {
    /// The verb of the message.
    public let verb: String
    /// The length that its frame would have, in bytes.
    public let length: Int

    /// The error as a sentence without a full stop.
    public var description: String {
        "A \(verb) message of \(length) bytes exceeds the protocol's \(Frame.maximumLength) bytes"
    }
}

// MARK: - Writing

extension Frame {
    mutating func add(_ key: String, _ value: some Sequence<UInt8>) {
        fields.append(Field(key: key, value: Array(value)))
    }

    mutating func add(_ key: String, _ text: String) { add(key, text.utf8) }

    mutating func add(_ key: String, _ number: some FixedWidthInteger) { add(key, String(number)) }

    /// The frame as it goes over the wire, LF included.
    ///
    /// - Throws: ``FrameTooLong``.
    func encoded() throws(FrameTooLong) -> [UInt8] {
        var line = Self.magic + Array("\(Self.version) \(verb)".utf8)
        for field in fields {
            line.append(UInt8(ascii: " "))
            line += field.key.utf8
            line.append(UInt8(ascii: "="))
            Self.escape(field.value, into: &line)
        }
        let checksum = Self.digits(Checksum.crc32(line))
        line.append(UInt8(ascii: " "))
        line += checksum
        line.append(Self.end)
        guard line.count <= Self.maximumLength else { throw FrameTooLong(verb: verb, length: line.count) }
        return line
    }

    private static func escape(_ value: [UInt8], into line: inout [UInt8]) {
        let digits = Array("0123456789ABCDEF".utf8)
        for byte in value {
            if standsForItself(byte) {
                line.append(byte)
            } else {
                line.append(UInt8(ascii: "%"))
                line.append(digits[Int(byte >> 4)])
                line.append(digits[Int(byte & 15)])
            }
        }
    }

    private static func digits(_ checksum: UInt32) -> [UInt8] {
        let digits = Array(String(checksum, radix: 16).utf8)
        return [UInt8](repeating: UInt8(ascii: "0"), count: 8 - digits.count) + digits
    }

    private static func standsForItself(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "/"),
            UInt8(ascii: ":"), UInt8(ascii: ","), UInt8(ascii: "@"), UInt8(ascii: "+"):
            true
        default: false
        }
    }
}

// MARK: - Reading

extension Frame {
    /// What one line turned out to be.
    enum Reading: Equatable {
        case frame(Frame)
        /// Whole, but of another version of the form.
        case otherVersion(Int)
        case garbage
    }

    /// Reads one line, without its LF.
    static func read(_ line: ArraySlice<UInt8>) -> Reading {
        // Nine bytes at the end are the space and the checksum.
        guard line.starts(with: magic), line.count > magic.count + 9 else { return .garbage }
        let body = line.dropLast(9)
        guard line[body.endIndex] == UInt8(ascii: " "),
            Array(line.suffix(8)) == digits(Checksum.crc32(body))
        else { return .garbage }

        var words = body.dropFirst(magic.count).split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)[
            ...]
        guard let first = words.popFirst(), let version = number(first) else { return .garbage }
        guard version == Self.version else { return .otherVersion(version) }
        guard let second = words.popFirst(), let verb = name(second) else { return .garbage }
        var frame = Frame(verb)
        for word in words {
            guard let equals = word.firstIndex(of: UInt8(ascii: "=")), let key = name(word[..<equals]),
                let value = unescape(word[(equals + 1)...])
            else { return .garbage }
            frame.add(key, value)
        }
        return .frame(frame)
    }

    /// A decimal number without sign; nil for anything else, and for what does not fit.
    static func number(_ digits: some Collection<UInt8>) -> Int? {
        guard digits.allSatisfy({ UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }) else { return nil }
        return Int(String(decoding: digits, as: UTF8.self))
    }

    private static func name(_ bytes: ArraySlice<UInt8>) -> String? {
        let letters = bytes.allSatisfy { byte in
            UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte || byte == UInt8(ascii: "-")
        }
        return letters && !bytes.isEmpty ? String(decoding: bytes, as: UTF8.self) : nil
    }

    private static func unescape(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        var value: [UInt8] = []
        value.reserveCapacity(text.count)
        var rest = text
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%") {
                guard let high = hexadecimal(rest.popFirst()), let low = hexadecimal(rest.popFirst()) else {
                    return nil
                }
                value.append(high << 4 | low)
            } else if standsForItself(byte) {
                value.append(byte)
            } else {
                return nil
            }
        }
        return value
    }

    private static func hexadecimal(_ digit: UInt8?) -> UInt8? {
        switch digit {
        case .some(let digit) where UInt8(ascii: "0")...UInt8(ascii: "9") ~= digit: digit - UInt8(ascii: "0")
        case .some(let digit) where UInt8(ascii: "A")...UInt8(ascii: "F") ~= digit: digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
