// SPDX-License-Identifier: Apache-2.0

/// How guest instructions are run.
public enum Accelerator: String, Sendable, Codable, CodingKeyRepresentable, CaseIterable {
    /// The host's virtualisation hardware, through /dev/kvm.
    case kvm
    /// Translation in software; works everywhere.
    case tcg
}

/// What a person asks for where an ``Accelerator`` is needed.
public enum AcceleratorChoice: String, Sendable, Codable, CaseIterable {
    /// KVM if a probe boot proves that it works here, else TCG.
    case auto
    /// KVM or an error.
    case kvm
    /// TCG.
    case tcg
}

/// Which product of a kernel build a machine starts.
public enum BootMethod: String, Sendable, Codable, CaseIterable {
    /// `vmlinux` through its PVH entry (Documentation/arch/x86/boot.rst names it; needs `CONFIG_PVH=y`).
    ///
    /// Nothing is unpacked, which saves about a second under TCG, and the kernel is not moved, so that addresses are
    /// those of System.map.
    case pvh
    /// `bzImage`, which every configuration can build.
    case bzImage = "bzimage"
}

/// Guest memory that the kernel is told to leave alone, so that a driver can use it as coherent device memory.
public struct ReservedMemory: Sendable, Equatable, Codable {
    /// The guest-physical address of its first byte.
    public var start: UInt64
    /// Its size in MiB.
    public var mebibytes: Int

    /// Makes a region.
    public init(start: UInt64, mebibytes: Int) {
        self.start = start
        self.mebibytes = mebibytes
    }

    /// The address after its last byte.
    public var end: UInt64 { start + UInt64(mebibytes) << 20 }
}

/// What one accelerator needs from a machine.
public struct AcceleratorSettings: Sendable, Equatable, Codable {
    /// The accelerator with its options, such as `tcg,thread=multi`.
    public var options: String
    /// The CPU model with its options.
    public var cpu: String
    /// Kernel command line words that only make sense with this accelerator.
    public var kernelArguments: [String]

    /// Makes settings.
    public init(options: String, cpu: String, kernelArguments: [String] = []) {
        self.options = options
        self.cpu = cpu
        self.kernelArguments = kernelArguments
    }
}

/// A kind of machine that guests can be booted on; data, read from `qemu/machines`.
public struct MachineDescription: Sendable, Equatable, Codable {
    /// The name that people choose it by.
    public var name: String
    /// What it is good for, in one line.
    public var summary: String
    /// The emulator's program name.
    public var emulator: String
    /// The machine type with its options.
    public var type: String
    /// Which product of the kernel build it starts.
    public var bootMethod: BootMethod
    /// The number of CPUs where nobody asks for another.
    public var cpus: Int
    /// Memory in MiB where nobody asks for another amount.
    public var memoryMiB: Int
    /// Devices beyond those that the protocol and the console need, each as the emulator spells it.
    public var devices: [String]
    /// Kernel command line words for every accelerator.
    public var kernelArguments: [String]
    /// The accelerators that this machine can use.
    public var accelerators: [Accelerator: AcceleratorSettings]
    /// Memory kept away from the kernel; sorted by address, without overlaps.
    public var reservedMemory: [ReservedMemory]

    /// Makes a description from its parts.
    public init(
        name: String, summary: String, emulator: String, type: String, bootMethod: BootMethod, cpus: Int,
        memoryMiB: Int, devices: [String] = [], kernelArguments: [String] = [],
        accelerators: [Accelerator: AcceleratorSettings], reservedMemory: [ReservedMemory] = []
    ) {
        self.name = name
        self.summary = summary
        self.emulator = emulator
        self.type = type
        self.bootMethod = bootMethod
        self.cpus = cpus
        self.memoryMiB = memoryMiB
        self.devices = devices
        self.kernelArguments = kernelArguments
        self.accelerators = accelerators
        self.reservedMemory = reservedMemory
    }
}

extension MachineDescription {
    /// The `memmap=SIZE$ADDRESS` words that reserve the memory (Documentation/admin-guide/kernel-parameters.txt).
    ///
    /// Regions that touch become one word: the boot code that places the kernel looks at four of them at most.
    public var reservingArguments: [String] {
        var merged: [ReservedMemory] = []
        for region in reservedMemory {
            if let last = merged.last, last.end == region.start {
                merged[merged.count - 1].mebibytes += region.mebibytes
            } else {
                merged.append(region)
            }
        }
        return merged.map { "memmap=\($0.mebibytes)M$0x\(String($0.start, radix: 16))" }
    }

    /// Parameters that tell a driver of the `test_hmm` kind where its coherent memory lies: `spm_addr_dev0=0x...` for
    /// the first region, and so on (lib/test_hmm.c of the kernel, which uses the first 256 MiB of each).
    public var coherentModuleParameters: [String] {
        reservedMemory.enumerated().map { "spm_addr_dev\($0.offset)=0x\(String($0.element.start, radix: 16))" }
    }
}
