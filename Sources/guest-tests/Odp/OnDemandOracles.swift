// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// What an engine must never see or do after a call of the process has returned.
let onDemandOracleTests: [GuestTest] =
    onBothRegions("mirror-odp/generation", "An engine never reads what was there before munmap returned") {
        buffer, region, mirror in
        var random = RandomSource(seed: stormSeed())
        let image = try MappedBuffer.anonymous(pages: 1)
        var (found, missing) = (0, 0)
        for generation: UInt64 in 1...150 {
            var reads = StampReads(of: buffer.range, region, into: image.range)
            image.range.fill(seed: 0xbad)
            buffer.range.stamp(generation)
            _ = try mirror.post(reads.next(40, notBefore: generation, &random))
            // In the middle of their work.
            let early = random.once(in: 4) ? [] : try mirror.poll(most: 1, within: 5).completions
            try buffer.unmap(buffer.range)
            _ = try mirror.post(reads.next(40, notBefore: generation + 1, &random))
            try buffer.replace(buffer.range)
            _ = try mirror.post(reads.next(40, notBefore: generation + 1, &random))
            buffer.range.stamp(generation + 1)
            _ = try mirror.post(reads.next(40, notBefore: generation + 1, &random))
            for completion in early + (try mirror.drain(reads.all.count - early.count)) {
                let read = reads.all[Int(completion.id)]
                if completion.error == .badAddress || completion.error == .busy {
                    missing += 1
                    continue
                }
                expect(completion.error == nil, "a read fails only for a hole", "\(completion)")
                let word = image.range.word(Int(completion.id))
                // Zero is memory that has no stamp yet.
                if word == 0 { continue }
                found += 1
                let stamp = Stamp(word)
                expect(
                    stamp.page == UInt64(read.page) && stamp.generation >= read.oldest
                        && stamp.generation <= generation + 1,
                    "a read returns the page's stamp, and none that is older than the read",
                    "page \(stamp.page) of generation \(stamp.generation) instead of page \(read.page) of \(read.oldest) or later"
                )
            }
        }
        expect(found > 0, "reads found stamps")
        expect(missing > 0, "reads found a hole")
    }
    + onBothRegions("mirror-odp/discarded", "An engine never reads what was there before MADV_DONTNEED returned") {
        buffer, region, mirror in
        var random = RandomSource(seed: stormSeed())
        let image = try MappedBuffer.anonymous(pages: 1)
        for generation: UInt64 in 1...150 {
            buffer.range.stamp(generation)
            let pages = 0..<buffer.range.count
            let operations = pages.map { page in
                WorkRequest.Operation.read(
                    region.bytes(buffer.range.page(page), 512..<520), into: image.range.pointer.map { $0 + 8 * page })
            }
            try mirror.submit(operations)
            // In the middle of their work.
            let early = random.once(in: 4) ? [] : try mirror.poll(most: 1, within: 5).completions
            try buffer.advise(.dontNeed)
            let before = early + (try mirror.drain(pages.count - early.count))
            expect(
                pages.allSatisfy { [0, Stamp(generation: generation, page: $0).word].contains(image.range.word($0)) },
                "a read before that finds the stamp or nothing", "\(before)")
            for completion in try mirror.complete(operations) {
                let word = image.range.word(Int(completion.id))
                expect(completion.error == nil && word == 0, "a read after that finds nothing", "\(Stamp(word))")
            }
        }
    }
    + onOwnDevice(
        "mirror-odp/moved", "An engine never finds memory where it was before mremap returned", on: [.private]
    ) { _, mirror in
        let buffer = try smallPages(32)
        let region = try mirror.register(buffer.range)
        let (home, away) = (buffer.range.pages(from: 0, count: 16), buffer.range.pages(from: 16, count: 16))
        let image = try MappedBuffer.anonymous(pages: 16)
        for round: UInt64 in 1...20 {
            home.fill(seed: round)
            let reads = (0..<16).map { page in
                WorkRequest.Operation.read(region.handle.bytes(home.page(page)), into: image.range.page(page).pointer)
            }
            try mirror.submit(reads)
            try buffer.move(home, onto: away)
            for completion in try mirror.drain(16) where completion.error == nil {
                let page = Int(completion.id)
                image.range.page(page).expectHolds(seed: round, firstPage: page, "a read before that is right")
            }
            let additions = (0..<16).map { page in
                WorkRequest.Operation.fetchAdd(1, to: region.handle, at: home.page(page).address)
            }
            for completion in try mirror.complete(reads + additions) {
                expect(completion.error == .badAddress, "a request after that finds nothing", "\(completion)")
            }
            try mirror.expectEngineReads(away, of: region.handle, seed: round, "the memory is at its new place")
            try buffer.move(away, onto: home)
            try mirror.expectEngineReads(home, of: region.handle, seed: round, "and at its old one again")
        }
    }
    + onBothRegions("mirror-odp/write-protect", "An engine never writes after mprotect to read-only has returned") {
        buffer, region, mirror in
        var random = RandomSource(seed: stormSeed())
        let image = try MappedBuffer.anonymous(pages: 1)
        let (range, pointer) = (buffer.range, image.range.pointer)
        let read = { (page: Int) in WorkRequest.Operation.read(region.bytes(range.page(page), 0..<64), into: pointer) }
        var reads: [WorkRequest.Operation] = []
        var written = 0
        for round: UInt64 in 1...60 {
            let writes = (0..<80).map { index in
                let page = buffer.range.page(Int.random(in: 0..<buffer.range.count, using: &random))
                let word = page.address + UInt64(8 * index)
                return WorkRequest.Operation.fetchAdd(round, to: region, at: word)
            }
            try mirror.submit(writes)
            let early = random.once(in: 4) ? [] : try mirror.poll(most: 1, within: 5).completions
            try buffer.protect(.read)
            let before = buffer.range.wordValues()
            // Half of the pages are there for reading then.
            if round % 2 == 0 { reads = stride(from: 0, to: 32, by: 2).map(read) } else { reads = [] }
            if !reads.isEmpty { try mirror.submit(reads, from: 200) }
            try mirror.submit(writes, from: 100)
            for completion in early + (try mirror.drain(2 * writes.count + reads.count - early.count)) {
                if completion.id < 100 {
                    written += completion.error == nil ? 1 : 0
                    expect(
                        completion.error == nil || completion.error == .notPermitted || completion.error == .busy,
                        "a write before that is done or refused", "\(completion)")
                } else if completion.id >= 200 {
                    expect(completion.error == nil, "a read is done", "\(completion)")
                } else {
                    expect(
                        completion.error == .notPermitted || completion.error == .busy, "a write after that is refused",
                        "\(completion)")
                }
            }
            expect(buffer.range.wordValues() == before, "and no byte changes any more")
            try buffer.protect(.readWrite)
        }
        expect(written > 0, "writes were done in between")
        try mirror.expectDone(.fetchAdd(1, to: region, at: buffer.range.address), "with access a write is done")
    }
    + onBothRegions("mirror-odp/fork-isolates", "What an engine writes after a fork never gets into the child") {
        buffer, region, mirror in
        var random = RandomSource(seed: stormSeed())
        for round: UInt64 in 1...12 {
            let writes = (0..<120).map { index in
                let page = buffer.range.page(Int.random(in: 0..<buffer.range.count, using: &random))
                return WorkRequest.Operation.fetchAdd(round, to: region, at: page.address + UInt64(8 * index))
            }
            try mirror.submit(writes)
            let child = try Child { parent in
                let atFork = buffer.range.wordValues()
                try parent.wait()
                expect(buffer.range.wordValues() == atFork, "the child has what was there at the fork")
                buffer.range.stamp(round)
                let own = try MirrorDevice(unit: 0)
                let copy = try own.register(buffer.range)
                _ = try own.complete((0..<32).map { .fetchAdd(1, to: copy.handle, at: buffer.range.page($0).address) })
                try parent.signal()
                try parent.wait()
                exitNow()
            }
            _ = try mirror.drain(writes.count)
            for completion in try mirror.complete(writes) {
                expect(completion.error == nil, "the engine goes on in the parent", "\(completion)")
            }
            let before = buffer.range.wordValues()
            try child.channel.signal()
            try child.channel.wait()
            expect(buffer.range.wordValues() == before, "the parent has nothing of what the child and its engine write")
            let image = try MappedBuffer.anonymous(pages: 1)
            for page in 0..<buffer.range.count {
                try mirror.expectDone(
                    .read(region.bytes(buffer.range.page(page), 512..<520), into: image.range.pointer), "a word is read"
                )
                expectEqual(image.range.word(0), before[page * 512 + 64], "nor does its engine read any of it")
            }
            try child.channel.signal()
            try child.expectPassed()
        }
    }
    + onOwnDevice(
        "mirror-odp/unreferenced", "Pages that an engine has entries for go wherever they are sent", needs: [.smp]
    ) { memory, mirror in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let region = try mirror.register(buffer.range, [.write, .prefetch])
        expectEqual(try region.counters().presentPages, span, "the engine has an entry for every page")
        let other = try memory.open(second: true)
        for round: UInt64 in 1...3 {
            try mirror.expectMigration(buffer.range, .toDevice, "every page moves to the device") { _ in .moved }
            try mirror.engineFills(buffer.range, of: region.handle, seed: 2 * round)
            expectEqual(try region.counters().presentPages, span, "the engine has an entry for every page")
            try buffer.range.expectPlace(memory.place, "no page moved for that")
            expectEqual(try mirror.evict(), Eviction(pages: span, isComplete: true), "every page can be evicted")
            try mirror.expectEngineReads(buffer.range, of: region.handle, seed: 2 * round, "the contents are right")
            try other.expectMigration(buffer.range, .toDevice, "every page moves to the other device") { _ in .moved }
            try other.expectMigration(buffer.range, .toSystem, "and back") { _ in .moved }
            try mirror.engineFills(buffer.range, of: region.handle, seed: 2 * round + 1)
            buffer.range.expectHolds(seed: 2 * round + 1, "the CPU reads what the engine wrote")
        }
        _ = try region.deregister()
        try mirror.expectMigration(buffer.range, .toDevice, "so it is when the region has ended") { _ in .moved }
        expect(try mirror.evict().isComplete, "and back")
    }
    + onOwnDevice(
        "mirror-odp/swap", "Pages that an engine has entries for can be swapped out, and come back for it",
        on: [.private], needs: [.swap]
    ) { _, mirror in
        try Workers.stayOnOneProcessor()
        let buffer = try MappedBuffer.anonymous(pages: span)
        let region = try mirror.register(buffer.range)
        for round: UInt64 in 1...3 {
            // New pages of the processor that this process is on: the advice finds no others at once.
            try buffer.advise(.dontNeed)
            buffer.range.fill(seed: round)
            try mirror.engineFills(buffer.range, of: region.handle, seed: round + 3)
            expectEqual(try region.counters().presentPages, span, "the engine has an entry for every page")
            try buffer.advise(.pageOut)
            try buffer.range.expectPlace(.swap, "the memory is in swap")
            expectEqual(try region.counters().presentPages, 0, "the engine has no entry")
            try mirror.expectEngineReads(
                buffer.range, of: region.handle, seed: round + 3, "the engine reads every page")
            try buffer.range.expectPlace(.system, "which brought it back")
            buffer.range.expectHolds(seed: round + 3, "the contents are right")
        }
    }

