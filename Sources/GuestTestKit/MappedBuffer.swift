// SPDX-License-Identifier: Apache-2.0
import CGuestShims
public import DeviceMirror
import Glibc

/// A mapping that is unmapped when its owner goes away.
///
/// It lies between two pages without access, so that it never merges with a neighbour (which would blur smaps) and an
/// access beyond its end is a fault and not a silent success.
public struct MappedBuffer: ~Copyable, Sendable {
    /// The mapping itself, without the pages around it.
    public private(set) var range: PageRange
    // The pages without access before and behind the place where the mapping was made; they stay when it moves, so that
    // nothing else is mapped at the old place.
    private let fences: (PageRange, PageRange)

    /// The size of a transparent huge page and of the default hugetlb page on x86-64, in bytes.
    public static let hugePageSize = 2 << 20
    /// The pages in a huge page.
    public static let pagesPerHugePage = hugePageSize / PageRange.pageSize

    /// Advice about a mapping, with the numbers of `<linux/mman.h>` (madvise(2)).
    public enum Advice: Int32, Sendable {
        /// Read no more of the file than is touched.
        case random = 1
        /// Forget the contents: private memory reads as zero afterwards, or as the file.
        case dontNeed = 4
        /// The contents may be forgotten until somebody writes.
        case free = 8
        /// Free the pages and the file's space behind them.
        case remove = 9
        /// Let KSM merge equal pages.
        case mergeable = 12
        /// Take the pages out of KSM again.
        case unmergeable = 13
        /// Use huge pages.
        case hugePage = 14
        /// Use no huge pages.
        case noHugePage = 15
        /// The pages are the next to reclaim; splits a huge page of which only a part is meant.
        case cold = 20
        /// Reclaim now: write to swap, or drop. See ``Workers/stayOnOneProcessor(file:line:)``.
        case pageOut = 21
        /// Replace small pages by huge ones now (Linux 6.1).
        case collapse = 25
        /// Treat the memory behind as broken (MADV_HWPOISON, root only).
        case poison = 100
    }

    /// Access of a mapping, as for mprotect(2).
    public enum Protection: Sendable {
        /// No access at all.
        case none
        /// Reading only.
        case read
        /// Reading and writing.
        case readWrite

        var bits: Int32 {
            switch self {
            case .none: PROT_NONE
            case .read: PROT_READ
            case .readWrite: PROT_READ | PROT_WRITE
            }
        }
    }

