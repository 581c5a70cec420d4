// SPDX-License-Identifier: Apache-2.0
import GuestProtocol
import HarnessCore
import VirtualMachine

/// How a guest behaves in one boot.
struct GuestScript: Sendable {
    /// Whether PID 1 greets; if not, the machine ends by itself.
    var boots = true
    /// What the console shows before the greeting.
    var atBoot: [String] = []
    /// What the console shows when the driver is loaded; then nothing more comes from the guest.
    var atLoad: [String] = []
    /// What the console shows while a test runs; then nothing more comes from the guest.
    var during: [String: [String]] = [:]
    /// Exit statuses other than 0.
    var statuses: [String: Int32] = [:]
    /// A test that never ends.
    var endless: String?
    /// Why the host cannot start the machine at all.
    var failure: LabError?
}

/// A machine whose guest follows a script.
final class FakeGuest: RunningMachine {
    private struct State {
        var decoder = MessageDecoder<HostMessage>()
        var isDead = false
        var ending: MachineEnding?
        var waiters: [CheckedContinuation<MachineEnding, Never>] = []
    }

    let console: AsyncStream<ConsoleLine>
    let protocolChannel: ByteChannel
    let shellChannel: ByteChannel? = nil
    private let lines: AsyncStream<ConsoleLine>.Continuation
    private let chunks: AsyncStream<ByteChunk>.Continuation
    private let state = LockedValue(State())
    private let script: GuestScript
    private let onRun: @Sendable (String) -> Void

    /// A guest that has greeted or ended already; `onRun` is told the tests that it is asked for.
    init(_ script: GuestScript, onRun: @escaping @Sendable (String) -> Void) throws {
        self.script = script
        self.onRun = onRun
        (console, lines) = AsyncStream.makeStream()
        let (incoming, chunks) = AsyncStream.makeStream(of: ByteChunk.self)
        self.chunks = chunks
        let guest = LockedValue(FakeGuest?.none)
        protocolChannel = ByteChannel(incoming: incoming) { bytes in try guest.withLock { $0 }?.take(bytes) }
        guest.withLock { $0 = self }
        print(script.atBoot)
        if script.boots {
            try say(.hello(version: 1, kernelRelease: "6.12.117", uptimeMilliseconds: 900))
        } else {
            end(.poweredOff)
        }
    }

    private func take(_ bytes: [UInt8]) throws {
        for event in state.withLock({ $0.decoder.feed(bytes) }) {
            guard case .message(let message) = event, !state.withLock({ $0.isDead }) else { continue }
            try obey(message)
        }
    }

    private func obey(_ message: HostMessage) throws {
        switch message {
        case .loadModules(let modules):
            if die(with: script.atLoad) { return }
            for module in modules { try say(.module(module.name, .load, error: nil)) }
        case .unloadModule(let name): try say(.module(name, .unload, error: nil))
        case .run(let request):
            onRun(request.id)
            print(["[   10.000000] hmmlab: begin \(request.id)"])
            if request.id == script.endless || die(with: script.during[request.id] ?? []) { return }
            try say(.ended(id: request.id, .exited(script.statuses[request.id] ?? 0), milliseconds: 3))
            print(["[   11.000000] hmmlab: end \(request.id)"])
        case .powerOff:
            try say(.bye)
            end(.poweredOff)
        default: break
        }
    }

    /// Shows the guest's last words, if there are any.
    private func die(with words: [String]) -> Bool {
        print(words)
        if !words.isEmpty { state.withLock { $0.isDead = true } }
        return !words.isEmpty
    }

    private func print(_ text: [String]) { for line in text { lines.yield(ConsoleLine(line)) } }

    private func say(_ message: GuestMessage) throws { chunks.yield(ByteChunk(try message.encoded())) }

    private func end(_ ending: MachineEnding) {
        lines.finish()
        chunks.finish()
        let (final, waiters) = state.withLock { state in
            let final = state.ending ?? ending
            state.ending = final
            defer { state.waiters = [] }
            return (final, state.waiters)
        }
        for waiter in waiters { waiter.resume(returning: final) }
    }

    func interrupt() async {}

    func stop() async -> MachineEnding {
        end(.stopped)
        return await ending()
    }

    func ending() async -> MachineEnding {
        await withCheckedContinuation { waiter in
            let ending = state.withLock { state in
                if state.ending == nil { state.waiters.append(waiter) }
                return state.ending
            }
            if let ending { waiter.resume(returning: ending) }
        }
    }
}

/// A host whose guests follow scripts, one for each boot; it remembers what they were asked to run.
struct FakeHost: MachineHost {
    let script: @Sendable (_ boot: Int) -> GuestScript
    private let asked = LockedValue([[String]]())

    init(_ script: @escaping @Sendable (_ boot: Int) -> GuestScript) { self.script = script }

    /// The tests that each boot was asked for.
    var boots: [[String]] { asked.withLock { $0 } }

    func withMachine<Result: Sendable>(
        _ request: BootRequest, _ body: @escaping @Sendable (any RunningMachine) async throws -> Result
    ) async throws -> Result {
        let asked = asked
        let boot = asked.withLock { asked in
            asked.append([])
            return asked.count - 1
        }
        let script = script(boot)
        if let failure = script.failure { throw failure }
        return try await body(FakeGuest(script) { id in asked.withLock { $0[boot].append(id) } })
    }
}
