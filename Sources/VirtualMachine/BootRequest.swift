// SPDX-License-Identifier: Apache-2.0
import HarnessCore

/// Everything that decides how one guest is booted.
public struct BootRequest: Sendable, Equatable {
    /// What the host leaves to the kernel at least, in MiB, beside reserved memory: a debug kernel with KASAN and the
    /// suites' huge pages fit.
    public static let leastKernelMemoryMiB = 512
    /// What a NUMA node has at least, in MiB: half of it may be set aside, and the kernel has its own tables in each.
    public static let leastNodeMemoryMiB = 1024
    /// A PC with so much memory, in MiB, has only the first ``lowMemoryMiB`` of it below 4 GiB (pc_q35_init() of QEMU).
    public static let splitMemoryMiB = 2816
    /// See ``splitMemoryMiB``.
    public static let lowMemoryMiB = 2048
    /// The longest command line that an x86 kernel takes, in bytes with its final NUL (`COMMAND_LINE_SIZE`).
    public static let commandLineSize = 2048

    /// The kind of machine.
    public var machine: MachineDescription
    /// The kernel, as an absolute path; `vmlinux` or `bzImage`, see ``MachineDescription/bootMethod``.
    public var kernel: String
    /// The initramfs, as an absolute path; nil boots into "unable to mount root", which is what a probe wants.
    public var initrd: String?
    /// The flavour's and then the person's own kernel command line words; they come last, and the kernel lets later words
    /// win.
    public var append: [String]
    /// The number of CPUs.
    public var cpus: Int
    /// Memory in MiB, reserved memory included.
    public var memoryMiB: Int
    /// The number of NUMA nodes that CPUs and memory are dealt out to, in equal parts.
    public var nodes: Int
    /// How instructions are run.
    public var accelerator: Accelerator
    /// The folder for this boot's own files and sockets, as an absolute path; used for one boot only.
    public var runFolder: String
    /// Whether the guest gets a second console for a person.
    public var hasShell: Bool

    /// Makes a request; CPUs and memory are the machine's own where they are nil.
    public init(
        machine: MachineDescription, kernel: String, initrd: String?, append: [String] = [], cpus: Int? = nil,
        memoryMiB: Int? = nil, nodes: Int? = nil, accelerator: Accelerator, runFolder: String, hasShell: Bool = false
    ) {
        self.machine = machine
        self.kernel = kernel
        self.initrd = initrd
        self.append = append
        self.cpus = cpus ?? machine.cpus
        self.memoryMiB = memoryMiB ?? machine.memoryMiB
        self.nodes = nodes ?? 1
        self.accelerator = accelerator
        self.runFolder = runFolder
        self.hasShell = hasShell
    }

    /// The kernel command line: the machine's words, the accelerator's, the reservations, the flavour's, the person's.
    public var kernelCommandLine: String {
        let words =
            machine.kernelArguments + (machine.accelerators[accelerator]?.kernelArguments ?? [])
            + machine.reservingArguments + append
        return words.joined(separator: " ")
    }

    /// Refuses what no emulator could make sense of.
    ///
    /// - Throws: ``LabError`` `accelerator-unsupported`, `cpus-invalid`, `nodes-invalid`, `memory-too-small`,
    ///   `persistent-memory-misplaced`, `command-line-too-long`, `kernel-missing`, `initrd-missing`.
    public func check() throws {
        guard machine.accelerators[accelerator] != nil else {
            throw LabError(
                "accelerator-unsupported", exit: .usage,
                "The machine \(machine.name) has no settings for \(accelerator.rawValue)",
                next: "Add [accelerator.\(accelerator.rawValue)] to the machine's description.")
        }
        guard cpus >= 1 else {
            throw LabError("cpus-invalid", exit: .usage, "A guest needs at least one CPU, not \(cpus)")
        }
        try checkMemory()
        let most = max(memoryMiB / Self.leastNodeMemoryMiB, 1)
        guard (1...most).contains(nodes) else {
            throw LabError(
                "nodes-invalid", exit: .usage, "\(memoryMiB) MiB cannot be dealt out to \(nodes) NUMA nodes",
                cause: "Each of them gets at least \(Self.leastNodeMemoryMiB) MiB.",
                next: "Ask for at most \(most), or for more --memory.")
        }
        let length = kernelCommandLine.utf8.count
        guard length < Self.commandLineSize else {
            throw LabError(
                "command-line-too-long", exit: .usage, "The kernel command line is too long",
                cause: "It has \(length) bytes, the kernel takes \(Self.commandLineSize - 1) and drops the rest.",
                next: "Give fewer or shorter --append words.")
        }
        guard Files.exists(kernel) else {
            throw LabError("kernel-missing", "There is no kernel at \(kernel)", next: "Run hmmlab build.")
        }
        if let initrd, !Files.exists(initrd) {
            throw LabError("initrd-missing", "There is no initramfs at \(initrd)")
        }
    }

    /// A reserved region without memory behind it reads as ones and loses what is written to it.
    private func checkMemory() throws {
        let persistent = append.compactMap { PersistentMemory(word: $0) }
        let reserved = machine.reservedMemory.reduce(0) { $0 + $1.mebibytes }
        let kept = persistent.reduce(0) { $0 + Int(($1.bytes.upperBound - $1.bytes.lowerBound) >> 20) }
        let end = Int((machine.reservedMemory.map(\.end).max() ?? 0) >> 20)
        let least = max(end, reserved + kept + Self.leastKernelMemoryMiB)
        guard memoryMiB >= least else {
            let causes =
                (reserved == 0
                    ? [] : ["The machine \(machine.name) sets \(reserved) MiB aside, up to address \(end) MiB."])
                + (kept == 0 ? [] : ["\(kept) MiB are persistent memory."])
            let cause = causes.isEmpty ? nil : causes.joined(separator: " ")
            throw LabError(
                "memory-too-small", exit: .usage, "\(memoryMiB) MiB are not enough memory for this guest", cause: cause,
                next: "Ask for at least --memory \(least).")
        }
        for region in persistent { try check(region) }
    }

    /// The kernel makes a device of whatever it is told, also of what has no memory behind it or belongs to somebody else.
    private func check(_ region: PersistentMemory) throws {
        let mebibyte: UInt64 = 1 << 20
        let memory = UInt64(memoryMiB) * mebibyte
        let low = memoryMiB < Self.splitMemoryMiB ? memory : UInt64(Self.lowMemoryMiB) * mebibyte
        let high = (4096 * mebibyte)..<(4096 * mebibyte + memory - low)
        let problem: String
        if machine.reservedMemory.contains(where: { region.bytes.overlaps($0.start..<$0.end) }) {
            problem = "The machine \(machine.name) sets some of it aside for other devices."
        } else if region.bytes.upperBound > low && region.bytes.clamped(to: high) != region.bytes {
            problem =
                "With \(memoryMiB) MiB the guest has memory up to address \(low / mebibyte) MiB"
                + (high.isEmpty ? "." : ", and from 4096 to \(high.upperBound / mebibyte) MiB.")
        } else {
            return
        }
        throw LabError(
            "persistent-memory-misplaced", exit: .usage,
            "The word \(region.word) names memory that the guest cannot use so",
            cause: problem, next: "Choose another place, or another amount of --memory.")
    }
}
