// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit
import Synchronization

/// The pages of the memory that a device gets by itself: 256 MiB.
let ownChunkPages = 65536

/// Device memory comes and goes piece by piece.
let devmemChunkTests: [GuestTest] =
    onOwnDevice(
        "devmem/chunk-add-remove", "Private memory is added and removed piece by piece, as /proc/iomem shows",
        on: [.private]
    ) { _, mirror in
        let before = try mirror.information()
        var added: [DeviceChunk] = []
        for pages in [512, 1024, ownChunkPages] {
            let chunk = try mirror.addChunk(pages: pages)
            try chunk.expectClaimed(true, "the piece of \(pages) pages is the driver's")
            expect(!added.contains { $0.frames.overlaps(chunk.frames) }, "the pieces do not overlap")
            added.append(chunk)
        }
        let grown = try mirror.information()
        expectEqual(grown.chunks, before.chunks + 3, "the device has three pieces more")
        expectEqual(grown.pages, before.pages + 1536 + ownChunkPages, "with all their pages")
        expectEqual(grown.freePages, before.freePages + 1536 + ownChunkPages, "which nobody uses")
        // Not in the order in which they came.
        for chunk in [added[1], added[0], added[2]] {
            expectEqual(try mirror.removeChunk(chunk), .removed, "a piece that nobody uses goes")
            try chunk.expectClaimed(false, "its addresses are free again")
            expectRefused(.noEntry, "it is gone") { () throws(MirrorError) in try mirror.removeChunk(chunk) }
        }
        let after = try mirror.information()
        expectEqual(after.chunks, before.chunks, "the device has the pieces it had")
        expectEqual(after.pages, before.pages, "with their pages")
    }
    + onOwnDevice(
        "devmem/chunk-sizes", "A piece of private memory has a size of its own kind, and no other is taken",
        on: [.private]
    ) { _, mirror in
        let before = try mirror.information()
        for pages in [0, 1, 511, 513, 262_144 + 512, Int.max] {
            expectRefused(.invalidArgument, "\(pages) pages are refused") { () throws(MirrorError) in
                try mirror.addChunk(pages: pages)
            }
        }
        let largest = try mirror.addChunk(pages: 262_144)
        expectEqual(try mirror.removeChunk(largest), .removed, "1 GiB is a size")
        for frame in [0, 1, UInt64.max] {
            expectRefused(.noEntry, "no piece begins at frame \(frame)") { () throws(MirrorError) in
                try mirror.removeChunk(DeviceChunk(firstFrame: frame, pages: 512))
            }
        }
        let chunk = try mirror.addChunk(pages: 1024)
        expectRefused(.noEntry, "a piece goes as a whole") { () throws(MirrorError) in
            try mirror.removeChunk(DeviceChunk(firstFrame: chunk.firstFrame + 512, pages: 512))
        }
        expectEqual(try mirror.removeChunk(chunk), .removed, "as this one does")
        expectEqual(try mirror.information().pages, before.pages, "the device has the pages it had")
    }
    + onOwnDevice(
        "devmem/chunk-coherent", "Coherent memory is removed and added whole, in its one place", on: [.coherent]
    ) { _, mirror in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let chunk = try requireValue(try chunks(holding: buffer.range).first, "the pages lie in a piece of memory")
        expectEqual(chunk.pages, ownChunkPages, "the piece has 256 MiB")
        expectRefused(.busy, "there is no second piece") { () throws(MirrorError) in
            try mirror.addChunk(pages: ownChunkPages)
        }
        expectEqual(try mirror.removeChunk(chunk), .removed, "the piece goes")
        try chunk.expectClaimed(false, "its addresses are free again")
        try buffer.range.expectPlace(.system, "the pages are back")
        for pages in [512, ownChunkPages / 2, ownChunkPages * 2] {
            expectRefused(.invalidArgument, "\(pages) pages are refused") { () throws(MirrorError) in
                try mirror.addChunk(pages: pages)
            }
        }
        expectEqual(try mirror.addChunk(pages: ownChunkPages), chunk, "it comes back to its place")
        try mirror.take(buffer.range, seed: 1)
        try buffer.range.expectPlace(.coherent, "and takes pages")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice("devmem/grow-on-demand", "A device without memory gets a piece when a page is to move") {
        memory, mirror in
        try mirror.release()
        let empty = try mirror.information()
        expectEqual(empty.chunks, 0, "the device has no memory")
        expectEqual(empty.pages, 0, "and no pages")
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let grown = try mirror.information()
        expectEqual(grown.chunks, 1, "it has got a piece")
        expectEqual(grown.pages, ownChunkPages, "of 256 MiB")
        try buffer.range.expectPlace(memory.place, "the pages are there")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice(
        "devmem/grow-further", "A device whose private memory runs out in the middle of a request gets more",
        on: [.private]
    ) { _, mirror in
        try mirror.release()
        let chunk = try mirror.addChunk(pages: 512)
        let buffer = try wideBuffer()
        buffer.range.fill(seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let grown = try mirror.information()
        expectEqual(grown.pages, 512 + ownChunkPages, "the device has got a second piece")
        let holders = try chunks(holding: buffer.range)
        // The addresses that a piece is given may be more than it uses.
        expect(holders.contains { $0.firstFrame == chunk.firstFrame }, "the first piece holds some of the pages")
        expectEqual(holders.count, 2, "the second one the others")
        try mirror.expectContents(buffer.range, seed: 1, "the device's memory holds what was written")
        expectEqual(try mirror.removeChunk(chunk), .removed, "the small piece goes")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice(
        "devmem/chunk-remove-live", "The pages of a piece of memory that goes are back in system memory as they were"
    ) { memory, mirror in
        let buffer = try wideBuffer()
        buffer.range.fill(seed: 1)
        try mirror.take(buffer.range, seed: 1)
        try mirror.fill(buffer.range, seed: 2)
        try buffer.range.expectPlace(memory.place, "the pages are on the device")
        for chunk in try chunks(holding: buffer.range) {
            expectEqual(try mirror.removeChunk(chunk), .removed, "a piece goes although its pages are in use")
            try chunk.expectClaimed(false, "its addresses are free again")
        }
        try buffer.range.expectPlace(.system, "every page is back")
        try mirror.expectHeld(0, "no device page is in use")
        buffer.range.expectHolds(seed: 2, "what the device wrote came along")
        try mirror.expectReads(buffer.range, seed: 2, "the device reads the pages where they are now")
    }
    + onOwnDevice(
        "devmem/chunk-remove-pinned", "A piece of memory with a page that DMA holds stays until it lets go",
        on: [.coherent]
    ) { _, mirror in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let chunk = try requireValue(try chunks(holding: buffer.range).first, "the pages lie in a piece of memory")
        let pin = try mirror.pin(buffer.range.pages(from: 40, count: 3), .write)
        expectEqual(pin.coherentPages, 3, "the pin holds device pages")
        expectEqual(try mirror.removeChunk(chunk, within: 100), .inUse(pages: 3), "the piece stays for these pages")
        try chunk.expectClaimed(true, "its addresses are still the driver's")
        expectEqual(
            try buffer.range.places().map(\.kind), (0..<span).map { (40..<43).contains($0) ? .coherent : .system },
            "all other pages are back")
        buffer.range.expectHolds(seed: 1, "the contents are right")
        try pin.release()
        try mirror.take(buffer.range, seed: 1)
        expectEqual(try mirror.removeChunk(chunk), .removed, "the piece goes when nobody holds its pages")
        try buffer.range.expectPlace(.system, "every page is back")
        buffer.range.expectHolds(seed: 1, "the contents are right still")
    }
    + onOwnDevice(
        "devmem/chunk-storm", "Pieces of memory come and go while threads move their pages there and back",
        needs: [.smp], timeoutMilliseconds: 120_000
    ) { memory, mirror in
        let workers = 3
        let buffer = try MappedBuffer.filled(pages: workers * 64, seed: 1)
        let isOver = Atomic(false)
        let trips = Atomic(0)
        try Workers.run(workers + 1) { worker in
            guard worker < workers else {
                defer { isOver.store(true, ordering: .releasing) }
                // Whatever ends the others ends this as well.
                for round in 0..<25 where !isOver.load(ordering: .acquiring) {
                    try mirror.exchangeMemory(memory, small: round % 2 == 0)
                    let before = trips.load(ordering: .relaxed)
                    while trips.load(ordering: .relaxed) == before, !isOver.load(ordering: .acquiring) { sched_yield() }
                }
                return
            }
            defer { isOver.store(true, ordering: .releasing) }
            let own = buffer.range.pages(from: worker * 64, count: 64)
            while !isOver.load(ordering: .acquiring) {
                let there = try mirror.migrate(own, .toDevice)
                own.page(worker).touch()
                _ = try mirror.migrate(own, .toSystem)
                guard expectNone(own.mismatch(seed: 1, firstPage: worker * 64), "the contents are right") else {
                    return
                }
                if there.count(of: .moved) > 0 { trips.add(1, ordering: .relaxed) }
            }
        }
        expect(trips.load(ordering: .relaxed) >= 25, "pages moved to the device in between")
        try mirror.release()
        try buffer.range.expectPlace(.system, "every page is back")
        buffer.range.expectHolds(seed: 1, "the contents are right at the end")
    }

extension DeviceChunk {
    /// Whether a driver of this kind has the piece's addresses, by /proc/iomem.
    func expectClaimed(
        _ isClaimed: Bool, _ sentence: String, file: String = #fileID, line: Int = #line
    ) throws {
        let memory = try PhysicalMemory.current()
        for frame in [frames.lowerBound, frames.upperBound - 1] {
            expectEqual(memory.isMirrorMemory(frame: frame), isClaimed, sentence, file: file, line: line)
        }
    }
}

extension MirrorDevice {
    /// Adds and removes pieces of memory while others use the device.
    fileprivate func exchangeMemory(_ memory: DeviceMemory, small: Bool) throws {
        switch memory {
        case .private where small:
            let chunk = try addChunk(pages: 512)
            expectEqual(try removeChunk(chunk), .removed, "a piece goes although pages move in and out")
        case .private, .coherent:
            // All there is; who needs memory then adds some.
            try release()
        }
    }
}
