// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Each command so that it makes all the allocations that it can.
extension AllocatingCommand {
    static let all: [AllocatingCommand] = upstream + movement + memory + pins

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

    private static let pins: [AllocatingCommand] = [
        AllocatingCommand(name: "pin", number: 0x2d, prepare: send) { stage, _ in
            // For long, which brings the pages back; the descriptor's end lets go.
            [3 << 32, stage.range.address, stage.range.pageCount, 0, 0, 0]
        },
        AllocatingCommand(name: "unpin", number: 0x2e, allocates: false, prepare: fetch) { stage, device in
            let request = MirrorDevice.request(number: 0x2d, bytes: 48)
            let words: [UInt64] = [48, stage.range.address, stage.range.pageCount, 0, 0, 0]
            let pointer = try requireValue(stage.scratch.pointer, "there is room for the argument")
            pointer.initializeMemory(as: UInt64.self, from: words, count: words.count)
            expectEqual(
                device.raw(request: request, argument: UInt(stage.scratch.address)), nil, "the pages are pinned")
            return [0, UInt64(pointer.load(fromByteOffset: 24, as: UInt32.self))]
        },
    ]
}

extension AllocatingCommand.Stage {
    /// Gives the memory of the range back; it is zero when it is touched again.
    fileprivate func drop() throws {
        try systemCall("madvise") { madvise(range.pointer, range.size, MADV_DONTNEED) }
    }
}
