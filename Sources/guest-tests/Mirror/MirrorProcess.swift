// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit
import Synchronization

/// One device and several processes, several devices and one process, and several threads.
let mirrorProcessTests: [GuestTest] = [
    GuestTest(
        "mirror/fork-parent-writes", "What the parent's device writes after a fork never appears in the child",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.anonymous(pages: span)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.fill(buffer.range, seed: 1)
        let child = try Child { parent in
            try parent.wait()
            buffer.range.expectHolds(seed: 1, "the child has what was there at the fork")
            buffer.range.fill(seed: 3)
            try parent.signal()
            try parent.wait()
        }
        try mirror.fill(buffer.range, seed: 2)
        expect(try buffer.range.pagemap().allSatisfy(\.isExclusivelyMapped), "the parent has copies of its own")
        try child.channel.signal()
        try child.channel.wait()
        buffer.range.expectHolds(seed: 2, "the parent has what its device wrote")
        try mirror.expectReads(buffer.range, seed: 2, "the parent's device does not see the child's writes")
        try child.channel.signal()
        try child.expectPassed()
    },
    GuestTest(
        "mirror/fork-child-writes", "What the child's own device writes never appears in the parent", needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.expectReads(buffer.range, seed: 1, "the parent's device reads the memory")
        let before = try buffer.range.places()
        let child = try Child { _ in
            let own = try MirrorDevice(unit: 0)
            try own.expectReads(buffer.range, seed: 1, "the child's device reads what was there at the fork")
            try own.fill(buffer.range, seed: 2)
            buffer.range.expectHolds(seed: 2, "the child reads what its device wrote")
            try buffer.range.expectMoved(since: before, "the child has copies of its own")
        }
        try child.expectPassed()
        buffer.range.expectHolds(seed: 1, "the parent has what it had")
        try mirror.expectReads(buffer.range, seed: 1, "the parent's device agrees")
        try buffer.range.expectUnmoved(since: before, "the parent's pages are where they were")
    },
    GuestTest(
        "mirror/inherited-descriptor", "A descriptor that a child inherits goes on mirroring the parent",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let mirror = try MirrorDevice(unit: 0)
        let child = try Child { _ in
            buffer.range.fill(seed: 2)
            try mirror.expectReads(buffer.range, seed: 1, "the device reads the parent's memory, not the child's")
            try mirror.fill(buffer.range, seed: 3)
            buffer.range.expectHolds(seed: 2, "the device does not write the child's memory")
            expect(try buffer.range.pagemap().allSatisfy(\.isExclusivelyMapped), "the child has copies of its own")
        }
        try child.expectPassed()
        buffer.range.expectHolds(seed: 3, "the device wrote the parent's memory")
    },
    GuestTest(
        "mirror/owner-exits", "A descriptor is refused everything once the process that opened it is gone",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let owner = try Child { parent in
            let mirror = try MirrorDevice(unit: 0)
            try mirror.expectReads(buffer.range, seed: 1, "the device reads while its process lives")
            try parent.signal(number: mirror.descriptor)
            try parent.wait()
        }
        let mirror = MirrorDevice(adopting: try owner.duplicate(descriptor: try owner.channel.waitForNumber()))
        buffer.range.fill(seed: 2)
        try mirror.expectReads(buffer.range, seed: 1, "the device reads its owner's memory, not the caller's")
        try owner.channel.signal()
        try owner.expectPassed()
        try mirror.expectReadRefused(.badAddress, buffer.range, "the device has nothing left to read")
        try mirror.expectWriteRefused(.badAddress, buffer.range, "nor to write")
        try mirror.expectTakeRefused(.invalidArgument, buffer.range, "nor to migrate")
        buffer.range.expectHolds(seed: 2, "the caller's memory is as it was")
    },
    GuestTest(
        "mirror/exec", "A descriptor that survives execve mirrors the old program, which is gone, and not the new one",
        needs: [.private]
    ) {
        let child = try Child { _ in
            let buffer = try MappedBuffer.filled(pages: 4, seed: 1)
            let mirror = try MirrorDevice(unit: 0, closeOnExec: false)
            try mirror.expectReads(buffer.range, seed: 1, "the device reads the old program")
            try Helper.afterExec.become(arguments: ["\(mirror.descriptor)", "\(buffer.range.address)"])
        }
        try child.expectPassed("every expectation holds in the new program")
    },
    GuestTest(
        "mirror/two-devices", "Two devices of one process see each other's writes and both obey mprotect",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.anonymous(pages: span)
        let first = try MirrorDevice(unit: 0)
        let second = try MirrorDevice(unit: 1)
        try first.fill(buffer.range, seed: 1)
        let before = try buffer.range.places()
        try second.expectReads(buffer.range, seed: 1, "the second device reads what the first wrote")
        try second.fill(buffer.range, seed: 2)
        try first.expectReads(buffer.range, seed: 2, "the first device reads what the second wrote")
        buffer.range.expectHolds(seed: 2, "so does the CPU")
        try buffer.range.expectUnmoved(since: before, "all of them use the same frames")
        try buffer.protect(.read)
        try first.expectWriteRefused(.notPermitted, buffer.range, "the first device obeys mprotect")
        try second.expectWriteRefused(.notPermitted, buffer.range, "the second device obeys mprotect")
    },
    GuestTest(
        "mirror/two-descriptors", "Closing one of two descriptors of a device leaves the other one working",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.anonymous(pages: span)
        let lasting = try MirrorDevice(unit: 0)
        try lasting.fill(buffer.range, seed: 1)
        do {
            let passing = try MirrorDevice(unit: 0)
            try passing.expectReads(buffer.range, seed: 1, "the second descriptor reads what the first wrote")
        }
        let before = try buffer.range.places()
        try lasting.expectReads(buffer.range, seed: 1, "the first descriptor still reads")
        try buffer.protect(.read)
        try lasting.expectWriteRefused(.notPermitted, buffer.range, "the first descriptor still hears of mprotect")
        try buffer.range.expectUnmoved(since: before, "the pages are where they were")
    },
    GuestTest(
        "mirror/unmap-while-reading", "A read of the device that races with munmap is right or refused",
        needs: [.private, .smp]
    ) {
        let mirror = try MirrorDevice(unit: 0)
        for round in 1...20 {
            let buffer = try MappedBuffer.filled(pages: span, seed: UInt64(round))
            let second = buffer.range.pages(from: span / 2, count: span / 2)
            try Workers.run(2) { worker in
                if worker == 0 {
                    try buffer.unmap(second)
                } else {
                    let image = try MappedBuffer.anonymous(pages: span)
                    do throws(MirrorError) {
                        _ = try mirror.read(buffer.range, into: image.range.pointer)
                        image.range.expectHolds(seed: UInt64(round), "a read that succeeds got everything")
                    } catch {
                        // The kernel gives up after a second in which the mapping did not come to rest.
                        expect(
                            error.code == .badAddress || error.code == .busy, "a read that fails found the hole",
                            "\(error)")
                    }
                }
            }
            try second.expectPlace(.nothing, "the unmapped half is gone")
            try mirror.expectReadRefused(.badAddress, second, "the device knows that it is gone")
        }
    },
    GuestTest(
        "mirror/frozen-memory-stays", "Once mprotect has made memory read-only, no write of a busy device changes it",
        needs: [.private, .smp]
    ) {
        let buffer = try MappedBuffer.anonymous(pages: 16)
        let mirror = try MirrorDevice(unit: 0)
        let finished = Atomic(false)
        let written = Atomic(0)
        try Workers.run(2) { worker in
            // Whoever ends first, the other does not wait for it.
            defer { finished.store(true, ordering: .relaxed) }
            if worker == 0 {
                for _ in 0..<100 {
                    try buffer.protect(.read)
                    let first = buffer.range.checksum()
                    // Long enough for the device to try again, and it must not succeed.
                    for _ in 0..<20 { sched_yield() }
                    let second = buffer.range.checksum()
                    guard expectEqual(second, first, "frozen memory does not change") else { return }
                    try buffer.protect(.readWrite)
                    let before = written.load(ordering: .relaxed)
                    while written.load(ordering: .relaxed) == before, !finished.load(ordering: .relaxed) {
                        sched_yield()
                    }
                }
            } else {
                let image = try MappedBuffer.anonymous(pages: 16)
                var seed: UInt64 = 0
                while !finished.load(ordering: .relaxed) {
                    seed = seed % 1000 + 1
                    image.range.fill(seed: seed)
                    do throws(MirrorError) {
                        _ = try mirror.write(buffer.range, from: image.range.pointer)
                        written.add(1, ordering: .relaxed)
                    } catch {
                        if error.code == .busy { continue }
                        guard expectEqual(error.code, .notPermitted, "a write fails only while frozen") else { return }
                    }
                }
            }
        }
        expect(written.load(ordering: .relaxed) > 0, "the device wrote in between")
        try buffer.range.expectPlace(.system, "the memory is where the device wrote it")
    },
    GuestTest(
        "mirror/never-older", "A device that reads while the CPU drops and rewrites memory never sees older contents",
        needs: [.private, .smp]
    ) {
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        let mirror = try MirrorDevice(unit: 0)
        let generation = Atomic<UInt64>(1)
        let isOver = Atomic(false)
        let last: UInt64 = 200
        let sightings = Mutex<Set<UInt64>>([])
        try Workers.run(2) { worker in
            if worker == 0 {
                for next in 2...last {
                    // The device has to have been there before half time, and again before the last one.
                    let wanted = next == last ? 2 : next == last / 2 ? 1 : 0
                    while sightings.withLock({ $0.count }) < wanted, !isOver.load(ordering: .relaxed) { sched_yield() }
                    try buffer.advise(.dontNeed)
                    buffer.range.fill(seed: next)
                    generation.store(next, ordering: .releasing)
                }
            } else {
                defer { isOver.store(true, ordering: .relaxed) }
                let image = try MappedBuffer.anonymous(pages: 16)
                var published: UInt64 = 0
                while published < last {
                    published = generation.load(ordering: .acquiring)
                    do throws(MirrorError) {
                        _ = try mirror.read(buffer.range, into: image.range.pointer)
                    } catch {
                        if error.code != .busy { throw error }
                        published = 0
                        continue
                    }
                    // Zeros are right while the CPU is between dropping and writing.
                    let oldest = image.range.oldestSeed()
                    guard
                        expect(
                            oldest >= published, "no page is older than what was published", "\(oldest) < \(published)")
                    else { return }
                    if published < last { sightings.withLock { _ = $0.insert(published) } }
                }
            }
        }
        try mirror.expectReads(buffer.range, seed: last, "the device reads the last contents")
        buffer.range.expectHolds(seed: last, "so does the CPU")
        expect(sightings.withLock { $0.count } >= 2, "the device looked more than once while the CPU wrote")
    },
]
