// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit
import Synchronization

/// Locks that somebody else holds.
///
/// A device that reads a lot of memory keeps its driver's lock for most of the time, and everybody whom the driver's
/// MMU notifier has to let pass waits for it. That is long enough to meet what a kernel does under a lock.
let migrateContentionTests: [GuestTest] = [
    GuestTest(
        "migrate/threads-same-page-private", "A page of device memory comes back that eight threads touch at once",
        needs: [.private, .smp], timeoutMilliseconds: 120_000
    ) {
        let buffer = try MappedBuffer.filled(pages: 1, seed: 1)
        let mirror = try DeviceMemory.private.open()
        let watcher = try BusyDevice(second: true)
        for _ in 0..<10 {
            try mirror.take(buffer.range, seed: 1)
            let before = try buffer.range.places()
            let finished = Atomic(0)
            // The thread that brings the page back waits for the watcher once, so this many reads mean that none does.
            let patience = 100
            try Workers.run(9) { worker in
                guard worker == 8 else {
                    defer { finished.add(1, ordering: .releasing) }
                    buffer.range.expectHolds(seed: 1, "thread \(worker) reads the contents")
                    return
                }
                var reads = 0
                while finished.load(ordering: .acquiring) < 8, reads < patience {
                    try watcher.readOnce()
                    reads += 1
                }
                expect(
                    finished.load(ordering: .acquiring) > 0,
                    "the page is back before a device has read \(patience) times",
                    "no thread got it")
            }
            try buffer.range.expectMoved(since: before, "the page is back")
            try buffer.range.expectPlace(.system, "in system memory")
        }
    },
    GuestTest(
        "migrate/thp-busy-private", "A huge page that was locked when the device asked for it moves later",
        needs: [.private, .smp, .thp], timeoutMilliseconds: 120_000
    ) {
        let mirror = try DeviceMemory.private.open()
        let reader = try BusyDevice()
        var met = 0
        for _ in 0..<50 where met < 3 {
            let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
            buffer.range.fill(seed: 1)
            try buffer.range.expectSmaps("AnonHugePages", buffer.range.size, "the memory is a huge page")
            let frame = try requireValue(try buffer.range.frames().first.flatMap { $0 }, "the page has a frame")
            let isSplit = Atomic(false)
            let wasBusy = Atomic(false)
            try Workers.run(3) { worker in
                switch worker {
                case 0:
                    defer { isSplit.store(true, ordering: .releasing) }
                    // Holds the page's lock while it waits for the device.
                    try buffer.advise(.cold, buffer.range.pages(from: 0, count: 8))
                case 1:
                    while !isSplit.load(ordering: .acquiring) {
                        guard try KernelPages.flags(ofFrame: frame).contains(.busy) else { continue }
                        let image = try MappedBuffer.anonymous(pages: buffer.range.count)
                        // Nothing moves that is locked.
                        _ = try? mirror.migrateToDevice(buffer.range, readingInto: image.range.pointer)
                        wasBusy.store(true, ordering: .relaxed)
                        break
                    }
                default:
                    while !isSplit.load(ordering: .acquiring) { try reader.readOnce() }
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

/// A device that keeps its driver's lock by reading 16 MiB again and again.
private struct BusyDevice: ~Copyable, Sendable {
    private let mirror: MirrorDevice
    private let source: MappedBuffer
    private let target: MappedBuffer

    init(second: Bool = false) throws {
        mirror = try DeviceMemory.private.open(second: second)
        source = try MappedBuffer.anonymous(pages: 4096)
        source.range.touch()
        target = try MappedBuffer.anonymous(pages: 4096)
        try readOnce()
    }

    borrowing func readOnce() throws(MirrorError) {
        _ = try mirror.read(source.range, into: target.range.pointer)
    }
}
