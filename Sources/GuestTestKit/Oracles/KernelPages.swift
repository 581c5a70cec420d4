// SPDX-License-Identifier: Apache-2.0
public import DeviceMirror
import Glibc

/// What the kernel knows of a page frame: /proc/kpageflags and /proc/kpagecount
/// (Documentation/admin-guide/mm/pagemap.rst).
public enum KernelPages {
    /// The flags of a page frame (include/uapi/linux/kernel-page-flags.h); only those the tests ask for.
    public struct Flags: OptionSet, Sendable, Hashable {
        /// The 64 bits.
        public let rawValue: UInt64
        /// Makes a set from the kernel's 64 bits.
        public init(rawValue: UInt64) { self.rawValue = rawValue }

        /// The kernel holds the page's lock.
        public static let busy = Flags(rawValue: 1 << 0)
        /// What is in the page is in no swap area or file yet.
        public static let dirty = Flags(rawValue: 1 << 4)
        /// Being written to its device.
        public static let writeback = Flags(rawValue: 1 << 8)
        /// Anonymous memory.
        public static let anonymous = Flags(rawValue: 1 << 12)
        /// Of the hugetlb pool.
        public static let hugetlb = Flags(rawValue: 1 << 17)
        /// Not a page that the page allocator ever had, but device memory or a hole; 7.2 says nothing at all of those
        /// (kpage_read() in fs/proc/page.c).
        public static let noPage = Flags(rawValue: 1 << 20)
        /// Shared by KSM.
        public static let merged = Flags(rawValue: 1 << 21)
        /// Part of a transparent huge page.
        public static let transparentHuge = Flags(rawValue: 1 << 22)
        /// The shared zero page.
        public static let zeroPage = Flags(rawValue: 1 << 24)
        /// Not used since somebody asked (Documentation/admin-guide/mm/idle_page_tracking.rst).
        public static let idle = Flags(rawValue: 1 << 25)
        /// Locked in memory by mlock(2).
        public static let locked = Flags(rawValue: 1 << 33)
    }

    /// The flags of a page frame; the kernel reports none beyond the end of ordinary memory, which reads as `noPage`.
    public static func flags(
        ofFrame frame: UInt64, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> Flags {
        try word("/proc/kpageflags", frame, file, line).map(Flags.init(rawValue:)) ?? .noPage
    }

    /// How many page table entries map a page frame.
    public static func mappings(
        ofFrame frame: UInt64, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> Int {
        Int(try word("/proc/kpagecount", frame, file, line) ?? 0)
    }

    /// Marks page frames as idle; the kernel leaves out those that are on no LRU list just then.
    public static func markIdle(
        _ frames: [UInt64], file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        let path = "/sys/kernel/mm/page_idle/bitmap"
        let descriptor = try systemCall("open \(path)", file: file, line: line) { open(path, O_WRONLY | O_CLOEXEC) }
        defer { close(descriptor) }
        for frame in frames {
            // A bit for each frame, in words of 64; those that are not set change nothing.
            var word: UInt64 = 1 << (frame % 64)
            try systemCall("pwrite \(path)", file: file, line: line) {
                pwrite(descriptor, &word, 8, Int(frame / 64) * 8)
            }
        }
    }

    private static func word(
        _ path: String, _ frame: UInt64, _ file: String, _ line: Int
    ) throws(SystemCallError) -> UInt64? {
        let descriptor = try systemCall("open \(path)", file: file, line: line) { open(path, O_RDONLY | O_CLOEXEC) }
        defer { close(descriptor) }
        var word: UInt64 = 0
        let count = try systemCall("pread \(path)", file: file, line: line) {
            pread(descriptor, &word, 8, Int(frame) * 8)
        }
        return count == 8 ? word : nil
    }
}

extension PageRange {
    /// Which pages of the range mincore(2) calls resident.
    public func residency(file: String = #fileID, line: Int = #line) throws(SystemCallError) -> [Bool] {
        var bytes = [UInt8](repeating: 0, count: count)
        try systemCall("mincore", file: file, line: line) { mincore(pointer, Int(byteCount), &bytes) }
        return bytes.map { $0 & 1 == 1 }
    }

    /// The frame numbers of pages that the CPU addresses; nil for others.
    public func frames(file: String = #fileID, line: Int = #line) throws(SystemCallError) -> [UInt64?] {
        try pagemap(file: file, line: line).map(\.frame)
    }

    /// The kernel's flags of the page frames behind the range; nil where the CPU addresses none.
    public func frameFlags(
        file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> [KernelPages.Flags?] {
        var flags: [KernelPages.Flags?] = []
        for frame in try frames(file: file, line: line) {
            flags.append(
                try frame.map { frame throws(SystemCallError) in
                    try KernelPages.flags(ofFrame: frame, file: file, line: line)
                })
        }
        return flags
    }

    /// Forgets which of this process's pages were written (proc(5), clear_refs, 4); the range plays no part.
    public static func clearSoftDirty(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try TextFile.write("4", to: "/proc/self/clear_refs", file: file, line: line)
    }
}
