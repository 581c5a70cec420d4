// SPDX-License-Identifier: Apache-2.0
import HarnessCore
import ProcessRunner
import VirtualMachine

/// A guest in a QEMU of its own.
final class QEMUMachine: RunningMachine {
    /// How long QEMU may take to open its sockets, and again to make its devices; it does both before it runs the guest.
    private static let startPatience = Duration.seconds(20)
    /// How long QEMU may take to obey `quit` before it is ended by force.
    private static let quitPatience = Duration.milliseconds(500)

    let console: AsyncStream<ConsoleLine>
    let protocolChannel: ByteChannel
    let shellChannel: ByteChannel?

    private let process: QEMUProcess
    private let monitor: QMPClient
    private let connections: [UnixConnection]
    private let wasStopped = LockedValue(false)

    /// Connects to a QEMU that is being started.
    ///
    /// - Throws: ``LabError`` `qemu-failed`, `qemu-unresponsive`, and what the process could not be started for.
    init(_ request: BootRequest, _ process: QEMUProcess) async throws {
        self.process = process
        let folder = try OpenFolder(request.runFolder)
        let channel = try await Self.connect(folder, RunFile.protocolSocket, process)
        let shell = request.hasShell ? try await Self.connect(folder, RunFile.shellSocket, process) : nil
        let qmp = try await Self.connect(folder, RunFile.monitorSocket, process)
        connections = [channel, qmp] + (shell.map { [$0] } ?? [])
        monitor = QMPClient(qmp)
        let follower = ConsoleFollower("\(request.runFolder)/\(RunFile.console)", hasEnded: { process.hasEnded })
        console = follower.lines
        // PID 1 marks the console before it sends a message: whoever waits for both need not wait for the next look.
        protocolChannel = ByteChannel(incoming: channel.incoming(onArrival: follower.look), send: channel.send)
        shellChannel = shell.map { ByteChannel(incoming: $0.incoming, send: $0.send) }
    }

    /// Runs a body while the monitor is listened to, and stops the machine when the body is done.
    ///
    /// - Throws: ``LabError`` `qemu-failed` if QEMU ends before it runs the guest, `qemu-unresponsive`; what the body
    ///   throws.
    func use<Result: Sendable>(
        _ body: @escaping @Sendable (any RunningMachine) async throws -> Result
    ) async throws -> Result {
        defer { hangUp() }
        return try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask {
                await self.monitor.pump()
                return nil
            }
            group.addTask {
                try await self.waitUntilReady()
                let result = try await body(self)
                await self.stop()
                return result
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }

    /// Closes all channels, which ends every call that waits for one of them.
    func hangUp() {
        for connection in connections { connection.hangUp() }
    }

    func interrupt() async { monitor.post("inject-nmi") }

    @discardableResult
    func stop() async -> MachineEnding {
        if !process.hasEnded {
            wasStopped.withLock { $0 = true }
            monitor.post("quit")
            if !(await poll(for: Self.quitPatience, until: { process.hasEnded })) { process.kill() }
        }
        return await ending()
    }

    func ending() async -> MachineEnding {
        await process.waitForEnd()
        // The last event may still be on its way to us, although its sender is gone.
        switch await monitor.shutdownReasonAtEnd() {
        case "guest-shutdown"?: return .poweredOff
        case "guest-reset"?, "guest-panic"?: return .reset
        case "host-qmp-quit"?: return .stopped
        default: return wasStopped.withLock { $0 } ? .stopped : .failed(process.failure)
        }
    }

    private func waitUntilReady() async throws {
        _ = await poll(for: Self.startPatience) { monitor.isReady || process.hasEnded }
        guard !monitor.isReady else { return }
        try Task.checkCancellation()
        throw process.hasEnded ? process.failure : Self.unresponsive("QEMU did not answer", process)
    }

    private static func connect(
        _ folder: OpenFolder, _ name: String, _ process: QEMUProcess
    ) async throws -> UnixConnection {
        var connection: UnixConnection?
        _ = try await poll(for: startPatience) {
            // Asked before the attempt: QEMU may leave behind a socket to which nobody listens.
            let isLast = process.hasEnded
            connection = try folder.connect(name)
            return connection != nil || isLast
        }
        if let connection { return connection }
        try Task.checkCancellation()
        throw process.hasEnded ? process.failure : unresponsive("QEMU did not open its socket \(name)", process)
    }

    private static func unresponsive(_ sentence: String, _ process: QEMUProcess) -> LabError {
        LabError("qemu-unresponsive", "\(sentence) within \(startPatience)", cause: process.words)
    }
}

/// Asks every 5 ms whether something is so, for a limited time, and returns the last answer; a cancelled task does not
/// wait.
private func poll(for patience: Duration, until isSo: () throws -> Bool) async rethrows -> Bool {
    let deadline = MachineClock.Instant.now + patience
    while MachineClock.Instant.now < deadline {
        if try isSo() { return true }
        guard (try? await Task.sleep(for: .milliseconds(5), clock: .suspending)) != nil else { break }
    }
    return try isSo()
}
