// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Regions: what they count, where they end, and what they are refused for.
let onDemandRegionTests: [GuestTest] =
    onOwnDevice(
        "mirror-odp/counters", "A page is faulted in once, and again only after its entry was taken away",
        on: [.private]
    ) { _, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        let region = try mirror.register(buffer.range)
        var before = try region.counters()
        expectEqual(before.presentPages, 0, "there is no entry before the first request")
        expectEqual(before.faults, 0, "nor a fault")
        expectEqual(before.parts, 1, "a region has one notifier")
        for (round, faults) in [1, 0].enumerated() {
            for page in 0..<16 {
                let done = try mirror.expectDone(
                    .fetchAdd(0, to: region.handle, at: buffer.range.page(page).address), "page \(page) is used")
                expectEqual(done.faults, faults, "page \(page) is faulted in in round 0 only, this is round \(round)")
            }
            let now = try region.counters()
            expectEqual(now.faults, 16, "the region counts sixteen faults")
            expectEqual(now.presentPages, 16, "and sixteen entries")
            expectEqual(now.requests, UInt64(16 * (round + 1)), "and every request")
            expect(now.longestFault > 0, "a fault takes time")
        }
        let changes: [(DeviceStatistics.Event, (borrowing MappedBuffer) throws -> Void)] = [
            (.clear, { try $0.advise(.dontNeed, $0.range.pages(from: 0, count: 4)) }),
            (.protectionOfMapping, { try $0.protect($0.range.pages(from: 4, count: 4), .read) }),
            (.unmap, { try $0.unmap($0.range.pages(from: 8, count: 4)) }),
        ]
        for (index, (event, change)) in changes.enumerated() {
            before = try region.counters()
            try change(buffer)
            let after = try region.counters()
            expect(
                after.invalidations(by: event) > before.invalidations(by: event),
                "an invalidation by \(event) is counted")
            expectEqual(after.presentPages, 16 - 4 * (index + 1), "four entries are gone, and no others")
            expectEqual(after.faults, 16, "nothing is faulted in for that")
        }
        let again = try mirror.expectDone(
            .fetchAdd(0, to: region.handle, at: buffer.range.page(1).address), "a page that was dropped is used")
        expectEqual(again.faults, 1, "it is faulted in")
        buffer.range.pages(from: 12, count: 4).expectHolds(seed: 1, firstPage: 12, "the contents are right")
        expectEqual(try region.deregister().requests, 33, "the last answer counts every request")
    }
    + onOwnDevice(
        "mirror-odp/prefetch", "Prefetching faults in what can be, and leaves out what cannot", on: [.private]
    ) {
        _, mirror in
        let buffer = try MappedBuffer.filled(pages: 64, seed: 1)
        try buffer.unmap(buffer.range.pages(from: 16, count: 16))
        try buffer.protect(buffer.range.pages(from: 48, count: 16), .none)
        let region = try mirror.register(buffer.range, [.write, .prefetch])
        expectEqual(try region.counters().presentPages, 32, "every page that is there has an entry")
        for page in [0, 15, 32, 47] {
            let done = try mirror.expectDone(
                .fetchAdd(1, to: region.handle, at: buffer.range.page(page).address), "page \(page) is used")
            expectEqual(done.faults, 0, "without a fault")
        }
        try mirror.expectFails(
            .badAddress, .fetchAdd(1, to: region.handle, at: buffer.range.page(16).address), "the hole is one")
        try buffer.protect(buffer.range.pages(from: 0, count: 16), .read)
        let readable = try mirror.register(buffer.range.pages(from: 0, count: 16), .prefetch)
        expectEqual(try readable.counters().presentPages, 16, "memory to be read is faulted in as well")
        let untouched = try MappedBuffer.anonymous(pages: 8)
        let fresh = try mirror.register(untouched.range, [.write, .prefetch])
        expectEqual(try fresh.counters().presentPages, 8, "so is memory that nobody has used")
        untouched.range.expectZero("it is zero")
    }
    + onOwnDevice(
        "mirror-odp/whole-address-space", "A region of the whole address space grows as it is used", on: [.private]
    ) { _, mirror in
        let region = try mirror.registerAddressSpace()
        expectEqual(try region.counters().parts, 0, "there is nothing of it at first")
        let near = try MappedBuffer.filled(pages: 20_000, seed: 1)
        let far = try ScratchFile(.tmpfs, pages: 4)
        try far.fill(seed: 2, pages: 4)
        let mapped = try MappedBuffer.file(far.descriptor, pages: 4, shared: true)
        try mirror.expectEngineReads(mapped.range, of: region.handle, seed: 2, "the engine reads a file's mapping")
        let first = try region.counters().parts
        expect(first > 0, "there are parts where the engine was")
        for page in [0, 10_000, 19_999] {
            try mirror.engineFills(near.range.page(page), of: region.handle, seed: UInt64(page + 3))
            near.range.page(page).expectHolds(seed: UInt64(page + 3), "the CPU reads what the engine wrote")
        }
        expect(try region.counters().parts > first, "80 MiB take more of them")
        // Across wherever two parts meet.
        let image = try MappedBuffer.filled(pages: 16, seed: 0xbad)
        for page in stride(from: 100, to: 19_900, by: 16) where page % 1024 < 16 {
            try mirror.expectDone(
                .read(region.handle.bytes(near.range.pages(from: page, count: 16)), into: image.range.pointer),
                "sixteen pages are read")
            image.range.expectHolds(seed: 1, firstPage: page, "they are right")
        }
        try mirror.expectFails(
            .badAddress, .read(RegionBytes(region.handle, 4096, count: 8), into: image.range.pointer),
            "address 4096 is not mapped")
        try mirror.expectFails(
            .badAddress, .read(RegionBytes(region.handle, 0x7fff_ffff_e000, count: 8), into: image.range.pointer),
            "nor is the end of the address space")
    }
    + onOwnDevice(
        "mirror-odp/part-borders", "A request may lie across parts of the address space", on: [.private]
    ) { _, mirror in
        // 33 MiB hold a multiple of 16 MiB with room on both sides, wherever the kernel puts them.
        let buffer = try smallPages(33 * 256)
        let region = try mirror.registerAddressSpace()
        let border = (buffer.range.address / (16 << 20) + 2) * (16 << 20)
        let start = Int((border - buffer.range.address) / 4096) - 4
        let around = buffer.range.pages(from: start, count: 8)
        around.fill(seed: 1)
        let image = try MappedBuffer.filled(pages: 8, seed: 0xbad)
        try mirror.expectDone(.read(region.handle.bytes(around), into: image.range.pointer), "a read crosses it")
        image.range.expectHolds(seed: 1, "every byte is right")
        image.range.fill(seed: 2)
        try mirror.expectDone(.write(region.handle.bytes(around), from: image.range.pointer), "a write crosses it")
        around.expectHolds(seed: 2, "every byte is right")
        expectEqual(try region.counters().presentPages, 8, "entries are counted on both sides")
        try buffer.unmap(around)
        expectEqual(try region.counters().presentPages, 0, "an unmap takes them from both sides")
        try mirror.expectFails(
            .badAddress, .read(region.handle.bytes(around), into: image.range.pointer), "nothing is left there")
    }
    + onOwnDevice("mirror-odp/ended", "Requests that name a region that ended are not accepted", on: [.private]) {
        _, mirror in
        let buffer = try MappedBuffer.filled(pages: 4, seed: 1)
        let ended = try mirror.register(buffer.range)
        let living = try mirror.register(buffer.range)
        let handle = ended.handle
        _ = try ended.deregister()
        for gone in [handle, .init(rawValue: 0), .init(rawValue: 123_456)] {
            expectRefused(.noEntry, "a read of region \(gone.rawValue) is refused") { () throws(MirrorError) in
                try mirror.post([WorkRequest(1, .read(gone.bytes(buffer.range), into: nil))])
            }
            expectRefused(.noEntry, "so is a copy to it") { () throws(MirrorError) in
                try mirror.post([
                    WorkRequest(
                        1, .copy(living.handle.bytes(buffer.range, 0..<8), to: gone, at: buffer.range.page(1).address))
                ])
            }
        }
        let done = try mirror.expectDone(
            .fetchAdd(1, to: living.handle, at: buffer.range.address), "the other region is there")
        expectEqual(done.old, PagePattern.word(seed: 1, page: 0, word: 0), "and works")
        let other = try MirrorDevice(unit: 0)
        expectRefused(.noEntry, "another descriptor knows neither") { () throws(MirrorError) in
            try other.post([WorkRequest(1, .fetchAdd(1, to: living.handle, at: buffer.range.address))])
        }
    }
    + onOwnDevice("mirror-odp/outside", "Requests for what is not the region's are not accepted", on: [.private]) {
        _, mirror in
        let buffer = try MappedBuffer.filled(pages: 48, seed: 1)
        let inner = buffer.range.pages(from: 4, count: 36)
        let region = try mirror.register(inner)
        let handle = region.handle
        let whole = try mirror.registerAddressSpace()
        let image = try MappedBuffer.filled(pages: 48, seed: 2)
        let pointer = image.range.pointer
        let end = inner.address + inner.byteCount
        let wrong: [(WorkRequest.Operation, String)] = [
            (.read(RegionBytes(handle, inner.address - 1, count: 2), into: pointer), "one byte before"),
            (.read(RegionBytes(handle, end - 1, count: 2), into: pointer), "one byte behind"),
            (.write(RegionBytes(handle, end, count: 1), from: pointer), "the first behind"),
            (.read(RegionBytes(handle, .max - 3, count: 8), into: pointer), "around the end"),
            (.read(RegionBytes(whole.handle, .max - 3, count: 8), into: pointer), "around the end of everything"),
            (.read(RegionBytes(handle, inner.address, count: 0), into: pointer), "nothing"),
            (
                .read(RegionBytes(handle, inner.address, count: MirrorDevice.mostRequestBytes + 1), into: pointer),
                "too much"
            ),
            (.fetchAdd(1, to: handle, at: inner.address + 4), "a word that is not aligned"),
            (.fetchAdd(1, to: handle, at: end), "a word behind"),
            (.copy(handle.bytes(inner, 0..<4096), to: handle, at: inner.address + 4095), "a copy onto itself"),
            (.copy(handle.bytes(inner, 4095..<8191), to: handle, at: inner.address), "and the other way round"),
            (.copy(handle.bytes(inner, 0..<8), to: whole.handle, at: inner.address + 7), "in whatever region"),
            (.copy(handle.bytes(inner, 0..<8), to: handle, at: end - 7), "a destination that ends behind"),
        ]
        for (operation, what) in wrong {
            expectRefused(.invalidArgument, "\(what) is refused") { () throws(MirrorError) in
                try mirror.post([WorkRequest(1, operation)])
            }
        }
        expectEqual(try mirror.poll().pending, 0, "nothing was queued")
        buffer.range.expectHolds(seed: 1, "nothing was written")
        image.range.expectHolds(seed: 2, "nor read")
        let some: [WorkRequest.Operation] = [
            .fetchAdd(0, to: handle, at: inner.address), .fetchAdd(0, to: handle, at: inner.address + 4),
            .fetchAdd(0, to: handle, at: inner.address),
        ]
        expectEqual(
            try mirror.post(some.map { WorkRequest(7, $0) }), 1, "what comes before a wrong request is queued")
        expectEqual(try mirror.drain(1).map(\.id), [7], "and done")
        try mirror.expectDone(
            .read(
                RegionBytes(handle, end - MirrorDevice.mostRequestBytes, count: MirrorDevice.mostRequestBytes),
                into: pointer),
            "the most bytes up to the last are read")
    }
    + onOwnDevice("mirror-odp/region-limit", "A descriptor has so many regions and no more", on: [.private]) {
        _, mirror in
        let buffer = try MappedBuffer.filled(pages: 4, seed: 1)
        let other = try MirrorDevice(unit: 0)
        let last = try other.register(buffer.range)
        for _ in 1..<MirrorDevice.mostRegions { try other.register(buffer.range).leaveToClose() }
        expectRefused(.noSpace, "one more is refused") { () throws(MirrorError) in
            try other.register(buffer.range).leaveToClose()
        }
        try other.expectDone(.fetchAdd(0, to: last.handle, at: buffer.range.address), "the regions work")
        _ = try last.deregister()
        let again = try other.register(buffer.range)
        try other.expectDone(.fetchAdd(0, to: again.handle, at: buffer.range.address), "there is room for one again")
        try buffer.advise(.dontNeed)
        let zero = try other.expectDone(
            .fetchAdd(1, to: again.handle, at: buffer.range.address), "the newest has lost its entry like all others")
        expectEqual(zero.old, 0, "what was dropped is zero")
    }
