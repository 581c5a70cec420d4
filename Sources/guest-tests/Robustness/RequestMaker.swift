// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Makes requests that are nearly right: one of the command's own form, of which something may then be wrong.
struct RequestMaker {
    /// What addresses a request may name.
    struct Ground: Sendable {
        /// Memory of several kinds side by side, with holes.
        let arena: PageRange
        /// Memory that answers may go to.
        let scratch: PageRange
        /// The two pages that arguments are put into; what follows has no access.
        let arguments: PageRange
        /// Where pieces of device memory begin.
        let frames: [UInt64]
    }

    /// A request as the kernel gets it.
    struct Request {
        /// The number with direction, type and size.
        let code: UInt
        /// The address of the argument, which may be none.
        let argument: UInt
    }

    private let number: UInt8
    private let ground: Ground
    private var random: RandomSource

    init(number: UInt8, ground: Ground, seed: UInt64) {
        self.number = number
        self.ground = ground
        random = RandomSource(seed: seed)
    }

    /// Puts the next request's argument into its place and names the request.
    mutating func next() -> Request {
        var words = form()
        if let own = MirrorDevice.argumentBytes(number: number) {
            words += zeros(own / 8 - words.count)
            words[0] |= UInt64(own)
        }
        let bytes = words.count * 8
        if random.once(in: 2) { for _ in 0..<Int.random(in: 1...3, using: &random) { spoil(&words) } }
        var size = bytes
        if random.once(in: 8) { size = random.one(of: [0, 4, 8, bytes - 8, bytes + 8, 40, 4096, 4104, 0x3fff]) }
        // A longer argument is fine as long as what the driver does not know of it is zero.
        if random.once(in: 16), bytes + 16 < 4096 {
            words += [0, random.once(in: 2) ? 0 : 1]
            size = bytes + 16
            if number >= 0x20 { words[0] = words[0] & ~0xffff_ffff | UInt64(size) }
        }
        bound(&words)
        // What follows the first word of our own commands may be a buffer, and all of the others'.
        for index in words.indices.dropFirst(isOwn ? 1 : 0) where !isPair(index) {
            words[index] = harmless(words[index])
        }
        return Request(code: code(bytes: size), argument: place(words))
    }

    // MARK: - what is right

    private var isOwn: Bool { number >= 0x20 }

    /// Whether a word is two numbers of 32 bits, which may look like an address: INJECT's delays, ODP_POLL's count and
    /// time limit.
    private func isPair(_ index: Int) -> Bool { number == 0x23 && index == 3 || number == 0x2a && index == 2 }

    private mutating func address() -> UInt64 {
        ground.arena.address(ofPage: Int.random(in: 0..<ground.arena.count, using: &random))
    }

    private mutating func count() -> UInt64 { UInt64.random(in: 1...24, using: &random) }

    private mutating func frame() -> UInt64 {
        (ground.frames.isEmpty ? 0 : random.one(of: ground.frames)) &+ random.one(of: [0, 0, 0, 1, 7, 512])
    }

    /// The first word, whose lower half is the size.
    private mutating func flags(_ sets: [UInt64]) -> UInt64 { random.one(of: sets) << 32 }

    private mutating func milliseconds() -> UInt64 { UInt64.random(in: 0...2, using: &random) }

