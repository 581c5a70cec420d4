// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// The device and huge pages.
let mirrorHugeTests: [GuestTest] = [
    GuestTest("mirror/hugetlb", "The device writes and reads a page of the hugetlb pool", needs: [.private, .hugetlb]) {
        let before = KernelCounters.memory("HugePages_Free")
        let buffer = try MappedBuffer.hugetlb(hugePages: 1)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.fill(buffer.range, seed: 1)
        buffer.range.expectHolds(seed: 1, "the CPU reads what the device wrote")
        buffer.range.fill(seed: 2)
        try mirror.expectReads(buffer.range, seed: 2, "the device reads what the CPU wrote")
        try buffer.range.expectFlags(.hugetlb, "the page is of the pool")
        expectContiguous(try buffer.range.frames())
        expectEqual(
            KernelCounters.memory("HugePages_Free"), before.map { $0 - 1 }, "the pool is shorter by one page")
    },
    GuestTest(
        "mirror/hugetlb-middle", "The device finds the right part in the middle of a hugetlb page",
        needs: [.private, .hugetlb]
    ) { try checkMiddle(try MappedBuffer.hugetlb(hugePages: 2), .hugetlb) },
    GuestTest(
        "mirror/thp", "The device reads and writes a transparent huge page without splitting it",
        needs: [.private, .thp]
    ) {
        let buffer = try MappedBuffer.transparentHuge(hugePages: 2)
        buffer.range.fill(seed: 1)
        let mirror = try MirrorDevice(unit: 0)
        try buffer.range.expectSmaps("AnonHugePages", buffer.range.size, "the memory is in huge pages")
        let before = try buffer.range.places()
        let splits = KernelCounters.virtualMemory("thp_split_pmd")
        try mirror.expectReads(buffer.range, seed: 1, "the device reads what the CPU wrote")
        try mirror.fill(buffer.range, seed: 2)
        expectEqual(KernelCounters.virtualMemory("thp_split_pmd"), splits, "the kernel split no huge mapping")
        buffer.range.expectHolds(seed: 2, "the CPU reads what the device wrote")
        try buffer.range.expectSmaps("AnonHugePages", buffer.range.size, "the huge pages are still whole")
        try buffer.range.expectUnmoved(since: before, "no page moved")
    },
    GuestTest(
        "mirror/thp-middle", "The device finds the right part in the middle of a transparent huge page",
        needs: [.private, .thp]
    ) { try checkMiddle(try MappedBuffer.transparentHuge(hugePages: 2), .transparentHuge) },
    GuestTest(
        "mirror/thp-fault", "A write of the device to untouched memory brings in a whole huge page",
        needs: [.private, .thp]
    ) {
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        let mirror = try MirrorDevice(unit: 0)
        let faults = KernelCounters.virtualMemory("thp_fault_alloc") ?? .max
        try mirror.fill(buffer.range.page(300), seed: 1, firstPage: 300)
        expect(
            (KernelCounters.virtualMemory("thp_fault_alloc") ?? 0) > faults, "the kernel counts a fault of a huge page")
        try buffer.range.expectFlags(.transparentHuge, "the whole range is one huge page")
        expectContiguous(try buffer.range.frames())
        buffer.range.page(300).expectHolds(seed: 1, firstPage: 300, "the CPU reads what the device wrote")
        buffer.range.pages(from: 0, count: 300).expectZero("the pages before are zero")
        buffer.range.pages(from: 301, count: 211).expectZero("the pages after are zero")
    },
    GuestTest(
        "mirror/collapse-invalidates", "The device follows when small pages are collapsed into a huge one",
        needs: [.private, .thp]
    ) {
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        // Small pages first: one by one, with huge pages forbidden.
        try buffer.advise(.noHugePage)
        buffer.range.fill(seed: 1)
        try buffer.range.expectSmaps("AnonHugePages", 0, "the memory is in small pages")
        let mirror = try MirrorDevice(unit: 0)
        try mirror.fill(buffer.range, seed: 2)
        let before = try buffer.range.places()
        try buffer.advise(.hugePage)
        try buffer.advise(.collapse)
        try buffer.range.expectSmaps("AnonHugePages", buffer.range.size, "the memory is in a huge page now")
        try buffer.range.expectMoved(since: before, "every page moved to another frame")
        buffer.range.expectHolds(seed: 2, "collapsing keeps what the device wrote")
        buffer.range.fill(seed: 3)
        try mirror.expectReads(buffer.range, seed: 3, "the device reads the new page and not the old ones")
        try mirror.fill(buffer.range, seed: 4)
        buffer.range.expectHolds(seed: 4, "the device writes the new page and not the old ones")
    },
]

private func expectContiguous(_ frames: [UInt64?], file: String = #fileID, line: Int = #line) {
    let broken = zip(frames, frames.dropFirst()).enumerated().first { pair in
        guard let one = pair.element.0, let next = pair.element.1 else { return true }
        return next != one + 1
    }
    expectNone(
        broken.map { "pages \($0.offset) and \($0.offset + 1)" }, "the frames follow one another", file: file,
        line: line)
}

@Sendable private func checkMiddle(_ buffer: consuming MappedBuffer, _ flag: KernelPages.Flags) throws {
    buffer.range.fill(seed: 1)
    let mirror = try MirrorDevice(unit: 0)
    // Across the border between two huge pages, and away from every multiple of a batch.
    let middle = buffer.range.pages(from: 437, count: 150)
    try mirror.expectReads(middle, seed: 1, firstPage: 437, "the device reads the middle")
    try mirror.fill(middle, seed: 2, firstPage: 437)
    middle.expectHolds(seed: 2, firstPage: 437, "the CPU reads what the device wrote to the middle")
    buffer.range.pages(from: 0, count: 437).expectHolds(seed: 1, "the pages before are as they were")
    buffer.range.pages(from: 587, count: 437).expectHolds(seed: 1, firstPage: 587, "the pages after are as they were")
    try buffer.range.expectFlags(flag, "the pages are still huge")
}
