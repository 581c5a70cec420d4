// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Files that change while they are mapped from the device.
let daxChangeTests: [GuestTest] =
    onEachDax("dax/truncate", "Beyond the end of a file that was cut there is nothing, and zeros once it grows") {
        disk in
        let file = try disk.filled()
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        let own = try MappedBuffer.file(file.descriptor, pages: span, shared: false)
        buffer.range.touch()
        own.range.fill(seed: 2)
        try file.resize(pages: 50)
        for range in [buffer.range, own.range] {
            for page in [50, 51, span - 1] {
                expectEqual(.read(range.page(page)), FaultProbe.beyondFile(range.page(page)), "page \(page) is gone")
            }
        }
        expectEqual(
            .write(1, to: buffer.range.page(50)), FaultProbe.beyondFile(buffer.range.page(50)), "nor can it be written")
        buffer.range.pages(from: 0, count: 50).expectHolds(seed: 1, "what is before the end stays")
        own.range.pages(from: 0, count: 50).expectHolds(seed: 2, "also in a private mapping")
        try file.resize(pages: span)
        buffer.range.pages(from: 50, count: span - 50).expectZero("what was cut off is zero now")
        own.range.pages(from: 50, count: span - 50).expectZero("also in a private mapping")
        buffer.range.fill(seed: 3)
        try file.expectContents(seed: 3, "the file can be stored to as before")
        try buffer.range.expectOnDevice(seed: 3, "on the device")
    }
    + onEachDax("dax/punch-hole", "A hole under a mapping is zero, and its neighbours stay") { disk in
        let file = try disk.filled()
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        buffer.range.touch()
        try file.punchHole(firstPage: 40, pages: 20)
        let hole = buffer.range.pages(from: 40, count: 20)
        hole.expectZero("the hole is zero")
        buffer.range.pages(from: 0, count: 40).expectHolds(seed: 1, "what is before it stays")
        buffer.range.pages(from: 60, count: span - 60).expectHolds(seed: 1, firstPage: 60, "and what is behind it")
        hole.fill(seed: 1, firstPage: 40)
        try file.expectContents(seed: 1, "the hole can be filled again")
        try hole.expectOnDevice(seed: 1, firstPage: 40, "on the device")
    }
    + onEachDax("dax/advice", "No advice about a mapping harms what is on the device") { disk in
        let file = try disk.filled()
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        buffer.range.fill(seed: 2)
        let frames = try buffer.range.frames()
        for advice in [MappedBuffer.Advice.cold, .pageOut, .dontNeed, .random] {
            try buffer.advise(advice)
            buffer.range.expectHolds(seed: 2, "the contents are there after \(advice)")
            expectEqual(try buffer.range.frames(), frames, "the pages are where they were after \(advice)")
        }
        try buffer.advise(.remove)
        buffer.range.expectZero("what was given back is zero")
        let image = try file.contents(pages: span)
        image.range.expectZero("also for read(2)")
    }
    + onEachDax("dax/mlock", "Memory that lies on the device anyway is not counted as locked") { disk in
        let file = try disk.filled()
        let before = MemoryAccount()
        do {
            let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
            let own = try MappedBuffer.file(file.descriptor, pages: span, shared: false)
            try buffer.lock()
            try own.lock()
            buffer.range.fill(seed: 2)
            own.range.pages(from: 0, count: 50).fill(seed: 3)
            try buffer.range.expectOnDevice(seed: 2, "the contents are on the device")
            try buffer.unlock()
            own.range.pages(from: 0, count: 50).expectHolds(seed: 3, "a private mapping has its own pages")
        }
        expectEqual(MemoryAccount().locked, before.locked, "nothing stays locked")
    }
    + onEachDax("dax/moved", "A mapping that moves, or loses its access for a time, has the same pages") { disk in
        let file = try disk.filled()
        var buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        buffer.range.fill(seed: 2)
        let frames = try buffer.range.frames()
        let old = try buffer.move()
        expectEqual(.read(old), FaultProbe.unmapped(old), "nothing is at the old place")
        buffer.range.expectHolds(seed: 2, "the contents moved along")
        expectEqual(try buffer.range.frames(), frames, "in the same pages")
        try buffer.protect(.read)
        expectEqual(.write(1, to: buffer.range), FaultProbe.forbidden(buffer.range), "it cannot be written")
        try buffer.protect(.readWrite)
        buffer.range.fill(seed: 3)
        try file.expectContents(seed: 3, "the file has what was stored")
        expectEqual(try buffer.range.frames(), frames, "in the same pages still")
    }
    + onEachDax(
        "dax/counters", "Mapping, copying and unmapping leave the kernel's counts of pages as they were"
    ) { disk in
        let pages = 2 * MappedBuffer.pagesPerHugePage
        let file = try disk.filled(pages: pages)
        func round() throws {
            let shared = try MappedBuffer.alignedFile(file.descriptor, hugePages: 2, shared: true)
            let own = try MappedBuffer.file(file.descriptor, pages: pages, shared: false)
            shared.range.fill(seed: 2)
            own.range.fill(seed: 3)
            try file.sync()
        }
        // What the first round brings along for good is no leak.
        try round()
        let before = MemoryAccount().pages
        for _ in 0..<4 { try round() }
        let after = MemoryAccount().pages
        for (name, count) in before {
            let now = after[name] ?? 0
            // Half of what one round would leave behind; others are at work, too.
            expect(abs(now - count) < pages / 2, "\(name) is as before", "it was \(count) and is \(now)")
        }
        try file.expectContents(pages: pages, seed: 2, "the file has what was stored")
    }
