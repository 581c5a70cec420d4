// SPDX-License-Identifier: Apache-2.0
import HarnessCore
import ProcessRunner
import Testing
import VirtualMachine

@testable import QEMU

/// The QEMU line, word by word.
@Suite struct ArgumentsTests {
    private func request(
        _ machine: MachineDescription = plainMachine, accelerator: Accelerator = .tcg, append: [String] = [],
        hasShell: Bool = false
    ) -> BootRequest {
        BootRequest(
            machine: machine, kernel: "/cache/my kernel/vmlinux", initrd: "/cache/image.cpio", append: append,
            accelerator: accelerator, runFolder: "/runs/7, the best", hasShell: hasShell)
    }

    @Test func plainLine() {
        #expect(
            argv(for: request()) == [
                "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "512M",
                "-kernel", "/cache/my kernel/vmlinux", "-initrd", "/cache/image.cpio",
                "-append", "console=ttyS0 tsc=reliable",
                "-chardev", "file,id=console,path=console.log", "-serial", "chardev:console",
                "-chardev", "socket,id=qmp,path=qmp.sock,server=on,wait=off", "-mon", "chardev=qmp,mode=control",
                "-device", "virtio-serial-pci,id=serial",
                "-chardev", "socket,id=protocol,path=protocol.sock,server=on,wait=off",
                "-device", "virtserialport,bus=serial.0,nr=1,chardev=protocol,name=hmmlab.protocol",
            ])
    }

    @Test func nodesGetEqualParts() {
        var request = request()
        (request.cpus, request.memoryMiB, request.nodes) = (2, 4097, 2)
        let line = argv(for: request).joined(separator: " ")
        #expect(
            line.contains(
                " -m 4097M -object memory-backend-ram,id=ram0,size=2048M -numa node,nodeid=0,memdev=ram0,cpus=0-0"
                    + " -object memory-backend-ram,id=ram1,size=2049M -numa node,nodeid=1,memdev=ram1,cpus=1-1 -kernel "
            ))
        (request.cpus, request.nodes) = (1, 3)
        let numa = argv(for: request).filter { $0.hasPrefix("node,") }
        #expect(
            numa == ["node,nodeid=0,memdev=ram0", "node,nodeid=1,memdev=ram1", "node,nodeid=2,memdev=ram2,cpus=0-0"])
    }

    @Test func everythingThatCanBeAdded() {
        var machine = plainMachine
        machine.devices = ["ivshmem-plain,memdev=m"]
        machine.reservedMemory = [ReservedMemory(start: 0x3000_0000, mebibytes: 512)]
        var request = request(
            machine, accelerator: .kvm, append: ["loglevel=8", "a b"], hasShell: true)
        request.initrd = nil
        request.cpus = 4
        request.memoryMiB = 3000
        #expect(
            argv(for: request) == [
                "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                "-machine", "q35", "-accel", "kvm", "-cpu", "host", "-smp", "4", "-m", "3000M",
                "-kernel", "/cache/my kernel/vmlinux",
                "-append", "console=ttyS0 memmap=512M$0x30000000 loglevel=8 a b",
                "-chardev", "file,id=console,path=console.log", "-serial", "chardev:console",
                "-chardev", "socket,id=qmp,path=qmp.sock,server=on,wait=off", "-mon", "chardev=qmp,mode=control",
                "-device", "virtio-serial-pci,id=serial",
                "-chardev", "socket,id=protocol,path=protocol.sock,server=on,wait=off",
                "-device", "virtserialport,bus=serial.0,nr=1,chardev=protocol,name=hmmlab.protocol",
                "-chardev", "socket,id=shell,path=shell.sock,server=on,wait=off",
                "-device", "virtserialport,bus=serial.0,nr=2,chardev=shell,name=hmmlab.terminal",
                "-device", "ivshmem-plain,memdev=m",
            ])
    }

    @Test func defaultMachineUnderTCG() throws {
        let machine = try machineFolder.machine()
        let request = BootRequest(
            machine: machine, kernel: "/k/vmlinux", initrd: "/k/initrd", accelerator: .tcg, runFolder: "/run")
        let words = argv(for: request)
        #expect(
            words.prefix(15).dropFirst(5) == [
                "-machine", "q35,sata=off,smbus=off,i8042=off,dump-guest-core=off", "-accel", "tcg,thread=multi",
                "-cpu", "max,vendor=GenuineIntel,family=6,model=94,stepping=3", "-smp", "2", "-m", "4096M",
            ])
        #expect(
            request.kernelCommandLine
                == "console=ttyS0,115200 earlycon=uart8250,io,0x3f8 loglevel=7 printk.devkmsg=on panic=-1 oops=panic"
                + " unknown_nmi_panic kasan_multi_shot nokaslr mitigations=off transparent_hugepage=madvise"
                + " hugepages=64 no_timer_check tsc=reliable maxcpus=1 memmap=1024M$0x30000000")
        #expect(
            machine.coherentModuleParameters == ["spm_addr_dev0=0x30000000", "spm_addr_dev1=0x50000000"])
    }

    @Test func noNetworkDeviceIsEverAdded() throws {
        for name in try machineFolder.names() {
            let words = try argv(for: request(machineFolder.machine(name)))
            #expect(words.contains("-nodefaults"))
            #expect(Set(words).isDisjoint(with: ["-net", "-netdev", "-nic"]))
            let devices = zip(words, words.dropFirst()).filter { $0.0 == "-device" }.map(\.1)
            #expect(devices.allSatisfy { !$0.contains("net") && !$0.hasPrefix("e1000") })
        }
    }

    @Test func shellLineIsQuoted() {
        let text = launchCommand(for: request(append: ["x=$y"])).shellText
        #expect(text.hasPrefix("cd '/runs/7, the best' && qemu-system-x86_64 -nodefaults "))
        #expect(text.contains("-kernel '/cache/my kernel/vmlinux' "))
        #expect(text.contains("-append 'console=ttyS0 tsc=reliable x=$y' "))
    }

    @Test func reservedRegionsThatTouchBecomeOneWord() {
        var machine = plainMachine
        machine.reservedMemory = [
            ReservedMemory(start: 0x2000_0000, mebibytes: 256), ReservedMemory(start: 0x4000_0000, mebibytes: 2),
            ReservedMemory(start: 0x4020_0000, mebibytes: 4),
        ]
        #expect(machine.reservingArguments == ["memmap=256M$0x20000000", "memmap=6M$0x40000000"])
        #expect(
            machine.coherentModuleParameters
                == ["spm_addr_dev0=0x20000000", "spm_addr_dev1=0x40000000", "spm_addr_dev2=0x40200000"])
    }
}

