// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit
import Synchronization

/// Locks that somebody else holds.
///
/// A device that reads a lot of memory keeps its driver's lock, and everybody whom the driver's MMU notifier has to let
/// pass waits for it. That is long enough to meet what the kernel does under a lock or with a reference.
let migrateContentionTests: [GuestTest] = [
    GuestTest(
        "migrate/threads-same-page-private", "A page of device memory comes back that eight threads touch at once",
        needs: [.private, .smp], timeoutMilliseconds: 120_000
    ) {
        let buffer = try MappedBuffer.filled(pages: 1, seed: 1)
        let mirror = try DeviceMemory.private.open()
        let other = try BusyDevice(DeviceMemory.private.open(second: true))
        for _ in 0..<5 {
            try mirror.take(buffer.range, seed: 1)
            let before = try buffer.range.places()
            let threads = 8
            let finished = Atomic(0)
            // Whoever brings the page back waits for the other device once, behind a few of its reads.
            let patience = 300
            let reads = try other.keepBusy(
                beside: threads,
                until: { reads in
                    finished.load(ordering: .acquiring) == threads || reads >= patience
                }
            ) { thread in
                buffer.range.expectHolds(seed: 1, "thread \(thread) reads the contents")
                finished.add(1, ordering: .releasing)
            }
            expect(reads < patience, "the page is back before the other device has read \(patience) times")
            try buffer.range.expectMoved(since: before, "the page is back")
            try buffer.range.expectPlace(.system, "in system memory")
        }
    },
    GuestTest(
        "migrate/thp-busy-private", "A huge page that was locked when the device asked for it moves later",
        needs: [.private, .smp, .thp], timeoutMilliseconds: 120_000
    ) {
        let mirror = try DeviceMemory.private.open()
        let other = try BusyDevice(DeviceMemory.private.open())
        var met = 0
        for _ in 0..<50 where met < 5 {
            let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
            buffer.range.fill(seed: 1)
            try buffer.range.expectSmaps("AnonHugePages", buffer.range.size, "the memory is a huge page")
            let frame = try requireValue(try buffer.range.frames().first.flatMap { $0 }, "the page has a frame")
            let isSplit = Atomic(false)
            let wasBusy = Atomic(false)
            try other.keepBusy(beside: 2, until: { _ in isSplit.load(ordering: .acquiring) }) { thread in
                if thread == 0 {
                    defer { isSplit.store(true, ordering: .releasing) }
                    // Holds the page's lock while it waits for the device.
                    try buffer.advise(.cold, buffer.range.pages(from: 0, count: 8))
                } else {
                    while try !KernelPages.flags(ofFrame: frame).contains(.busy) {
                        if isSplit.load(ordering: .acquiring) { return }
                    }
                    let image = try MappedBuffer.anonymous(pages: buffer.range.count)
                    // What is locked does not move; what no longer is may.
                    _ = try? mirror.migrateToDevice(buffer.range, readingInto: image.range.pointer)
                    wasBusy.store(true, ordering: .relaxed)
                }
            }
            met += wasBusy.load(ordering: .relaxed) ? 1 : 0
            try mirror.take(buffer.range, seed: 1)
            try buffer.range.expectPlace(.privateWritable, "every part is in device memory")
            buffer.range.expectHolds(seed: 1, "the contents are right")
        }
        expect(met > 0, "the device asked for a locked page")
    },
]

/// A device whose driver's lock is held nearly all the time, by three threads that read 4 MiB of memory each.
private struct BusyDevice: ~Copyable, Sendable {
    private static let readers = 3
    private let mirror: MirrorDevice
    private let source: MappedBuffer
    private let target: MappedBuffer

    init(_ device: consuming MirrorDevice) throws {
        let pages = try MappedBuffer.anonymous(pages: 1024)
        let image = try MappedBuffer.anonymous(pages: 1024 * BusyDevice.readers)
        pages.range.touch()
        image.range.touch()
        mirror = device
        source = pages
        target = image
    }

    /// Runs the body in so many threads while the device reads, until `isOver`, which is asked with the number of reads
    /// so far.
    ///
    /// - Returns: how many times the device has read.
    @discardableResult
    borrowing func keepBusy(
        beside threads: Int, until isOver: @Sendable (Int) -> Bool, _ body: @Sendable (Int) throws -> Void
    ) throws -> Int {
        let reads = Atomic(0)
        try Workers.run(threads + BusyDevice.readers) { worker in
            guard worker >= threads else { return try body(worker) }
            let own = target.range.pages(from: (worker - threads) * source.range.count, count: source.range.count)
            while !isOver(reads.load(ordering: .relaxed)) {
                _ = try mirror.read(source.range, into: own.pointer)
                reads.add(1, ordering: .relaxed)
            }
        }
        return reads.load(ordering: .relaxed)
    }
}
