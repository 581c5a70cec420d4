// SPDX-License-Identifier: Apache-2.0

/// The words that both sides know, apart from the form of the line that carries them.
public enum Vocabulary {
    /// The version that the guest says in its hello.
    ///
    /// It grows when a message or a key is added; what a side does not
    /// know it skips, so that only a changed meaning needs a new ``Frame/version``.
    public static let version = 1

    /// The name of this protocol's virtio-serial port, as in QEMU's `-device virtserialport,name=`.
    public static let portName = "hmmlab.protocol"

    /// The name of a second port, which carries the bytes of an interactive program's terminal as they are.
    public static let terminalPortName = "hmmlab.terminal"

    /// The most bytes of output or of a file that one message carries: 8 KiB, at most 24 KiB on the wire.
    public static let chunkSize = 8 << 10

    /// The most bytes of a file that a read hands out: 1 MiB.
    public static let fileLimit = 1 << 20
}

/// One side's messages.
public protocol ProtocolMessage: Sendable, Equatable {
    /// Reads a message from a frame; a verb that this side does not know is not an error.
    ///
    /// - Throws: ``InvalidFrame`` if a known verb lacks a value or has one that makes no sense.
    init(_ frame: Frame) throws(InvalidFrame)

    /// The message as a frame.
    var frame: Frame { get }
}

extension ProtocolMessage {
    /// The message as it goes over the wire: one line of ASCII, LF included.
    ///
    /// - Throws: ``FrameTooLong``.
    public func encoded() throws(FrameTooLong) -> [UInt8] { try frame.encoded() }
}

/// A whole frame with a known verb whose values make no sense.
public struct InvalidFrame: Error, Sendable, Equatable, CustomStringConvertible {
    /// The frame's verb.
    public let verb: String
    /// The key whose value is missing or wrong.
    public let key: String

    /// The error as a sentence without a full stop.
    public var description: String { "A \(verb) message has no valid \(key)" }
}

/// Reads one side's messages from a stream of bytes.
public struct MessageDecoder<Message: ProtocolMessage>: Sendable {
    /// What was found in the stream.
    public enum Event: Sendable, Equatable {
        /// A message.
        case message(Message)
        /// A frame that arrived whole but makes no sense.
        case invalid(InvalidFrame)
        /// A frame of another ``Frame/version``.
        case otherVersion(Int)
        /// So many bytes were not a frame.
        case garbage(byteCount: Int)
    }

    private var frames = FrameDecoder()

    /// A decoder at the beginning of a stream.
    public init() {}

    /// Takes in the next bytes and returns what they complete.
    public mutating func feed(_ bytes: some Sequence<UInt8>) -> [Event] {
        frames.feed(bytes).map(Self.event)
    }

    /// Ends the stream and tells how many bytes of an unfinished frame are left.
    public mutating func finish() -> Event? {
        frames.finish().map(Self.event)
    }

    private static func event(_ event: FrameDecoder.Event) -> Event {
        switch event {
        case .frame(let frame):
            do throws(InvalidFrame) {
                return .message(try Message(frame))
            } catch {
                return .invalid(error)
            }
        case .otherVersion(let version): return .otherVersion(version)
        case .garbage(let count): return .garbage(byteCount: count)
        }
    }
}

// MARK: - Reading values

extension Frame {
    func optionalBytes(_ key: String) -> [UInt8]? { fields.first { $0.key == key }?.value }

    func optionalText(_ key: String) -> String? { optionalBytes(key).map { String(decoding: $0, as: UTF8.self) } }

    /// All values of a key that may occur several times.
    func texts(_ key: String) -> [String] {
        fields.filter { $0.key == key }.map { String(decoding: $0.value, as: UTF8.self) }
    }

    func bytes(_ key: String) throws(InvalidFrame) -> [UInt8] {
        guard let value = optionalBytes(key) else { throw InvalidFrame(verb: verb, key: key) }
        return value
    }

    func text(_ key: String) throws(InvalidFrame) -> String { String(decoding: try bytes(key), as: UTF8.self) }

    /// A number without sign that fits the wanted type.
    func number<Number: FixedWidthInteger>(_ key: String) throws(InvalidFrame) -> Number {
        guard let value = Self.number(try bytes(key)), let number = Number(exactly: value) else {
            throw InvalidFrame(verb: verb, key: key)
        }
        return number
    }

    /// A number that may be absent; one that is there must make sense.
    func optionalNumber<Number: FixedWidthInteger>(_ key: String) throws(InvalidFrame) -> Number? {
        optionalBytes(key) == nil ? nil : try number(key)
    }
}