/// Makes one test with a region of 32 small pages, and one with a region of the whole address space.
private func onBothRegions(
    _ id: String, _ summary: String, file: String = #fileID, line: Int = #line,
    _ body:
        @escaping @Sendable (borrowing MappedBuffer, OnDemandRegion.Handle, borrowing MirrorDevice) throws -> Void
) -> [GuestTest] {
    onOwnDevice(
        id, summary, on: [.private], needs: [.smp], timeoutMilliseconds: 60_000, file: file, line: line
    ) { _, mirror in
        let buffer = try smallPages(32, file: file, line: line)
        let region = try mirror.register(buffer.range)
        try body(buffer, region.handle, mirror)
    }
        + onOwnDevice(
            "\(id)-whole", "\(summary) (a region of the whole address space)", on: [.private], needs: [.smp],
            timeoutMilliseconds: 60_000, file: file, line: line
        ) { _, mirror in
            let buffer = try smallPages(32, file: file, line: line)
            let region = try mirror.registerAddressSpace()
            try body(buffer, region.handle, mirror)
        }
}

/// A word that says which page it was written for, and when.
private struct Stamp {
    var generation: UInt64
    var page: UInt64

    init(generation: UInt64, page: Int) {
        self.generation = generation
        self.page = UInt64(page)
    }

