// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// A page that somebody holds keeps who wants the device's memory waiting, and nobody else.
let devmemWaitingTests: [GuestTest] =
    Waiting.allCases.flatMap { waiting in
        onOwnDevice(
            "devmem/wait-\(waiting.rawValue)",
            "While \(waiting.words) waits for a page that DMA holds, others go on, and who waits can be killed",
            on: [.coherent], timeoutMilliseconds: 60_000
        ) { memory, mirror in
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            try mirror.take(buffer.range, seed: 1)
            let chunk = try requireValue(try chunks(holding: buffer.range).first, "the pages lie in a piece of memory")
            let held = buffer.range.page(40)
            let pin = try mirror.pin(held, .write)
            expectEqual(pin.coherentPages, 1, "the pin holds a device page")
            // Both wait for ten seconds, so that the first one's end tells that the second one's time is not up yet.
            let first = try waiter(waiting, memory, chunk)
            while try mirror.information().heldPages != 1 { sched_yield() }
            let second = try waiter(waiting, memory, chunk)
            let other = try Child { _ in
                let own = try MappedBuffer.filled(pages: 16, seed: 2)
                let device = try memory.open()
                try device.expectReads(own.range, seed: 2, "another process reads its memory through the device")
                _ = try device.information()
                try device.inject(Injection())
                switch waiting {
                case .unplug:
                    expectRefused(.noDevice, "the device takes no page") { () throws(MirrorError) in
                        try device.migrate(own.range, .toDevice)
                    }
                    expectRefused(.noDevice, "nor memory") { () throws(MirrorError) in
                        try device.addChunk(pages: ownChunkPages)
                    }
                case .evict:
                    expectEqual(
                        try device.migrate(own.range, .toDevice).count(of: .moved), 16, "the device takes its pages")
                case .release, .chunkRemove:
                    try device.expectMigration(own.range, .toDevice, "there is no memory for its pages") { _ in
                        .noMemory
                    }
                    expectRefused(.busy, "the memory has not gone") { () throws(MirrorError) in
                        try device.addChunk(pages: ownChunkPages)
                    }
                }
                _ = try device.migrate(own.range, .toSystem)
                own.range.expectHolds(seed: 2, "its contents are right")
            }
            try other.expectPassed()
            try mirror.expectReads(held, seed: 1, firstPage: 40, "the device reads the page that is held")
            try mirror.expectContents(held, seed: 1, firstPage: 40, "it is in its frame")
            kill(second.pid, SIGKILL)
            expectEqual(try second.wait(), .signaled(SIGKILL), "who waits can be killed")
            expect(try first.isRunning(), "the other one waits still, and has done so for longer")
            try pin.release()
            try first.expectPassed("it gets what it waits for as soon as nobody holds the page")
            try mirror.replug()
            try buffer.range.expectPlace(.system, "every page is back")
            try mirror.expectHeld(0, "the device holds none")
            if waiting != .evict {
                try chunk.expectClaimed(false, "its memory is gone")
            }
            try mirror.take(buffer.range, seed: 1)
            try buffer.range.expectPlace(.coherent, "the device works as before")
            buffer.range.expectHolds(seed: 1, "the contents are right")
        }
    }
    + onOwnDevice(
        "devmem/wait-lost", "Memory that waits for a lost device goes as soon as the device is found again",
        on: [.private], timeoutMilliseconds: 60_000
    ) { memory, mirror in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        try mirror.inject(Injection(isLost: true))
        let child = try Child { parent in
            let device = try memory.open()
            try parent.signal()
            try device.release()
        }
        try child.channel.wait()
        while try mirror.information().chunks != 0 { sched_yield() }
        expectEqual(try mirror.information().heldPages, span, "its pages are in use")
        try mirror.inject(Injection())
        try child.expectPassed("the device is found while a process waits for its pages")
        try buffer.range.expectPlace(.system, "every page is back")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }

/// What waits for pages that somebody holds.
private enum Waiting: String, CaseIterable {
    case release
    case evict
    case chunkRemove = "chunk-remove"
    case unplug

    var words: String {
        switch self {
        case .release: "RELEASE"
        case .evict: "EVICT"
        case .chunkRemove: "CHUNK_REMOVE"
        case .unplug: "UNPLUG"
        }
    }
}

/// A child that waits in the driver for the pages of a piece of memory, and passes when it gets them.
private func waiter(_ waiting: Waiting, _ memory: DeviceMemory, _ chunk: DeviceChunk) throws -> Child {
    let child = try Child { parent in
        let device = try memory.open()
        try parent.signal()
        switch waiting {
        case .release: try device.release()
        case .evict: expect(try device.evict(within: 10_000).isComplete, "every page moved")
        case .chunkRemove:
            expectEqual(try device.removeChunk(chunk, within: 10_000), .removed, "the piece goes")
        case .unplug: try device.unplug(within: 10_000)
        }
    }
    try child.channel.wait()
    // Nothing else in the child takes long.
    while try child.state() != "D" {
        try require(try child.isRunning(), "the child is in the driver")
        sched_yield()
    }
    return child
}

extension Child {
    /// The state of the child's one thread, as /proc/PID/stat has it.
    fileprivate borrowing func state() throws -> Substring {
        let words = try TextFile.read("/proc/\(pid)/stat").split(separator: " ")
        return try requireValue(words.count > 2 ? words[2] : nil, "the kernel tells the child's state")
    }

    /// Whether the child has not ended.
    fileprivate borrowing func isRunning() throws -> Bool { try state() != "Z" }
}
