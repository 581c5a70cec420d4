// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// What the engine reads and writes, where it may and where it may not.
let onDemandAccessTests: [GuestTest] =
    onOwnDevice("mirror-odp/read-write", "The engine reads and writes any bytes, across pages, and no others") {
        memory, mirror in
        let buffer = try MappedBuffer.filled(pages: 20, seed: 1)
        let region = try mirror.register(buffer.range)
        let image = try MappedBuffer.filled(pages: 20, seed: 2)
        for place in [PagePlace.Kind.system, memory.place] {
            if place != .system { try mirror.take(buffer.range, seed: 1) }
            for part in [0..<1, 4095..<4097, 7..<9000, 4096..<8192, 12289..<77_824, 81_919..<81_920] {
                let before = buffer.range.byteValues()
                var expected = image.range.byteValues()
                expected.replaceSubrange(part, with: before[part])
                try mirror.expectDone(
                    .read(
                        region.handle.bytes(buffer.range, part), into: image.range.pointer.map { $0 + part.lowerBound }),
                    "bytes \(part) are read")
                expect(image.range.byteValues() == expected, "exactly the bytes \(part) get into the buffer")
                image.range.fill(seed: 2)
                expected = before
                expected.replaceSubrange(part, with: image.range.byteValues()[part])
                try mirror.expectDone(
                    .write(
                        region.handle.bytes(buffer.range, part), from: image.range.pointer.map { $0 + part.lowerBound }),
                    "bytes \(part) are written")
                expect(buffer.range.byteValues() == expected, "exactly the bytes \(part) get into memory")
                buffer.range.fill(seed: 1)
                if place != .system { try mirror.take(buffer.range, seed: 1) }
            }
            try buffer.range.expectPlace(place, "no page moved for that")
        }
    }
    + onOwnDevice("mirror-odp/fetch-add", "The engine adds to words in system memory and in the device's own") {
        memory, mirror in
        let buffer = try MappedBuffer.filled(pages: 2, seed: 1)
        let region = try mirror.register(buffer.range)
        let address = buffer.range.page(1).address + 24
        var expected = PagePattern.word(seed: 1, page: 1, word: 3)
        for place in [PagePlace.Kind.system, memory.place] {
            if place != .system {
                try mirror.expectMigration(buffer.range, .toDevice, "the pages move") { _ in .moved }
            }
            for operand: UInt64 in [5, .max, 0] {
                let done = try mirror.expectDone(
                    .fetchAdd(operand, to: region.handle, at: address), "an addition is done")
                expectEqual(done.old, expected, "it tells what was there")
                expected &+= operand
            }
            try buffer.range.expectPlace(place, "no page moved for that")
        }
        buffer.range.expectOnlyChange(ofPage: 1, word: 3, to: expected, seed: 1)
    }
    + onOwnDevice("mirror-odp/copy", "The engine copies between and within regions, whatever lies where") {
        memory, mirror in
        let source = try MappedBuffer.filled(pages: 20, seed: 1)
        let target = try MappedBuffer.filled(pages: 20, seed: 2)
        let from = try mirror.register(source.range, [])
        let to = try mirror.register(target.range)
        let parts: [(from: Range<Int>, to: Int)] = [(5..<4106, 8190), (0..<65536, 16384), (4097..<4098, 4095)]
        for round in 0..<3 {
            if round == 1 { try mirror.take(source.range, seed: 1) }
            if round == 2 { _ = try mirror.migrate(target.range, .toDevice) }
            for part in parts {
                target.range.fill(seed: 2)
                if round == 2 { try mirror.take(target.range, seed: 2) }
                var expected = target.range.byteValues()
                expected.replaceSubrange(
                    part.to..<(part.to + part.from.count), with: source.range.byteValues()[part.from])
                if round > 0 { try mirror.take(source.range, seed: 1) }
                if round == 2 { try mirror.take(target.range, seed: 2) }
                try mirror.expectDone(
                    .copy(
                        from.handle.bytes(source.range, part.from), to: to.handle,
                        at: target.range.address + UInt64(part.to)), "bytes \(part.from) are copied")
                expect(target.range.byteValues() == expected, "exactly these bytes are changed")
                source.range.expectHolds(seed: 1, "the source is as it was")
            }
        }
        try mirror.expectDone(
            .copy(
                to.handle.bytes(target.range, 0..<4096), to: to.handle, at: target.range.address + 4096),
            "a copy within a region is done")
        expect(
            target.range.page(0).wordValues() == target.range.page(1).wordValues(), "both pages are the same then")
    }
    + onOwnDevice(
        "mirror-odp/other-device", "The engine reads and writes what another device holds", needs: []
    ) { memory, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        let region = try mirror.register(buffer.range)
        let other = try memory.open(second: true)
        try other.take(buffer.range, seed: 1)
        try mirror.expectEngineReads(buffer.range, of: region.handle, seed: 1, "the engine reads every page")
        try other.take(buffer.range, seed: 1)
        try mirror.engineFills(buffer.range, of: region.handle, seed: 2)
        buffer.range.expectHolds(seed: 2, "the CPU reads what the engine wrote")
        _ = try other.migrate(buffer.range, .toSystem)
    }
    + onOwnDevice(
        "mirror-odp/untouched", "Memory without a page reads as zero and takes what is written", on: [.private]
    ) {
        _, mirror in
        let buffer = try MappedBuffer.anonymous(pages: 16)
        let region = try mirror.register(buffer.range)
        let image = try MappedBuffer.filled(pages: 8, seed: 0xbad)
        let half = buffer.range.pages(from: 0, count: 8)
        try mirror.expectDone(.read(region.handle.bytes(half), into: image.range.pointer), "eight pages are read")
        image.range.expectZero("they are zero")
        try mirror.engineFills(buffer.range, of: region.handle, seed: 1)
        buffer.range.expectHolds(seed: 1, "the CPU reads what the engine wrote, also where it had read before")
        let other = try MappedBuffer.anonymous(pages: 1)
        other.range.expectZero("the page that all zeros are read from is zero still")
    }
    + onOwnDevice(
        "mirror-odp/thp", "The engine finds the right part of a transparent huge page, and leaves it whole",
        on: [.private], needs: [.thp]
    ) { _, mirror in
        let buffer = try MappedBuffer.transparentHuge(hugePages: 2)
        buffer.range.fill(seed: 1)
        try buffer.range.expectSmaps("AnonHugePages", buffer.range.size, "the memory is in huge pages")
        let region = try mirror.register(buffer.range)
        try mirror.expectEngineReads(buffer.range, of: region.handle, seed: 1, "the engine reads every page")
        try mirror.engineFills(buffer.range, of: region.handle, seed: 2)
        buffer.range.expectHolds(seed: 2, "the CPU reads what the engine wrote")
        try buffer.range.expectSmaps("AnonHugePages", buffer.range.size, "the huge pages are still whole")
    }
    + onOwnDevice(
        "mirror-odp/file", "What the engine writes to a shared mapping is in the file", on: [.private]
    ) { _, mirror in
        let file = try ScratchFile(.tmpfs, pages: 16)
        try file.fill(seed: 1, pages: 16)
        let mapped = try MappedBuffer.file(file.descriptor, pages: 16, shared: true)
        let region = try mirror.register(mapped.range)
        try mirror.expectEngineReads(mapped.range, of: region.handle, seed: 1, "the engine reads the file")
        try mirror.engineFills(mapped.range.pages(from: 4, count: 4), of: region.handle, seed: 2)
        let again = try MappedBuffer.file(file.descriptor, pages: 16, shared: true, .read)
        again.range.pages(from: 4, count: 4).expectHolds(seed: 2, "another mapping has what the engine wrote")
        again.range.pages(from: 8, count: 8).expectHolds(seed: 1, firstPage: 8, "and the rest as it was")
        try file.resize(pages: 6)
        let image = try MappedBuffer.filled(pages: 4, seed: 0xbad)
        try mirror.expectFails(
            .badAddress, after: 2 * 4096,
            .read(region.handle.bytes(mapped.range, 16384..<32768), into: image.range.pointer),
            "what lies beyond the end that the file has now cannot be read")
        image.range.pages(from: 0, count: 2).expectHolds(seed: 2, "what lies before it is")
    }
    + onOwnDevice(
        "mirror-odp/lazy-free", "What the engine writes after MADV_FREE survives reclaim", on: [.private]
    ) { _, mirror in
        try Workers.stayOnOneProcessor()
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let region = try mirror.register(buffer.range, [.write, .prefetch])
        try buffer.advise(.free)
        try mirror.engineFills(buffer.range, of: region.handle, seed: 2)
        try buffer.advise(.pageOut)
        buffer.range.expectHolds(seed: 2, "the engine's data is there after reclaim")
    }
    + onOwnDevice(
        "mirror-odp/hole", "A request that meets a hole ends there, and says how far it came", on: [.private]
    ) { _, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        let region = try mirror.register(buffer.range)
        try buffer.unmap(buffer.range.pages(from: 4, count: 4))
        let image = try MappedBuffer.filled(pages: 16, seed: 3)
        let pointer = image.range.pointer
        let (handle, range) = (region.handle, buffer.range)
        func bytes(_ part: Range<Int>) -> RegionBytes { handle.bytes(range, part) }
        try mirror.expectFails(
            .badAddress, after: 8192, .read(bytes(8192..<40_000), into: pointer), "a read ends at the hole")
        expect(
            image.range.pages(from: 0, count: 2).wordValues() == buffer.range.pages(from: 2, count: 2).wordValues(),
            "what it read is in the buffer")
        image.range.pages(from: 2, count: 14).expectHolds(seed: 3, firstPage: 2, "and nothing else")
        try mirror.expectFails(.badAddress, .read(bytes(16384..<16385), into: pointer), "a read in the hole is refused")
        image.range.fill(seed: 3)
        try mirror.expectFails(
            .badAddress, after: 100, .write(bytes(16284..<50_000), from: pointer), "a write ends at the hole")
        try mirror.expectFails(
            .badAddress, .fetchAdd(1, to: region.handle, at: buffer.range.page(5).address), "there is nothing to add to"
        )
        try mirror.expectFails(
            .badAddress, after: 4096,
            .copy(bytes(40_960..<49_152), to: region.handle, at: buffer.range.page(3).address),
            "a copy ends where its destination does")
        try mirror.expectFails(
            .badAddress, .copy(bytes(12_288..<20_480), to: region.handle, at: buffer.range.page(13).address),
            "a copy from it is not begun")
        expect(
            buffer.range.page(3).wordValues() == buffer.range.page(10).wordValues(), "what was copied before is there")
        buffer.range.pages(from: 11, count: 5).expectHolds(seed: 1, firstPage: 11, "the rest was left alone")
        try buffer.replace(buffer.range.pages(from: 4, count: 4))
        try mirror.expectDone(.read(bytes(16384..<32768), into: pointer), "memory that comes there later is read")
        image.range.pages(from: 0, count: 4).expectZero("and is zero")
    }
    + onOwnDevice(
        "mirror-odp/protection", "The engine has the access that the mapping has, and loses it at once", on: [.private]
    ) { _, mirror in
        let buffer = try MappedBuffer.filled(pages: 8, seed: 1)
        let region = try mirror.register(buffer.range, [.write, .prefetch])
        let image = try MappedBuffer.filled(pages: 8, seed: 2)
        let pointer = image.range.pointer
        let (handle, range) = (region.handle, buffer.range)
        func bytes(_ part: Range<Int>) -> RegionBytes { handle.bytes(range, part) }
        try buffer.protect(buffer.range.pages(from: 4, count: 4), .read)
        try mirror.expectFails(
            .notPermitted, after: 4096, .write(bytes(12_288..<32768), from: pointer),
            "a write ends at what is read-only")
        try mirror.expectFails(
            .notPermitted, .fetchAdd(1, to: region.handle, at: buffer.range.page(4).address), "so does an addition")
        try mirror.expectFails(
            .notPermitted, .copy(bytes(0..<4096), to: region.handle, at: buffer.range.page(4).address), "so does a copy"
        )
        try mirror.expectDone(.read(bytes(0..<32768), into: pointer), "everything can be read")
        try mirror.expectFails(
            .notPermitted, .fetchAdd(1, to: region.handle, at: buffer.range.page(5).address),
            "what was read is read-only still")
        image.range.fill(seed: 2)
        buffer.range.pages(from: 4, count: 4).expectHolds(seed: 1, firstPage: 4, "nothing was written")
        try buffer.protect(.none)
        try mirror.expectFails(.badAddress, .read(bytes(0..<4096), into: pointer), "without access nothing is read")
        try mirror.expectFails(.badAddress, .read(bytes(16384..<16392), into: pointer), "wherever it is")
        try mirror.expectFails(
            .badAddress, .fetchAdd(1, to: region.handle, at: buffer.range.address), "nor added to")
        try buffer.protect(.readWrite)
        buffer.range.pages(from: 4, count: 4).expectHolds(seed: 1, firstPage: 4, "the contents are right")
        try mirror.expectDone(.write(bytes(16384..<32768), from: pointer), "with access everything can be written")
    }
    + onOwnDevice(
        "mirror-odp/read-only-region", "Through a region for reading nothing is written", on: [.private]
    ) { _, mirror in
        let buffer = try MappedBuffer.filled(pages: 4, seed: 1)
        let readable = try mirror.register(buffer.range, [])
        let writable = try mirror.register(buffer.range)
        let image = try MappedBuffer.filled(pages: 4, seed: 2)
        let pointer = image.range.pointer
        // Entries that may be written must not help: they are of the other region.
        try mirror.engineFills(buffer.range, of: writable.handle, seed: 1)
        for _ in 0..<2 {
            try mirror.expectFails(
                .notPermitted, .write(readable.handle.bytes(buffer.range), from: pointer), "a write is refused")
            try mirror.expectFails(
                .notPermitted, .fetchAdd(1, to: readable.handle, at: buffer.range.address), "so is an addition")
            try mirror.expectFails(
                .notPermitted,
                .copy(
                    writable.handle.bytes(buffer.range, 0..<100), to: readable.handle,
                    at: buffer.range.page(2).address), "so is a copy to it")
            try mirror.expectDone(
                .copy(
                    readable.handle.bytes(buffer.range, 0..<100), to: writable.handle,
                    at: buffer.range.address + 200), "a copy from it is not")
            buffer.range.fill(seed: 1)
            try mirror.expectEngineReads(buffer.range, of: readable.handle, seed: 1, "everything can be read")
        }
        buffer.range.expectHolds(seed: 1, "nothing was written")
    }
