// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Each command so that it makes all the allocations that it can.
extension AllocatingCommand {
    static let all: [AllocatingCommand] = upstream + movement + memory + pins + paging

    /// Nothing of the range is there: the device has to fault it in.
    private static let drop: @Sendable (Stage, borrowing MirrorDevice) throws -> Void = { stage, mirror in
        _ = try mirror.evict(within: 1000)
        try stage.drop()
    }
    /// All of the range is in system memory.
    private static let fetch: @Sendable (Stage, borrowing MirrorDevice) throws -> Void = { stage, mirror in
        _ = try mirror.evict(within: 1000)
        stage.range.fill(seed: 1)
    }
    /// All of the range is on the device.
    private static let send: @Sendable (Stage, borrowing MirrorDevice) throws -> Void = { stage, mirror in
        stage.range.fill(seed: 1)
        _ = try mirror.migrate(stage.range, .toDevice)
        try stage.range.expectPlace(stage.memory.place, "all pages are on the device")
    }

    private static let upstream: [AllocatingCommand] =
        [
            (UInt8(0x00), "read", true, drop), (0x01, "write", true, drop), (0x02, "migrate-to-dev", true, fetch),
            (0x03, "migrate-to-sys", true, send), (0x04, "snapshot", true, fetch), (0x05, "exclusive", true, fetch),
            (0x06, "check-exclusive", false, fetch), (0x07, "release", true, send),
            (0x09, "read-unlocked", KernelVersion.running >= KernelVersion(7, 3), drop),
        ].map { number, name, allocates, prepare in
            AllocatingCommand(name: name, number: number, allocates: allocates, prepare: prepare) { stage, _ in
                [stage.range.address, stage.scratch.address, stage.range.pageCount, 0, 0]
            }
        } + [
            AllocatingCommand(name: "flags", number: 0x08, allocates: false) { _, _ in [0, 0, 1, 0, 0] }
        ]

    private static let movement: [AllocatingCommand] = [
        AllocatingCommand(name: "migrate2-device", number: 0x21, prepare: drop) { stage, _ in
            // With PREFAULT, so that the device's page table grows as well.
            [5 << 32, stage.range.address, stage.range.pageCount, stage.scratch.address]
                + [UInt64](repeating: 0, count: 16)
        },
        AllocatingCommand(name: "migrate2-system", number: 0x21, prepare: send) { stage, _ in
            [2 << 32, stage.range.address, stage.range.pageCount, stage.scratch.address]
                + [UInt64](repeating: 0, count: 16)
        },
        AllocatingCommand(name: "evict", number: 0x22, prepare: send) { _, _ in [1 << 32, 0, 0, 1000, 0] },
        AllocatingCommand(name: "devmem-read", number: 0x25, prepare: send) { stage, _ in
            [0, stage.range.address, stage.range.pageCount, stage.scratch.address, stage.scratch.page(32).address]
        },
        AllocatingCommand(name: "dev-atomic", number: 0x26, prepare: drop) { stage, _ in
            [0, stage.range.address, 0, 1, 0, 0]
        },
    ]

    private static let memory: [AllocatingCommand] = [
        AllocatingCommand(name: "info", number: 0x20, allocates: false) { _, _ in [UInt64](repeating: 0, count: 11) },
        AllocatingCommand(name: "inject", number: 0x23, allocates: false) { _, _ in [0, 0, 0, 0, 0] },
        AllocatingCommand(name: "stats", number: 0x24, allocates: false) { _, _ in [UInt64](repeating: 0, count: 21) },
        AllocatingCommand(
            name: "chunk-add", number: 0x2f,
            prepare: { stage, mirror in
                // Coherent memory has one place; what is added to private memory goes with the next attempt.
                try mirror.release()
            }
        ) { stage, _ in [0, stage.memory == .private ? 512 : UInt64(ownChunkPages), 0, 0, 0] },
        AllocatingCommand(name: "chunk-remove", number: 0x30, prepare: send) { stage, _ in
            let chunk = try requireValue(try chunks(holding: stage.range).first, "the pages lie in a piece of memory")
            return [0, 0, chunk.firstFrame, 1000, 0]
        },
        AllocatingCommand(
            name: "unplug", number: 0x31, prepare: send, argument: { _, _ in [0, 1000] },
            undo: { _, mirror in try mirror.replug() }),
    ]

