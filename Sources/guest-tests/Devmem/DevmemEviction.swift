// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Pages leave the device whoever they belong to.
let devmemEvictionTests: [GuestTest] =
    onOwnDevice("devmem/evict-all", "Every page of the device can be sent back at once") { memory, mirror in
        let buffer = try wideBuffer()
        buffer.range.fill(seed: 1)
        try mirror.take(buffer.range, seed: 1)
        try mirror.fill(buffer.range, seed: 2)
        let before = try mirror.statistics(reset: true)
        expectEqual(before.evicted, 0, "nothing was evicted before")
        expectEqual(
            try mirror.evict(), Eviction(pages: wideSpan, isComplete: true), "every page of the device leaves it")
        expectEqual(try mirror.statistics().evicted, UInt64(wideSpan), "the device counts them")
        try buffer.range.expectPlace(.system, "every page is back")
        buffer.range.expectHolds(seed: 2, "what the device wrote came along")
        expectEqual(try mirror.evict(), Eviction(pages: 0, isComplete: true), "there is nothing left to evict")
        try mirror.take(buffer.range, seed: 2)
        try buffer.range.expectPlace(memory.place, "the device takes them again")
    }
    + onOwnDevice("devmem/evict-range", "A run of device frames can be sent back, and no page beside it") {
        memory, mirror in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let frames = try buffer.range.places().map(\.frame)
        let sorted = frames.compactMap { $0 }.sorted()
        try require(sorted.count == span, "every page has a frame")
        let run = sorted[20]..<(sorted[59] + 1)
        let chosen = frames.map { frame in frame.map(run.contains) == true }
        let count = chosen.count { $0 }
        expectEqual(
            try mirror.evict(frames: run), Eviction(pages: count, isComplete: true), "the pages of the run leave")
        expectEqual(
            try buffer.range.places().map(\.kind), chosen.map { $0 ? .system : memory.place },
            "exactly these are back")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice("devmem/evict-nothing", "Frames that are not the device's are passed over") { _, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        let other = try MappedBuffer.filled(pages: 16, seed: 2)
        try mirror.take(buffer.range, seed: 1)
        let before = try buffer.range.places()
        let systemFrame = try requireValue(try other.range.places()[0].frame, "a system page has a frame")
        for first in [systemFrame, UInt64(1) << 51] {
            expectEqual(
                try mirror.evict(frames: first..<(first + 512)), Eviction(pages: 0, isComplete: true),
                "nothing is there to evict")
        }
        try buffer.range.expectUnmoved(since: before, "the device's pages are where they were")
        try other.range.expectPlace(.system, "so are those of system memory")
        other.range.expectHolds(seed: 2, "with their contents")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice(
        "devmem/evict-pinned", "A page that DMA holds stays on the device and is evicted once it lets go",
        on: [.coherent]
    ) { memory, mirror in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let pin = try mirror.pin(buffer.range.page(70), .write)
        expectEqual(
            try mirror.evict(within: 100), Eviction(pages: span - 1, isComplete: false), "all pages leave but one")
        expectEqual(
            try buffer.range.places().map(\.kind), (0..<span).map { $0 == 70 ? .coherent : .system },
            "the one that is held stays")
        try pin.release()
        expectEqual(try mirror.evict(), Eviction(pages: 1, isComplete: true), "once nobody holds it, it leaves")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice("devmem/evict-shared", "An evicted page that parent and child share is back for both") {
        _, mirror in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let child = try Child { parent in
            try parent.wait()
            try buffer.range.expectPlace(.system, "the child's pages are back")
            buffer.range.expectHolds(seed: 1, "the child has the contents")
        }
        expectEqual(
            try mirror.evict(), Eviction(pages: span, isComplete: true), "each page leaves once for both processes")
        try buffer.range.expectPlace(.system, "the parent's pages are back")
        expect(try !buffer.range.pagemap().contains(where: \.isExclusivelyMapped), "both share every page")
        try child.channel.signal()
        try child.expectPassed()
        buffer.range.expectHolds(seed: 1, "the parent has the contents")
    }
    + onOwnDevice(
        "devmem/remove-live-of-20",
        "The pages of twenty processes are back in each when the device gives its memory up",
        timeoutMilliseconds: 60_000
    ) { memory, mirror in
        try withTwentyHolders(of: memory) {
            try mirror.expectHeld(20 * 40, "the device holds the pages of all processes")
            for chunk in try PhysicalMemory.current().mirrorChunks {
                // Those of the other devices are not found here.
                do throws(MirrorError) {
                    expectEqual(try mirror.removeChunk(chunk), .removed, "each piece of memory goes")
                } catch {
                    try require(error.code == .noEntry, "nothing else refuses the removal", "\(error)")
                }
            }
            let information = try mirror.information()
            expectEqual(information.chunks, 0, "the device has no memory left")
            expectEqual(information.heldPages, 0, "and holds no page")
        }
    }
    + onOwnDevice(
        "devmem/unplug-live-of-20", "The pages of twenty processes are back in each when the device is unplugged",
        timeoutMilliseconds: 60_000
    ) { memory, mirror in
        try withTwentyHolders(of: memory) {
            try mirror.unplug()
            let information = try mirror.information()
            expectEqual(information.state, .unplugged, "the device is unplugged and not lost")
            expectEqual(information.chunks, 0, "it has no memory left")
        }
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        expectRefused(.noDevice, "an unplugged device takes nothing") { () throws(MirrorError) in
            try mirror.migrate(buffer.range, .toDevice)
        }
        expectRefused(.noDevice, "and gets no memory") { () throws(MirrorError) in
            try mirror.addChunk(pages: ownChunkPages)
        }
        try buffer.range.expectPlace(.system, "the pages stayed where they were")
        try mirror.replug()
        try mirror.take(buffer.range, seed: 1)
        try buffer.range.expectPlace(memory.place, "it works again when it is back")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }

extension PhysicalMemory {
    /// Every piece of memory of a driver of this kind.
    fileprivate var mirrorChunks: [DeviceChunk] {
        regions.filter { $0.name.contains("dmirror") }.map {
            DeviceChunk(firstFrame: $0.bytes.lowerBound >> 12, pages: $0.bytes.count >> 12)
        }
    }
}

/// Twenty processes have 40 pages on the device each; after `body` each finds them in system memory as they were.
private func withTwentyHolders(
    of memory: DeviceMemory, file: String = #fileID, line: Int = #line, _ body: () throws -> Void
) throws {
    try withHolders(20, of: memory, file: file, line: line, body)
}

private func withHolders(
    _ left: Int, of memory: DeviceMemory, file: String, line: Int, _ body: () throws -> Void
) throws {
    guard left > 0 else { return try body() }
    // Each child is the parent's, and one owner of a child cannot be kept in an array.
    let child = try Child(file: file, line: line) { parent in
        let seed = UInt64(left)
        let buffer = try MappedBuffer.filled(pages: 40, seed: seed)
        do {
            let own = try memory.open()
            try own.take(buffer.range, seed: seed)
            try own.fill(buffer.range.pages(from: 0, count: 20), seed: seed + 100)
        }
        try buffer.range.expectPlace(memory.place, "the child's pages are on the device")
        try parent.signal()
        try parent.wait()
        try buffer.range.expectPlace(.system, "the child's pages are back")
        buffer.range.pages(from: 0, count: 20).expectHolds(seed: seed + 100, "with what its device wrote")
        buffer.range.pages(from: 20, count: 20).expectHolds(
            seed: seed, firstPage: 20, "and what the child itself wrote")
    }
    try child.channel.wait(file: file, line: line)
    try withHolders(left - 1, of: memory, file: file, line: line, body)
    try child.channel.signal(file: file, line: line)
    try child.expectPassed(file: file, line: line)
}