    init(_ word: UInt64) {
        generation = word >> 16
        page = word & 0xffff
    }

    var word: UInt64 { generation << 16 | page }
}

extension PageRange {
    /// Puts a stamp into every page, where the tests look for it.
    fileprivate func stamp(_ generation: UInt64) {
        for index in 0..<count { page(index).setWord(64, Stamp(generation: generation, page: index).word) }
    }
}

/// Reads of random stamps, each into a place of its own.
private struct StampReads {
    private let range: PageRange
    private let region: OnDemandRegion.Handle
    private let image: PageRange
    /// The page of each read, and the oldest generation that it may find.
    private(set) var all: [(page: Int, oldest: UInt64)] = []

    init(of range: PageRange, _ region: OnDemandRegion.Handle, into image: PageRange) {
        self.range = range
        self.region = region
        self.image = image
    }

    /// Makes reads that may return no generation before `oldest`.
    mutating func next(_ count: Int, notBefore oldest: UInt64, _ random: inout RandomSource) -> [WorkRequest] {
        (0..<count).map { _ in
            let page = Int.random(in: 0..<range.count, using: &random)
            all.append((page, oldest))
            let number = all.count - 1
            return WorkRequest(
                UInt64(number),
                .read(region.bytes(range.page(page), 512..<520), into: image.pointer.map { $0 + 8 * number }))
        }
    }
}
