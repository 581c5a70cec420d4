// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit
import Synchronization

/// The device cannot bring a page back: who touches it is told, and nothing else is harmed.
let faultErrorTests: [GuestTest] =
    Access.allCases.flatMap { access in
        onOwnDevice(
            "faults/copy-error-\(access.rawValue)",
            "One page of many that cannot be copied back is an error where it is touched \(access.phrase), and only there",
            on: [.private]
        ) { _, mirror in try checkCopyError(access, mirror) }
    }
    + Access.allCases.flatMap { access in
        onOwnDevice(
            "faults/lost-\(access.rawValue)",
            "A page of a lost device that is touched \(access.phrase) is an error for 1 and for 16 threads, and no hang",
            on: [.private]
        ) { _, mirror in try checkLost(access, mirror) }
    }
    + onOwnDevice(
        "faults/lost-coherent",
        "The CPU uses the memory of a lost coherent device, which nothing has to be copied from",
        on: [.coherent]
    ) { _, mirror in
        let file = try sourceFile(pages: 16)
        for access in Access.allCases {
            let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
            try mirror.take(buffer.range, seed: 1)
            try mirror.inject(Injection(isLost: true))
            let page = buffer.range.page(5)
            expectEqual(
                access.perform(on: page, number: 5, worker: 0, file: file), .done, "\(access.rawValue) goes through")
            expect(page.wordValues() == access.words(ofPage: 5, threads: 1), "\(access.rawValue) took effect")
            try buffer.range.expectPlace(.coherent, "no page moved")
            try mirror.inject(Injection())
        }
    }
    + onOwnDevice("faults/lost-requests", "A lost device does nothing with its memory, says so, and forgets nothing") {
        memory, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let before = try buffer.range.places()
        let image = try MappedBuffer.filled(pages: 16, seed: 0xbad)
        let pointer = image.range.pointer
        try mirror.inject(Injection(isLost: true))
        expectEqual(try mirror.information().state, .lost, "the device says that it is lost")
        func refused(_ sentence: String, _ request: () throws(MirrorError) -> Void) {
            expectRefused(.noDevice, sentence, request)
        }
        let range = buffer.range
        refused("it does not read") { () throws(MirrorError) in _ = try mirror.read(range, into: pointer) }
        refused("nor write") { () throws(MirrorError) in _ = try mirror.write(range, from: pointer) }
        refused("nor take pages") { () throws(MirrorError) in _ = try mirror.migrate(range, .toDevice) }
        refused("nor give them back") { () throws(MirrorError) in _ = try mirror.migrate(range, .toSystem) }
        refused("nor evict them") { () throws(MirrorError) in _ = try mirror.evict() }
        refused("nor show them") { () throws(MirrorError) in _ = try mirror.readContents(of: range, into: pointer) }
        refused("nor change a word") { () throws(MirrorError) in _ = try mirror.fetchAdd(1, at: range.address) }
        refused("nor get memory") { () throws(MirrorError) in _ = try mirror.addChunk(pages: ownChunkPages) }
        image.range.expectHolds(seed: 0xbad, "a refused request writes nothing")
        try range.expectUnmoved(since: before, "no page moved")
        try mirror.inject(Injection())
        expectEqual(try mirror.information().state, [], "the device works again")
        try mirror.expectContents(range, seed: 1, "its memory holds what was written")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice("faults/lost-memory-is-freed", "The pages of a lost device are given up by who unmaps them or ends") {
        memory, mirror in
        let buffer = try MappedBuffer.filled(pages: 64, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let child = try Child { parent in
            let own = try MappedBuffer.filled(pages: 40, seed: 2)
            do { try memory.open().take(own.range, seed: 2) }
            try parent.signal()
            try parent.wait()
            // With its pages where they are.
            exitNow()
        }
        try child.channel.wait()
        try mirror.expectHeld(104, "parent and child have pages on the device")
        try mirror.inject(Injection(isLost: true))
        try child.channel.signal()
        try child.expectPassed()
        try mirror.expectHeld(64, "a process that ends gives its pages up")
        try buffer.advise(.dontNeed, buffer.range.pages(from: 0, count: 32))
        try mirror.expectHeld(32, "so does MADV_DONTNEED")
        buffer.range.pages(from: 0, count: 32).expectZero("what was dropped reads as zero")
        try buffer.unmap(buffer.range.pages(from: 32, count: 16))
        try mirror.expectHeld(16, "so does munmap")
        try mirror.inject(Injection())
        buffer.range.pages(from: 48, count: 16).expectHolds(seed: 1, firstPage: 48, "the rest is right afterwards")
    }
    + onOwnDevice(
        "faults/lost-fork", "A child of a process with pages on a lost device is told as well", on: [.private]
    ) {
        _, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        try mirror.inject(Injection(isLost: true))
        let child = try Child { parent in
            for page in 0..<16 {
                let range = buffer.range.page(page)
                expectEqual(FaultProbe.read(range), .unreachable(range), "the child is told")
                expectEqual(FaultProbe.write(1, to: range), .unreachable(range), "and may not write either")
            }
            try parent.signal()
            try parent.wait()
            buffer.range.expectHolds(seed: 1, "the child has the contents when the device works again")
        }
        try child.channel.wait()
        let first = buffer.range.page(0)
        expectEqual(FaultProbe.read(first), .unreachable(first), "so is the parent")
        try mirror.inject(Injection())
        try child.channel.signal()
        try child.expectPassed()
        buffer.range.expectHolds(seed: 1, "the parent has the contents")
    }
    + onOwnDevice(
        "faults/lost-while-moving", "A device that is lost in the middle of a move loses no page", needs: [.smp],
        timeoutMilliseconds: 90_000
    ) { _, mirror in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let isOver = Atomic(false)
        let moves = Atomic(0)
        let refusals = Atomic(0)
        try Workers.run(2) { worker in
            defer { isOver.store(true, ordering: .releasing) }
            var rounds = 0
            while !isOver.load(ordering: .acquiring) {
                if worker == 0 {
                    try mirror.inject(Injection(copyDelay: 100, isLost: rounds % 2 == 0))
                    rounds += 1
                    sched_yield()
                } else {
                    for direction in [Migration.Direction.toDevice, .toSystem] {
                        do throws(MirrorError) {
                            moves.add(try mirror.migrate(buffer.range, direction).count(of: .moved), ordering: .relaxed)
                        } catch {
                            try require(
                                error.code == .noDevice, "a move fails only because the device is lost", "\(error)")
                            refusals.add(1, ordering: .relaxed)
                        }
                    }
                    if moves.load(ordering: .relaxed) > 20 * span, refusals.load(ordering: .relaxed) > 20 { return }
                }
            }
        }
        expect(moves.load(ordering: .relaxed) > 0, "pages moved in between")
        try mirror.inject(Injection())
        try mirror.expectReads(buffer.range, seed: 1, "the device reads every page")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice(
        "faults/refused", "A driver that refuses CPU faults makes each access an error, until it refuses no more",
        on: [.private]
    ) { _, mirror in
        let file = try sourceFile(pages: 16)
        for access in Access.allCases {
            let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
            try mirror.take(buffer.range, seed: 1)
            let before = try buffer.range.places()
            try mirror.inject(Injection(refusesFaults: true))
            let page = buffer.range.page(5)
            expectEqual(
                access.perform(on: page, number: 5, worker: 0, file: file), access.refusal(of: page),
                "\(access.rawValue) is an error at this address")
            try buffer.range.expectUnmoved(since: before, "no page moved")
            try mirror.expectReads(buffer.range, seed: 1, "the device itself still reads its pages")
            try mirror.inject(Injection())
            expectEqual(access.perform(on: page, number: 5, worker: 0, file: file), .done, "then it goes through")
            expect(page.wordValues() == access.words(ofPage: 5, threads: 1), "and takes effect once")
            buffer.range.pages(from: 6, count: 10).expectHolds(seed: 1, firstPage: 6, "the neighbours are intact")
        }
    }

/// Sixteen pages on the device are touched in turn while one cannot be copied.
private func checkCopyError(_ access: Access, _ mirror: borrowing MirrorDevice) throws {
    let file = try sourceFile(pages: 16)
    for failing in [0, 5, 15] {
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        _ = try mirror.statistics(reset: true)
        // Each fault copies one page.
        try mirror.inject(Injection(failingCopy: UInt64(failing + 1)))
        for number in 0..<16 {
            let page = buffer.range.page(number)
            expectEqual(
                access.perform(on: page, number: number, worker: 0, file: file),
                number == failing ? access.refusal(of: page) : .done,
                "page \(failing) is an error at its address, and no other page")
        }
        expectEqual(try mirror.statistics().copyErrors, 1, "the device counts the error")
        let page = buffer.range.page(failing)
        expectEqual(
            try buffer.range.places().map(\.kind), (0..<16).map { $0 == failing ? .privateWritable : .system },
            "exactly this page is still on the device")
        try mirror.expectContents(page, seed: 1, firstPage: failing, "with its contents")
        expectEqual(
            access.perform(on: page, number: failing, worker: 0, file: file), .done, "the next access goes through")
        for number in 0..<16 {
            expect(
                buffer.range.page(number).wordValues() == access.words(ofPage: number, threads: 1),
                "every page has what was done to it once", "page \(number)")
        }
        try mirror.expectHeld(0, "no page is left on the device")
    }
}

/// Pages of a lost device are touched by one thread and by many.
private func checkLost(_ access: Access, _ mirror: borrowing MirrorDevice) throws {
    let file = try sourceFile(pages: 16)
    let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
    try mirror.take(buffer.range, seed: 1)
    let before = try buffer.range.places()
    try mirror.inject(Injection(isLost: true))
    for number in 0..<16 {
        let page = buffer.range.page(number)
        expectEqual(
            access.perform(on: page, number: number, worker: 0, file: file), access.refusal(of: page),
            "each page is an error at its address")
    }
    let page = buffer.range.page(5)
    let answers = Mutex<[Access.Answer]>([])
    try Workers.run(16) { worker in
        let answer = access.perform(on: page, number: 5, worker: worker, file: file)
        answers.withLock { $0.append(answer) }
    }
    for answer in answers.withLock({ $0 }) {
        // A thread of its own touches a word of its own.
        switch (answer, access.refusal(of: page)) {
        case (.signal(.busError(let code, let address)), .signal(.busError(let expected, _))):
            expectEqual(code, expected, "the signal's code says that there is nothing behind the address")
            expectEqual(address & ~0xfff, page.address, "every thread is told the address")
        case (let found, let expected): expectEqual(found, expected, "every thread is told")
        }
    }
    try buffer.range.expectUnmoved(since: before, "no page moved")
    try mirror.inject(Injection())
    buffer.range.expectHolds(seed: 1, "once the device works again the contents are right")
    try mirror.expectHeld(0, "and the pages are back")
}
