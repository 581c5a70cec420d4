// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// The device lets go of what the CPU's page table no longer holds.
///
/// Every test lets the device use the memory first: what it remembers from then would be wrong afterwards.
let mirrorInvalidationTests: [GuestTest] = [
    GuestTest("mirror/munmap", "The device loses memory that is unmapped", needs: [.private]) {
        let buffer = try MappedBuffer.anonymous(pages: span)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.fill(buffer.range, seed: 1)
        let gone = buffer.range.pages(from: 50, count: 50)
        try buffer.unmap(gone)
        try mirror.expectReadRefused(.badAddress, gone, "the device reads no longer what is unmapped")
        try mirror.expectWriteRefused(.badAddress, gone, "nor writes it")
        expectEqual(FaultProbe.read(gone), .unmapped(gone), "the CPU agrees")
        try gone.expectPlace(.nothing, "pagemap agrees")
        try mirror.expectReads(buffer.range.pages(from: 0, count: 50), seed: 1, "the pages before are there")
        try mirror.expectReads(
            buffer.range.pages(from: 100, count: 50), seed: 1, firstPage: 100, "the pages behind are there")
    },
    GuestTest(
        "mirror/map-again", "The device sees the new memory at an address that was mapped anew", needs: [.private]
    ) {
        let buffer = try MappedBuffer.anonymous(pages: span)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.fill(buffer.range, seed: 1)
        try buffer.replace(buffer.range)
        try buffer.range.expectPlace(.nothing, "the new memory is empty")
        try mirror.expectReadsZero(buffer.range, "the device reads the new memory")
        buffer.range.fill(seed: 2)
        try mirror.expectReads(buffer.range, seed: 2, "the device reads what the CPU wrote there")
    },
    GuestTest("mirror/mremap", "The device follows a mapping that moves to another address", needs: [.private]) {
        var buffer = try MappedBuffer.anonymous(pages: span)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.fill(buffer.range, seed: 1)
        let before = try buffer.range.places()
        let old = try buffer.move()
        try mirror.expectReadRefused(.badAddress, old, "the device finds nothing at the old address")
        try mirror.expectReads(buffer.range, seed: 1, "the device reads at the new address")
        try mirror.fill(buffer.range, seed: 2)
        buffer.range.expectHolds(seed: 2, "the device writes at the new address")
        try buffer.range.expectUnmoved(since: before, "the pages are in the same frames")
    },
    GuestTest(
        "mirror/mremap-leaves-mapping", "The device reads zeros where a mapping's pages have moved from",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.anonymous(pages: span)
        let target = try MappedBuffer.anonymous(pages: span)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.fill(buffer.range, seed: 1)
        try buffer.movePages(onto: target.range)
        try mirror.expectReadsZero(buffer.range, "the device reads zeros at the old address")
        try mirror.fill(buffer.range, seed: 2)
        target.range.expectHolds(seed: 1, "what the device writes there is in new pages")
        try mirror.expectReads(target.range, seed: 1, "the device reads at the new address")
    },
    GuestTest(
        "mirror/dontneed", "The device reads zeros after MADV_DONTNEED and not the pages it knew", needs: [.private]
    ) {
        let buffer = try MappedBuffer.anonymous(pages: span)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.fill(buffer.range, seed: 1)
        try buffer.advise(.dontNeed)
        try buffer.range.expectPlace(.nothing, "the pages are gone")
        try mirror.expectReadsZero(buffer.range, "the device reads zeros")
        try mirror.fill(buffer.range, seed: 2)
        buffer.range.expectHolds(seed: 2, "what the device writes then is in new pages")
    },
    GuestTest(
        "mirror/dontneed-private-file", "The device reads the file again after its private copies were dropped",
        needs: [.private]
    ) {
        let file = try ScratchFile(.tmpfs, pages: span)
        try file.fill(seed: 1, pages: span)
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: false)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.fill(buffer.range, seed: 2)
        try buffer.advise(.dontNeed)
        try mirror.expectReads(buffer.range, seed: 1, "the device reads the file's contents")
        expect(try buffer.range.pagemap().allSatisfy(\.isFileOrShared), "pagemap shows the file's pages")
    },
    GuestTest(
        "mirror/remove", "The device reads zeros after MADV_REMOVE on a memory file", needs: [.private]
    ) {
        let file = try ScratchFile(.memory, pages: span)
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.fill(buffer.range, seed: 1)
        try buffer.advise(.remove, buffer.range.pages(from: 60, count: 10))
        try mirror.expectReadsZero(buffer.range.pages(from: 60, count: 10), "the device reads zeros")
        try mirror.expectReads(buffer.range.pages(from: 0, count: 60), seed: 1, "the pages before are as they were")
        let contents = try file.contents(pages: span)
        contents.range.pages(from: 60, count: 10).expectZero("read(2) agrees")
    },
    GuestTest(
        "mirror/punch-hole", "The device reads zeros where a hole was punched into a file of tmpfs", needs: [.private]
    ) {
        let file = try ScratchFile(.tmpfs, pages: span)
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.fill(buffer.range, seed: 1)
        try file.punchHole(firstPage: 30, pages: 50)
        let hole = buffer.range.pages(from: 30, count: 50)
        try hole.expectPlace(.nothing, "the hole is not mapped")
        try mirror.expectReadsZero(hole, "the device reads zeros in the hole")
        try mirror.fill(hole, seed: 2, firstPage: 30)
        let contents = try file.contents(pages: span)
        contents.range.pages(from: 30, count: 50).expectHolds(
            seed: 2, firstPage: 30, "what the device writes into the hole is in the file")
    },
    GuestTest(
        "mirror/truncate",
        "The device is refused what lies beyond a file's new end, and reads zeros when it grows again",
        needs: [.private]
    ) {
        let file = try ScratchFile(.tmpfs, pages: span)
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.fill(buffer.range, seed: 1)
        try file.resize(pages: 100)
        let beyond = buffer.range.pages(from: 100, count: 50)
        expectEqual(FaultProbe.read(beyond), .beyondFile(beyond), "the CPU gets SIGBUS beyond the end")
        try mirror.expectReadRefused(.badAddress, beyond, "the device is refused beyond the end")
        try mirror.expectWriteRefused(.badAddress, beyond, "also to write")
        try file.resize(pages: span)
        try mirror.expectReadsZero(beyond, "the device reads zeros when the file grows again")
        try mirror.expectReads(buffer.range.pages(from: 0, count: 100), seed: 1, "the rest is as it was")
    },
    GuestTest(
        "mirror/soft-dirty", "A write of the device to a page it knows marks the page as written", needs: [.private]
    ) {
        let buffer = try MappedBuffer.anonymous(pages: span)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.fill(buffer.range, seed: 1)
        try PageRange.clearSoftDirty()
        expect(try !buffer.range.pagemap().contains(where: \.isSoftDirty), "no page counts as written")
        try mirror.fill(buffer.range.pages(from: 20, count: 5), seed: 2, firstPage: 20)
        let written = try buffer.range.pagemap().enumerated().filter { $0.element.isSoftDirty }.map(\.offset)
        expectEqual(written, Array(20..<25), "exactly the pages that the device wrote count as written")
        buffer.range.pages(from: 20, count: 5).expectHolds(seed: 2, firstPage: 20, "the device's data is there")
    },
    GuestTest(
        "mirror/ksm", "The device never writes into a page that KSM has merged", needs: [.private],
        timeoutMilliseconds: 60_000
    ) {
        let one = try MappedBuffer.anonymous(pages: 1)
        let two = try MappedBuffer.anonymous(pages: 1)
        let mirror = try MirrorDevice(unit: 0)
        // The device has both pages mapped for writing when KSM replaces them.
        try mirror.fill(one.range, seed: 1)
        try mirror.fill(two.range, seed: 1)
        try withMerged(one, two) {
            try mirror.fill(one.range, seed: 2)
            one.range.expectHolds(seed: 2, "the written mapping has the new contents")
            two.range.expectHolds(seed: 1, "the other mapping has the old contents")
            try mirror.expectReads(two.range, seed: 1, "the device reads the old contents there as well")
            expect(try one.range.frames() != two.range.frames(), "the write made a copy")
        }
    },
    GuestTest(
        "mirror/swap-in", "The device reads memory that was swapped out, and what it remembered is gone",
        needs: [.private, .swap]
    ) {
        try Workers.stayOnOneProcessor()
        let buffer = try MappedBuffer.anonymous(pages: span)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.fill(buffer.range, seed: 1)
        try buffer.advise(.pageOut)
        try buffer.range.expectPlace(.swap, "the memory is swapped out")
        try mirror.expectSnapshot(buffer.range, .none, "a snapshot shows no page and brings none in")
        try buffer.range.expectSmaps("Swap", buffer.range.size, "all of it is still in swap")
        try mirror.expectReads(buffer.range, seed: 1, "the device reads what it wrote")
        try buffer.range.expectPlace(.system, "the device's read brought it back")
        try buffer.advise(.pageOut)
        try mirror.fill(buffer.range, seed: 2)
        buffer.range.expectHolds(seed: 2, "a write of the device goes to the page that comes back")
    },
    GuestTest(
        "mirror/lazy-free-write-survives", "What the device writes after MADV_FREE survives reclaim", needs: [.private]
    ) {
        try Workers.stayOnOneProcessor()
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let mirror = try MirrorDevice(unit: 0)
        try buffer.advise(.free)
        try mirror.fill(buffer.range, seed: 2)
        try buffer.advise(.pageOut)
        buffer.range.expectHolds(seed: 2, "the device's data is there after reclaim")
        try buffer.range.expectPlace(.system, "every page is there")
    },
]
