// SPDX-License-Identifier: Apache-2.0
import HarnessCore
import VirtualMachine

@testable import QEMU

/// A machine that is a script: it says what it is told to say and remembers what was done to it.
final class FakeMachine: RunningMachine {
    let console: AsyncStream<ConsoleLine>
    let protocolChannel: ByteChannel
    let shellChannel: ByteChannel? = nil

    private let consoleSource: AsyncStream<ConsoleLine>.Continuation
    private let protocolSource: AsyncStream<ByteChunk>.Continuation
    private let end = Promise<MachineEnding>()
    private let log = LockedValue([String]())
    private let onDeed: @Sendable (FakeMachine, String) -> Void

    /// A machine that calls `onDeed` with each thing that is done to it: `send TEXT`, `interrupt`, `stop`.
    init(onDeed: @escaping @Sendable (FakeMachine, String) -> Void = { _, _ in }) {
        (console, consoleSource) = AsyncStream.makeStream()
        let (incoming, protocolSource) = AsyncStream.makeStream(of: ByteChunk.self)
        self.protocolSource = protocolSource
        self.onDeed = onDeed
        let deeds = log
        let relay = LockedValue(FakeMachine?.none)
        protocolChannel = ByteChannel(incoming: incoming) { bytes in
            let deed = "send " + String(decoding: bytes, as: UTF8.self)
            deeds.withLock { $0.append(deed) }
            if let machine = relay.withLock({ $0 }) { machine.onDeed(machine, deed) }
        }
        relay.withLock { $0 = self }
    }

    var deeds: [String] { log.withLock { $0 } }

    func say(_ line: String) { consoleSource.yield(ConsoleLine(line)) }
    func tell(_ text: String) { protocolSource.yield(ByteChunk(Array(text.utf8))) }
    func end(_ ending: MachineEnding) {
        end.fulfil(ending)
        consoleSource.finish()
        protocolSource.finish()
    }

    func interrupt() async { note("interrupt") }
    func stop() async -> MachineEnding {
        note("stop")
        end(.stopped)
        return await ending()
    }
    func ending() async -> MachineEnding { await end.value() }

    private func note(_ deed: String) {
        log.withLock { $0.append(deed) }
        onDeed(self, deed)
    }
}

/// A host of fake machines, which remembers the requests.
struct FakeHost: MachineHost {
    /// Brings a machine to life; throwing stands for a QEMU that does not start.
    var start: @Sendable (BootRequest, FakeMachine) async throws -> Void
    var requests = LockedValue([BootRequest]())

    func withMachine<Result: Sendable>(
        _ request: BootRequest, _ body: @escaping @Sendable (any RunningMachine) async throws -> Result
    ) async throws -> Result {
        requests.withLock { $0.append(request) }
        let machine = FakeMachine()
        try await start(request, machine)
        return try await body(machine)
    }
}
