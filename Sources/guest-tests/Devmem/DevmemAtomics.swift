// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit
import Synchronization

/// Single words that the device changes.
let devmemAtomicTests: [GuestTest] =
    onOwnDevice("devmem/atomic", "The device adds and exchanges words in system memory and in its own") {
        memory, mirror in
        let buffer = try MappedBuffer.anonymous(pages: 2)
        buffer.range.fill(seed: 1)
        let address = buffer.range.page(1).address + 24
        var expected = PagePattern.word(seed: 1, page: 1, word: 3)
        for place in [PagePlace.Kind.system, memory.place] {
            if place != .system {
                try mirror.expectMigration(buffer.range, .toDevice, "the pages move") { _ in .moved }
            }
            expectEqual(try mirror.fetchAdd(5, at: address).old, expected, "an addition tells what was there")
            expected &+= 5
            expectEqual(try mirror.fetchAdd(.max, at: address).old, expected, "it wraps around")
            expected &-= 1
            expectEqual(
                try mirror.compareExchange(expected &+ 1, with: 7, at: address).old, expected,
                "an exchange that finds something else tells what it found")
            expectEqual(try mirror.fetchAdd(0, at: address).old, expected, "and changes nothing")
            expectEqual(
                try mirror.compareExchange(expected, with: 7, at: address).old, expected,
                "an exchange that finds what it expects tells that")
            expected = 7
            try buffer.range.expectPlace(place, "no page moved for that")
        }
        buffer.range.expectOnlyChange(ofPage: 1, word: 3, to: expected, seed: 1)
    }
    + onOwnDevice("devmem/atomic-refused", "A word that the device may not change is left alone") { _, mirror in
        let buffer = try MappedBuffer.filled(pages: 2, seed: 1)
        for offset: UInt64 in [1, 4, 7] {
            expectRefused(.invalidArgument, "an address that is no multiple of 8 is refused") {
                () throws(MirrorError) in
                try mirror.fetchAdd(1, at: buffer.range.address + offset)
            }
        }
        try buffer.protect(.read)
        expectRefused(.notPermitted, "read-only memory is refused") { () throws(MirrorError) in
            try mirror.fetchAdd(1, at: buffer.range.address)
        }
        try buffer.protect(.none)
        expectRefused(.badAddress, "memory without access is refused") { () throws(MirrorError) in
            try mirror.fetchAdd(1, at: buffer.range.address)
        }
        try buffer.protect(.read)
        buffer.range.expectHolds(seed: 1, "nothing was changed")
    }
    + onOwnDevice(
        "devmem/atomic-ledger", "No addition is lost, of the device or of the CPU, while the page goes back and forth",
        needs: [.smp], timeoutMilliseconds: 90_000
    ) { _, mirror in
        let buffer = try MappedBuffer.anonymous(pages: 1)
        let (leastAdditions, leastMoves) = (500, 20)
        let moves = Atomic(0)
        let finished = Atomic(0)
        let isOver = Atomic(false)
        let ledger = Mutex<UInt64>(0)
        try Workers.run(3) { worker in
            if worker == 2 {
                defer { isOver.store(true, ordering: .releasing) }
                while finished.load(ordering: .acquiring) < 2 {
                    let there = try mirror.migrate(buffer.range, .toDevice)
                    let back = try mirror.migrate(buffer.range, .toSystem)
                    moves.add(there.count(of: .moved) + back.count(of: .moved), ordering: .relaxed)
                }
                return
            }
            defer { finished.add(1, ordering: .releasing) }
            var done = 0
            while done < leastAdditions || moves.load(ordering: .relaxed) < leastMoves,
                !isOver.load(ordering: .acquiring)
            {
                if worker == 0 {
                    guard case .done = FaultProbe.add(1, to: buffer.range) else {
                        return _ = expect(false, "the CPU's addition goes through")
                    }
                } else {
                    do throws(MirrorError) {
                        _ = try mirror.fetchAdd(1, at: buffer.range.address)
                    } catch {
                        // The kernel gives up after a second in which the page did not come to rest.
                        try require(error.code == .busy, "the device's addition goes through", "\(error)")
                        continue
                    }
                }
                done += 1
            }
            ledger.withLock { $0 += UInt64(done) }
        }
        expect(moves.load(ordering: .relaxed) >= leastMoves, "the page moved in between")
        expectEqual(buffer.range.wordValues()[0], ledger.withLock { $0 }, "every addition is there")
    }
