// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit
import Synchronization

/// Several threads.
///
/// No two of them fault the same page, which can spin for ever on kernels before 6.15; see ``devmemContentionTests``.
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
        needs: [.smp], timeoutMilliseconds: 90_000
    ) { memory in
        let buffer = try MappedBuffer.anonymous(pages: 8)
        let mirror = try memory.open()
        // Each thread counts in pages of its own: 0 to 3 and 4 to 7.
        try count(in: [buffer.range.pages(from: 0, count: 4), buffer.range.pages(from: 4, count: 4)]) {
            let image = try MappedBuffer.anonymous(pages: 8)
            let went = try mirror.takeIfIdle(buffer.range, readingInto: image.range)
            return try mirror.migrateToSystem(buffer.range) > 0 || went
        }
        _ = try mirror.migrateToSystem(buffer.range)
        try buffer.range.expectPlace(.system, "every page can be brought back")
    }
    + onBothMemories(
        "migrate/threads-release", "No increment is lost while the device gives its memory up again and again",
        needs: [.smp], timeoutMilliseconds: 240_000
    ) { memory in
        let buffer = try MappedBuffer.anonymous(pages: 8)
        let mirror = try memory.open()
        try count(in: [buffer.range]) {
            let image = try MappedBuffer.anonymous(pages: 8)
            let went = try mirror.takeIfIdle(buffer.range, readingInto: image.range)
            try mirror.release()
            return went
        }
        try buffer.range.expectPlace(.system, "every page is back after the last release")
    }

extension MirrorDevice {
    /// Moves the range to the device, as far as nobody is faulting its pages at that moment.
    ///
    /// - Returns: whether the device had every page.
    fileprivate borrowing func takeIfIdle(_ range: PageRange, readingInto image: PageRange) throws -> Bool {
        do throws(MirrorError) {
            _ = try migrateToDevice(range, readingInto: image.pointer)
            return true
        } catch {
            try require(error.code == .noEntry, "a request fails only for busy pages", "\(error)")
            return false
        }
    }
}

/// One thread for each part counts in all its words, while `move` moves the memory under them.
///
/// All go on until the memory has moved so often that the counting cannot have been over before.
private func count(in parts: [PageRange], _ move: @escaping @Sendable () throws -> Bool) throws {
    let (leastRounds, leastMoves) = (50, 10)
    let moves = Atomic(0)
    let finished = Atomic(0)
    let isOver = Atomic(false)
    let rounds = Mutex([UInt64](repeating: 0, count: parts.count))
    try Workers.run(parts.count + 1) { worker in
        guard worker < parts.count else {
            // Whatever ends the moving also ends the counting.
            defer { isOver.store(true, ordering: .releasing) }
            while finished.load(ordering: .acquiring) < parts.count {
                if try move() { moves.add(1, ordering: .relaxed) }
            }
            return
        }
        defer { finished.add(1, ordering: .releasing) }
        var done = 0
        while done < leastRounds || moves.load(ordering: .relaxed) < leastMoves, !isOver.load(ordering: .acquiring) {
            parts[worker].incrementEveryWord()
            done += 1
        }
        rounds.withLock { $0[worker] = UInt64(done) }
    }
    let moved = moves.load(ordering: .relaxed)
    expect(moved >= leastMoves, "the memory moved while it was counted in", "\(moved) times")
    for (part, expected) in zip(parts, rounds.withLock { $0 }) {
        let wrong = part.wordValues().first { $0 != expected }
        expectNone(wrong.map { "\($0) instead of \(expected)" }, "every counter has every increment")
    }
}
