// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit
import Synchronization

/// No addition is lost or done twice, of engines or of the CPU, whatever happens to the memory meanwhile.
let onDemandLedgerTests: [GuestTest] =
    onOwnDevice(
        "mirror-odp/ledger-one-word", "The sum of one word is exact that two engines and the CPU add to",
        on: [.private],
        needs: [.smp], timeoutMilliseconds: 60_000
    ) { memory, mirror in
        let buffer = try smallPages(1)
        let bursts = Atomic<UInt64>(0)
        let isOver = Atomic(false)
        let isStill = Atomic(false)
        try Workers.run(2) { worker in
            if worker == 1 {
                // All the time, so that no addition of an engine has the word to itself.
                while !isOver.load(ordering: .acquiring) {
                    buffer.range.countUp(1000)
                    bursts.add(1, ordering: .relaxed)
                }
                isStill.store(true, ordering: .releasing)
                return
            }
            defer { isOver.store(true, ordering: .releasing) }
            var ledger = Ledger(places: [buffer.range], hotWords: 1, seed: RandomSource.processSeed)
            try runLedger(&ledger, over: buffer.range, memory, mirror) { _ in }
            isOver.store(true, ordering: .releasing)
            while !isStill.load(ordering: .acquiring) { sched_yield() }
            ledger.book(1000 &* bursts.load(ordering: .relaxed), inWord: 0)
            ledger.expectExact("the word has its sum")
        }
    }
    + ledgerTest("protect", "while access is taken away and given back") { buffer, ledger, memory, mirror in
        try runLedger(&ledger, over: buffer.range, memory, mirror, refusals: [.notPermitted, .badAddress]) { random in
            let access = random.one(of: [MappedBuffer.Protection.read, .none, .readWrite, .readWrite])
            try buffer.protect(buffer.range.randomPart(&random), access)
        }
        try buffer.protect(.readWrite)
    }
    + onOwnDevice(
        "mirror-odp/ledger-discard", "Sums stay exact while neighbouring pages are dropped", on: [.private],
        needs: [.smp], timeoutMilliseconds: 60_000
    ) { memory, mirror in
        let buffer = try smallPages(32)
        var ledger = Ledger(places: [buffer.range], seed: RandomSource.processSeed)
        try runLedger(&ledger, over: buffer.range, memory, mirror) { random in
            let page = Int.random(in: 0..<16, using: &random) * 2 + 1
            try buffer.advise(random.once(in: 2) ? .dontNeed : .free, buffer.range.page(page))
        }
        ledger.expectExact("every word of the other pages has its sum") { $0 % 2 == 0 }
    }
    + onOwnDevice(
        "mirror-odp/ledger-move", "Sums stay exact while the memory moves to another address and back",
        on: [.private], needs: [.smp], timeoutMilliseconds: 60_000
    ) { memory, mirror in
        let buffer = try smallPages(32)
        let (home, away) = (buffer.range.pages(from: 0, count: 16), buffer.range.pages(from: 16, count: 16))
        var ledger = Ledger(places: [home, away], seed: RandomSource.processSeed)
        try buffer.protect(away, .none)
        var isAway = false
        try runLedger(&ledger, over: buffer.range, memory, mirror, refusals: [.badAddress]) { _ in
            try isAway ? buffer.move(away, onto: home) : buffer.move(home, onto: away)
            isAway.toggle()
        }
        if isAway { try buffer.move(away, onto: home) }
        ledger.expectExact("every word has its sum")
    }
    + ledgerTest("fork", "while children are forked and write to what they share") { buffer, ledger, memory, mirror in
        try runLedger(&ledger, over: buffer.range, memory, mirror) { random in
            let part = buffer.range.randomPart(&random)
            // A child of memory that is added to has no contents to state anything about: see the tests of isolation.
            try Child { _ in part.fill(seed: 1) }.expectPassed()
        }
    }
    + ledgerTest("exit", "while children end in the middle of their engines' work") { buffer, ledger, memory, mirror in
        try runLedger(&ledger, over: buffer.range, memory, mirror) { random in
            let isKilled = random.once(in: 2)
            let child = try Child { _ in
                let own = try memory.open()
                let region = try own.register(buffer.range, [.write, .prefetch])
                let copy = WorkRequest.Operation.copy(
                    region.handle.bytes(buffer.range, 0..<65536), to: region.handle, at: buffer.range.page(16).address)
                try own.submit(.init(repeating: copy, count: 50))
                region.leaveToClose()
                if isKilled { kill(getpid(), SIGKILL) }
                exitNow()
            }
            expectEqual(try child.wait(), isKilled ? .signaled(SIGKILL) : .exited(0), "the child ends")
        }
    }
    + onOwnDevice(
        "mirror-odp/ledger-huge", "Sums stay exact while huge pages are split and made again", on: [.private],
        needs: [.smp, .thp], timeoutMilliseconds: 90_000
    ) { memory, mirror in
        let buffer = try MappedBuffer.transparentHuge(hugePages: 2)
        var ledger = Ledger(places: [buffer.range], seed: RandomSource.processSeed)
        let splits = KernelCounters.virtualMemory("thp_split_pmd") ?? 0
        var hugeBytes = 0
        // The kernel may be unable to, such as while somebody looks at a page.
        let collapse: (inout Ledger) throws -> Void = { _ in
            try buffer.protect(.readWrite)
            _ = try? buffer.advise(.collapse)
            hugeBytes += try buffer.range.smaps("AnonHugePages")
        }
        try runLedger(
            &ledger, over: buffer.range, memory, mirror, refusals: [.notPermitted], batch: collapse
        ) { random in
            let page = Int.random(in: 0..<(buffer.range.count / 64), using: &random) * 64 + 63
            switch random.next() % 4 {
            case 0: try buffer.protect(buffer.range.page(page), .read)
            case 1: try buffer.advise(.dontNeed, buffer.range.page(page))
            case 2: try buffer.protect(.readWrite)
            default:
                try buffer.protect(.readWrite)
                _ = try? buffer.advise(.collapse)
            }
        }
        try buffer.protect(.readWrite)
        ledger.expectExact("every word of a page that was not dropped has its sum") { $0 % 64 != 63 }
        expect(hugeBytes > 0, "there were huge pages")
        expect((KernelCounters.virtualMemory("thp_split_pmd") ?? 0) > splits, "huge pages were split")
    }
    + onOwnDevice(
        "mirror-odp/ledger-migrate", "Sums stay exact while pages move to the device and back", needs: [.smp],
        timeoutMilliseconds: 90_000
    ) { memory, mirror in
        let buffer = try smallPages(32)
        var ledger = Ledger(places: [buffer.range], seed: RandomSource.processSeed)
        var moved = 0
        try runLedger(&ledger, over: buffer.range, memory, mirror) { random in
            switch random.next() % 4 {
            case 0: moved += try mirror.evict().pages
            case 1: moved += try mirror.migrate(buffer.range.randomPart(&random), .toSystem).count(of: .moved)
            default: moved += try mirror.migrate(buffer.range.randomPart(&random), .toDevice).count(of: .moved)
            }
        }
        expect(moved > 0, "pages moved")
        ledger.expectExact("every word has its sum")
    }
    + onOwnDevice(
        "mirror-odp/ledger-swap", "Sums stay exact while memory is swapped out", on: [.private], needs: [.smp, .swap],
        timeoutMilliseconds: 90_000
    ) { memory, mirror in
        // The engines run on whatever processor is free.
        try Workers.stayOnOneProcessor()
        let buffer = try smallPages(32)
        var ledger = Ledger(places: [buffer.range], seed: RandomSource.processSeed)
        let before = KernelCounters.virtualMemory("pswpout") ?? 0
        try runLedger(&ledger, over: buffer.range, memory, mirror) { random in
            try buffer.advise(.pageOut, buffer.range.randomPart(&random))
        }
        expect((KernelCounters.virtualMemory("pswpout") ?? 0) > before, "pages were swapped out")
        ledger.expectExact("every word has its sum")
    }
    + onOwnDevice(
        "mirror-odp/ledger-ksm", "Sums stay exact while KSM merges equal pages", on: [.private], needs: [.smp],
        timeoutMilliseconds: 90_000
    ) { memory, mirror in
        let buffer = try smallPages(32)
        try buffer.advise(.mergeable)
        let pause = try KernelSetting("/sys/kernel/mm/ksm/sleep_millisecs", 1)
        let run = try KernelSetting("/sys/kernel/mm/ksm/run", 1)
        var ledger = Ledger(places: [buffer.range], seed: RandomSource.processSeed)
        let equal: (inout Ledger) throws -> Void = { ledger in
            ledger.expectExact("every word has its sum")
            ledger.clear()
            // The host's time limit ends this when KSM never gets there.
            while try !buffer.range.frameFlags().contains(where: { $0?.contains(.merged) == true }) { sched_yield() }
        }
        try runLedger(&ledger, over: buffer.range, memory, mirror, batch: equal) { _ in sched_yield() }
        run.restore()
        pause.restore()
        ledger.expectExact("every word has its sum")
    }

/// Makes a test with a ledger of 32 small pages, whose sums have to be exact when the body is through.
private func ledgerTest(
    _ name: String, _ storm: String, file: String = #fileID, line: Int = #line,
    _ body:
        @escaping @Sendable (borrowing MappedBuffer, inout Ledger, DeviceMemory, borrowing MirrorDevice) throws -> Void
) -> [GuestTest] {
    onOwnDevice(
        "mirror-odp/ledger-\(name)", "Sums stay exact \(storm)", on: [.private], needs: [.smp],
        timeoutMilliseconds: 60_000, file: file, line: line
    ) { memory, mirror in
        let buffer = try smallPages(32, file: file, line: line)
        var ledger = Ledger(places: [buffer.range], seed: RandomSource.processSeed)
        try body(buffer, &ledger, memory, mirror)
        ledger.expectExact("every word has its sum", file: file, line: line)
    }
}

/// Untouched memory that is never in huge pages.
func smallPages(_ pages: Int, file: String = #fileID, line: Int = #line) throws(SystemCallError) -> MappedBuffer {
    let buffer = try MappedBuffer.anonymous(pages: pages, file: file, line: line)
    try buffer.advise(.noHugePage, file: file, line: line)
    return buffer
}
