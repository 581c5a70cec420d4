// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit
import Synchronization

/// The CPU, and the kernel for it, touch a page of device memory.
let faultKindTests: [GuestTest] =
    Access.allCases.flatMap { access in
        [1, 2, 16].flatMap { threads in
            onOwnDevice(
                "faults/\(access.rawValue)-\(threads)",
                "\(threads == 1 ? "One thread touches" : "\(threads) threads at once touch") a page of device memory "
                    + access.phrase,
                timeoutMilliseconds: 60_000
            ) { memory, mirror in try checkAccess(access, by: threads, memory, mirror) }
        }
    }
    + onOwnDevice("faults/forked-children", "Eight children read a page that was on the device at the fork, at once") {
        memory, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        try withReaders(8, of: buffer.range) {
            buffer.range.expectHolds(seed: 1, "so does the parent")
        }
        expectEqual(try mirror.information().usedPages, memory == .private ? 0 : 16, "no page is left behind")
        buffer.range.fill(seed: 2)
        buffer.range.expectHolds(seed: 2, "the parent can write")
    }
    + onOwnDevice("faults/exec-arguments", "execve(2) takes its path and its arguments from device memory") {
        memory, mirror in
        let child = try Child { _ in
            let own = try memory.open()
            let buffer = try MappedBuffer.anonymous(pages: 8)
            let long = String(repeating: "x", count: 6000)
            let texts = ["guest-tests", "helper", Helper.longArgument.rawValue, long]
            let base = try requireValue(buffer.range.pointer, "the memory has an address")
            // A page for the path, one for the pointers, the texts behind them, the long one across a border.
            strcpy(base.assumingMemoryBound(to: CChar.self), "/proc/self/exe")
            let words = (base + PageRange.pageSize).bindMemory(to: UnsafeMutablePointer<CChar>?.self, capacity: 5)
            var next = base + 2 * PageRange.pageSize
            for (index, text) in texts.enumerated() {
                let place = next.assumingMemoryBound(to: CChar.self)
                strcpy(place, text)
                words[index] = place
                next += text.utf8.count + 1
            }
            try own.expectMigration(buffer.range, .toDevice, "the arguments move to the device") { _ in .moved }
            try buffer.range.expectPlace(memory.place, "they are there")
            let path = base.assumingMemoryBound(to: CChar.self)
            try systemCall("execve from device memory") { execve(path, words, environ) }
        }
        try child.expectPassed("the new program gets its arguments")
        try mirror.expectHeld(0, "the old program's pages are given up")
    }
    + onOwnDevice("faults/no-memory", "A fault that finds no memory for the page is tried again", on: [.private]) {
        _, mirror in
        let file = try sourceFile(pages: 16)
        for access in [Access.load, .store, .atomic] {
            let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
            try mirror.take(buffer.range, seed: 1)
            _ = try mirror.statistics(reset: true)
            try mirror.inject(Injection(failingAllocation: 1))
            let page = buffer.range.page(5)
            expectEqual(
                access.perform(on: page, number: 5, worker: 0, file: file), .done, "an access goes through all the same"
            )
            expectEqual(try mirror.statistics().cpuFaults, 2, "in the second fault")
            expect(page.wordValues() == access.words(ofPage: 5, threads: 1), "the contents are right")
            buffer.range.pages(from: 6, count: 10).expectHolds(seed: 1, firstPage: 6, "so are those of the neighbours")
        }
    }

/// All threads touch page 5 of 16 at once; then it is where it belongs, with all they did, and its neighbours are where
/// they were.
private func checkAccess(
    _ access: Access, by threads: Int, _ memory: DeviceMemory, _ mirror: borrowing MirrorDevice
) throws {
    let file = try sourceFile(pages: 16)
    for _ in 0..<(threads == 1 ? 3 : 10) {
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let before = try buffer.range.places()
        _ = try mirror.statistics(reset: true)
        let page = buffer.range.page(5)
        let answers = Mutex<[Access.Answer]>([])
        try Workers.run(threads) { worker in
            let answer = access.perform(on: page, number: 5, worker: worker, file: file)
            answers.withLock { $0.append(answer) }
        }
        expectEqual(
            answers.withLock { $0 }, Array(repeating: .done, count: threads), "every thread's access goes through")
        let faults = try mirror.statistics().cpuFaults
        switch memory {
        case .private:
            expect(threads == 1 ? faults == 1 : faults >= 1, "the device was asked for the page", "\(faults) times")
            try page.expectPlace(.system, "the page came back")
            try mirror.expectHeld(15, "its place on the device is free")
        case .coherent:
            expectEqual(faults, 0, "the device was not asked")
            expectEqual(try page.places()[0], before[5], "the page is where it was")
        }
        for part in [(0, 5), (6, 10)] {
            try buffer.range.pages(from: part.0, count: part.1).expectUnmoved(
                since: Array(before[part.0..<(part.0 + part.1)]), "no neighbour moved")
        }
        guard expect(page.wordValues() == access.words(ofPage: 5, threads: threads), "every access took effect") else {
            return
        }
        buffer.range.pages(from: 0, count: 5).expectHolds(seed: 1, "the contents before are right")
        buffer.range.pages(from: 6, count: 10).expectHolds(seed: 1, firstPage: 6, "and those behind")
    }
}

/// Children that all read the range at once, while the parent runs `body`.
private func withReaders(_ left: Int, of range: PageRange, _ body: () throws -> Void) throws {
    guard left > 0 else { return try body() }
    let child = try Child { parent in
        try parent.wait()
        range.expectHolds(seed: 1, "each child reads the contents")
    }
    // The first child is told last; all others read by then.
    try withReaders(left - 1, of: range) {
        try child.channel.signal()
        try body()
    }
    try child.expectPassed()
}
