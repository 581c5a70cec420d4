// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// The device reads and writes each kind of memory.
let mirrorAccessTests: [GuestTest] = [
    GuestTest(
        "mirror/read-anonymous", "The device reads what the CPU wrote to private anonymous memory, in place",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let mirror = try MirrorDevice(unit: 0)
        let before = try buffer.range.places()
        try mirror.expectReads(buffer.range, seed: 1, "the device reads what the CPU wrote")
        try buffer.range.expectUnmoved(since: before, "reading moves no page")
        for frame in before.compactMap(\.frame) {
            guard expectEqual(try KernelPages.mappings(ofFrame: frame), 1, "reading maps no page twice") else { break }
        }
    },
    GuestTest(
        "mirror/read-unlocked", "The device reads with a fault handler that takes the locks by itself",
        needs: [.private, .unlockedRead]
    ) {
        let buffer = try MappedBuffer.anonymous(pages: span)
        buffer.range.pages(from: 0, count: 100).fill(seed: 1)
        try buffer.unmap(buffer.range.page(149))
        let image = try MappedBuffer.filled(pages: span, seed: 0xbad)
        let mirror = try MirrorDevice(unit: 0)
        let there = buffer.range.pages(from: 0, count: 149)
        let transfer = try mirror.readUnlocked(there, into: image.range.pointer)
        expectEqual(transfer.pages, 149, "the device reads every page")
        expect(transfer.faults > 0, "it has to fault for them")
        image.range.pages(from: 0, count: 100).expectHolds(seed: 1, "the device reads what the CPU wrote")
        image.range.pages(from: 100, count: 49).expectZero("the device reads zeros where nobody wrote")
        image.range.page(149).expectHolds(seed: 0xbad, firstPage: 149, "nothing is written beyond that")
        expectRefused(.badAddress, "what is not mapped is refused") { () throws(MirrorError) in
            try mirror.readUnlocked(buffer.range, into: image.range.pointer)
        }
    },
    GuestTest(
        "mirror/partly-known", "Pages that the device knows and pages that it does not are accessed as one range",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let mirror = try MirrorDevice(unit: 0)
        // The access begins, has to fault in the middle, and goes on there.
        for (seed, known) in [(2, 0..<40), (3, 0..<0), (4, 30..<90)] as [(UInt64, Range<Int>)] {
            let fresh = try MappedBuffer.filled(pages: span, seed: 1)
            let part = fresh.range.pages(from: known.lowerBound, count: known.count)
            if !known.isEmpty {
                try mirror.fill(part, seed: seed + 10, firstPage: known.lowerBound)
                try mirror.expectReads(part, seed: seed + 10, firstPage: known.lowerBound, "the device knows them")
            }
            try mirror.fill(fresh.range, seed: seed)
            fresh.range.expectHolds(seed: seed, "what the device wrote is at its place")
        }
        try mirror.expectReads(
            buffer.range.pages(from: 0, count: 40), seed: 1, "the device reads the first pages")
        try mirror.expectReads(buffer.range, seed: 1, "and then all, each at its place")
    },
    GuestTest(
        "mirror/read-untouched", "The device reads zeros from memory that nobody touched, by way of the zero page",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.anonymous(pages: span)
        let mirror = try MirrorDevice(unit: 0)
        try buffer.range.expectPlace(.nothing, "nothing is there before")
        try mirror.expectReadsZero(buffer.range, "the device reads zeros")
        try buffer.range.expectFlags(.zeroPage, "the page table shows the zero page")
        try buffer.range.expectSmaps("Rss", 0, "the zero page is not counted")
    },
    GuestTest(
        "mirror/read-again-without-fault", "A second read of the device needs no fault until the mapping changes",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        let image = try MappedBuffer.anonymous(pages: 16)
        let mirror = try MirrorDevice(unit: 0)
        expect(try mirror.read(buffer.range, into: image.range.pointer).faults > 0, "the first read faults")
        expectEqual(
            try mirror.read(buffer.range, into: image.range.pointer).faults, 0, "the second read does not fault")
        try buffer.protect(.read)
        expect(
            try mirror.read(buffer.range, into: image.range.pointer).faults > 0,
            "a read after mprotect faults again: the device was told")
        buffer.range.expectHolds(seed: 1, "the contents are as before")
        try buffer.range.expectPlace(.system, "every page is in system memory")
    },
    GuestTest(
        "mirror/write-anonymous", "The CPU reads what the device wrote to private anonymous memory", needs: [.private]
    ) {
        let buffer = try MappedBuffer.anonymous(pages: span)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.fill(buffer.range, seed: 2)
        buffer.range.expectHolds(seed: 2, "the CPU reads what the device wrote")
        let entries = try buffer.range.pagemap()
        expect(entries.allSatisfy { $0.isExclusivelyMapped && !$0.isFileOrShared }, "every page is this process's own")
        try buffer.range.expectSmaps("Rss", buffer.range.size, "every page counts")
        try buffer.range.expectSmaps("Private_Dirty", buffer.range.size, "every page is dirty")
    },
    GuestTest(
        "mirror/write-replaces-zero-page", "A write of the device goes to a new page and never to the zero page",
        needs: [.private]
    ) {
        let written = try MappedBuffer.anonymous(pages: span)
        let other = try MappedBuffer.anonymous(pages: span)
        let mirror = try MirrorDevice(unit: 0)
        written.range.expectZero("untouched memory is zero")
        other.range.expectZero("untouched memory is zero")
        try written.range.expectFlags(.zeroPage, "the zero page is mapped before the write")
        try mirror.fill(written.range, seed: 3)
        written.range.expectHolds(seed: 3, "the CPU reads what the device wrote")
        try written.range.expectFlags(.anonymous, "the zero page was replaced")
        try other.range.expectFlags(.zeroPage, "another mapping still has the zero page")
        other.range.expectZero("the zero page is still zero")
    },
    GuestTest(
        "mirror/shared-anonymous", "Another process sees what the device wrote to shared anonymous memory",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.anonymous(pages: span, shared: true)
        buffer.range.fill(seed: 1)
        let child = try Child { parent in
            try parent.wait()
            buffer.range.expectHolds(seed: 2, "the child reads what the parent's device wrote")
            buffer.range.fill(seed: 3)
        }
        let mirror = try MirrorDevice(unit: 0)
        try mirror.expectReads(buffer.range, seed: 1, "the device reads what the CPU wrote")
        try mirror.fill(buffer.range, seed: 2)
        expect(try buffer.range.pagemap().allSatisfy(\.isFileOrShared), "every page is shared memory")
        try child.channel.signal()
        try child.expectPassed()
        try mirror.expectReads(buffer.range, seed: 3, "the device reads what the child wrote")
    },
    GuestTest(
        "mirror/memory-file", "read(2) and the device agree on a memory file, both ways", needs: [.private]
    ) { try checkSharedFile(.memory) },
    GuestTest("mirror/tmpfs-file", "read(2) and the device agree on a file of tmpfs, both ways", needs: [.private]) {
        try checkSharedFile(.tmpfs)
    },
    GuestTest(
        "mirror/private-file-copy-on-write", "A write of the device to a private file mapping leaves the file alone",
        needs: [.private]
    ) {
        let file = try ScratchFile(.tmpfs, pages: span)
        try file.fill(seed: 1, pages: span)
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: false)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.expectReads(buffer.range, seed: 1, "the device reads the file")
        expect(try buffer.range.pagemap().allSatisfy(\.isFileOrShared), "reading maps the file's own pages")
        try mirror.fill(buffer.range, seed: 2)
        buffer.range.expectHolds(seed: 2, "the CPU reads what the device wrote")
        expect(try !buffer.range.pagemap().contains(where: \.isFileOrShared), "writing made private copies")
        let contents = try file.contents(pages: span)
        contents.range.expectHolds(seed: 1, "the file holds what it held")
    },
    GuestTest(
        "mirror/across-mappings", "One read of the device spans mappings of different kinds", needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try buffer.protect(buffer.range.pages(from: 40, count: 30), .read)
        try buffer.replace(buffer.range.pages(from: 100, count: 20))
        buffer.range.pages(from: 100, count: 20).fill(seed: 1, firstPage: 100)
        let mirror = try MirrorDevice(unit: 0)
        let before = try buffer.range.places()
        try mirror.expectReads(buffer.range, seed: 1, "the device reads across all mappings")
        try buffer.range.expectUnmoved(since: before, "reading moves no page")
    },
]

@Sendable func checkSharedFile(_ place: ScratchFile.Place) throws {
    let file = try ScratchFile(place, pages: span)
    try file.fill(seed: 1, pages: span)
    let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
    let other = try MappedBuffer.file(file.descriptor, pages: span, shared: true, .read)
    let mirror = try MirrorDevice(unit: 0)
    try mirror.expectReads(buffer.range, seed: 1, "the device reads what write(2) put into the file")
    try mirror.fill(buffer.range, seed: 2)
    let contents = try file.contents(pages: span)
    contents.range.expectHolds(seed: 2, "read(2) gets what the device wrote")
    other.range.expectHolds(seed: 2, "another mapping of the file shows what the device wrote")
    expectEqual(try buffer.range.frames(), try other.range.frames(), "both mappings show the same frames")
    expect(try buffer.range.residency().allSatisfy { $0 }, "mincore(2) calls every page resident")
    expect(try buffer.range.pagemap().allSatisfy(\.isFileOrShared), "every page is the file's own")
}
