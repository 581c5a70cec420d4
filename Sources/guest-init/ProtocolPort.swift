import Glibc
// SPDX-License-Identifier: Apache-2.0
import GuestProtocol

/// The virtio-serial port to the host.
///
/// Writing never blocks: what the host does not take waits here, and the agent reads no more output from a run while
/// ``isCongested``, so that a slow host slows the run down instead of filling the guest's memory.
final class ProtocolPort {
    /// What the host's side of the port did.
    enum Event {
        case message(HostMessage)
        case hungUp
        case problem(String)
    }

    let descriptor: Int32
    /// Whether the host has said anything yet.
    private(set) var hasHeardHost = false
    private var outgoing: [UInt8] = []
    private var decoder = MessageDecoder<HostMessage>()
    private static let congestion = 256 << 10

    private init(descriptor: Int32) { self.descriptor = descriptor }

    /// Opens the port.
    static func open(waitMilliseconds: Int) throws(SystemError) -> ProtocolPort {
        ProtocolPort(descriptor: try VirtioPort.open(Vocabulary.portName, waitMilliseconds: waitMilliseconds))
    }

    /// Whether everything sent has been taken by the port.
    var isIdle: Bool { outgoing.isEmpty }

    /// Whether so much waits that no more should be produced.
    var isCongested: Bool { outgoing.count >= Self.congestion }

    /// Sends a message, now or as soon as the port takes it.
    func send(_ message: GuestMessage) {
        do throws(FrameTooLong) {
            outgoing += try message.encoded()
        } catch {
            System.log("\(error)")
        }
        flush()
    }

    /// Hands on what waits, as far as the port takes it.
    func flush() {
        var done = 0
        while done < outgoing.count {
            // The driver copies at most 32 KiB at a time.
            let count = outgoing[done...].prefix(32 << 10).withUnsafeBytes {
                write(descriptor, $0.baseAddress, $0.count)
            }
            if count <= 0 {
                if count < 0 && errno == EINTR { continue }
                break
            }
            done += count
        }
        if done > 0 { outgoing.removeFirst(done) }
    }

    /// Reads what the host has said.
    func receive() -> [Event] {
        var events: [Event] = []
        var piece = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            let count = read(descriptor, &piece, piece.count)
            if count < 0 && errno == EINTR { continue }
            // Zero is what a port without a host reads as; a read error is a port that is gone.
            if count == 0 || (count < 0 && errno != EAGAIN) { events.append(.hungUp) }
            if count <= 0 { return events }
            for event in decoder.feed(piece[..<count]) { events.append(understand(event)) }
        }
    }

    private func understand(_ event: MessageDecoder<HostMessage>.Event) -> Event {
        switch event {
        case .message(let message):
            hasHeardHost = true
            return .message(message)
        case .invalid(let error): return .problem("\(error)")
        case .otherVersion(let version):
            return .problem("The host speaks version \(version) of the protocol, the guest \(Frame.version)")
        case .garbage(let count): return .problem("\(count) bytes from the host were not a message")
        }
    }
}
