// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Failures on request.
let onDemandErrorTests: [GuestTest] =
    onOwnDevice(
        "mirror-odp/mapping-fails", "A page that cannot be mapped for DMA is an error of its request, and of no other",
        on: [.private]
    ) { _, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        let region = try mirror.register(buffer.range)
        let image = try MappedBuffer.filled(pages: 16, seed: 2)
        for nth in [1, 2, 7, 16] {
            try buffer.advise(.dontNeed)
            buffer.range.fill(seed: 1)
            image.range.fill(seed: 2)
            try mirror.inject(Injection(failingMapping: UInt64(nth)))
            let completions = try mirror.complete(
                (0..<16).map { .read(region.handle.bytes(buffer.range.page($0)), into: image.range.page($0).pointer) })
            let failed = completions.filter { $0.error != nil }
            expectEqual(failed.map(\.id), [UInt64(nth - 1)], "the request for page \(nth - 1) fails and no other")
            expect(failed.allSatisfy { $0.error == .inputOutput && $0.bytes == 0 }, "with EIO, and nothing is done")
            image.range.page(nth - 1).expectHolds(seed: 2, firstPage: nth - 1, "nothing came into its buffer")
            try mirror.expectEngineReads(buffer.range, of: region.handle, seed: 1, "the next attempt reads every page")
        }
        for nth in [1, 2, 7, 16] {
            try buffer.advise(.dontNeed)
            buffer.range.fill(seed: 1)
            image.range.fill(seed: 2)
            try mirror.inject(Injection(failingMapping: UInt64(nth)))
            try mirror.expectFails(
                .inputOutput, after: UInt64((nth - 1) * 4096),
                .write(region.handle.bytes(buffer.range), from: image.range.pointer), "a write ends at page \(nth - 1)")
            if nth > 1 { buffer.range.pages(from: 0, count: nth - 1).expectHolds(seed: 2, "it is written up to there") }
            buffer.range.pages(from: nth - 1, count: 17 - nth).expectHolds(
                seed: 1, firstPage: nth - 1, "and no further")
            try mirror.expectDone(
                .write(region.handle.bytes(buffer.range), from: image.range.pointer), "the next attempt writes all")
            buffer.range.expectHolds(seed: 2, "every page is right")
        }
    }
    + onOwnDevice(
        "mirror-odp/retries-used-up", "A fault that is overtaken as often as its region allows is told so, and in vain",
        on: [.private]
    ) { _, mirror in
        // The first write to a page that was only read replaces the zero page, and with that overtakes the look that it
        // is part of: always once, whatever else goes on.
        let buffer = try smallPages(6)
        buffer.range.expectZero("the pages are read")
        let image = try MappedBuffer.filled(pages: 2, seed: 1)
        let region = try mirror.register(buffer.range, retries: 1)
        let word = buffer.range.address
        let both = WorkRequest.Operation.write(
            region.handle.bytes(buffer.range.pages(from: 0, count: 2)), from: image.range.pointer)
        let copy = WorkRequest.Operation.copy(
            region.handle.bytes(buffer.range.pages(from: 0, count: 2)), to: region.handle,
            at: buffer.range.page(2).address)
        let last = WorkRequest.Operation.write(
            region.handle.bytes(buffer.range.pages(from: 4, count: 2)), from: image.range.pointer)
        try mirror.expectFails(.busy, .fetchAdd(1, to: region.handle, at: word), "an addition is in vain")
        buffer.range.expectZero("nothing is added")
        let added = try mirror.expectDone(.fetchAdd(1, to: region.handle, at: word), "the next one is not")
        expectEqual(added.old, 0, "it is the first")
        try mirror.expectFails(.busy, after: 4096, both, "a write ends at the page that it cannot have")
        buffer.range.page(0).expectHolds(seed: 1, "it is done up to there")
        buffer.range.pages(from: 1, count: 5).expectZero("and no further")
        try mirror.expectDone(both, "the next one is done")
        try mirror.expectFails(.busy, copy, "a copy is in vain")
        buffer.range.pages(from: 2, count: 4).expectZero("nothing is copied")
        try mirror.expectDone(copy, "the next one is done")
        buffer.range.pages(from: 2, count: 2).expectHolds(seed: 1, "it is right")
        expectEqual(try region.counters().retries, 0, "nothing was begun again")
        let patient = try mirror.register(buffer.range, retries: 2)
        try mirror.expectDone(
            .write(
                patient.handle.bytes(buffer.range.pages(from: 4, count: 2)), from: image.range.pointer),
            "two attempts are enough")
        // More than once if the kernel has moved a page meanwhile, as compaction does.
        expect(try patient.counters().retries >= 1, "the second one was needed")
        try mirror.expectDone(last, "nothing is in the way now")
        buffer.range.pages(from: 4, count: 2).expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice(
        "mirror-odp/secret-memory-refused", "The engine gets no page of secret memory", on: [.private],
        needs: [.secretMemory]
    ) { _, mirror in
        let file = try ScratchFile(.secret, pages: 16)
        let secret = try MappedBuffer.file(file.descriptor, pages: 16, shared: true)
        secret.range.fill(seed: 1)
        let region = try mirror.register(secret.range, [.write, .prefetch])
        let image = try MappedBuffer.filled(pages: 16, seed: 2)
        try mirror.expectFails(
            .badAddress, after: 0, .read(region.handle.bytes(secret.range), into: image.range.pointer),
            "it is not read")
        try mirror.expectFails(
            .badAddress, after: 0, .write(region.handle.bytes(secret.range), from: image.range.pointer),
            "nor written")
        secret.range.expectHolds(seed: 1, "it is as it was")
    }
    + onOwnDevice(
        "mirror-odp/mapping-fails-prefetch", "A region is made also where a page cannot be mapped for DMA",
        on: [.private]
    ) { _, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try mirror.inject(Injection(failingMapping: 5))
        let region = try mirror.register(buffer.range, [.write, .prefetch])
        try mirror.expectEngineReads(buffer.range, of: region.handle, seed: 1, "every page is read all the same")
    }
    + onOwnDevice("mirror-odp/lost", "The engine of a lost device does nothing and says so, until the device is back") {
        memory, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        let region = try mirror.register(buffer.range, [.write, .prefetch])
        let half = buffer.range.pages(from: 0, count: 8)
        try mirror.take(half, seed: 1)
        try mirror.expectEngineReads(half, of: region.handle, seed: 1, "the engine has entries")
        let image = try MappedBuffer.filled(pages: 16, seed: 2)
        try mirror.inject(Injection(isLost: true))
        for page in [0, 12] {
            let bytes = region.handle.bytes(buffer.range.page(page))
            try mirror.expectFails(.noDevice, .read(bytes, into: image.range.pointer), "it does not read")
            try mirror.expectFails(.noDevice, .write(bytes, from: image.range.pointer), "nor write")
            try mirror.expectFails(.noDevice, .fetchAdd(1, to: region.handle, at: bytes.address), "nor add")
            try mirror.expectFails(
                .noDevice, .copy(bytes, to: region.handle, at: buffer.range.page(5).address), "nor copy")
        }
        image.range.expectHolds(seed: 2, "nothing came into the buffer")
        let another = try mirror.register(buffer.range)
        try mirror.inject(Injection())
        try mirror.expectEngineReads(
            buffer.range, of: region.handle, seed: 1, "the device is back, and nothing is changed")
        try mirror.expectEngineReads(buffer.range, of: another.handle, seed: 1, "a region made meanwhile works as well")
        buffer.range.expectHolds(seed: 1, "the contents are right")
        if memory == .private { try mirror.expectHeld(0, "the CPU has brought its pages back") }
    }
    + onOwnDevice(
        "mirror-odp/lost-busy", "A device that is lost in the middle of its work ends every request", on: [.private]
    ) { _, mirror in
        let buffer = try MappedBuffer.filled(pages: 32, seed: 1)
        let region = try mirror.register(buffer.range)
        let copy = WorkRequest.Operation.copy(
            region.handle.bytes(buffer.range, 0..<65536), to: region.handle, at: buffer.range.page(16).address)
        var (done, refused) = (0, 0)
        for round in 0..<20 {
            try mirror.submit(.init(repeating: copy, count: 100))
            // Who sleeps for the first may be woken after the last: every second time nobody waits.
            let awaited = round % 2
            if awaited > 0 { _ = try mirror.drain(awaited) }
            try mirror.inject(Injection(isLost: true))
            for completion in try mirror.drain(100 - awaited) {
                if completion.error == nil { done += 1 } else { refused += 1 }
                expect(
                    completion.error == nil || completion.error == .noDevice, "a request is done or told of the loss",
                    "\(completion)")
            }
            try mirror.inject(Injection())
        }
        expect(refused > 0, "requests were told of the loss", "\(done) were done")
        try mirror.expectDone(copy, "the device works again")
        buffer.range.pages(from: 0, count: 16).expectHolds(seed: 1, "the source is as it was")
        expect(
            buffer.range.pages(from: 0, count: 16).wordValues() == buffer.range.pages(from: 16, count: 16).wordValues(),
            "the copy is right")
    }
