// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing
import VirtualMachine

@testable import QEMU

/// Real QEMUs with guests of a few bytes.
@Suite(.serialized) struct TinyGuestTests {
    @Test func consoleIsReadToItsLastByteAndPowerOffIsSeen() async throws {
        try await withFolder { folder in
            let text = "one\r\ntwo\r\n" + String(repeating: "x", count: 3000) + "\r\nno end"
            let (lines, ending) = try await withTinyGuest(text, then: .powerOff, in: folder) { machine in
                (await allLines(of: machine), await machine.ending())
            }
            // Whatever the firmware writes comes before.
            #expect(lines.suffix(4) == ["one", "two", String(repeating: "x", count: 3000), "no end"])
            #expect(ending == .poweredOff)
            #expect(processes(in: folder).isEmpty)
            #expect(sockets(in: folder + "/run") == [])
        }
    }

    @Test func resetIsToldFromPowerOff() async throws {
        try await withFolder { folder in
            let ending = try await withTinyGuest("bang\r\n", then: .tripleFault, in: folder) { await $0.ending() }
            #expect(ending == .reset)
        }
    }

    @Test func machineIsStoppedWhenItsBodyIsDone() async throws {
        try await withFolder { folder in
            let line = try await withTinyGuest("here\r\n", then: .hang, hasShell: true, in: folder) { machine in
                #expect(machine.shellChannel != nil)
                for await line in machine.console where line.text == "here" { return line.text }
                return "none"
            }
            #expect(line == "here")
            #expect(processes(in: folder).isEmpty)
            #expect(sockets(in: folder + "/run") == [])
        }
    }

    @Test func stopIsReportedAsStop() async throws {
        try await withFolder { folder in
            let ending = try await withTinyGuest("here\r\n", then: .hang, in: folder) { await $0.stop() }
            #expect(ending == .stopped)
        }
    }

    @Test func qemuThatObeysNothingIsEndedByForce() async throws {
        try await withFolder { folder in
            let ending = try await withTinyGuest("here\r\n", then: .hang, in: folder) { machine in
                for await line in machine.console where line.text == "here" { break }
                for process in processes(in: folder) where try isQEMU(process) { kill(process, SIGSTOP) }
                return await machine.stop()
            }
            #expect(ending == .stopped)
            #expect(processes(in: folder).isEmpty)
            #expect(sockets(in: folder + "/run") == [])
        }
    }

    @Test func machineIsGoneWhenItsBodyThrows() async throws {
        try await withFolder { folder in
            await #expect(throws: LabError("mine", "thrown by the body")) {
                try await withTinyGuest("here\r\n", then: .hang, in: folder) { _ in
                    throw LabError("mine", "thrown by the body")
                }
            }
            #expect(processes(in: folder).isEmpty)
            #expect(sockets(in: folder + "/run") == [])
        }
    }

    @Test func machineIsGoneWhenTheTaskIsCancelled() async throws {
        try await withFolder { folder in
            let (started, start) = AsyncStream.makeStream(of: Void.self)
            let task = Task {
                try await withTinyGuest("here\r\n", then: .flood, in: folder) { machine in
                    for await _ in machine.console { start.finish() }
                    _ = await machine.protocolChannel.incoming.first { _ in true }
                    _ = await machine.ending()
                }
            }
            for await _ in started {}
            task.cancel()
            _ = await task.result
            #expect(processes(in: folder).isEmpty)
            #expect(sockets(in: folder + "/run") == [])
        }
    }

    @Test func twoMachinesRunSideBySide() async throws {
        try await withFolder { folder in
            let meeting = Meeting()
            let heard = try await withThrowingTaskGroup(of: String.self) { group in
                for name in ["left", "right"] {
                    let place = folder + "/" + name
                    group.addTask {
                        try await withTinyGuest("I am \(name)\r\n", then: .hang, in: place) { machine in
                            for await line in machine.console where line.text.hasPrefix("I am") {
                                // Both are up before either goes.
                                await meeting.arrive()
                                return line.text
                            }
                            return "\(name) said nothing"
                        }
                    }
                }
                return try await group.reduce(into: Set<String>()) { $0.insert($1) }
            }
            #expect(heard == ["I am left", "I am right"])
        }
    }

    @Test func hungGuestIsInterruptedAndStopped() async throws {
        try await withFolder { folder in
            let limits = Watchdog.Limits(boot: .seconds(60), silence: .seconds(2))
            let seen = try await withTinyGuest("where am I\r\n", then: .answerNMI, in: folder) { machine in
                try await machine.observe(with: Collector(), watchdog: Watchdog(limits, start: .now))
            }
            #expect(seen.expiry == .silence)
            #expect(seen.ending == .stopped)
            #expect(seen.observer.lines.filter { $0 == "where am I" }.count == 2)
        }
    }

    @Test func qemuThatDoesNotStartIsQuoted() async throws {
        try await withFolder { folder in
            var request = try tinyRequest("", then: .hang, in: folder)
            request.machine.devices.append("nonsense")
            let error = await #expect(throws: LabError.self) { try await QEMUHost().withMachine(request) { _ in } }
            #expect(error?.code == "qemu-failed")
            #expect(error?.cause?.contains("'nonsense' is not a valid device model name") == true)
            let log = try Files.text(folder + "/run/qemu.log")
            #expect(log.contains("nonsense"))
        }
    }

    @Test func memoryThatTheHostDoesNotHaveIsExplained() async throws {
        try await withFolder { folder in
            var request = try tinyRequest("", then: .hang, in: folder)
            request.memoryMiB = 1 << 30
            let error = await #expect(throws: LabError.self) { try await QEMUHost().withMachine(request) { _ in } }
            #expect(error?.code == "qemu-failed")
            #expect(error?.nextStep?.contains("--memory") == true, "\(String(describing: error))")
        }
    }

    @Test func missingEmulatorIsNamed() async throws {
        try await withFolder { folder in
            var request = try tinyRequest("", then: .hang, in: folder)
            request.machine.emulator = "qemu-system-nowhere"
            let error = await #expect(throws: LabError.self) { try await QEMUHost().withMachine(request) { _ in } }
            #expect(error?.code == "tool-missing")
            #expect(error?.sentence.contains("qemu-system-nowhere") == true)
        }
    }

    @Test func usedRunFolderIsRefused() async throws {
        try await withFolder { folder in
            _ = try await withTinyGuest("x", then: .powerOff, in: folder) { await $0.ending() }
            let error = await #expect(throws: LabError.self) {
                try await withTinyGuest("x", then: .powerOff, in: folder) { await $0.ending() }
            }
            #expect(error?.code == "run-folder-used")
        }
    }

    @Test func printedLineRunsInAShell() async throws {
        try await withFolder { folder in
            let request = try tinyRequest("from a shell\r\n", then: .powerOff, in: folder)
            try FileManager.default.createDirectory(atPath: request.runFolder, withIntermediateDirectories: true)
            try await ProcessRunner().check(
                Command("/bin/sh", ["-c", launchCommand(for: request).shellText]), deadline: .seconds(60))
            let log = try Files.text(request.runFolder + "/console.log")
            #expect(log.contains("from a shell"))
        }
    }

    private func sockets(in folder: String) -> [String]? {
        try? FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".sock") }
    }
}

/// Two parties that go on only when both are there.
private actor Meeting {
    private var waiter: CheckedContinuation<Void, Never>?

    func arrive() async {
        if let waiter {
            self.waiter = nil
            waiter.resume()
        } else {
            await withCheckedContinuation { waiter = $0 }
        }
    }
}