    private static let paging: [AllocatingCommand] = [
        AllocatingCommand(name: "odp-reg", number: 0x27, prepare: drop) { stage, _ in
            [5 << 32, stage.range.address, stage.range.pageCount, 0]
        },
        AllocatingCommand(name: "odp-dereg", number: 0x28, allocates: false, prepare: fetch) { stage, device in
            [0, try device.addRegion(stage)] + [UInt64](repeating: 0, count: 13)
        },
        AllocatingCommand(name: "odp-post", number: 0x29, prepare: drop) { stage, device in
            [0, stage.placeWork(try device.addRegion(stage)), 2]
        },
        AllocatingCommand(name: "odp-poll", number: 0x2a, prepare: drop) { stage, device in
            let work = stage.placeWork(try device.addRegion(stage))
            _ = try stage.answer(device, 0x29, [24, work, 2])
            // The first one's answer goes to memory that is not there yet.
            try stage.drop()
            return [0, stage.scratch.address, 2 | 1000 << 32, 0]
        },
    ]

    private static let pins: [AllocatingCommand] = [
        AllocatingCommand(name: "pin", number: 0x2d, prepare: send) { stage, _ in
            // For long, which brings the pages back; the descriptor's end lets go.
            [3 << 32, stage.range.address, stage.range.pageCount, 0, 0, 0]
        },
        AllocatingCommand(name: "unpin", number: 0x2e, allocates: false, prepare: fetch) { stage, device in
            let words: [UInt64] = [48, stage.range.address, stage.range.pageCount, 0, 0, 0]
            return [0, try stage.answer(device, 0x2d, words).load(fromByteOffset: 24, as: UInt64.self) & 0xffff_ffff]
        },
    ]
}

extension MirrorDevice {
    /// Makes a region of all memory, which the device may write.
    ///
    /// - Returns: its handle.
    fileprivate func addRegion(_ stage: AllocatingCommand.Stage) throws -> UInt64 {
        let answer = try stage.answer(self, 0x27, [32 | 3 << 32, 0, 0, 0])
        return answer.load(fromByteOffset: 24, as: UInt64.self) >> 32
    }
}

extension AllocatingCommand.Stage {
    /// Makes a request that is granted.
    ///
    /// - Returns: where the argument is.
    fileprivate func answer(
        _ device: borrowing MirrorDevice, _ number: UInt8, _ words: [UInt64]
    ) throws -> UnsafeMutableRawPointer {
        let pointer = try requireValue(scratch.pointer, "there is room for the argument")
        pointer.initializeMemory(as: UInt64.self, from: words, count: words.count)
        let request = MirrorDevice.request(number: number, bytes: words.count * 8)
        expectEqual(device.raw(request: request, argument: UInt(scratch.address)), nil, "the request is granted")
        return pointer
    }

    /// Puts a read into the range's second half and a write to the range into the scratch memory.
    ///
    /// - Returns: where they are.
    fileprivate func placeWork(_ handle: UInt64) -> UInt64 {
        let place = scratch.page(1)
        let words: [UInt64] = [
            1, 0, scratch.page(8).address, 5000, handle, range.page(6).address,
            2, 1, range.address, 5000, handle, scratch.page(8).address,
        ]
        place.pointer?.initializeMemory(as: UInt64.self, from: words, count: words.count)
        return place.address
    }

    /// Gives the memory of the range back; it is zero when it is touched again.
    fileprivate func drop() throws {
        try systemCall("madvise") { madvise(range.pointer, range.size, MADV_DONTNEED) }
    }
}
