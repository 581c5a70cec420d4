// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import VirtualMachine

/// Starts machines with QEMU.
public struct QEMUHost: MachineHost {
    private let runner: ProcessRunner

    /// A host that runs QEMU with a process runner.
    public init(runner: ProcessRunner = ProcessRunner()) { self.runner = runner }

    /// Starts QEMU, runs `body` beside it, and ends QEMU before it returns or throws.
    ///
    /// - Throws: ``LabError``: what ``BootRequest/check()`` throws; `run-folder-used`, `file-unwritable`; `tool-missing`;
    ///   `qemu-failed` with QEMU's own words; `qemu-unresponsive`; what `body` throws; `CancellationError`.
    public func withMachine<Result: Sendable>(
        _ request: BootRequest, _ body: @escaping @Sendable (any RunningMachine) async throws -> Result
    ) async throws -> Result {
        try request.check()
        try Self.prepare(request.runFolder)
        let process = QEMUProcess(launchCommand(for: request), runner: runner)
        defer { Self.tidy(request.runFolder, process) }
        return try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask {
                await process.run()
                return nil
            }
            group.addTask {
                let machine = try await QEMUMachine(request, process)
                return try await withTaskCancellationHandler {
                    try await machine.use(body)
                } onCancel: {
                    machine.hangUp()
                }
            }
            defer { group.cancelAll() }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw CancellationError()
        }
    }

    /// Makes the run folder; one that has seen a boot is refused, since its console would be overwritten.
    private static func prepare(_ folder: String) throws {
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw LabError(
                "file-unwritable", "The run folder \(folder) cannot be made", cause: error.localizedDescription)
        }
        guard !Files.exists("\(folder)/\(RunFile.console)") else {
            throw LabError(
                "run-folder-used", "The run folder \(folder) already holds the console of another boot",
                next: "Give every boot a folder of its own.")
        }
    }

    /// Removes the sockets, which a killed QEMU leaves, and keeps what QEMU said.
    private static func tidy(_ folder: String, _ process: QEMUProcess) {
        for name in [RunFile.protocolSocket, RunFile.monitorSocket, RunFile.shellSocket] {
            unlink("\(folder)/\(name)")
        }
        let words = process.words
        if !words.isEmpty { try? Files.write(words, to: "\(folder)/\(RunFile.emulator)") }
    }
}
