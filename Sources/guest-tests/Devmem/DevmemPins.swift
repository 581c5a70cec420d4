// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Pages that a driver holds for DMA, and why a page does not move.
let devmemPinTests: [GuestTest] =
    onOwnDevice("devmem/pin-keeps", "Pages that DMA holds stay in their frames until it lets go") { memory, mirror in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let before = try buffer.range.places()
        let held = buffer.range.pages(from: 60, count: 20)
        let pin = try mirror.pin(held)
        expectEqual(pin.systemPages, 20, "the pin holds system memory")
        expectEqual(pin.coherentPages, 0, "and nothing else")
        try mirror.expectMigration(buffer.range, .toDevice, "pages that are held stay, and their neighbours move") {
            (60..<80).contains($0) ? .pinned : .moved
        }
        try held.expectUnmoved(since: Array(before[60..<80]), "they are in their frames")
        try mirror.fill(held, seed: 2, firstPage: 60)
        held.expectHolds(seed: 2, firstPage: 60, "they can be read and written")
        try pin.release()
        try mirror.expectMigration(buffer.range, .toDevice, "once nobody holds them they move") {
            (60..<80).contains($0) ? .moved : .there
        }
        try buffer.range.expectPlace(memory.place, "all pages are on the device")
        held.expectHolds(seed: 2, firstPage: 60, "the contents are right")
        buffer.range.pages(from: 0, count: 60).expectHolds(seed: 1, "so are those of the others")
    }
    + onOwnDevice("devmem/pin-brings-back", "DMA for long never holds device memory: its pages come back first") {
        memory, mirror in
        // What another processor has in its batches for the LRU lists has one reference more, and would not move.
        try Workers.stayOnOneProcessor()
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let pin = try mirror.pin(buffer.range)
        expectEqual(pin.systemPages, span, "the pin holds system memory")
        try buffer.range.expectPlace(.system, "the pages are back")
        try mirror.expectHeld(0, "the device holds none")
        try mirror.expectMigration(buffer.range, .toDevice, "none goes to the device") { _ in .pinned }
        try pin.release()
        try mirror.take(buffer.range, seed: 1)
        try buffer.range.expectPlace(memory.place, "once nobody holds them they do")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice("devmem/pin-short", "Short DMA holds coherent memory in place and brings private memory back") {
        memory, mirror in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let before = try buffer.range.places()
        let pin = try mirror.pin(buffer.range, .write)
        switch memory {
        case .private:
            expectEqual(pin.systemPages, span, "the pin holds system memory")
            try buffer.range.expectPlace(.system, "private pages are back")
        case .coherent:
            expectEqual(pin.coherentPages, span, "the pin holds device memory")
            try buffer.range.expectUnmoved(since: before, "coherent pages are where they were")
            try mirror.expectMigration(buffer.range, .toSystem, "they stay while they are held") { _ in .pinned }
        }
        try pin.release()
        _ = try mirror.migrate(buffer.range, .toSystem)
        try buffer.range.expectPlace(.system, "once nobody holds them every page comes back")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice("devmem/pin-outlives-descriptor", "What DMA holds stays held when the descriptor is closed") {
        memory, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        let pin: PinnedPages
        do {
            let passing = try memory.open()
            pin = try passing.pin(buffer.range)
        }
        try mirror.expectMigration(buffer.range, .toDevice, "the pages are still held") { _ in .pinned }
        try pin.release()
        try mirror.take(buffer.range, seed: 1)
        let process = try Child { parent in
            let own = try MappedBuffer.filled(pages: 16, seed: 2)
            let device = try memory.open()
            try device.take(own.range, seed: 2)
            let held = try device.pin(own.range, .write)
            expectEqual(held.coherentPages, memory == .coherent ? 16 : 0, "the child's pages are held")
            // Without the owners' clean-up: the last close of the file has to let go.
            exitNow()
        }
        try process.expectPassed()
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice("devmem/pin-refused", "What cannot be held is refused, and nothing is held then") { _, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try buffer.unmap(buffer.range.page(8))
        try buffer.protect(buffer.range.pages(from: 12, count: 4), .read)
        expectRefused(.badAddress, "a range with a hole is refused") { () throws(MirrorError) in
            _ = try mirror.pin(buffer.range.pages(from: 0, count: 12)).systemPages
        }
        expectRefused(.badAddress, "memory that may not be written is refused for writing") { () throws(MirrorError) in
            _ = try mirror.pin(buffer.range.pages(from: 12, count: 4)).systemPages
        }
        expectRefused(.invalidArgument, "no page is no range") { () throws(MirrorError) in
            _ = try mirror.pin(buffer.range.pages(from: 0, count: 0)).systemPages
        }
        expectRefused(.invalidArgument, "more than the most is refused") { () throws(MirrorError) in
            _ = try mirror.pin(buffer.range.pages(from: 0, count: MirrorDevice.mostPinnedPages + 1)).systemPages
        }
        try mirror.take(buffer.range.pages(from: 0, count: 8), seed: 1)
        try mirror.take(buffer.range.pages(from: 12, count: 4), seed: 1, firstPage: 12)
        buffer.range.pages(from: 0, count: 8).expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice("devmem/reasons", "A migration says of each page why it moved or stayed") { memory, mirror in
        let file = try ScratchFile(.tmpfs, pages: 16)
        try file.fill(seed: 2, pages: 16)
        let mapped = try MappedBuffer.file(file.descriptor, pages: 16, shared: true)
        mapped.range.expectHolds(seed: 2, "the file is mapped")
        try mirror.expectMigration(mapped.range, .toDevice, "pages of a file stay") { _ in .mapping }
        try mirror.expectMigration(mapped.range, .toSystem, "they are where they would go") { _ in .there }
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let other = try memory.open(second: true)
        try other.take(buffer.range.pages(from: 0, count: 10), seed: 1)
        try mirror.take(buffer.range.pages(from: 10, count: 10), seed: 1, firstPage: 10)
        try buffer.advise(.dontNeed, buffer.range.pages(from: 20, count: 10))
        let pin = try mirror.pin(buffer.range.pages(from: 30, count: 10))
        // The private memory of another device is nothing that this one could tell from no page.
        let reasons: (Int) -> Migration.Outcome = { page in
            switch page {
            case 0..<10: memory == .private ? .none : .otherDevice
            case 10..<20: .there
            case 30..<40: .pinned
            default: .moved
            }
        }
        try mirror.expectMigration(buffer.range, .toDevice, "each page has its own reason", reasons)
        try pin.release()
        try buffer.advise(.dontNeed, buffer.range.pages(from: 20, count: 10))
        try mirror.expectMigration(buffer.range, .toSystem, "and so on the way back") { page in
            switch page {
            case 0..<10: memory == .private ? .none : .there
            case 30..<40: .there
            case 20..<30: .none
            default: .moved
            }
        }
        buffer.range.pages(from: 30, count: span - 30).expectHolds(seed: 1, firstPage: 30, "the contents are right")
        buffer.range.pages(from: 0, count: 20).expectHolds(seed: 1, "on both sides of what was dropped")
        buffer.range.pages(from: 20, count: 10).expectZero("which is zero")
    }
    + onOwnDevice(
        "devmem/reason-large",
        "Pages of a large folio that is mapped page by page say so where the base cannot split it",
        needs: [.thp]
    ) { memory, mirror in
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        buffer.range.fill(seed: 1)
        let part = buffer.range.pages(from: 100, count: 10)
        // That takes the huge mapping apart and leaves the folio whole.
        try buffer.protect(part, .read)
        try buffer.protect(part, .readWrite)
        try part.expectFlags(.transparentHuge, "the pages are parts of a large folio")
        // Device-private folios of PMD size came with 6.19, and with them the split, which a series may bring to older
        // kernels; 6.1 does not let a module count all mappings of a folio, which then looks as if somebody held it.
        let version = KernelVersion.running
        let outcomes: [Migration.Outcome?] =
            version >= KernelVersion(6, 19) ? [.moved] : version >= KernelVersion(6, 12) ? [.large, .moved] : [.pinned]
        let found = Set(try mirror.migrate(part, .toDevice).outcomes)
        expect(found.count == 1 && found.isSubset(of: outcomes), "each page says what became of it", "\(found)")
        try part.expectPlace(
            found.contains(.moved) ? memory.place : .system, "the pages are where they are said to be")
        try mirror.expectReads(part, seed: 1, firstPage: 100, "the device reads them there")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice(
        "devmem/reason-writeback", "Pages that are being written to disk stay and say so, until they are written",
        needs: [.nullBlock], timeoutMilliseconds: 120_000
    ) { memory, mirror in
        try Workers.stayOnOneProcessor()
        let swap = try SlowSwap()
        let buffer = try smallPages(32)
        let written = buffer.range.pages(from: 8, count: 8)
        func isInFlight(_ flags: KernelPages.Flags?) -> Bool { flags?.contains(.writeback) == true }
        var isWritten = true
        // Everything is done again when the writing was over too early; the host's time limit ends this.
        while isWritten {
            _ = try mirror.migrate(buffer.range, .toSystem)
            // A page that is being written from the turn before is not written again.
            while try written.frameFlags().contains(where: isInFlight) { usleep(10_000) }
            buffer.range.fill(seed: 1)
            try buffer.advise(.pageOut, written)
            // The advice may leave out a page that somebody holds at that moment.
            guard try written.places().allSatisfy({ $0.kind == .swap }) else { continue }
            written.expectHolds(seed: 1, firstPage: 8, "their contents are there")
            try written.expectPlace(.system, "the pages are mapped again")
            let result = try mirror.migrate(buffer.range, .toDevice)
            isWritten = try !written.frameFlags().allSatisfy(isInFlight)
            if isWritten { continue }
            for page in 0..<32 {
                expectEqual(
                    result.outcomes[page], (8..<16).contains(page) ? .writeback : .moved,
                    "page \(page) says what became of it")
            }
            expectEqual(result.count(of: .writeback), 8, "so does the count")
        }
        while try written.frameFlags().contains(where: isInFlight) { usleep(10_000) }
        // A read alone brings a page back read-only on older kernels.
        written.fill(seed: 1, firstPage: 8)
        // What was just written can be in the list of a processor, which holds it, until somebody empties all lists.
        var result = try mirror.migrate(buffer.range, .toDevice)
        for _ in 0..<20 where result.outcomes.contains(.pinned) {
            try Shell.run("echo 1 > /proc/sys/vm/compact_memory")
            result = try mirror.migrate(buffer.range, .toDevice)
        }
        expect(
            result.outcomes.allSatisfy { $0 == .moved || $0 == .there }, "pages that are written move",
            "\(result.outcomes)")
        try buffer.range.expectPlace(memory.place, "all pages are on the device")
        buffer.range.expectHolds(seed: 1, "the contents are right")
        _ = consume swap
    }
    + onOwnDevice(
        "devmem/thp-pinned-neighbours", "Small pages move although a pinned huge page lies before them", needs: [.thp]
    ) { memory, mirror in
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        buffer.range.fill(seed: 1)
        try buffer.range.expectSmaps("AnonHugePages", buffer.range.size, "the memory is a huge page")
        let half = buffer.range.count / 2
        let upper = buffer.range.pages(from: half, count: half)
        let pinned = try mirror.pin(buffer.range.page(7), .write)
        // Pinned, it cannot be split: what is faulted in there now is small, and has the same page table.
        try buffer.advise(.dontNeed, upper)
        upper.fill(seed: 1, firstPage: half)
        try mirror.expectMigration(buffer.range, .toDevice, "what is left of the huge page stays, and nothing else") {
            $0 < half ? .pinned : .moved
        }
        try upper.expectPlace(memory.place, "the small pages are on the device")
        buffer.range.expectHolds(seed: 1, "the contents are right")
        try pinned.release()
    }
    + onOwnDevice("devmem/refused-ranges", "A range that cannot move at all is refused as such") { _, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try buffer.unmap(buffer.range.page(8))
        for direction in [Migration.Direction.toDevice, .toSystem] {
            expectRefused(.invalidArgument, "a range with a hole is refused") { () throws(MirrorError) in
                try mirror.migrate(buffer.range, direction)
            }
            expectRefused(.invalidArgument, "an empty range is refused") { () throws(MirrorError) in
                try mirror.migrate(buffer.range.pages(from: 0, count: 0), direction)
            }
        }
        _ = try mirror.migrate(buffer.range.pages(from: 0, count: 8), .toSystem)
        buffer.range.pages(from: 0, count: 8).expectHolds(seed: 1, "the contents are right")
        let untouched = try MappedBuffer.anonymous(pages: 16)
        try mirror.expectMigration(untouched.range, .toSystem, "there is nothing to bring back") { _ in .none }
        try mirror.expectMigration(untouched.range, .toDevice, prefault: true, "what was faulted in first moves") { _ in
            .moved
        }
        untouched.range.expectZero("and is zero")
    }
    + onOwnDevice("devmem/prefault", "A migration can be told to fault a range in first") { memory, mirror in
        let file = try ScratchFile(.tmpfs, pages: 16)
        try file.fill(seed: 2, pages: 16)
        let mapped = try MappedBuffer.file(file.descriptor, pages: 16, shared: true)
        try mirror.expectMigration(mapped.range, .toDevice, "there is no page in the page table yet") { _ in .none }
        try mirror.expectMigration(mapped.range, .toDevice, prefault: true, "now there is, and it stays") { _ in
            .mapping
        }
        try mapped.range.expectPlace(.system, "the file's pages are mapped")
        mapped.range.expectHolds(seed: 2, "the contents are right")
    }
