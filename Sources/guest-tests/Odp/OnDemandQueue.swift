// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// The engine's queue, and what becomes of it when something ends.
let onDemandQueueTests: [GuestTest] =
    onOwnDevice("mirror-odp/order", "Requests are done in their order, and completed in it", on: [.private]) {
        _, mirror in
        let buffer = try MappedBuffer.anonymous(pages: 64)
        let region = try mirror.register(buffer.range)
        let image = try MappedBuffer.anonymous(pages: 1)
        var operations: [WorkRequest.Operation] = []
        for index in 0..<MirrorDevice.queueLength {
            let page = buffer.range.page(index % 64)
            switch index % 4 {
            case 0: operations.append(.fetchAdd(1, to: region.handle, at: buffer.range.address))
            case 1: operations.append(.read(region.handle.bytes(page), into: image.range.pointer))
            case 2: operations.append(.read(region.handle.bytes(page, 0..<8), into: image.range.pointer))
            default:
                operations.append(
                    .copy(
                        region.handle.bytes(page), to: region.handle, at: buffer.range.page((index + 32) % 64).address))
            }
        }
        let completions = try mirror.complete(operations)
        expect(completions.allSatisfy { $0.error == nil }, "every request succeeds")
        let sums = stride(from: 0, to: completions.count, by: 4).map { completions[$0].old }
        expectEqual(sums, (0..<UInt64(sums.count)).map { $0 }, "each addition finds all that came before it")
        expectEqual(try mirror.poll(), try mirror.poll(), "there is nothing more")
    }
    + onOwnDevice("mirror-odp/queue-full", "The queue takes so many requests until somebody polls", on: [.private]) {
        _, mirror in
        let buffer = try MappedBuffer.filled(pages: 1, seed: 1)
        let region = try mirror.register(buffer.range)
        let addition = WorkRequest.Operation.fetchAdd(1, to: region.handle, at: buffer.range.address)
        let room = MirrorDevice.queueLength
        try mirror.submit(.init(repeating: addition, count: room - 6))
        let twenty = (0..<20).map { WorkRequest(UInt64(room + $0), addition) }
        expectEqual(try mirror.post(twenty), 6, "there is room for six of twenty")
        expectRefused(.tryAgain, "then there is none") { () throws(MirrorError) in try mirror.post(twenty) }
        // Most requests are done by now, or soon: their completions take the room as well.
        for _ in 0..<room {
            _ = try mirror.drain(1)
            expectEqual(try mirror.post([twenty[0]]), 1, "each completion that was taken makes room for one")
            expectRefused(.tryAgain, "and for one only") { () throws(MirrorError) in try mirror.post(twenty) }
        }
        expectEqual(try mirror.drain(room).count, room, "every request is completed")
        expectEqual(try mirror.poll(), PolledCompletions.nothing, "there is nothing more")
    }
    + onOwnDevice("mirror-odp/poll", "A poll takes no more than it was told to, and waits no longer", on: [.private]) {
        _, mirror in
        let buffer = try MappedBuffer.filled(pages: 4, seed: 1)
        let region = try mirror.register(buffer.range)
        for milliseconds: UInt32 in [0, 1, 20] {
            expectEqual(try mirror.poll(within: milliseconds), .nothing, "without a request a poll ends with nothing")
        }
        let addition = WorkRequest.Operation.fetchAdd(0, to: region.handle, at: buffer.range.address)
        try mirror.submit(.init(repeating: addition, count: 10))
        while try mirror.poll(most: 1).completions.isEmpty {}
        var numbers: [UInt64] = [0]
        while numbers.count < 10 {
            let polled = try mirror.poll(most: 3, within: 1000)
            expect(polled.completions.count <= 3, "no more than three are taken")
            numbers += polled.completions.map(\.id)
        }
        expectEqual(numbers, Array(0..<10), "none is lost and none comes twice")
        try mirror.submit([.read(region.handle.bytes(buffer.range), into: UnsafeMutableRawPointer(bitPattern: 4096))])
        try mirror.submit([addition], from: 1)
        for _ in 0..<3 {
            expectRefused(.badAddress, "a read whose buffer is not there is not handed out") {
                () throws(MirrorError) in try mirror.poll(within: 1000)
            }
        }
        let image = try MappedBuffer.filled(pages: 4, seed: 2)
        // The address that the request named is mapped now.
        let low = UnsafeMutableRawPointer(bitPattern: 4096)
        if mmap(low, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == low {
            expectEqual(try mirror.drain(2).map(\.id), [0, 1], "once it is there the completions come")
            PageRange(address: 4096, pageCount: 4).expectHolds(seed: 1, "and the bytes with them")
            munmap(low, 16384)
        }
        image.range.expectHolds(seed: 2, "nothing else was written")
    }
    + onOwnDevice(
        "mirror-odp/deregister-busy", "A region ends after the requests that use it, all of which are completed",
        on: [.private]
    ) { _, mirror in
        let buffer = try MappedBuffer.filled(pages: 64, seed: 1)
        let image = try MappedBuffer.anonymous(pages: 16)
        for _ in 0..<5 {
            let region = try mirror.register(buffer.range)
            let read = WorkRequest.Operation.read(
                region.handle.bytes(buffer.range.pages(from: 0, count: 16)), into: image.range.pointer)
            try mirror.submit(.init(repeating: read, count: 200))
            let counters = try region.deregister()
            expectEqual(counters.requests, 200, "the region has seen every request")
            let polled = try mirror.poll()
            expectEqual(polled.pending, 0, "nothing is left to do")
            expectEqual(polled.completions.map(\.id), Array(0..<200), "every completion is there")
            expect(polled.completions.allSatisfy { $0.error == nil }, "every request succeeded")
            image.range.expectHolds(seed: 1, "the bytes are right")
        }
        try mirror.take(buffer.range, seed: 1)
    }
    + onOwnDevice(
        "mirror-odp/close-busy", "The last close drops requests that are not done, and lets go of everything",
        on: [.private]
    ) { memory, mirror in
        let buffer = try MappedBuffer.filled(pages: 64, seed: 1)
        let twin = try MappedBuffer.filled(pages: 64, seed: 1)
        for round in 0..<10 {
            let passing = try memory.open()
            let whole = try passing.registerAddressSpace()
            let copies = (0..<200).map { index in
                WorkRequest.Operation.copy(
                    whole.handle.bytes(buffer.range.pages(from: index % 48, count: 16)), to: whole.handle,
                    at: twin.range.page(index % 48).address)
            }
            try passing.submit(copies)
            if round % 2 == 0 { expectEqual(try passing.drain(1)[0].id, 0, "the engine is at work") }
            whole.leaveToClose()
        }
        buffer.range.expectHolds(seed: 1, "the source is as it was")
        twin.range.expectHolds(seed: 1, "and every copy is of its own place")
        try mirror.take(buffer.range, seed: 1)
        try mirror.take(twin.range, seed: 1)
    }
    + onOwnDevice(
        "mirror-odp/exit-busy", "When the address space goes requests fail, and who has the descriptor is told",
        on: [.private]
    ) { memory, mirror in
        for isKilled in [false, true] {
            let child = try Child { parent in
                let own = try MappedBuffer.filled(pages: 64, seed: 2)
                let device = try memory.open()
                let region = try device.register(own.range, [.write, .prefetch])
                let whole = try device.registerAddressSpace()
                try parent.signal(number: device.descriptor)
                try parent.signal(number: Int32(region.handle.rawValue))
                try parent.signal(number: Int32(whole.handle.rawValue))
                try parent.signal(number: Int32(own.range.address >> 12 & 0x7fff_ffff))
                try parent.signal(number: Int32(own.range.address >> 43))
                try parent.wait()
                let copy = WorkRequest.Operation.copy(
                    region.handle.bytes(own.range, 0..<65536), to: whole.handle, at: own.range.page(32).address)
                try device.submit(.init(repeating: copy, count: 200))
                region.leaveToClose()
                whole.leaveToClose()
                if isKilled { kill(getpid(), SIGKILL) }
                exitNow()
            }
            let device = MirrorDevice(adopting: try child.duplicate(descriptor: try child.channel.waitForNumber()))
            let regions = [try child.channel.waitForNumber(), try child.channel.waitForNumber()].map {
                OnDemandRegion.Handle(rawValue: UInt32($0))
            }
            let low = UInt64(try child.channel.waitForNumber())
            let address = low << 12 | UInt64(try child.channel.waitForNumber()) << 43
            let word = try device.complete(.fetchAdd(0, to: regions[0], at: address))
            expectEqual(
                word.old, PagePattern.word(seed: 2, page: 0, word: 0), "the parent has the child's words added to")
            try child.channel.signal()
            expectEqual(try child.wait(), isKilled ? .signaled(SIGKILL) : .exited(0), "the child is gone")
            for completion in try device.drain(200) {
                expect(
                    completion.error == nil || completion.error == .noProcess || completion.error == .badAddress,
                    "a request of the child is done or finds nothing", "\(completion)")
                expectEqual(
                    completion.bytes == 65536, completion.error == nil, "and only one that is done says that all is")
            }
            let image = try MappedBuffer.filled(pages: 1, seed: 3)
            for region in regions {
                try device.expectFails(
                    .noProcess, .read(RegionBytes(region, address, count: 8), into: image.range.pointer),
                    "a read finds no address space")
                try device.expectFails(
                    .noProcess, .write(RegionBytes(region, address, count: 8), from: image.range.pointer), "nor a write"
                )
                try device.expectFails(.noProcess, .fetchAdd(1, to: region, at: address), "nor an addition")
            }
            image.range.expectHolds(seed: 3, "nothing came into the buffer")
            expectRefused(.noProcess, "there is nothing to make a region of") { () throws(MirrorError) in
                try device.register(PageRange(address: address, pageCount: 1)).leaveToClose()
            }
        }
    }
    + onOwnDevice(
        "mirror-odp/other-process", "Another process's requests are for the memory of who opened the device",
        on: [.private]
    ) { _, mirror in
        let buffer = try MappedBuffer.filled(pages: 4, seed: 1)
        let region = try mirror.register(buffer.range)
        let child = try Child { parent in
            buffer.range.fill(seed: 2)
            let image = try MappedBuffer.filled(pages: 4, seed: 3)
            try mirror.expectDone(
                .read(region.handle.bytes(buffer.range), into: image.range.pointer),
                "the child has the parent's memory read")
            image.range.expectHolds(seed: 1, "the parent's bytes come into the child's buffer")
            image.range.fill(seed: 4)
            try mirror.expectDone(
                .write(region.handle.bytes(buffer.range), from: image.range.pointer), "and written from the child's")
            buffer.range.expectHolds(seed: 2, "the child's memory is as it was")
            exitNow()
        }
        try child.expectPassed()
        buffer.range.expectHolds(seed: 4, "the parent's memory has the child's bytes")
        try mirror.expectEngineReads(
            buffer.range, of: region.handle, seed: 4, "the region is there, although the child ended")
    }

extension PolledCompletions {
    /// No completion, and no request that one could come from.
    fileprivate static let nothing = PolledCompletions(completions: [], pending: 0)
}
