// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing
import VirtualMachine

@testable import QEMU

/// The repository's machine descriptions.
let machineFolder = MachineFolder(
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../../qemu/machines")
        .standardized.path)

/// A small machine for pure tests.
let plainMachine = MachineDescription(
    name: "plain", summary: "for tests", emulator: "qemu-system-x86_64", type: "q35", bootMethod: .pvh, cpus: 1,
    memoryMiB: 512, kernelArguments: ["console=ttyS0"],
    accelerators: [
        .tcg: AcceleratorSettings(options: "tcg", cpu: "max", kernelArguments: ["tsc=reliable"]),
        .kvm: AcceleratorSettings(options: "kvm", cpu: "host"),
    ])

/// A folder that is gone after the body; its name is as long and as awkward as run folders may be.
func withFolder<Result>(_ body: (String) async throws -> Result) async throws -> Result {
    let name = "hmmlab-vm, \(UUID().uuidString)-\(String(repeating: "x", count: 80))"
    let path = NSTemporaryDirectory() + name
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await body(path)
}

/// Runs a body with a tiny guest on the default machine; fails with a clear sentence where QEMU is not installed.
func withTinyGuest<Result: Sendable>(
    _ text: String, then finale: TinyGuest.Finale, hasShell: Bool = false, in folder: String,
    _ body: @escaping @Sendable (any RunningMachine) async throws -> Result
) async throws -> Result {
    try await QEMUHost().withMachine(tinyRequest(text, then: finale, hasShell: hasShell, in: folder), body)
}

/// A request for a tiny guest on the default machine, whose kernel is written into the folder.
func tinyRequest(
    _ text: String, then finale: TinyGuest.Finale, hasShell: Bool = false, in folder: String
) throws -> BootRequest {
    var machine = try machineFolder.machine()
    try #require(
        ProcessRunner.find(machine.emulator) != nil,
        "\(machine.emulator) is not installed; run scripts/hmmlab doctor, which installs what is missing")
    machine.reservedMemory = []
    let kernel = folder + "/tiny.elf"
    try Files.write(Data(TinyGuest.elf(text, then: finale)), to: kernel)
    return BootRequest(
        machine: machine, kernel: kernel, initrd: nil, cpus: 1, memoryMiB: 512, accelerator: .tcg,
        runFolder: folder + "/run", hasShell: hasShell)
}

/// The processes whose working directory is this folder or below it.
func processes(in folder: String) -> [pid_t] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return names.compactMap { pid_t($0) }.filter { pid in
        let place = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/cwd")
        return place?.hasPrefix(folder) ?? false
    }
}

/// Whether a process in a run folder is QEMU, and not the supervisor above it.
func isQEMU(_ process: pid_t) throws -> Bool { try Files.text("/proc/\(process)/comm").hasPrefix("qemu-system") }

/// All lines of a console.
func allLines(of machine: any RunningMachine) async -> [String] {
    var lines: [String] = []
    for await line in machine.console { lines.append(line.text) }
    return lines
}
