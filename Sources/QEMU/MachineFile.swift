// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import TOMLKit
import VirtualMachine

/// Machine descriptions on disk: `NAME.toml` in one folder, one machine each.
public struct MachineFolder: Sendable {
    /// The name of the machine that is used where nobody names one.
    public static let defaultName = "q35"

    private let path: String

    /// The machines of a folder, such as `qemu/machines`.
    public init(_ path: String) { self.path = path }

    /// The names of the machines, sorted.
    ///
    /// - Throws: ``LabError`` `file-unreadable`.
    public func names() throws -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: path)
                .filter { $0.hasSuffix(".toml") }.map { String($0.dropLast(5)) }.sorted()
        } catch {
            throw Files.unreadable(path, cause: error.localizedDescription)
        }
    }

    /// Reads one machine's description.
    ///
    /// - Throws: ``LabError`` `machine-unknown`, `machine-invalid`, `file-unreadable`.
    public func machine(_ name: String = defaultName) throws -> MachineDescription {
        let known = try names()
        guard known.contains(name) else {
            throw LabError(
                "machine-unknown", exit: .usage, "There is no machine called \(name)",
                next: "Choose one of: \(known.joined(separator: ", ")).")
        }
        let file = "\(path)/\(name).toml"
        return try MachineDescription(toml: Files.text(file), name: name, file: file)
    }
}

extension MachineDescription {
    /// Reads a description from TOML; the keys are those of `qemu/machines/q35.toml`.
    ///
    /// - Throws: ``LabError`` `machine-invalid`, which names the file and the key.
    init(toml: String, name: String, file: String) throws {
        let root = try TOMLSection(parsing: toml, file: file)
        try root.allow([
            "summary", "emulator", "type", "boot", "cpus", "memory-mib", "devices", "kernel-arguments", "accelerator",
            "reserved-memory",
        ])
        let boot = try root.string("boot")
        guard let bootMethod = BootMethod(rawValue: boot) else {
            throw root.invalid("boot", "is \(boot), but has to be \(Self.words(BootMethod.self))")
        }
        try self.init(
            name: name, summary: root.string("summary"), emulator: root.string("emulator"), type: root.string("type"),
            bootMethod: bootMethod, cpus: root.positive("cpus"), memoryMiB: root.positive("memory-mib"),
            devices: root.strings("devices"), kernelArguments: root.strings("kernel-arguments"),
            accelerators: Self.accelerators(root), reservedMemory: Self.reservedMemory(root))
    }

    private static func accelerators(_ root: TOMLSection) throws -> [Accelerator: AcceleratorSettings] {
        let section = try root.section("accelerator")
        try section.allow(Accelerator.allCases.map(\.rawValue))
        var settings: [Accelerator: AcceleratorSettings] = [:]
        for accelerator in Accelerator.allCases where section.has(accelerator.rawValue) {
            let table = try section.section(accelerator.rawValue)
            try table.allow(["options", "cpu", "kernel-arguments"])
            settings[accelerator] = try AcceleratorSettings(
                options: table.string("options"), cpu: table.string("cpu"),
                kernelArguments: table.strings("kernel-arguments"))
        }
        guard !settings.isEmpty else { throw root.invalid("accelerator", "names no accelerator") }
        return settings
    }

    /// A driver maps these as struct pages, which come in units of 2 MiB (a memory subsection of the kernel).
    private static func reservedMemory(_ root: TOMLSection) throws -> [ReservedMemory] {
        let unit: UInt64 = 2 << 20
        let regions = try root.sections("reserved-memory").map { table in
            try table.allow(["start", "mib"])
            let region = try ReservedMemory(start: UInt64(table.positive("start")), mebibytes: table.positive("mib"))
            guard region.start % unit == 0 else { throw table.invalid("start", "is not a multiple of 2 MiB") }
            guard region.mebibytes % 2 == 0, region.mebibytes < 1 << 20 else {
                throw table.invalid("mib", "has to be even and less than a TiB")
            }
            return region
        }
        let sorted = regions.sorted { $0.start < $1.start }
        for (one, next) in zip(sorted, sorted.dropFirst()) where one.end > next.start {
            throw root.invalid("reserved-memory", "has regions that overlap")
        }
        return sorted
    }

    private static func words<Choice: CaseIterable & RawRepresentable<String>>(_ choice: Choice.Type) -> String {
        choice.allCases.map(\.rawValue).joined(separator: " or ")
    }
}
