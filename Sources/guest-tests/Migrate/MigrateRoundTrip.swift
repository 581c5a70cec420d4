// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Memory goes to the device and comes back, and its contents with it.
let migrateRoundTripTests: [GuestTest] =
    onBothMemories("migrate/round-trip", "Memory moves to the device and back on request with its contents") { memory in
        let buffer = try wideBuffer()
        buffer.range.fill(seed: 1)
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        try buffer.range.expectPlace(memory.place, "every page is in device memory")
        try mirror.expectReads(buffer.range, seed: 1, "the device reads its copy")
        try buffer.range.expectPlace(memory.place, "the device's read leaves them there")
        expectEqual(try mirror.migrateToSystem(buffer.range), wideSpan, "every page comes back")
        try buffer.range.expectPlace(.system, "every page is in system memory")
        buffer.range.expectHolds(seed: 1, "the contents came along")
        try mirror.expectReads(buffer.range, seed: 1, "the device reads system memory again")
        try mirror.release()
        try buffer.range.expectPlace(.system, "nothing is left on the device")
    }
    + [
        GuestTest(
            "migrate/cpu-read-returns-private", "A read of the CPU brings back exactly the page it touches",
            needs: [.private]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let mirror = try MirrorDevice(unit: 0)
            try mirror.take(buffer.range, seed: 1)
            for page in [0, 63, 64, span - 1] {
                buffer.range.page(page).expectHolds(seed: 1, firstPage: page, "page \(page) has its contents")
            }
            let back = try buffer.range.places().enumerated().filter { $0.element.kind == .system }.map(\.offset)
            expectEqual(back, [0, 63, 64, span - 1], "exactly the pages that were read are back")
            buffer.range.expectHolds(seed: 1, "all pages have their contents")
            try buffer.range.expectPlace(.system, "all pages are back")
        },
        GuestTest(
            "migrate/cpu-write-returns-private", "A write of the CPU brings a page back and changes only its byte",
            needs: [.private]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let copy = try MappedBuffer.filled(pages: span, seed: 1)
            let mirror = try MirrorDevice(unit: 0)
            try mirror.take(buffer.range, seed: 1)
            for page in 0..<span {
                expectEqual(FaultProbe.write(0x5a, to: buffer.range.page(page)), .done(0x5a), "the write goes through")
                _ = FaultProbe.write(0x5a, to: copy.range.page(page))
            }
            try buffer.range.expectPlace(.system, "every page is back")
            expectEqual(buffer.range.checksum(), copy.range.checksum(), "only the written bytes differ")
            try mirror.expectSnapshot(buffer.range, .writable, "the pages are writable")
        },
        GuestTest(
            "migrate/coherent-in-place", "The CPU reads and writes coherent memory where it is", needs: [.coherent]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let mirror = try DeviceMemory.coherent.open()
            try mirror.take(buffer.range, seed: 1)
            let before = try buffer.range.places()
            buffer.range.expectHolds(seed: 1, "the CPU reads device memory")
            buffer.range.fill(seed: 2)
            try mirror.expectReads(buffer.range, seed: 2, "the device reads what the CPU wrote")
            try mirror.fill(buffer.range, seed: 3)
            buffer.range.expectHolds(seed: 3, "the CPU reads what the device wrote")
            try buffer.range.expectPlace(.coherent, "the pages are in device memory")
            try buffer.range.expectUnmoved(since: before, "no page moved")
        },
    ]
    + onDevicePages("migrate/device-write", "What the device writes to its memory is what the CPU gets") {
        _, buffer, mirror in
        let before = try buffer.range.places()
        try mirror.fill(buffer.range, seed: 2)
        try buffer.range.expectUnmoved(since: before, "the device writes in place")
        try mirror.expectReads(buffer.range, seed: 2, "the device reads what it wrote")
        buffer.range.expectHolds(seed: 2, "the CPU reads what the device wrote")
    }
    + onBothMemories("migrate/repeat", "Memory can go to the device and back again and again") { memory in
        let buffer = try MappedBuffer.anonymous(pages: span)
        let mirror = try memory.open()
        for round: UInt64 in 1...10 {
            buffer.range.fill(seed: round)
            try mirror.take(buffer.range, seed: round)
            try buffer.range.expectPlace(memory.place, "every page is in device memory in round \(round)")
            try mirror.fill(buffer.range, seed: round + 100)
            expectEqual(try mirror.migrateToSystem(buffer.range), span, "every page comes back in round \(round)")
            buffer.range.expectHolds(seed: round + 100, "the device's data came back in round \(round)")
        }
        try buffer.range.expectPlace(.system, "every page is in system memory at the end")
    }
    + onBothMemories("migrate/mixed", "A range that is partly on the device already moves as a whole") { memory in
        let buffer = try wideBuffer()
        buffer.range.fill(seed: 1)
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        for page in stride(from: 0, to: 1000, by: 20) {
            expectEqual(try mirror.migrateToSystem(buffer.range.page(page)), 1, "page \(page) comes back")
        }
        let before = try buffer.range.places()
        expectEqual(before.count { $0.kind == .system }, 50, "fifty pages are back")
        try mirror.take(buffer.range, seed: 1)
        try buffer.range.expectPlace(memory.place, "every page is in device memory")
        let stayed = try buffer.range.places()
        expect(
            (0..<wideSpan).allSatisfy { before[$0].kind == .system || before[$0] == stayed[$0] },
            "pages that were on the device stayed in their frames")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onBothMemories("migrate/partial", "Only the pages that were asked for move, in both directions") { memory in
        let buffer = try wideBuffer()
        buffer.range.fill(seed: 1)
        let mirror = try memory.open()
        let before = try buffer.range.places()
        try mirror.take(buffer.range.pages(from: 10, count: 1000), seed: 1, firstPage: 10)
        try buffer.range.pages(from: 10, count: 1000).expectPlace(memory.place, "the middle is in device memory")
        try buffer.range.pages(from: 0, count: 10).expectUnmoved(
            since: Array(before[..<10]), "the pages before did not move")
        try buffer.range.pages(from: 1010, count: 90).expectUnmoved(
            since: Array(before[1010...]), "the pages behind did not move")
        expectEqual(
            try mirror.migrateToSystem(buffer.range.pages(from: 50, count: 1050)), 960,
            "of the pages asked back, those on the device come")
        try buffer.range.pages(from: 10, count: 40).expectPlace(memory.place, "the others are still on the device")
        try buffer.range.pages(from: 50, count: 1050).expectPlace(.system, "the end is in system memory")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onBothMemories("migrate/nothing-to-return", "Asking system memory back moves nothing") { memory in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let empty = try MappedBuffer.anonymous(pages: span)
        let mirror = try memory.open()
        let before = try buffer.range.places()
        expectEqual(try mirror.migrateToSystem(buffer.range), 0, "no page comes back")
        expectEqual(try mirror.migrateToSystem(empty.range), 0, "no page comes out of untouched memory")
        try buffer.range.expectUnmoved(since: before, "no page moved")
        try empty.range.expectPlace(.nothing, "untouched memory is untouched")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onBothMemories("migrate/many-pages", "16 MiB move in one request", timeoutMilliseconds: 90_000) { memory in
        let buffer = try MappedBuffer.anonymous(pages: 4096)
        // What comes back is counted in huge pages where these stay whole.
        try buffer.advise(.noHugePage)
        buffer.range.fill(seed: 1)
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        try buffer.range.expectPlace(memory.place, "every page is in device memory")
        let frames = Set(try buffer.range.places().compactMap(\.frame))
        expectEqual(frames.count, 4096, "no two pages share a frame")
        try mirror.fill(buffer.range, seed: 2)
        expectEqual(try mirror.migrateToSystem(buffer.range), 4096, "every page comes back")
        buffer.range.expectHolds(seed: 2, "the device's data came back")
        try buffer.range.expectPlace(.system, "every page is in system memory")
    }
