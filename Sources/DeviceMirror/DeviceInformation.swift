// SPDX-License-Identifier: Apache-2.0
import CDeviceMirrorABI

/// What a device is and has: the answer to INFO.
public struct DeviceInformation: Sendable, Hashable {
    /// The kinds of device memory.
    public enum MemoryType: UInt32, Sendable {
        /// The CPU cannot address it.
        case `private` = 1
        /// The CPU reads and writes it in place.
        case coherent = 2
    }

    /// What keeps a device from working.
    public struct State: OptionSet, Sendable, Hashable {
        /// The bits.
        public let rawValue: UInt32
        /// Makes a set from its bits.
        public init(rawValue: UInt32) { self.rawValue = rawValue }

        /// Nothing can be copied to or from the device.
        public static let lost = State(rawValue: hmm_dmirror_state_lost)
        /// The device's memory has been taken away.
        public static let unplugged = State(rawValue: hmm_dmirror_state_unplugged)
    }

    /// What not every kernel lets a device do.
    public struct Abilities: OptionSet, Sendable, Hashable {
        /// The bits.
        public let rawValue: UInt64
        /// Makes a set from its bits.
        public init(rawValue: UInt64) { self.rawValue = rawValue }

        /// Pages whose contents are lost can be given up, which our series `errors` adds to the kernel.
        public static let loseContents = Abilities(rawValue: UInt64(hmm_dmirror_can_lose_contents))
        /// Page cache can go to coherent memory: MIGRATE2 takes FILE.
        public static let takeFiles = Abilities(rawValue: UInt64(hmm_dmirror_can_take_files))
    }

    /// The version of the interface.
    public let version: Int
    /// The kind of memory; nil for one that this program does not know.
    public let memory: MemoryType?
    /// The N of `/dev/hmm_dmirrorN`.
    public let unit: Int
    /// What keeps the device from working.
    public let state: State
    /// The commands from 0x20 on that the driver has, by number.
    public let commands: Set<UInt8>
    /// The pieces of device memory.
    public let chunks: Int
    /// The pages in them.
    public let pages: Int
    /// The pages nobody uses.
    public let freePages: Int
    /// The pages handed out since the driver was loaded.
    public let allocated: UInt64
    /// The pages given back; equal to ``allocated`` when nothing is in use.
    public let freed: UInt64
    /// The size of a page in bytes.
    public let pageSize: Int
    /// The pages in a large folio; 1 when the device has none.
    public let largePages: Int
    /// The memory of this descriptor's device page table in bytes.
    public let tableBytes: Int
    /// What this kernel lets the device do.
    public let abilities: Abilities
    /// The pages with a memory error that nobody uses, or will.
    public let badPages: Int

    /// The pages in use.
    public var usedPages: Int { pages - freePages - badPages }

    init(_ info: hmm_dmirror_info) {
        version = Int(info.version)
        memory = MemoryType(rawValue: info.type)
        unit = Int(info.unit)
        state = State(rawValue: info.state)
        commands = Set((0..<64).filter { info.commands >> $0 & 1 == 1 }.map { UInt8(0x20 + $0) })
        chunks = Int(clamping: info.chunks)
        pages = Int(clamping: info.pages)
        freePages = Int(clamping: info.free_pages)
        allocated = info.allocated
        freed = info.freed
        pageSize = Int(info.page_size)
        largePages = Int(info.large_pages)
        tableBytes = Int(clamping: info.table_bytes)
        abilities = Abilities(rawValue: info.abilities)
        badPages = Int(clamping: info.bad_pages)
    }
}

/// What a device has done since its driver was loaded or the numbers were set to zero: the answer to STATS.
public struct DeviceStatistics: Sendable, Hashable {
    /// Why the CPU's page table changed, by the kernel's own word (`enum mmu_notifier_event`).
    public enum Event: Int, Sendable, CaseIterable {
        /// A mapping went away.
        case unmap
        /// Entries were cleared, as for a copy on write.
        case clear
        /// The access of a mapping changed.
        case protectionOfMapping
        /// The access of a page changed.
        case protectionOfPage
        /// Soft-dirty bits were cleared.
        case softDirty
        /// The process ended.
        case release
        /// Pages moved to or from a device.
        case migrate
        /// A device took pages for itself.
        case exclusive
    }

    /// CPU faults for private pages.
    public let cpuFaults: UInt64
    /// How often the device faulted a range in.
    public let deviceFaults: UInt64
    /// Device faults begun again after an invalidation.
    public let retries: UInt64
    /// Pages that EVICT moved.
    public let evicted: UInt64
    /// Batches copied to the device.
    public let batchesToDevice: UInt64
    /// Batches copied to system memory.
    public let batchesToSystem: UInt64
    /// Pages copied to the device.
    public let pagesToDevice: UInt64
    /// Pages copied to system memory.
    public let pagesToSystem: UInt64
    /// Pages of zeros made on the device.
    public let pagesCleared: UInt64
    /// Pages whose copy failed.
    public let copyErrors: UInt64
    /// The longest batch in nanoseconds.
    public let longestCopy: UInt64
    /// The longest device fault in nanoseconds.
    public let longestFault: UInt64
    private let invalidations: [UInt64]

    /// How often an event changed the page table of a process that the device mirrors.
    public func invalidations(by event: Event) -> UInt64 { invalidations[event.rawValue] }

    init(_ stats: hmm_dmirror_stats) {
        cpuFaults = stats.cpu_faults
        deviceFaults = stats.device_faults
        retries = stats.retries
        evicted = stats.evicted
        batchesToDevice = stats.batches_to_device
        batchesToSystem = stats.batches_to_system
        pagesToDevice = stats.pages_to_device
        pagesToSystem = stats.pages_to_system
        pagesCleared = stats.pages_cleared
        copyErrors = stats.copy_errors
        longestCopy = stats.max_copy_ns
        longestFault = stats.max_fault_ns
        invalidations = withUnsafeBytes(of: stats.invalidations) { Array($0.bindMemory(to: UInt64.self)) }
    }
}

/// What a device says of itself.
extension MirrorDevice {
    /// What the device is and has.
    ///
    /// - Throws: `invalidArgument` where the driver has no commands from 0x20 on, as test_hmm.
    public func information(file: String = #fileID, line: Int = #line) throws(MirrorError) -> DeviceInformation {
        var argument = hmm_dmirror_info()
        try perform(.information, hmm_dmirror_ioctl_info, &argument, file, line)
        return DeviceInformation(argument)
    }

    /// What the device has done; `reset` sets the numbers to zero after they were read.
    public func statistics(
        reset: Bool = false, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> DeviceStatistics {
        var argument = hmm_dmirror_stats()
        argument.flags = reset ? hmm_dmirror_stats_reset : 0
        try perform(.statistics, hmm_dmirror_ioctl_stats, &argument, file, line)
        return DeviceStatistics(argument)
    }
}
