// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit
import Synchronization

/// Device memory that a device holds exclusively in one process, while another one does something else with it.
let devmemExclusiveTests: [GuestTest] =
    onOwnDevice(
        "devmem/fork-beside-exclusive", "fork(2) waits for a page that the device is just getting to itself",
        on: [.private], needs: [.smp], timeoutMilliseconds: 60_000
    ) { memory, mirror in
        let buffer = try MappedBuffer.filled(pages: 4, seed: 1)
        // The page is locked for so long.
        try mirror.inject(Injection(copyDelay: 20_000))
        let isOver = Atomic(false)
        let seizures = Atomic(0)
        let forks = Atomic(0)
        let refused = Atomic(0)
        try Workers.run(2) { worker in
            if worker == 0 {
                defer { isOver.store(true, ordering: .relaxed) }
                let own = try memory.open()
                for _ in 0..<20 where try own.seizes(buffer.range) { seizures.add(1, ordering: .relaxed) }
            } else {
                while !isOver.load(ordering: .relaxed) {
                    if try forksIdleChild() {
                        forks.add(1, ordering: .relaxed)
                    } else {
                        refused.add(1, ordering: .relaxed)
                    }
                }
            }
        }
        expect(seizures.load(ordering: .relaxed) > 0, "the device had the pages to itself")
        expect(forks.load(ordering: .relaxed) > 0, "there were forks")
        expectEqual(refused.load(ordering: .relaxed), 0, "no fork fails")
        try mirror.inject(Injection())
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice(
        "devmem/pin-beside-exclusive",
        "A shared page that another process's device holds is not lost when DMA for long wants it",
        on: [.coherent]
    ) { memory, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let child = try Child { parent in
            let own = try memory.open()
            try own.seize(buffer.range, seed: 1)
            try buffer.range.expectPlace(.exclusive, "the child's device holds the pages")
            try parent.signal()
            try parent.wait()
            buffer.range.expectHolds(seed: 1, "the child has the contents")
        }
        try child.channel.wait()
        // Takes the pages back for this process only.
        buffer.range.touch()
        do throws(MirrorError) {
            try mirror.pin(buffer.range).release()
        } catch {
            try require(error.code == .busy, "the pages can be held, or are in use", "\(error)")
        }
        buffer.range.expectHolds(seed: 1, "the parent has the contents")
        try child.channel.signal()
        try child.expectPassed()
        try buffer.advise(.dontNeed)
        try mirror.expectHeld(0, "no page is left on the device")
    }

extension MirrorDevice {
    /// Takes the pages for the device alone.
    ///
    /// - Returns: whether it had them, if only until somebody took one back.
    fileprivate borrowing func seizes(_ range: PageRange) throws -> Bool {
        let image = try MappedBuffer.anonymous(pages: range.count)
        do throws(MirrorError) {
            _ = try exclusive(range, readingInto: image.range.pointer)
            return true
        } catch {
            if error.code == .noEntry { return true }
            if error.code == .busy { return false }
            throw error
        }
    }
}
