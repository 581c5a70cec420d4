// SPDX-License-Identifier: Apache-2.0

/// Cuts a stream of bytes into frames, however the bytes arrive, and steps over what is not a frame.
///
/// At most ``Frame/maximumLength`` bytes are held, whatever comes in.
public struct FrameDecoder: Sendable {
    /// What was found in the stream.
    public enum Event: Sendable, Equatable {
        /// A whole frame with the right checksum.
        case frame(Frame)
        /// A whole frame of another version of the line's form: the two sides were not built together.
        case otherVersion(Int)
        /// So many bytes, LF included, were not a frame: torn, damaged, too long or foreign.
        case garbage(byteCount: Int)
    }

    private var pending: [UInt8] = []
    private var skipped = 0

    /// A decoder at the beginning of a stream.
    public init() {}

    /// Takes in the next bytes and returns what they complete.
    public mutating func feed(_ bytes: some Sequence<UInt8>) -> [Event] {
        var events: [Event] = []
        for byte in bytes {
            // A frame's start inside a frame means that the first one was torn.
            if byte == Frame.start { drop() }
            pending.append(byte)
            if byte == Frame.end {
                finishLine(&events)
            } else if pending[0] != Frame.start || pending.count >= Frame.maximumLength {
                drop()
            }
        }
        report(&events)
        return events
    }

    /// Ends the stream and tells how many bytes of an unfinished frame are left.
    public mutating func finish() -> Event? {
        var events: [Event] = []
        drop()
        report(&events)
        return events.first
    }

    private mutating func finishLine(_ events: inout [Event]) {
        let event: Event
        switch Frame.read(pending.dropLast()) {
        case .frame(let frame): event = .frame(frame)
        case .otherVersion(let version): event = .otherVersion(version)
        case .garbage:
            drop()
            return
        }
        report(&events)
        events.append(event)
        pending.removeAll(keepingCapacity: true)
    }

    private mutating func drop() {
        skipped += pending.count
        pending.removeAll(keepingCapacity: true)
    }

    private mutating func report(_ events: inout [Event]) {
        if skipped > 0 { events.append(.garbage(byteCount: skipped)) }
        skipped = 0
    }
}
