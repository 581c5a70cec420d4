// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Huge pages that are mapped in small ones.
let migrateHugePartTests: [GuestTest] =
    onBothMemories(
        "migrate/thp-mapped-small", "A huge page moves that the page table maps in small pages", needs: [.thp]
    ) { memory in
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        try buffer.mapSmall()
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        try buffer.range.expectPlace(memory.place, "every part is in device memory")
        try mirror.fill(buffer.range, seed: 2)
        buffer.range.expectHolds(seed: 2, "the CPU reads what the device wrote")
        try mirror.release()
        try buffer.range.expectPlace(.system, "every part is back once the device has no memory")
    }
    + onBothMemories(
        "migrate/thp-mapped-small-part", "Parts of a huge page move that the page table maps in small pages",
        needs: [.thp]
    ) { memory in
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        try buffer.mapSmall()
        let mirror = try memory.open()
        // More than one batch of test_hmm's, and neither end of the huge page.
        let part = buffer.range.pages(from: 100, count: 300)
        try mirror.take(part, seed: 1, firstPage: 100)
        try part.expectPlace(memory.place, "the part is in device memory")
        try buffer.range.pages(from: 0, count: 100).expectPlace(.system, "what is before stays")
        try buffer.range.pages(from: 400, count: 112).expectPlace(.system, "what is behind stays")
        buffer.range.expectHolds(seed: 1, "the contents are right")
        try mirror.release()
    }
    + [
        GuestTest(
            "migrate/thp-exclusive", "A device can have every part of a huge page to itself",
            needs: [.private, .thp]
        ) {
            let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
            buffer.range.fill(seed: 1)
            try buffer.range.expectSmaps("AnonHugePages", buffer.range.size, "the memory is a huge page")
            let before = try buffer.range.places().map(\.frame)
            let mirror = try MirrorDevice(unit: 0)
            try mirror.seize(buffer.range, seed: 1)
            try buffer.range.expectPlace(.exclusive, "the page table gives the CPU no access")
            expectEqual(try buffer.range.places().map(\.frame), before, "the pages are in their frames")
            buffer.range.page(70).expectHolds(seed: 1, firstPage: 70, "the CPU reads a page")
            try buffer.range.page(70).expectPlace(.system, "that page is the CPU's again")
            try buffer.range.pages(from: 0, count: 70).expectPlace(.exclusive, "those before are the device's")
            try buffer.range.pages(from: 71, count: 441).expectPlace(.exclusive, "those behind as well")
            buffer.range.fill(seed: 2)
            expect(try !mirror.holdsExclusively(buffer.range), "the device holds none of them in the end")
            buffer.range.expectHolds(seed: 2, "the CPU reads what it wrote")
        },
        GuestTest(
            "migrate/thp-exclusive-part", "A device that asks for a part of a huge page gets no other",
            needs: [.private, .thp]
        ) {
            let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
            buffer.range.fill(seed: 1)
            let image = try MappedBuffer.anonymous(pages: 1)
            let mirror = try MirrorDevice(unit: 0)
            _ = try mirror.exclusive(buffer.range.page(0), readingInto: image.range.pointer)
            try buffer.range.page(0).expectPlace(.exclusive, "that page is the device's")
            try buffer.range.pages(from: 1, count: 511).expectPlace(.system, "the others are the CPU's")
            image.range.expectHolds(seed: 1, "the device reads the contents")
            buffer.range.expectHolds(seed: 1, "so does the CPU")
        },
    ]

extension MappedBuffer {
    /// Fills one huge page with the pattern of seed 1 and has the page table map it in small ones.
    fileprivate borrowing func mapSmall() throws {
        range.fill(seed: 1)
        try range.expectSmaps("AnonHugePages", range.size, "the memory is a huge page")
        try protect(range.page(0), .read)
        try protect(.readWrite)
        try range.expectSmaps("AnonHugePages", 0, "the huge page is mapped in small ones")
        try range.expectFlags(.transparentHuge, "and still a huge page")
    }
}
