// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit
import Synchronization

/// What the kernel does with references and locks in hand while it waits for a slow MMU notifier.
let devmemContentionTests: [GuestTest] =
    onOwnDevice(
        "faults/same-page", "A page of device memory comes back that eight threads touch at once", on: [.private],
        needs: [.smp], timeoutMilliseconds: 90_000
    ) { memory, mirror in
        let buffer = try MappedBuffer.filled(pages: 1, seed: 1)
        // Every attempt to bring the page back waits for this device and is counted by it.
        let other = try memory.open(second: true)
        for _ in 0..<5 {
            try mirror.take(buffer.range, seed: 1)
            try other.inject(Injection(notifierDelay: 2000))
            _ = try other.statistics(reset: true)
            let (threads, patience) = (8, 200)
            let finished = Atomic(0)
            try Workers.run(threads + 1) { worker in
                if worker < threads {
                    buffer.range.expectHolds(seed: 1, "thread \(worker) reads the contents")
                    finished.add(1, ordering: .releasing)
                    return
                }
                var attempts = 0
                while finished.load(ordering: .acquiring) == 0, attempts < patience {
                    attempts = Int(try other.statistics().invalidations(by: .migrate))
                }
                // Without a delay even those come through who have been in each other's way.
                try other.inject(Injection())
                expect(attempts < patience, "fewer than \(patience) attempts bring the page back")
            }
            try buffer.range.expectPlace(.system, "the page is in system memory")
        }
    }
    + onOwnDevice(
        "devmem/thp-busy", "A huge page that was locked when the device asked for it moves later", on: [.private],
        needs: [.smp, .thp]
    ) { memory, mirror in
        let other = try memory.open(second: true)
        // A round is lost when the machine is so slow that the page is split before the device has asked for it.
        for round in 0..<10 {
            let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
            buffer.range.fill(seed: 1)
            try buffer.range.expectSmaps("AnonHugePages", buffer.range.size, "the memory is a huge page")
            let isMet = try askWhileLocked(buffer, mirror, other)
            try mirror.take(buffer.range, seed: 1)
            try buffer.range.expectPlace(memory.place, "every part is in device memory")
            buffer.range.expectHolds(seed: 1, "the contents are right")
            if isMet { return }
            expect(round < 9, "the device asked for a locked page")
        }
    }
    + onOwnDevice(
        "faults/thp-waits", "Who finds a huge page of the device busy sleeps until it is back", on: [.private],
        needs: [.smp, .thp]
    ) { memory, mirror in
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        buffer.range.fill(seed: 1)
        try mirror.take(buffer.range, seed: 1)
        // The first fault waits for this device, with the page locked.
        let other = try memory.open(second: true)
        try other.inject(Injection(notifierDelay: 300_000))
        try Workers.run(2) { worker in
            let before = faultsOfThread()
            buffer.range.page(worker * 100).touch()
            let faults = faultsOfThread() - before
            // One who does not sleep makes them by the thousand.
            expect(faults < 100, "thread \(worker) sleeps", "it had \(faults) page faults")
        }
        try other.inject(Injection())
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }

/// How many page faults the calling thread has had (getrusage(2)).
private func faultsOfThread() -> Int {
    var usage = rusage()
    // RUSAGE_THREAD is 1 (bits/resource.h); the call fails for a wrong argument only.
    getrusage(1, &usage)
    return usage.ru_minflt + usage.ru_majflt
}

/// Has a thread split a huge page, which waits for `other` under the page's lock, and has `mirror` ask for the page.
///
/// - Returns: whether the page was locked all the time.
private func askWhileLocked(
    _ buffer: borrowing MappedBuffer, _ mirror: borrowing MirrorDevice, _ other: borrowing MirrorDevice
) throws -> Bool {
    let frame = try requireValue(try buffer.range.frames().first.flatMap { $0 }, "the page has a frame")
    let isSlow = Atomic(false)
    let isSplit = Atomic(false)
    let isMet = Atomic(false)
    try Workers.run(2) { worker in
        if worker == 0 {
            while !isSlow.load(ordering: .acquiring) { sched_yield() }
            // The page table follows when the other device has been told.
            try buffer.advise(.cold, buffer.range.pages(from: 0, count: 8))
            isSplit.store(true, ordering: .releasing)
            return
        }
        // Not before, or what starting a thread changes would be delayed as well.
        try other.inject(Injection(notifierDelay: 1_000_000))
        _ = try other.statistics(reset: true)
        isSlow.store(true, ordering: .releasing)
        while try other.statistics().invalidations(by: .clear) == 0 { sched_yield() }
        // Those who wait already go on waiting.
        try other.inject(Injection())
        guard try KernelPages.flags(ofFrame: frame).contains(.busy) else { return }
        let moved = try mirror.migrate(buffer.range, .toDevice).count(of: .moved)
        guard !isSplit.load(ordering: .acquiring) else { return }
        expectEqual(moved, 0, "no part of a locked page moves")
        isMet.store(true, ordering: .relaxed)
    }
    return isMet.load(ordering: .relaxed)
}
