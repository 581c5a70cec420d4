// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Memory that is not to be had, and copies that fail.
let devmemFailureTests: [GuestTest] =
    onOwnDevice(
        "devmem/exhaustion", "When the device is full the rest of a range stays where it was, and all of it is usable",
        on: [.coherent], timeoutMilliseconds: 120_000
    ) { _, mirror in
        let room = 100
        let filler = try MappedBuffer.anonymous(pages: ownChunkPages - room)
        try filler.advise(.noHugePage)
        try mirror.release()
        let filled = try mirror.migrate(filler.range, .toDevice)
        try require(filled.count(of: .moved) == ownChunkPages - room, "the device takes pages until it is nearly full")
        expectEqual(try mirror.information().freePages, room, "only a few pages are free")
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let before = try buffer.range.places()
        try mirror.expectMigration(buffer.range, .toDevice, "what there is room for moves, and not the rest") {
            $0 < room ? .moved : .noMemory
        }
        try mirror.expectHeld(ownChunkPages, "the device is full")
        let stayed = buffer.range.pages(from: room, count: span - room)
        try stayed.expectUnmoved(since: Array(before[room...]), "the rest is in its frames")
        try buffer.range.pages(from: 0, count: room).expectPlace(.coherent, "the other pages are on the device")
        try mirror.expectTakeRefused(.noEntry, stayed, "a second attempt is refused as well")
        try mirror.expectReads(buffer.range, seed: 1, "the device reads pages here and there")
        try mirror.fill(buffer.range, seed: 2)
        buffer.range.expectHolds(seed: 2, "the CPU reads what the device wrote here and there")
        try filler.advise(.dontNeed)
        try mirror.take(buffer.range, seed: 2)
        try buffer.range.expectPlace(.coherent, "once there is room every page moves")
        buffer.range.expectHolds(seed: 2, "the contents are right")
    }
    + onOwnDevice(
        "devmem/allocation-fails-there",
        "Whichever allocation fails on the way to the device, only its page stays behind"
    ) { memory, mirror in
        let pages = 24
        let buffer = try alignedBuffer()
        let range = buffer.range.pages(from: 0, count: pages)
        range.fill(seed: 1)
        try eachFailure { nth in
            try mirror.inject(Injection(failingAllocation: UInt64(nth)))
            let failing = nth - 1
            try mirror.expectMigration(range, .toDevice, "page \(failing) stays behind and no other") {
                $0 == failing ? .noMemory : .moved
            }
            try range.expectPlaces("pages are where they are said to be") { $0 == failing ? .system : memory.place }
            try mirror.expectHeld(failing < pages ? pages - 1 : pages, "the device holds what moved")
            try mirror.inject(Injection())
            try mirror.expectReads(range, seed: 1, "the device reads pages here and there")
            range.expectHolds(seed: 1, "the contents are right")
            expect(try mirror.evict().isComplete, "every page comes back")
            return failing >= pages
        }
    }
    + onOwnDevice(
        "devmem/allocation-fails-back",
        "Whichever allocation fails on the way back, the pages stay on the device intact"
    ) { memory, mirror in
        let pages = 24
        let buffer = try alignedBuffer()
        let range = buffer.range.pages(from: 0, count: pages)
        range.fill(seed: 1)
        try eachFailure { nth in
            try mirror.take(range, seed: 1)
            try mirror.inject(Injection(failingAllocation: UInt64(nth)))
            let isFailing = nth <= pages
            // All of these pages are in one batch, and one that cannot come back keeps the batch.
            try mirror.expectMigration(range, .toSystem, "all pages come back or none") { _ in
                isFailing ? .noMemory : .moved
            }
            try range.expectPlaces("pages are where they are said to be") { _ in isFailing ? memory.place : .system }
            try mirror.expectHeld(isFailing ? pages : 0, "the device holds what did not move")
            if isFailing {
                try mirror.expectContents(range, seed: 1, "the device's memory holds what was written")
            }
            try mirror.inject(Injection())
            _ = try mirror.migrate(range, .toSystem)
            try range.expectPlace(.system, "the next attempt brings every page back")
            range.expectHolds(seed: 1, "the contents are right")
            return !isFailing
        }
    }
    + onOwnDevice(
        "devmem/allocation-fails-evict",
        "Whichever allocation fails, an eviction brings the page back in its next attempt"
    ) { _, mirror in
        let pages = 24
        let buffer = try alignedBuffer()
        let range = buffer.range.pages(from: 0, count: pages)
        range.fill(seed: 1)
        try eachFailure { nth in
            try mirror.take(range, seed: 1)
            try mirror.inject(Injection(failingAllocation: UInt64(nth)))
            let isFailing = nth <= pages
            expectEqual(
                try mirror.evict(), Eviction(pages: isFailing ? pages - 1 : pages, isComplete: !isFailing),
                "one page stays, or none")
            try mirror.expectHeld(isFailing ? 1 : 0, "the device holds what did not move")
            expectEqual(
                try mirror.evict(), Eviction(pages: isFailing ? 1 : 0, isComplete: true), "the next attempt brings it")
            try range.expectPlace(.system, "every page is back")
            range.expectHolds(seed: 1, "the contents are right")
            return !isFailing
        }
    }
    + onOwnDevice(
        "devmem/allocation-fails-huge", "Memory of a huge page's size moves whichever allocation fails", needs: [.thp],
        timeoutMilliseconds: 120_000
    ) { memory, mirror in
        let pages = MappedBuffer.pagesPerHugePage
        // The first attempt is for the whole page; a refusal just means small ones.
        for nth in [1, 2, 3, 257, pages, pages + 1, pages + 2] {
            // New each time: memory that was small pages stays so.
            let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
            buffer.range.fill(seed: 1)
            try buffer.range.expectFlags(.transparentHuge, "the memory is a huge page")
            try mirror.inject(Injection(failingAllocation: UInt64(nth)))
            let there = try mirror.migrate(buffer.range, .toDevice)
            expect(there.count(of: .moved) >= pages - 1, "at most one page stays behind", "\(nth): \(there.outcomes)")
            try mirror.expectHeld(there.count(of: .moved), "the device holds what moved")
            try mirror.inject(Injection())
            try mirror.expectReads(buffer.range, seed: 1, "the device reads every page")
            try mirror.inject(Injection(failingAllocation: UInt64(nth)))
            _ = try mirror.migrate(buffer.range, .toSystem)
            try mirror.inject(Injection())
            _ = try mirror.migrate(buffer.range, .toSystem)
            try buffer.range.expectPlace(.system, "every page comes back, at the second attempt if not at the first")
            try mirror.expectHeld(0, "the device holds none")
            buffer.range.expectHolds(seed: 1, "the contents are right")
        }
    }
    + onOwnDevice(
        "devmem/thp-fault-in-parts",
        "A huge page that the CPU touches comes back in small pages when there is no memory for a huge one",
        on: [.private], needs: [.thp]
    ) { _, mirror in
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        buffer.range.fill(seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let isWhole = try mirror.information().largePages > 1
        _ = try mirror.statistics(reset: true)
        if isWhole { try mirror.inject(Injection(failingAllocation: 1)) }
        let page = buffer.range.page(300)
        page.expectHolds(seed: 1, firstPage: 300, "the page has its contents")
        expectEqual(try mirror.statistics().cpuFaults, 1, "the first fault brings it")
        buffer.range.expectHolds(seed: 1, "the other pages have theirs")
        try mirror.expectHeld(0, "nothing is left on the device")
    }
    + onOwnDevice(
        "devmem/copy-fails-there", "A page whose copy to the device fails stays where it was, and its neighbours move"
    ) { memory, mirror in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        for failing in [0, 1, 77, span - 1] {
            let before = try buffer.range.places()
            _ = try mirror.statistics(reset: true)
            try mirror.inject(Injection(failingCopy: UInt64(failing + 1)))
            try mirror.expectMigration(buffer.range, .toDevice, "page \(failing) stays behind and no other") {
                $0 == failing ? .copyFailed : .moved
            }
            expectEqual(try mirror.statistics().copyErrors, 1, "the device counts the error")
            try buffer.range.expectPlaces("pages are where they are said to be") {
                $0 == failing ? .system : memory.place
            }
            expectEqual(try buffer.range.page(failing).places()[0], before[failing], "the page is in its frame")
            try mirror.inject(Injection())
            try mirror.take(buffer.range, seed: 1)
            expect(try mirror.evict().isComplete, "every page comes back")
            buffer.range.expectHolds(seed: 1, "the contents are right")
        }
    }
    + onOwnDevice(
        "devmem/copy-fails-back", "A page whose copy from the device fails stays there intact, and its neighbours move"
    ) { memory, mirror in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        for failing in [0, 1, 77, span - 1] {
            try mirror.take(buffer.range, seed: 1)
            try mirror.inject(Injection(failingCopy: UInt64(failing + 1)))
            try mirror.expectMigration(buffer.range, .toSystem, "page \(failing) stays behind and no other") {
                $0 == failing ? .copyFailed : .moved
            }
            try buffer.range.expectPlaces("pages are where they are said to be") {
                $0 == failing ? memory.place : .system
            }
            try mirror.expectContents(
                buffer.range.page(failing), seed: 1, firstPage: failing, "the device's memory holds what was written")
            try mirror.inject(Injection())
            buffer.range.expectHolds(seed: 1, "the contents are right once the device works again")
        }
    }
    + onOwnDevice("devmem/clear-fails", "Memory without a page gets none when the device cannot make zeros") {
        memory, mirror in
        let buffer = try MappedBuffer.anonymous(pages: span)
        try buffer.advise(.noHugePage)
        try mirror.inject(Injection(failingCopy: 31))
        let outcomes = try mirror.migrate(buffer.range, .toDevice).outcomes
        let missing = outcomes.indices.filter { outcomes[$0] == .copyFailed }
        expectEqual(missing.count, 1, "one page is missing")
        expectEqual(outcomes.count { $0 == .moved }, span - 1, "all others are there")
        try buffer.range.expectPlaces("the CPU's page table agrees") { missing.contains($0) ? .nothing : memory.place }
        try mirror.inject(Injection())
        try mirror.takeZero(buffer.range)
        buffer.range.expectZero("every page reads as zero")
    }

/// Repeats a step with the first allocation failing, with the second one, and so on, until it says that none did.
private func eachFailure(_ step: (_ nth: Int) throws -> Bool) throws {
    for nth in 1...1000 {
        if try step(nth) {
            expect(nth > 1, "an allocation failed before")
            return
        }
    }
    expect(false, "there is an end of allocations")
}

extension PageRange {
    /// Each page is in its own place, by pagemap.
    fileprivate func expectPlaces(
        _ sentence: String, file: String = #fileID, line: Int = #line, _ expected: (Int) -> PagePlace.Kind
    ) throws {
        let kinds = try places(file: file, line: line).map(\.kind)
        expectEqual(kinds.count, count, "every page is looked at", file: file, line: line)
        let wrong = kinds.indices.first { kinds[$0] != expected($0) }
        expectNone(
            wrong.map { "page \($0) is in \(kinds[$0].rawValue), not in \(expected($0).rawValue)" }, sentence,
            file: file, line: line)
    }
}