/// What a request is refused for.
@Suite struct BootRequestTests {
    private let good = BootRequest(
        machine: plainMachine, kernel: "/proc/self/exe", initrd: "/proc/self/exe", accelerator: .tcg, runFolder: "/run")

    private func error(_ change: (inout BootRequest) -> Void) -> LabError? {
        var request = good
        change(&request)
        do {
            try request.check()
            return nil
        } catch {
            return error as? LabError
        }
    }

    @Test func goodRequestPasses() { #expect(error { _ in } == nil) }

    @Test func missingFiles() {
        #expect(error { $0.kernel = "/nowhere/vmlinux" }?.code == "kernel-missing")
        #expect(error { $0.initrd = "/nowhere/initrd" }?.code == "initrd-missing")
    }

    @Test func acceleratorWithoutSettings() {
        let error = error { $0.machine.accelerators[.tcg] = nil }
        #expect(error?.code == "accelerator-unsupported")
        #expect(error?.exitCode == .usage)
    }

    @Test func noCPU() { #expect(error { $0.cpus = 0 }?.code == "cpus-invalid") }

    @Test func nodesThatCannotBe() {
        #expect(error { ($0.memoryMiB, $0.nodes) = (2048, 2) } == nil)
        #expect(error { ($0.memoryMiB, $0.nodes) = (2047, 2) }?.code == "nodes-invalid")
        #expect(error { $0.nodes = 0 }?.code == "nodes-invalid")
    }

    @Test func memoryBehindReservedRegions() {
        func demand(_ mebibytes: Int) -> LabError? {
            self.error {
                $0.machine.reservedMemory = [ReservedMemory(start: 0x3000_0000, mebibytes: 1024)]
                $0.memoryMiB = mebibytes
            }
        }
        #expect(demand(1792) == nil)
        let error = demand(1791)
        #expect(error?.code == "memory-too-small")
        #expect(error?.nextStep == "Ask for at least --memory 1792.")
        #expect(self.error { $0.memoryMiB = 511 }?.cause == nil)
    }

    @Test func persistentMemory() {
        func refusal(_ word: String, _ mebibytes: Int) -> LabError? {
            error {
                $0.machine.reservedMemory = [ReservedMemory(start: 0x3000_0000, mebibytes: 1024)]
                ($0.append, $0.memoryMiB) = (["quiet", word], mebibytes)
            }
        }
        // Just below what is set aside, in any guest that is large enough for the kernel besides.
        for mebibytes in [1920, 2048, 2815, 2816, 4096, 16384] {
            #expect(refusal("memmap=384M!384M", mebibytes) == nil)
        }
        let small = refusal("memmap=384M!384M", 1919)
        #expect(small?.code == "memory-too-small")
        #expect(small?.cause?.hasSuffix("384 MiB are persistent memory.") == true)
        #expect(small?.nextStep == "Ask for at least --memory 1920.")

        let taken = refusal("memmap=256M!1G", 4096)
        #expect(taken?.code == "persistent-memory-misplaced")
        #expect(taken?.exitCode == .usage)
        #expect(taken?.sentence.contains("memmap=256M!1G") == true)
        #expect(taken?.cause?.contains("other devices") == true)

        // A guest of 4 GiB has two of them above 4 GiB, and nothing from 2 GiB on.
        #expect(refusal("memmap=1G!5G", 4096) == nil)
        #expect(refusal("memmap=1G!0x100000000", 4096) == nil)
        #expect(refusal("memmap=256M!2G", 4096)?.code == "persistent-memory-misplaced")
        #expect(
            refusal("memmap=1G!5632M", 4096)?.cause?.hasSuffix("up to address 2048 MiB, and from 4096 to 6144 MiB.")
                == true)
        #expect(refusal("memmap=256M!5G", 2560)?.cause == "With 2560 MiB the guest has memory up to address 2560 MiB.")
        // These say something else to the kernel, or nothing.
        for word in ["memmap=256M$1G", "memmap=256M!x", "memmap=!1G", "memmap=1M!1G!1G", "memmap=0!1G", "256M!1G"] {
            #expect(refusal(word, 4096) == nil)
        }
    }

    @Test(
        arguments: [
            ("memmap=384M!384M", 0x1800_0000...0x2fff_ffff), ("memmap=0x1000!1g", 0x4000_0000...0x4000_0fff),
            ("memmap=4k!0X10", 0x10...0x100f),
        ])
    func wordOfPersistentMemory(word: String, bytes: ClosedRange<UInt64>) {
        #expect(PersistentMemory(word: word)?.bytes == bytes.lowerBound..<bytes.upperBound + 1)
        #expect(PersistentMemory(word: word)?.word == word)
    }

    @Test func commandLineThatTheKernelWouldCut() {
        let own = good.kernelCommandLine.utf8.count + 1
        #expect(error { $0.append = [String(repeating: "x", count: 2047 - own)] } == nil)
        #expect(error { $0.append = [String(repeating: "x", count: 2048 - own)] }?.code == "command-line-too-long")
    }
}