    /// The beginning of the command's own form, in 64-bit words, as hmm_dmirror_uapi.h lays it out; the rest is zero.
    private mutating func form() -> [UInt64] {
        let scratch = ground.scratch.address
        switch number {
        case 0x20: return [flags([0])]
        case 0x21: return [flags([1, 2, 5, 6, 9, 13, 16, 20]), address(), count(), random.one(of: [0, scratch])]
        case 0x22:
            return random.once(in: 3)
                ? [flags([1]), 0, 0, milliseconds(), 0] : [flags([0]), frame(), count(), milliseconds(), 0]
        case 0x23:
            let delays = UInt64.random(in: 0...20, using: &random) | UInt64.random(in: 0...20, using: &random) << 32
            return [flags([0, 1, 2, 3, 8]), milliseconds(), milliseconds(), delays, milliseconds()]
        case 0x24: return [flags([0, 1])]
        case 0x25:
            let pfns = random.one(of: [0, scratch + 32 * 4096])
            return random.once(in: 2)
                ? [flags([0]), address(), count(), scratch, pfns] : [flags([1]), frame(), 1, scratch, pfns]
        case 0x26:
            return random.once(in: 2)
                ? [flags([0]), address() + 8, 0, random.next(), 0, 0]
                : [flags([0]), address() + 16, 1, random.next(), random.next(), 0]
        case 0x27:
            return random.once(in: 4)
                ? [flags([2, 3]), 0, 0, random.next() % 4]
                : [flags([0, 1, 4, 5]), address(), count(), random.next() % 4]
        case 0x28: return [flags([0, 0, 0, 1]), handle()]
        case 0x29:
            let count = UInt64.random(in: 1...4, using: &random)
            return [flags([0]), placeWork(Int(count)), count]
        case 0x2a: return [flags([0]), scratch, count() | milliseconds() << 32, 0]
        case 0x2d: return [flags([0, 1, 2, 3]), address(), count(), 0, 0, 0]
        case 0x2e: return [flags([0]), UInt64.random(in: 0...4, using: &random)]
        case 0x2f:
            // Memory that is added has to be removed again, which takes a while.
            return [flags([0]), random.one(of: [512, 0, 1, 511, 513, 1000, 262_656, 1 << 52]), 0, 0, 0]
        case 0x30: return [flags([0]), 0, frame(), milliseconds(), 0]
        case 0x31: return [flags([0, 1, 2]), milliseconds()]
        default: return [address(), scratch, count(), 0, 0]
        }
    }

    private mutating func handle() -> UInt64 { UInt64.random(in: 0...4, using: &random) }

    /// Puts work for the engine into the first of the two pages, and says where it is.
    private mutating func placeWork(_ count: Int) -> UInt64 {
        var words: [UInt64] = []
        for _ in 0..<count {
            let operation = random.next() % 4
            // Whatever the length, it ends in the arena, and an answer in the scratch memory.
            let place = ground.arena.address(ofPage: Int.random(in: 0..<64, using: &random))
            let buffer = ground.scratch.address(ofPage: Int.random(in: 0..<32, using: &random))
            let length: UInt64 = random.one(of: [1, 8, 100, 4096, 5000, 65_536])
            // Few regions, so that no page is in more than eight tables, of which the kernel warns with DMA_API_DEBUG.
            let (one, two) = (random.next() % 3, random.next() % 3)
            var work: [UInt64] = [random.next(), operation, place, length, one, buffer]
            switch operation {
            case 2: (work[3], work[5]) = (8, random.next())
            case 3:
                work[4] |= two << 32
                work[5] = ground.arena.address(ofPage: Int.random(in: 64..<80, using: &random))
            default: break
            }
            if random.once(in: 4) {
                let index = Int.random(in: 0..<work.count, using: &random)
                work[index] = anything()
                // A length that the kernel takes stays within what is this test's.
                if index == 3, work[3] <= 65_536 { work[3] %= 4096 }
                if index == 2 || index == 5 { (work[3], work[index]) = (min(work[3], 4096), harmless(work[index])) }
            }
            words += work
        }
        let start = ground.arguments.address
        ground.arguments.pointer?.initializeMemory(as: UInt64.self, from: words, count: words.count)
        return start
    }

    private func zeros(_ count: Int) -> [UInt64] { [UInt64](repeating: 0, count: count) }

    // MARK: - what is wrong

