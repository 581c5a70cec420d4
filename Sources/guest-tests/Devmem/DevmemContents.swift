// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// What the device says of itself and of its memory, compared with what the kernel says.
let devmemContentsTests: [GuestTest] =
    onOwnDevice("devmem/information", "INFO says what the device is, and counts its pages as they come and go") {
        memory, mirror in
        let before = try mirror.information()
        expectEqual(before.version, 1, "the interface has this version")
        expectEqual(before.memory, memory == .private ? .private : .coherent, "the device has this kind of memory")
        expectEqual(before.unit, memory == .private ? 0 : 2, "it is this node")
        expectEqual(before.pageSize, PageRange.pageSize, "its pages have the system's size")
        expectEqual(before.state, [], "it works")
        let known = Set<UInt8>((0x20...0x26).map { $0 } + (0x2d...0x31).map { $0 })
        expect(before.commands.isSuperset(of: known), "it has the commands of its interface", "\(before.commands)")
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let full = try mirror.information()
        expectEqual(full.heldPages, before.heldPages + span, "pages that come are handed out")
        expectEqual(full.usedPages, full.heldPages, "and are not free")
        expect(full.tableBytes > 0, "the device's page table has a size")
        buffer.range.fill(seed: 2)
        expectEqual(try mirror.migrateToSystem(buffer.range), memory == .private ? 0 : span, "every page is back")
        let after = try mirror.information()
        expectEqual(after.allocated, full.allocated, "no page was handed out")
        expectEqual(after.freed, after.allocated - UInt64(before.heldPages), "every page was given back")
        expectEqual(after.freePages, after.pages - before.usedPages, "and is free")
    }
    + onOwnDevice("devmem/contents", "The device's memory holds what moved there, where pagemap says") {
        memory, mirror in
        let buffer = try wideBuffer()
        buffer.range.fill(seed: 1)
        try mirror.take(buffer.range, seed: 1)
        try mirror.expectContents(buffer.range, seed: 1, "the device's memory holds what the CPU wrote")
        try mirror.fill(buffer.range.pages(from: 500, count: 30), seed: 2, firstPage: 500)
        try mirror.expectContents(
            buffer.range.pages(from: 500, count: 30), seed: 2, firstPage: 500,
            "the device's memory holds what the device wrote")
        try buffer.range.expectPlace(memory.place, "no page moved for that")
        let image = try MappedBuffer.anonymous(pages: 1)
        for page in [0, 499, 500, 1099] {
            let frame = try requireValue(try buffer.range.page(page).places()[0].frame, "the page has a frame")
            try mirror.readContents(ofFrame: frame, into: image.range.pointer)
            image.range.expectHolds(
                seed: page == 500 ? 2 : 1, firstPage: page, "a frame holds the page that pagemap names")
        }
        let touched = buffer.range.page(7)
        touched.fill(seed: 3, firstPage: 7)
        switch memory {
        case .private:
            expectRefused(.noEntry, "a page that the CPU took back is not in the device's memory") {
                () throws(MirrorError) in
                try mirror.readContents(of: touched, into: image.range.pointer)
            }
        case .coherent:
            try mirror.expectContents(touched, seed: 3, firstPage: 7, "the device's memory holds what the CPU wrote")
        }
        buffer.range.pages(from: 0, count: 7).expectHolds(seed: 1, "the other pages hold what they held")
    }
    + onOwnDevice("devmem/contents-elsewhere", "What is not in the device's memory is not read from it") {
        memory, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        let image = try MappedBuffer.filled(pages: 16, seed: 0xbad)
        func refused(_ sentence: String, _ request: () throws(MirrorError) -> Void) {
            expectRefused(.noEntry, sentence, request)
            expectNone(image.range.mismatch(seed: 0xbad), "and gives nothing away")
        }
        refused("a page of system memory is refused") { () throws(MirrorError) in
            _ = try mirror.readContents(of: buffer.range, into: image.range.pointer)
        }
        let systemFrame = try requireValue(try buffer.range.places()[0].frame, "a page has a frame")
        refused("a frame of system memory is refused") { () throws(MirrorError) in
            try mirror.readContents(ofFrame: systemFrame, into: image.range.pointer)
        }
        let other = try memory.open(second: true)
        try other.take(buffer.range, seed: 1)
        refused("a page of the other device is refused") { () throws(MirrorError) in
            _ = try mirror.readContents(of: buffer.range, into: image.range.pointer)
        }
        let frame = try requireValue(try buffer.range.places()[0].frame, "a page has a frame")
        refused("a frame of the other device is refused") { () throws(MirrorError) in
            try mirror.readContents(ofFrame: frame, into: image.range.pointer)
        }
        try other.readContents(ofFrame: frame, into: image.range.pointer)
        image.range.page(0).expectHolds(seed: 1, "the other device reads it")
        image.range.fill(seed: 0xbad)
        try buffer.advise(.dontNeed)
        expectRefused(.noEntry, "a frame that nobody uses is refused") { () throws(MirrorError) in
            try other.readContents(ofFrame: frame, into: image.range.pointer)
        }
        refused("memory without a page is refused") { () throws(MirrorError) in
            _ = try mirror.readContents(of: buffer.range, into: image.range.pointer)
        }
    }
    + onOwnDevice("devmem/batches", "Many pages are copied at once, there and back, and each is counted") {
        memory, mirror in
        let buffer = try wideBuffer()
        buffer.range.fill(seed: 1)
        // No batch is larger than 512 pages, and none goes beyond 2 MiB of addresses.
        let most = UInt64(wideSpan / MappedBuffer.pagesPerHugePage + 2)
        _ = try mirror.statistics(reset: true)
        try mirror.take(buffer.range, seed: 1)
        let there = try mirror.statistics(reset: true)
        expectEqual(there.pagesToDevice, UInt64(wideSpan), "every page is copied once")
        expect((1...most).contains(there.batchesToDevice), "in few batches", "\(there.batchesToDevice)")
        expectEqual(there.pagesToSystem, 0, "none is copied back")
        expectEqual(try mirror.migrateToSystem(buffer.range), wideSpan, "every page comes back")
        let back = try mirror.statistics(reset: true)
        expectEqual(back.pagesToSystem, UInt64(wideSpan), "each of them copied once")
        expect((1...most).contains(back.batchesToSystem), "in few batches", "\(back.batchesToSystem)")
        expectEqual(back.pagesToDevice, 0, "and nothing the other way")
        expect(back.longestCopy > 0, "a copy takes time")
        let empty = try MappedBuffer.anonymous(pages: span)
        try mirror.takeZero(empty.range)
        let zeros = try mirror.statistics(reset: true)
        expectEqual(zeros.pagesCleared, UInt64(span), "memory without a page is made of zeros")
        expectEqual(zeros.pagesToDevice, 0, "and not copied")
        empty.range.touch()
        let touched = try mirror.statistics()
        expectEqual(
            touched.cpuFaults, memory == .private ? UInt64(span) : 0, "each access of the CPU is a fault, or none")
        expectEqual(try mirror.statistics(reset: true).cpuFaults, touched.cpuFaults, "reading changes no number")
        expectEqual(try mirror.statistics().cpuFaults, 0, "a reset does")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice("devmem/marked-copies", "What the engine copies is marked on request, in every direction") {
        memory, mirror in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let image = try MappedBuffer.filled(pages: span, seed: 0xbad)
        try mirror.markingCopies {
            try mirror.expectMigration(buffer.range, .toDevice, "every page goes to the device") { _ in .moved }
            _ = try mirror.readContents(of: buffer.range, into: image.range.pointer)
            image.range.expectMarked(seed: 1, "the device's memory has the mark in each page")
            try mirror.expectMigration(buffer.range, .toSystem, "every page comes back") { _ in .moved }
        }
        buffer.range.expectHolds(seed: 1, "a second copy has the contents as they were")
        try mirror.markingCopies {
            try mirror.expectMigration(buffer.range, .renew, "every page moves in system memory") { _ in .moved }
        }
        buffer.range.expectMarked(seed: 1, "system memory has the mark, too")
        buffer.range.fill(seed: 2)
        try mirror.take(buffer.range, seed: 2)
        try mirror.expectContents(buffer.range, seed: 2, "what is copied later has none")
        try mirror.markingCopies {
            switch memory {
            case .private: buffer.range.touch()
            case .coherent: expect(try mirror.evict().isComplete, "an eviction brings every page back")
            }
        }
        try buffer.range.expectPlace(.system, "every page is back")
        buffer.range.expectMarked(seed: 2, "with the mark, whatever brought it back")
        let empty = try MappedBuffer.anonymous(pages: 16)
        try mirror.markingCopies { try mirror.takeZero(empty.range) }
    }
    + onOwnDevice(
        "devmem/thp-part-as-reported", "A range that begins inside of a huge page is reported with its own pages",
        on: [.private], needs: [.thp]
    ) { memory, mirror in
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        buffer.range.fill(seed: 1)
        try mirror.take(buffer.range, seed: 1)
        for (first, count) in [(1, 1), (3, 5), (437, 75), (0, 512)] {
            // A descriptor that has not looked yet.
            let other = try memory.open()
            try other.setFlags(.asReported)
            try other.expectReads(
                buffer.range.pages(from: first, count: count), seed: 1, firstPage: first,
                "the device reads \(count) pages from page \(first) on")
        }
        try buffer.range.expectPlace(.privateWritable, "no page moved for that")
    }
    + onOwnDevice(
        "devmem/stays-behind-hole", "The device's page stays there when the device also needs the empty one before it",
        on: [.private]
    ) { memory, mirror in
        for isWrite in [false, true] {
            let buffer = try MappedBuffer.anonymous(pages: 16)
            let own = buffer.range.pages(from: 4, count: 8)
            own.fill(seed: 1, firstPage: 4)
            try mirror.take(own, seed: 1, firstPage: 4)
            // A descriptor that has not looked yet has to ask for all of it at once.
            let other = try memory.open()
            if isWrite {
                _ = try other.fill(buffer.range, seed: 2)
                try mirror.expectContents(own, seed: 2, firstPage: 4, "the device's memory has what was written")
            } else {
                let image = try MappedBuffer.filled(pages: 16, seed: 0xbad)
                _ = try other.read(buffer.range, into: image.range.pointer)
                expectNone(image.range.pages(from: 0, count: 4).nonZero(), "the empty pages before it read as zeros")
                image.range.pages(from: 4, count: 8).expectHolds(seed: 1, firstPage: 4, "the device reads its own")
            }
            let access = isWrite ? "write" : "read"
            try own.expectPlace(.privateWritable, "no page has left the device for the device's \(access)")
        }
    }
    + onOwnDevice("devmem/invalidations", "The device counts why the CPU's page table changed") { _, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try mirror.expectCounted(.migrate, reading: buffer.range, "moving pages is a change") {
            try mirror.take(buffer.range, seed: 1)
        }
        try mirror.expectCounted(.protectionOfMapping, reading: buffer.range, "so is mprotect") {
            try buffer.protect(.read)
        }
        try mirror.expectCounted(.softDirty, reading: buffer.range, "so is the clearing of soft-dirty bits") {
            try PageRange.clearSoftDirty()
        }
        try mirror.expectCounted(.unmap, reading: buffer.range, "so is munmap") { try buffer.unmap(buffer.range) }
    }

extension MirrorDevice {
    /// A change of the CPU's page table for a range that the device uses is counted under its reason.
    fileprivate func expectCounted(
        _ event: DeviceStatistics.Event, reading range: PageRange, _ sentence: String, file: String = #fileID,
        line: Int = #line, _ change: () throws -> Void
    ) throws {
        try expectReads(range, seed: 1, "the device reads the memory", file: file, line: line)
        let before = try statistics(file: file, line: line).invalidations(by: event)
        try change()
        let after = try statistics(file: file, line: line).invalidations(by: event)
        expect(after > before, sentence, file: file, line: line)
    }
}
