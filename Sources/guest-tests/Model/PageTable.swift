// SPDX-License-Identifier: Apache-2.0
import AddressSpaceModel
import DeviceMirror
import Glibc
import GuestTestKit

/// A process's own pagemap, open, for many looks at few pages.
final class PageTable {
    private let descriptor: Int32
    private var memory: PhysicalMemory
    // Where devices have memory they have all of such a piece (see `PagePlace.devicePiece`).
    private var isOnDevice: [UInt64: Bool] = [:]

    /// Opens this process's.
    init() throws(SystemCallError) {
        memory = try PhysicalMemory.current()
        descriptor = try systemCall("open /proc/self/pagemap") { open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC) }
    }

    deinit { close(descriptor) }

    /// What is in the page table for each page of a range.
    func look(at range: PageRange) throws -> [Seen] {
        var entries = [UInt64](repeating: 0, count: range.count)
        let (bytes, offset) = (range.count * 8, Int(range.address) / PageRange.pageSize * 8)
        let count = try systemCall("pread /proc/self/pagemap") { pread(descriptor, &entries, bytes, offset) }
        try require(count == bytes, "pagemap has an entry for every page")
        var seen: [Seen] = []
        seen.reserveCapacity(range.count)
        for entry in entries { seen.append(entry == 0 ? Seen(.nothing) : try place(PagemapEntry(rawValue: entry))) }
        return seen
    }

    private func place(_ entry: PagemapEntry) throws(SystemCallError) -> Seen {
        let types = DeviceEntryTypes.running
        if let frame = entry.frame { return Seen(try isDevice(frame) ? .device : .system, frame: frame) }
        guard let type = entry.swapType, let frame = entry.swapOffset else { return Seen(.nothing) }
        switch type {
        case types.privateWritable, types.privateReadOnly: return Seen(.device, frame: frame)
        case types.exclusive: return Seen(.seized, frame: frame)
        default: return Seen(.other, frame: entry.rawValue)
        }
    }

    private func isDevice(_ frame: UInt64) throws(SystemCallError) -> Bool {
        if let known = isOnDevice[frame >> 16] { return known }
        // A device may have got its memory since.
        memory = try PhysicalMemory.current()
        let answer = !memory.isSystemMemory(frame: frame)
        isOnDevice[frame >> 16] = answer
        return answer
    }
}
