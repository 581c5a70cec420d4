// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// The rules that all arguments of our own commands obey (docs/driver-abi.md).
let devmemArgumentTests: [GuestTest] = [
    GuestTest(
        "devmem/argument-size", "An argument has the size of its command, or is longer and zero there",
        needs: [.private, .ours]
    ) {
        let mirror = try MirrorDevice(unit: 0)
        let argument = try Argument()
        for command in ownCommands {
            let name = "command 0x\(String(command.number, radix: 16))"
            expectEqual(
                mirror.answer(argument, command.number, bytes: command.bytes, says: command.bytes - 8),
                .invalidArgument,
                "\(name): the argument says another size than the request")
            expectEqual(
                mirror.answer(argument, command.number, bytes: command.bytes - 8, says: command.bytes - 8),
                .invalidArgument, "\(name): a shorter argument is refused")
            expectEqual(
                mirror.answer(argument, command.number, bytes: 0, says: 0), .invalidArgument,
                "\(name): an empty one is refused")
            expectEqual(
                mirror.answer(argument, command.number, bytes: 8192, says: 8192), .invalidArgument,
                "\(name): one of more than a page is refused")
            expectEqual(
                mirror.answer(
                    argument, command.number, bytes: command.bytes + 8, says: command.bytes + 8,
                    words: [command.bytes / 8: 1]), .tooLong, "\(name): what the driver does not know is refused")
            expectEqual(
                mirror.answer(argument, command.number, bytes: command.bytes, says: command.bytes, flags: 1 << 31),
                .invalidArgument, "\(name): so is an unknown flag")
        }
        // INFO and STATS change nothing, and are right with all zeros behind size and flags.
        for (number, bytes) in ownCommands where number == 0x20 || number == 0x24 {
            expectEqual(
                mirror.answer(argument, number, bytes: bytes + 16, says: bytes + 16, words: [bytes / 8 + 2: 7]), nil,
                "a longer argument that is zero there is accepted")
            expectEqual(argument.word(bytes / 8 + 2), 7, "and what is behind it is left alone")
        }
    },
    GuestTest(
        "devmem/argument-address", "An argument that cannot be read or written is refused", needs: [.private, .ours]
    ) {
        let mirror = try MirrorDevice(unit: 0)
        let closed = try MappedBuffer.anonymous(pages: 1, .none)
        let readOnly = try MappedBuffer.anonymous(pages: 1)
        for command in ownCommands {
            let request = MirrorDevice.request(number: command.number, bytes: command.bytes)
            for address in [0, closed.range.address, .max] {
                expectEqual(
                    mirror.raw(request: request, argument: UInt(address)), .badAddress,
                    "command 0x\(String(command.number, radix: 16)) needs an argument")
            }
        }
        let (info, bytes) = ownCommands[0]
        readOnly.range.pointer?.storeBytes(of: UInt32(bytes), as: UInt32.self)
        try readOnly.protect(.read)
        expectEqual(
            mirror.raw(
                request: MirrorDevice.request(number: info, bytes: bytes), argument: UInt(readOnly.range.address)),
            .badAddress, "an answer needs a place")
    },
    GuestTest(
        "devmem/argument-values", "A value that means nothing is refused, and what is reserved has to be zero",
        needs: [.private, .ours]
    ) {
        let mirror = try MirrorDevice(unit: 0)
        let buffer = try MappedBuffer.filled(pages: 4, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let argument = try Argument()
        let before = try mirror.information()
        let address = buffer.range.address
        let cases: [(number: UInt8, bytes: Int, flags: UInt32, words: [Int: UInt64], what: String)] = [
            (0x21, 160, 0, [1: address, 2: 4], "no direction"),
            (0x21, 160, 3, [1: address, 2: 4], "both directions"),
            (0x21, 160, 1, [1: address + 8, 2: 4], "half a page"),
            (0x21, 160, 1, [1: address, 2: 1 << 52], "a size that does not fit"),
            (0x22, 40, 1, [1: 1], "all frames and some"),
            (0x22, 40, 0, [1: 1], "no frames"),
            (0x22, 40, 1, [3: 60_001], "more than a minute"),
            (0x22, 40, 1, [3: 1 << 32], "something reserved in EVICT"),
            (0x23, 40, 0, [3: 1_000_001], "a copy delay of more than a second"),
            (0x23, 40, 0, [3: 1_000_001 << 32], "a notifier delay of more than a second"),
            (0x25, 40, 0, [1: address, 2: 0], "no pages"),
            (0x25, 40, 1, [1: .max, 2: 2], "frames beyond the last"),
            (0x26, 48, 0, [1: address, 2: 2], "an unknown operation"),
            (0x26, 48, 0, [1: address, 2: 0, 4: 1], "an addition that compares"),
            (0x2d, 48, 0, [1: address, 2: 4, 3: 1 << 32], "something reserved in PIN"),
            (0x2d, 48, 0, [1: address, 2: 65537], "more pages than one pin takes"),
            (0x2e, 16, 0, [1: 1 << 32], "something reserved in UNPIN"),
            (0x2f, 40, 0, [1: 512, 3: 1], "a time limit for an addition"),
            (0x2f, 40, 0, [1: 512, 3: 1 << 32], "something reserved in CHUNK_ADD"),
            (0x30, 40, 0, [1: 512, 2: 1], "a length for a removal"),
            (0x30, 40, 0, [2: 1, 3: 60_001], "a removal of more than a minute"),
            (0x30, 40, 0, [2: 1, 3: 1 << 32], "something reserved in CHUNK_REMOVE"),
            (0x31, 16, 3, [:], "a replug by surprise"),
            (0x31, 16, 2, [1: 1], "a replug that waits"),
            (0x31, 16, 2, [1: 1 << 32], "something reserved in UNPLUG"),
        ]
        for (number, bytes, flags, words, what) in cases {
            expectEqual(
                mirror.answer(argument, number, bytes: bytes, says: bytes, flags: flags, words: words),
                .invalidArgument,
                "\(what) is refused")
        }
        let after = try mirror.information()
        expectEqual(after.state, before.state, "the device is in the state it was in")
        expectEqual(after.chunks, before.chunks, "with the memory it had")
        expectEqual(after.heldPages, before.heldPages, "and the pages")
        try buffer.range.expectPlace(.privateWritable, "they are where they were")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    },
]

/// Our own commands, but for on-demand paging, with the sizes of their arguments in bytes.
private let ownCommands = [UInt8](0x20...0x31).filter { !(0x27...0x2c).contains($0) }.compactMap { number in
    MirrorDevice.argumentBytes(number: number).map { (number: number, bytes: $0) }
}

/// Memory for an argument of up to two pages.
private struct Argument: ~Copyable {
    private let memory: MappedBuffer

    init() throws(SystemCallError) { memory = try MappedBuffer.anonymous(pages: 2) }

    var address: UInt { UInt(memory.range.address) }

    /// A 64-bit word of the argument.
    func word(_ index: Int) -> UInt64 { memory.range.wordValues()[index] }

    /// Zeros but for size, flags and some 64-bit words.
    func set(size: Int, flags: UInt32, words: [Int: UInt64]) {
        guard let start = memory.range.pointer else { return }
        start.initializeMemory(as: UInt64.self, repeating: 0, count: 2 * PageRange.pageSize / 8)
        for (index, word) in words { start.storeBytes(of: word, toByteOffset: index * 8, as: UInt64.self) }
        start.storeBytes(of: UInt32(size), as: UInt32.self)
        start.storeBytes(of: flags, toByteOffset: 4, as: UInt32.self)
    }
}

extension MirrorDevice {
    /// What a request whose number says `bytes` and whose argument says another size is refused with; nil if it is not.
    fileprivate func answer(
        _ argument: borrowing Argument, _ number: UInt8, bytes: Int, says size: Int, flags: UInt32 = 0,
        words: [Int: UInt64] = [:]
    ) -> Errno? {
        argument.set(size: size, flags: flags, words: words)
        return raw(request: MirrorDevice.request(number: number, bytes: bytes), argument: argument.address)
    }
}
