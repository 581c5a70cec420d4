// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit
import Synchronization

/// Several threads.
///
/// No two of them fault the same page: on kernels before 6.15 that can spin for ever.
let migrateThreadTests: [GuestTest] =
    onBothMemories(
        "migrate/threads-bring-back", "Eight threads use different pages of device memory at once", needs: [.smp]
    ) { memory in
        let buffer = try MappedBuffer.filled(pages: 8 * 32, seed: 1)
        let mirror = try memory.open()
        for round: UInt64 in 1...5 {
            try mirror.take(buffer.range, seed: round)
            try Workers.run(8) { worker in
                let own = buffer.range.pages(from: worker * 32, count: 32)
                own.expectHolds(seed: round, firstPage: worker * 32, "thread \(worker) reads its pages")
                own.fill(seed: round + 1, firstPage: worker * 32)
            }
            try buffer.range.expectPlace(memory == .private ? .system : .coherent, "where the threads left the pages")
            buffer.range.expectHolds(seed: round + 1, "every thread's writes are there")
        }
    }
    + onBothMemories(
        "migrate/threads-count", "No increment is lost while the memory that holds the counters goes back and forth",
        needs: [.smp], timeoutMilliseconds: 60_000
    ) { memory in
        let rounds = 200
        let buffer = try MappedBuffer.anonymous(pages: 8)
        let mirror = try memory.open()
        let finished = Atomic(0)
        try Workers.run(3) { worker in
            if worker == 0 {
                let image = try MappedBuffer.anonymous(pages: 8)
                while finished.load(ordering: .acquiring) < 2 {
                    do throws(MirrorError) {
                        _ = try mirror.migrateToDevice(buffer.range, readingInto: image.range.pointer)
                        _ = try mirror.migrateToSystem(buffer.range)
                    } catch {
                        // A page that a counting thread is faulting at that moment stays behind.
                        guard expectEqual(error.code, .noEntry, "a request fails only for busy pages") else { return }
                    }
                }
            } else {
                defer { finished.add(1, ordering: .releasing) }
                // Each thread counts in pages of its own: 1 to 4 and 5 to 8.
                let own = buffer.range.pages(from: (worker - 1) * 4, count: 4)
                for _ in 0..<rounds { own.incrementEveryWord() }
            }
        }
        for page in 0..<8 {
            let counters = buffer.range.page(page).wordValues()
            guard expect(counters.allSatisfy { $0 == rounds }, "every counter of page \(page) is \(rounds)") else {
                break
            }
        }
        _ = try mirror.migrateToSystem(buffer.range)
        try buffer.range.expectPlace(.system, "every page can be brought back")
    }
    + onBothMemories(
        "migrate/threads-release", "No increment is lost while the device gives its memory up again and again",
        needs: [.smp], timeoutMilliseconds: 90_000
    ) { memory in
        let rounds = 100
        let buffer = try MappedBuffer.anonymous(pages: 8)
        let mirror = try memory.open()
        let finished = Atomic(false)
        let releases = Atomic(0)
        try Workers.run(2) { worker in
            if worker == 0 {
                let image = try MappedBuffer.anonymous(pages: 8)
                while !finished.load(ordering: .acquiring) || releases.load(ordering: .relaxed) == 0 {
                    do throws(MirrorError) {
                        _ = try mirror.migrateToDevice(buffer.range, readingInto: image.range.pointer)
                    } catch {
                        guard expectEqual(error.code, .noEntry, "a request fails only for busy pages") else { return }
                    }
                    try mirror.release()
                    releases.add(1, ordering: .relaxed)
                }
            } else {
                for _ in 0..<rounds { buffer.range.incrementEveryWord() }
                finished.store(true, ordering: .releasing)
            }
        }
        expect(buffer.range.wordValues().allSatisfy { $0 == rounds }, "every counter is \(rounds)")
        try buffer.range.expectPlace(.system, "every page is back after the last release")
    }
