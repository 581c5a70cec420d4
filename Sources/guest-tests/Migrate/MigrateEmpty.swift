// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Memory that nobody wrote yet moves to the device as well.
let migrateEmptyTests: [GuestTest] =
    onBothMemories("migrate/untouched", "Untouched memory becomes zeroed device memory") { memory in
        let buffer = try MappedBuffer.anonymous(pages: span)
        let mirror = try memory.open()
        try mirror.takeZero(buffer.range)
        try buffer.range.expectPlace(memory.place, "every page is in device memory")
        try buffer.range.expectSmaps("Rss", buffer.range.size, "every page counts")
        buffer.range.expectZero("the CPU reads zeros")
    }
    + onBothMemories("migrate/zero-page", "The zero page is replaced by device memory and stays zero itself") {
        memory in
        let buffer = try MappedBuffer.anonymous(pages: span)
        let other = try MappedBuffer.anonymous(pages: span)
        buffer.range.touch()
        other.range.touch()
        try buffer.range.expectFlags(.zeroPage, "the zero page is mapped before")
        let mirror = try memory.open()
        try mirror.takeZero(buffer.range)
        try buffer.range.expectPlace(memory.place, "every page is in device memory")
        try mirror.fill(buffer.range, seed: 1)
        buffer.range.expectHolds(seed: 1, "the CPU reads what the device wrote")
        try other.range.expectFlags(.zeroPage, "another mapping still has the zero page")
        other.range.expectZero("the zero page is still zero")
    }
    + onBothMemories(
        "migrate/alternating", "Written, read and untouched pages side by side move together, each with its contents"
    ) { memory in
        let buffer = try wideBuffer()
        for page in 0..<wideSpan where page % 3 == 0 { buffer.range.page(page).fill(seed: 1, firstPage: page) }
        for page in 0..<wideSpan where page % 3 == 1 { buffer.range.page(page).touch() }
        let image = try MappedBuffer.filled(pages: wideSpan, seed: 0xbad)
        let mirror = try memory.open()
        expectEqual(
            try mirror.migrateToDevice(buffer.range, readingInto: image.range.pointer).pages, wideSpan,
            "every page moves")
        try buffer.range.expectPlace(memory.place, "every page is in device memory")
        for page in 0..<wideSpan {
            for (range, who) in [(image.range, "the device"), (buffer.range, "the CPU")] {
                let one = range.page(page)
                let complaint = page % 3 == 0 ? one.mismatch(seed: 1, firstPage: page) : one.nonZero()
                guard expectNone(complaint, "\(who) finds what belongs to page \(page)") else { return }
            }
        }
    }
    + onBothMemories(
        "migrate/stale-data", "Device memory that comes into use again shows nothing of its last owner"
    ) { memory in
        let mirror = try memory.open()
        var used: Set<UInt64> = []
        do {
            let former = try MappedBuffer.filled(pages: span, seed: 1)
            try mirror.take(former.range, seed: 1)
            used = Set(try former.range.places().compactMap(\.frame))
        }
        let buffer = try MappedBuffer.anonymous(pages: span)
        try mirror.takeZero(buffer.range)
        try buffer.range.expectPlace(memory.place, "every page is in device memory")
        let again = Set(try buffer.range.places().compactMap(\.frame)).intersection(used)
        try require(!again.isEmpty, "the device uses pages of the last owner again")
        try mirror.expectReadsZero(buffer.range, "the device reads zeros")
        buffer.range.expectZero("the CPU reads zeros")
    }
    + onBothMemories(
        "migrate/userfaultfd", "A page that userfaultfd(2) is to provide does not appear on the device by itself"
    ) { memory in
        let buffer = try MappedBuffer.anonymous(pages: span)
        let watch = try buffer.range.watchMissingPages()
        let mirror = try memory.open()
        try mirror.expectTakeRefused(.noEntry, buffer.range, "missing pages do not move")
        try buffer.range.expectPlace(.nothing, "the pages are still missing")
        close(watch)
        try mirror.takeZero(buffer.range)
        try buffer.range.expectPlace(memory.place, "without the watch they move")
    }
