// SPDX-License-Identifier: Apache-2.0
import HarnessCore

/// The clock of everything that happens to a machine; it stands still while the host is suspended, as the guest does.
public typealias MachineClock = SuspendingClock

/// One line of a guest's console.
public struct ConsoleLine: Sendable, Equatable {
    /// The line without its end.
    public var text: String
    /// When the host saw it.
    public var arrival: MachineClock.Instant

    /// Makes a line.
    public init(_ text: String, arrival: MachineClock.Instant = .now) {
        self.text = text
        self.arrival = arrival
    }
}

/// Some bytes from a guest; where one piece ends and the next begins means nothing.
public struct ByteChunk: Sendable, Equatable {
    /// The bytes, at least one.
    public var bytes: [UInt8]
    /// When the host saw them.
    public var arrival: MachineClock.Instant

    /// Makes a piece.
    public init(_ bytes: [UInt8], arrival: MachineClock.Instant = .now) {
        self.bytes = bytes
        self.arrival = arrival
    }
}

/// A two-way stream of bytes between the host and a guest.
public struct ByteChannel: Sendable {
    /// What the guest sends; ends with the machine.
    ///
    /// For one reader. A reader that stops reading makes the guest wait.
    public var incoming: AsyncStream<ByteChunk>
    private let sendBytes: @Sendable ([UInt8]) async throws -> Void

    /// Makes a channel from its two directions.
    public init(incoming: AsyncStream<ByteChunk>, send: @escaping @Sendable ([UInt8]) async throws -> Void) {
        self.incoming = incoming
        sendBytes = send
    }

    /// Sends bytes and returns when the emulator has taken them.
    ///
    /// - Throws: ``LabError`` `machine-channel` if the machine has ended.
    public func send(_ bytes: [UInt8]) async throws { try await sendBytes(bytes) }
}

/// How a machine came to its end.
public enum MachineEnding: Sendable, Equatable, Codable {
    /// The guest switched the machine off.
    case poweredOff
    /// The guest asked for a restart, or the CPU reset itself: what a panic with `panic=-1` and a triple fault do.
    case reset
    /// The host stopped it.
    case stopped
    /// The emulator failed.
    case failed(LabError)
}

/// A guest that was started and may have ended.
public protocol RunningMachine: Sendable {
    /// The console's lines, ending after the last one that the guest wrote; for one reader.
    var console: AsyncStream<ConsoleLine> { get }

    /// The channel of the protocol between the host and the guest's PID 1.
    var protocolChannel: ByteChannel { get }

    /// The second console, if the request asked for one.
    var shellChannel: ByteChannel? { get }

    /// Sends a non-maskable interrupt, which makes a hung kernel print where it hangs; does nothing after the end.
    func interrupt() async

    /// Ends the machine at once, if it has not ended already, and returns when it is gone.
    @discardableResult
    func stop() async -> MachineEnding

    /// Waits for the end.
    func ending() async -> MachineEnding
}

/// Starts machines.
public protocol MachineHost: Sendable {
    /// Starts a machine, runs `body` beside it, and ends the machine before it returns or throws.
    ///
    /// Nothing of the machine but the files in the run folder is left afterwards, also if the task is cancelled.
    ///
    /// - Throws: ``LabError`` if the machine cannot be started; what `body` throws; `CancellationError`.
    func withMachine<Result: Sendable>(
        _ request: BootRequest, _ body: @escaping @Sendable (any RunningMachine) async throws -> Result
    ) async throws -> Result
}
