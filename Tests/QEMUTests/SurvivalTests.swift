// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing
import VirtualMachine

@testable import QEMU

/// No QEMU outlives the process that started it.
@Suite(.serialized) struct SurvivalTests {
    @Test func killedHostLeavesNoQEMU() async throws {
        try await withFolder { folder in
            // In a process of its own, which kills itself while its guest runs.
            await #expect(processExitsWith: .signal(SIGKILL)) { [folder = folder as String] in
                try await withTinyGuest("up\r\n", then: .hang, in: folder) { machine in
                    for await line in machine.console where line.text == "up" {
                        try Files.write("\(processes(in: folder).count)", to: folder + "/seen")
                        kill(getpid(), SIGKILL)
                    }
                }
            }
            // The guest did run: QEMU and its supervisor were at work in the folder.
            let seen = try Files.text(folder + "/seen")
            #expect(seen == "2")
            try await expectQuiet(folder)
        }
    }

    @Test func killedSupervisorLeavesNoQEMU() async throws {
        try await withFolder { folder in
            let ending = try await withTinyGuest("up\r\n", then: .hang, in: folder) { machine in
                for await line in machine.console where line.text == "up" { break }
                let supervisor = try processes(in: folder).filter { try !isQEMU($0) }
                try #require(supervisor.count == 1)
                kill(supervisor[0], SIGKILL)
                return await machine.ending()
            }
            guard case .failed(let error) = ending else {
                Issue.record("\(ending)")
                return
            }
            #expect(error.code == "qemu-failed")
            try await expectQuiet(folder)
        }
    }

    /// Waits for the kernel to have cleaned up; a QEMU that stays makes the test fail by time.
    private func expectQuiet(_ folder: String) async throws {
        for _ in 0..<500 where !processes(in: folder).isEmpty { try await Task.sleep(for: .milliseconds(20)) }
        #expect(processes(in: folder) == [])
    }
}
