// SPDX-License-Identifier: Apache-2.0
import HarnessCore
import Testing
import VirtualMachine

@testable import QEMU

/// Machine descriptions in TOML.
@Suite struct MachineFileTests {
    private static let good = """
        summary = "a machine"
        emulator = "qemu-system-x86_64"
        type = "q35"
        boot = "bzimage"
        cpus = 3
        memory-mib = 1024
        devices = ["edu"]
        kernel-arguments = ["console=ttyS0"]
        [accelerator.tcg]
        options = "tcg"
        cpu = "max"
        kernel-arguments = ["tsc=reliable"]
        [[reserved-memory]]
        start = 0x40000000
        mib = 4
        [[reserved-memory]]
        start = 0x20000000
        mib = 2
        """

    private func load(_ change: (String, String)...) throws -> MachineDescription {
        var text = Self.good
        for (old, new) in change {
            try #require(text.contains(old))
            text.replace(old, with: new)
        }
        return try MachineDescription(toml: text, name: "test", file: "machines/test.toml")
    }

    @Test func allKeysAreRead() throws {
        let machine = try load()
        #expect(
            machine
                == MachineDescription(
                    name: "test", summary: "a machine", emulator: "qemu-system-x86_64", type: "q35",
                    bootMethod: .bzImage, cpus: 3, memoryMiB: 1024, devices: ["edu"],
                    kernelArguments: ["console=ttyS0"],
                    accelerators: [
                        .tcg: AcceleratorSettings(options: "tcg", cpu: "max", kernelArguments: ["tsc=reliable"])
                    ],
                    reservedMemory: [
                        ReservedMemory(start: 0x2000_0000, mebibytes: 2),
                        ReservedMemory(start: 0x4000_0000, mebibytes: 4),
                    ]))
    }

    @Test(arguments: [
        ("cpus = 3", "cpu = 3", "the key cpu is not known"),
        ("cpus = 3", "", "the key cpus is missing"),
        ("cpus = 3", "cpus = \"3\"", "the key cpus has to be a whole number above zero"),
        ("cpus = 3", "cpus = 0", "the key cpus has to be a whole number above zero"),
        ("summary = \"a machine\"", "summary = 7", "the key summary has to be text in quotes"),
        ("devices = [\"edu\"]", "devices = \"edu\"", "the key devices has to be a list of texts"),
        ("devices = [\"edu\"]", "devices = [1]", "the key devices has to be a list of texts"),
        ("boot = \"bzimage\"", "boot = \"efi\"", "the key boot is efi, but has to be pvh or bzimage"),
        ("[accelerator.tcg]", "[accelerator.xen]", "the key accelerator.xen is not known"),
        ("cpu = \"max\"", "", "the key accelerator.tcg.cpu is missing"),
        ("cpu = \"max\"", "cpu = \"max\"\nsmp = 2", "the key accelerator.tcg.smp is not known"),
        ("mib = 4", "mib = 3", "the key reserved-memory[0].mib has to be even"),
        ("mib = 2", "size = 2", "the key reserved-memory[1].size is not known"),
        ("0x40000000", "0x40000001", "the key reserved-memory[0].start is not a multiple of 2 MiB"),
        ("0x40000000", "0x20000000", "the key reserved-memory has regions that overlap"),
    ])
    func mistakesNameFileAndKey(old: String, new: String, sentence: String) throws {
        let error = #expect(throws: LabError.self) { try load((old, new)) }
        #expect(error?.code == "machine-invalid")
        #expect(error?.exitCode == .usage)
        #expect(error?.sentence.hasPrefix("machines/test.toml: " + sentence) == true, "\(error?.sentence ?? "")")
    }

    @Test func textThatIsNoTOMLNamesTheLine() throws {
        let error = #expect(throws: LabError.self) { try load(("cpus = 3", "cpus = = 3")) }
        #expect(error?.code == "machine-invalid")
        #expect(error?.cause?.hasPrefix("Line 5: ") == true, "\(error?.cause ?? "")")
    }

    @Test func everyMachineOfTheRepositoryIsValid() throws {
        let names = try machineFolder.names()
        #expect(names.contains(MachineFolder.defaultName))
        for name in names {
            let machine = try machineFolder.machine(name)
            #expect(machine.name == name)
            // The default memory holds what the machine reserves.
            for accelerator in machine.accelerators.keys {
                try BootRequest(
                    machine: machine, kernel: "/proc/self/exe", initrd: nil, accelerator: accelerator, runFolder: "/run"
                ).check()
            }
        }
    }

    @Test func unknownMachineListsTheKnown() throws {
        let error = #expect(throws: LabError.self) { try machineFolder.machine("vax") }
        #expect(error?.code == "machine-unknown")
        #expect(error?.nextStep?.contains("q35") == true)
    }

    @Test func missingFolderIsNamed() throws {
        let error = #expect(throws: LabError.self) { try MachineFolder("/nowhere").machine() }
        #expect(error?.code == "file-unreadable")
    }
}