    private mutating func spoil(_ words: inout [UInt64]) {
        let index = Int.random(in: 0..<words.count, using: &random)
        switch random.next() % 3 {
        case 0: words[index] = anything()
        case 1: words[index] = words[index] & ~0xffff_ffff | anything() & 0xffff_ffff
        default: words[index] = words[index] & 0xffff_ffff | anything() << 32
        }
    }

    /// A value of a kind that checks forget.
    private mutating func anything() -> UInt64 {
        switch random.next() % 14 {
        case 0: 0
        case 1: 1
        case 2: random.next() % 64
        case 3: address()
        case 4: address() &+ random.next() % 4096
        case 5: ground.scratch.address
        // The direct map of x86-64 and the last page of user addresses.
        case 6: 0xffff_8880_0001_0000
        case 7: 0x7fff_ffff_f000
        case 8: .max
        case 9: 0 &- 4096 &* (random.next() % 64)
        case 10: 1 << (random.next() % 64)
        case 11: 1 << (random.next() % 64) &- 1
        case 12: frame()
        default: random.next()
        }
    }

    /// Another value in place of an address at which this process may have something of its own: answers are written there.
    private func harmless(_ value: UInt64) -> UInt64 {
        guard (0x1_0000..<0x7fff_ffff_f000).contains(value), value >> 30 > 0 else { return value }
        let isOurs = [ground.arena, ground.scratch, ground.arguments].contains { range in
            (range.address - 4096..<range.address + range.byteCount + 4096).contains(value)
        }
        return isOurs ? value : ground.arena.address(ofPage: ground.arena.count)
    }

    /// Keeps what is right from taking minutes: how long a request may wait, and how much memory it adds.
    private func bound(_ words: inout [UInt64]) {
        func lower(_ index: Int, above limit: UInt64, to bound: UInt64, shift: UInt64 = 0) {
            guard words.indices.contains(index) else { return }
            let value = words[index] >> shift & 0xffff_ffff
            guard value > bound, value <= limit else { return }
            words[index] = words[index] & ~(0xffff_ffff << shift) | value % (bound + 1) << shift
        }
        switch number {
        // RENEW with FILE damages files on a kernel without the series `file`; the suite of that name uses it.
        case 0x21 where words[0] >> 32 & 0x18 == 0x18: words[0] &= ~(0x08 << 32)
        case 0x22, 0x30: lower(3, above: 60_000, to: 2)
        case 0x31: lower(1, above: 60_000, to: 2)
        case 0x2a: lower(2, above: 60_000, to: 2, shift: 32)
        case 0x23:
            lower(3, above: 1_000_000, to: 20)
            lower(3, above: 1_000_000, to: 20, shift: 32)
        case 0x2f where words[1] % 512 == 0 && words[1] != 65536 && words[1] <= 262_144: words[1] = 512
        default: break
        }
    }

    private mutating func code(bytes: Int) -> UInt {
        var code = MirrorDevice.request(number: number, bytes: bytes)
        // Another direction, or another type that nobody else answers to.
        if random.once(in: 32) { code ^= 1 << random.one(of: [30, 31]) }
        if random.once(in: 32) { code ^= 1 << 8 }
        return code
    }

    private mutating func place(_ words: [UInt64]) -> UInt {
        if random.once(in: 16) { return UInt(anything()) }
        let bytes = UInt64(words.count * 8)
        // At the end, so that what is read too far is a fault; or across it; or on no multiple of 8.
        let end = ground.arguments.address + ground.arguments.byteCount
        let start =
            switch random.next() % 16 {
            case 0: end - 8
            case 1: ground.arguments.address + random.next() % 64
            default: end - bytes
            }
        let room = Int(end - start)
        words.withUnsafeBytes { source in
            guard let target = UnsafeMutableRawPointer(bitPattern: UInt(start)), let bytes = source.baseAddress else {
                return
            }
            target.copyMemory(from: bytes, byteCount: min(room, source.count))
        }
        return UInt(start)
    }
}
