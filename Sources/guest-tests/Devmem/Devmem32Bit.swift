// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// 32-bit programs: each request is made once with the system call of a 64-bit program and once with that of a 32-bit one.
let devmem32BitTests: [GuestTest] =
    onOwnDevice(
        "devmem/calls-32", "Each command answers a 32-bit program as it answers a 64-bit one", needs: [.calls32],
        timeoutMilliseconds: 120_000
    ) { memory, mirror in
        let ground = try LowGround(memory)
        for command in AllocatingCommand.all where command.number != statistics {
            let wide = try ground.answer(to: command, from: .bits64, mirror)
            let narrow = try ground.answer(to: command, from: .bits32, mirror)
            expectNone(narrow.difference(from: wide), "\(command.name) answers both alike")
        }
        try mirror.makeWhole()
        try mirror.release()
    }
    + onOwnDevice(
        "devmem/calls-32-statistics", "A 32-bit program gets the counters that a 64-bit one gets", needs: [.calls32]
    ) { memory, mirror in
        let ground = try LowGround(memory)
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let words = [UInt64(168)] + [UInt64](repeating: 0, count: 20)
        let request = MirrorDevice.request(number: statistics, bytes: words.count * 8)
        // Something else may be counted at any time, so the counters lie between those before and after.
        let answers = [Caller.bits64, .bits32, .bits64].map { caller in
            ground.place(words)
            expectEqual(caller.request(mirror, request, ground.argument.address), nil, "the counters are told")
            return ground.arguments(words.count)
        }
        let wrong = words.indices.first { answers[1][$0] < answers[0][$0] || answers[1][$0] > answers[2][$0] }
        expectNone(
            wrong.map { "word \($0) is \(answers[1][$0]), not from \(answers[0][$0]) to \(answers[2][$0])" },
            "a 32-bit program gets each counter")
        expect(answers[1][7] >= UInt64(span), "the pages that moved are counted", "\(answers[1][7])")
    }
    + onOwnDevice(
        "devmem/calls-32-refused",
        "What is refused for a 64-bit program is refused for a 32-bit one, for the same reason",
        on: [.private], needs: [.calls32]
    ) { memory, mirror in
        let ground = try LowGround(memory)
        var seen: Set<UInt8> = []
        for command in AllocatingCommand.all where seen.insert(command.number).inserted {
            let device = try memory.open()
            let words = try ground.prepared(command, mirror, device)
            for malformed in MalformedRequest.forms(of: command.number, words) {
                ground.place(malformed.words)
                ground.expectAlike(
                    command.number, bytes: malformed.bytes ?? malformed.words.count * 8, malformed.code,
                    "\(command.name) with \(malformed.what)", device)
            }
            for (address, what) in [(0, "no argument"), (ground.closed.address, "memory without access")] {
                ground.place(words)
                ground.expectAlike(
                    command.number, bytes: words.count * 8, at: address, .badAddress, "\(command.name) with \(what)",
                    device)
            }
        }
        expectEqual(seen, Set(DocumentedErrors.commands.map(\.number)), "every command is tried")
        for number: UInt8 in [0x0a, 0x1f, 0x2b, 0x2c, 0x32, 0x3f] {
            ground.place([40, 0, 1, 0, 0])
            ground.expectAlike(number, bytes: 40, .invalidArgument, "the unknown command \(number)", mirror)
        }
        ground.buffer.range.fill(seed: 2)
        try mirror.take(ground.buffer.range, seed: 2)
        ground.buffer.range.expectHolds(seed: 2, "the device works as before")
    }

/// The command STATS.
private let statistics: UInt8 = 0x24

/// Whose system call a request is made with.
private enum Caller {
    case bits64
    case bits32

    func request(_ device: borrowing MirrorDevice, _ request: UInt, _ argument: UInt64) -> Errno? {
        switch self {
        case .bits64: device.raw(request: request, argument: UInt(argument))
        case .bits32: device.raw32(request: request, argument: UInt32(argument))
        }
    }
}

/// A request that is refused before anything is done.
private struct MalformedRequest {
    let what: String
    let words: [UInt64]
    /// The size that the request's number says; nil for that of the words.
    var bytes: Int?
    var code = Errno.invalidArgument

    static func forms(of number: UInt8, _ words: [UInt64]) -> [MalformedRequest] {
        func with(_ index: Int, _ change: (UInt64) -> UInt64) -> [UInt64] {
            var changed = words
            changed[index] = change(changed[index])
            return changed
        }
        let bytes = words.count * 8
        guard number >= 0x20 else {
            return [
                MalformedRequest(what: "half a page", words: with(0) { $0 + 2048 }),
                MalformedRequest(what: "no pages", words: with(2) { _ in 0 }),
                MalformedRequest(what: "more pages than there are", words: with(2) { _ in 1 << 52 }),
            ]
        }
        return [
            MalformedRequest(what: "another size than the number's", words: with(0) { $0 - 8 }),
            MalformedRequest(what: "a shorter argument", words: with(0) { $0 - 8 }, bytes: bytes - 8),
            MalformedRequest(what: "an unknown flag", words: with(0) { $0 | 1 << 63 }),
            MalformedRequest(what: "more than there is", words: with(0) { $0 + 8 } + [1], code: .tooLong),
        ]
    }
}