    /// Maps anonymous memory; nothing is populated.
    public static func anonymous(
        pages: Int, shared: Bool = false, _ protection: Protection = .readWrite, file: String = #fileID,
        line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer {
        try MappedBuffer(
            pages: pages, alignment: PageRange.pageSize, protection,
            flags: MAP_ANONYMOUS | (shared ? MAP_SHARED : MAP_PRIVATE), descriptor: -1, file, line)
    }

    /// Maps anonymous private memory below 2 GiB, where 32-bit programs have theirs; nothing is populated.
    public static func low(
        pages: Int, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer {
        try MappedBuffer(
            pages: pages, alignment: PageRange.pageSize, .readWrite, flags: MAP_PRIVATE | MAP_ANONYMOUS, descriptor: -1,
            place: MAP_32BIT, file, line)
    }

    /// Maps anonymous private memory and fills it with the pattern of `seed`.
    public static func filled(
        pages: Int, seed: UInt64, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer {
        let buffer = try anonymous(pages: pages, file: file, line: line)
        buffer.range.fill(seed: seed)
        return buffer
    }

    /// Maps an open file from its first byte.
    public static func file(
        _ descriptor: Int32, pages: Int, shared: Bool, _ protection: Protection = .readWrite, file: String = #fileID,
        line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer {
        try MappedBuffer(
            pages: pages, alignment: PageRange.pageSize, protection, flags: shared ? MAP_SHARED : MAP_PRIVATE,
            descriptor: descriptor, file, line)
    }

    /// Maps an open file from its first byte, at an address where a huge page can begin.
    public static func alignedFile(
        _ descriptor: Int32, hugePages: Int, shared: Bool, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer {
        try MappedBuffer(
            pages: hugePages * pagesPerHugePage, alignment: hugePageSize, .readWrite,
            flags: shared ? MAP_SHARED : MAP_PRIVATE, descriptor: descriptor, file, line)
    }

    /// Maps an open file from its first byte so that what is stored is in the file for good once it can be stored at all
    /// (MAP_SYNC of mmap(2)).
    public static func synchronousFile(
        _ descriptor: Int32, pages: Int, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer {
        try MappedBuffer(
            pages: pages, alignment: PageRange.pageSize, .readWrite, flags: MAP_SHARED_VALIDATE | MAP_SYNC,
            descriptor: descriptor, file, line)
    }

    /// Maps pages of the hugetlb pool, private and writable.
    public static func hugetlb(
        hugePages: Int, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer {
        try MappedBuffer(
            pages: hugePages * pagesPerHugePage, alignment: hugePageSize, .readWrite,
            flags: MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, descriptor: -1, file, line)
    }

    /// Maps aligned anonymous memory and asks for transparent huge pages; nothing is populated.
    public static func transparentHuge(
        hugePages: Int, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer {
        let buffer = try MappedBuffer(
            pages: hugePages * pagesPerHugePage, alignment: hugePageSize, .readWrite,
            flags: MAP_PRIVATE | MAP_ANONYMOUS, descriptor: -1, file, line)
        try buffer.advise(.hugePage, file: file, line: line)
        return buffer
    }

    private init(
        pages: Int, alignment: Int, _ protection: Protection, flags: Int32, descriptor: Int32, place: Int32 = 0,
        _ file: String, _ line: Int
    ) throws(SystemCallError) {
        let size = pages * PageRange.pageSize
        let reserved = try MappedBuffer.map(
            nil, size + 2 * alignment, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | place, -1, file, line)
        let start = (reserved + PageRange.pageSize).alignedUp(toMultipleOf: alignment)
        do {
            _ = try MappedBuffer.map(start, size, protection.bits, flags | MAP_FIXED, descriptor, file, line)
            // Pages without access that are mapped right below must not merge with the fence: when they are split later,
            // the kernel notifies the whole 2 MiB around the place if they are in one mapping (split_huge_pmd_address()).
            // That may end where the buffer begins, and test_hmm drops the page behind what is invalidated.
            try systemCall("madvise of the fence", file: file, line: line) {
                madvise(reserved, start - reserved, MADV_DONTDUMP)
            }
        } catch {
            munmap(reserved, size + 2 * alignment)
            throw error
        }
        range = PageRange(address: UInt64(UInt(bitPattern: start)), pageCount: UInt64(pages))
        let whole = PageRange(
            address: UInt64(UInt(bitPattern: reserved)),
            pageCount: UInt64((size + 2 * alignment) / PageRange.pageSize))
        let before = (start - reserved) / PageRange.pageSize
        fences = (
            whole.pages(from: 0, count: before),
            whole.pages(from: before + pages, count: whole.count - before - pages)
        )
    }

    private static func map(
        _ address: UnsafeMutableRawPointer?, _ size: Int, _ protection: Int32, _ flags: Int32, _ descriptor: Int32,
        _ file: String, _ line: Int
    ) throws(SystemCallError) -> UnsafeMutableRawPointer {
        // MAP_FAILED is a macro with a cast, which Swift does not import; it is address -1.
        guard let result = mmap(address, size, protection, flags, descriptor, 0),
            result != UnsafeMutableRawPointer(bitPattern: -1)
        else {
            throw SystemCallError(call: "mmap of \(size) bytes", code: .current, file: file, line: line)
        }
        return result
    }

    deinit {
        for part in [range, fences.0, fences.1] { munmap(part.pointer, Int(part.byteCount)) }
    }

    /// Changes the access of the whole mapping.
    public func protect(_ protection: Protection, file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try protect(range, protection, file: file, line: line)
    }

    /// Changes the access of a part of the mapping.
    public func protect(
        _ part: PageRange, _ protection: Protection, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        try systemCall("mprotect", file: file, line: line) {
            mprotect(part.pointer, Int(part.byteCount), protection.bits)
        }
    }

    /// Gives the kernel advice about the mapping or a part of it (madvise(2)).
    public func advise(
        _ advice: Advice, _ part: PageRange? = nil, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        let part = part ?? range
        try systemCall("madvise \(advice)", file: file, line: line) {
            madvise(part.pointer, Int(part.byteCount), advice.rawValue)
        }
    }

    /// Removes a part of the mapping; what was there has no mapping afterwards.
    public func unmap(
        _ part: PageRange, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        try systemCall("munmap", file: file, line: line) { munmap(part.pointer, Int(part.byteCount)) }
    }

    /// Puts fresh anonymous memory in place of a part of the mapping.
    public func replace(
        _ part: PageRange, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        _ = try MappedBuffer.map(
            part.pointer, Int(part.byteCount), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
            file, line)
    }

    /// Moves the mapping to another address (mremap(2)); the old address has no mapping afterwards.
    ///
    /// - Returns: where the mapping was.
    @discardableResult
    public mutating func move(file: String = #fileID, line: Int = #line) throws(SystemCallError) -> PageRange {
        let old = range
        guard let target = test_move_mapping(old.pointer, Int(old.byteCount)),
            target != UnsafeMutableRawPointer(bitPattern: -1)
        else { throw SystemCallError(call: "mremap", code: .current, file: file, line: line) }
        range.address = UInt64(UInt(bitPattern: target))
        return old
    }

    /// Moves a part of the mapping onto another part of the same length, whose contents go (mremap(2)); where it was there
    /// is memory without access then.
    public func move(
        _ part: PageRange, onto target: PageRange, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        guard test_move_mapping_onto(part.pointer, Int(part.byteCount), target.pointer) == target.pointer else {
            throw SystemCallError(call: "mremap", code: .current, file: file, line: line)
        }
        _ = try MappedBuffer.map(
            part.pointer, Int(part.byteCount), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, file, line)
    }

    /// Moves the pages of private anonymous memory onto another mapping of the same length, whose contents go (MREMAP_DONTUNMAP
    /// of mremap(2)); this one is empty then.
    public func movePages(
        onto target: PageRange, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        guard test_move_pages_onto(range.pointer, Int(range.byteCount), target.pointer) == target.pointer else {
            throw SystemCallError(call: "mremap", code: .current, file: file, line: line)
        }
    }

    /// Keeps the mapping's pages in memory (mlock(2)).
    public func lock(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try systemCall("mlock", file: file, line: line) { mlock(range.pointer, Int(range.byteCount)) }
    }

    /// Takes back ``lock(file:line:)`` (munlock(2)).
    public func unlock(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try systemCall("munlock", file: file, line: line) { munlock(range.pointer, Int(range.byteCount)) }
    }
}

extension UnsafeMutableRawPointer {
    fileprivate func alignedUp(toMultipleOf alignment: Int) -> UnsafeMutableRawPointer {
        self + (alignment - Int(bitPattern: self) % alignment) % alignment
    }
}