/// What a request was answered with.
private struct Answer {
    let error: Errno?
    /// The words of the argument that the driver changed.
    let changes: [Int: UInt64]
    let scratch: [UInt64]
    let range: [UInt64]

    func difference(from other: Answer) -> String? {
        if error != other.error { return "\(error?.description ?? "done"), not \(other.error?.description ?? "done")" }
        if changes != other.changes { return "the argument's words \(changes), not \(other.changes)" }
        for (name, mine, theirs) in [("buffer", scratch, other.scratch), ("range", range, other.range)] {
            if let word = mine.indices.first(where: { mine[$0] != theirs[$0] }) {
                return "word \(word) of the \(name) is \(mine[word]), not \(theirs[word])"
            }
        }
        return nil
    }
}

/// Memory that a 32-bit program can name.
private struct LowGround: ~Copyable {
    let buffer: MappedBuffer
    let closed: PageRange
    let argument: PageRange
    private let scratch: MappedBuffer
    private let fence: MappedBuffer
    private let stage: AllocatingCommand.Stage

    init(_ memory: DeviceMemory) throws {
        let buffer = try MappedBuffer.low(pages: 12)
        let scratch = try MappedBuffer.low(pages: 64)
        let fence = try MappedBuffer.low(pages: 1)
        try buffer.advise(.noHugePage)
        buffer.range.fill(seed: 1)
        try fence.protect(.none)
        closed = fence.range
        argument = scratch.range.page(0)
        stage = AllocatingCommand.Stage(
            memory: memory, range: buffer.range, scratch: scratch.range.pages(from: 1, count: 63))
        self.buffer = buffer
        self.scratch = scratch
        self.fence = fence
    }

    /// Puts an argument into its place.
    func place(_ words: [UInt64]) {
        argument.pointer?.initializeMemory(as: UInt64.self, from: words, count: words.count)
    }

    /// What the argument's place holds.
    func arguments(_ count: Int) -> [UInt64] { Array(argument.wordValues().prefix(count)) }

    /// Brings everything to where the command has something to do, and makes its argument.
    func prepared(
        _ command: AllocatingCommand, _ mirror: borrowing MirrorDevice, _ device: borrowing MirrorDevice
    ) throws -> [UInt64] {
        try command.prepare(stage, mirror)
        return try words(of: command, device)
    }

    /// A command's argument as its caller makes it.
    private func words(of command: AllocatingCommand, _ device: borrowing MirrorDevice) throws -> [UInt64] {
        var words = try command.argument(stage, device)
        if command.number >= 0x20 { words[0] = words[0] & ~0xffff_ffff | UInt64(words.count * 8) }
        return words
    }

    /// Has a command do its work.
    func answer(
        to command: AllocatingCommand, from caller: Caller, _ mirror: borrowing MirrorDevice
    ) throws -> Answer {
        // What changes nothing finds the same twice, also where the pages of the device are.
        let changesNothing = [0x04, 0x06, 0x20, 0x25].contains(command.number)
        stage.scratch.fill(seed: 0xbad)
        if caller == .bits64 || !changesNothing { try command.prepare(stage, mirror) }
        let device = try stage.memory.open()
        var before = try words(of: command, device)
        // The first completion alone: whether the second one is there is a matter of time.
        if command.number == 0x2a { before[2] = 1 | 10_000 << 32 }
        place(before)
        let request = MirrorDevice.request(number: command.number, bytes: before.count * 8)
        let error = caller.request(device, request, argument.address)
        let after = arguments(before.count)
        var changes: [Int: UInt64] = [:]
        for index in before.indices where after[index] != before[index] { changes[index] = after[index] }
        var delivered = stage.scratch.wordValues()
        if command.number == 0x2a {
            // How many are not done is a matter of time, and so is how long the first one took.
            changes[3]? &= 0xffff_ffff
            delivered[4] = 0
        }
        try command.undo(stage, mirror)
        if changesNothing { return Answer(error: error, changes: changes, scratch: delivered, range: []) }
        // An engine that goes on working does so until its descriptor is closed.
        let works = [0x29, 0x2a].contains(command.number)
        return Answer(
            error: error, changes: changes, scratch: delivered, range: works ? [] : stage.range.wordValues())
    }

    /// A request is refused for either caller.
    func expectAlike(
        _ number: UInt8, bytes: Int, at address: UInt64? = nil, _ code: Errno, _ what: String,
        _ device: borrowing MirrorDevice, file: String = #fileID, line: Int = #line
    ) {
        let request = MirrorDevice.request(number: number, bytes: bytes)
        for (caller, name) in [(Caller.bits64, "64"), (.bits32, "32")] {
            expectEqual(
                caller.request(device, request, address ?? argument.address), code,
                "\(what) is refused for a \(name)-bit program",
                file: file, line: line)
        }
    }
}
