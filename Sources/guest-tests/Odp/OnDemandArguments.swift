// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Arguments that the typed calls cannot make.
let onDemandArgumentTests: [GuestTest] =
    onOwnDevice("mirror-odp/arguments", "Malformed arguments are refused, and change nothing", on: [.private]) {
        _, mirror in
        let buffer = try MappedBuffer.filled(pages: 4, seed: 1)
        let region = try mirror.register(buffer.range)
        let place = try MappedBuffer.anonymous(pages: 1)
        // An array that an argument names lies behind it.
        let array = place.range.address + 256
        for call in malformedCalls(buffer.range.address, UInt64(region.handle.rawValue), array) {
            for (index, word) in call.array.enumerated() { place.range.setWord(32 + index, word) }
            for (index, word) in call.argument.enumerated() { place.range.setWord(index, word) }
            let answer = mirror.raw(
                request: MirrorDevice.request(number: call.number, bytes: call.argument.count * 8),
                argument: UInt(place.range.address))
            expectEqual(answer, call.answer, "\(call.what) is refused")
        }
        expectEqual(try mirror.poll().pending, 0, "nothing was queued")
        buffer.range.expectHolds(seed: 1, "nothing was written")
        expectEqual(try region.counters().requests, 0, "the region has seen nothing")
    }

private struct Call {
    var number: UInt8
    var argument: [UInt64]
    var array: [UInt64] = []
    var answer: Errno = .invalidArgument
    var what: String
}

/// Calls in 64-bit words, as hmm_dmirror_uapi.h lays them out, with one thing wrong in each.
private func malformedCalls(_ address: UInt64, _ handle: UInt64, _ array: UInt64) -> [Call] {
    func register(_ words: [UInt64], _ what: String) -> Call { Call(number: 0x27, argument: words, what: what) }
    func deregister(_ first: UInt64, _ handle: UInt64, _ answer: Errno, _ what: String) -> Call {
        Call(number: 0x28, argument: [first, handle] + .init(repeating: 0, count: 13), answer: answer, what: what)
    }
    func post(_ request: [UInt64], _ what: String, _ answer: Errno = .invalidArgument) -> Call {
        Call(number: 0x29, argument: [24, array, 1], array: request, answer: answer, what: what)
    }
    func queue(_ number: UInt8, _ words: [UInt64], _ what: String, _ answer: Errno = .invalidArgument) -> Call {
        Call(number: number, argument: words, array: [5, 0, address, 8, handle, 0], answer: answer, what: what)
    }
    return [
        register([32 | 8 << 32, address, 1, 0], "an unknown flag of a region"),
        register([32, address + 1, 1, 0], "an address that is no page's"),
        register([32, address, 0, 0], "a region without a page"),
        register([32, address, 1 << 52, 0], "a region with more pages than there are"),
        register([32, address, 1, 65536], "a region with too many attempts"),
        register([32 | 2 << 32, address, 0, 0], "an address of the whole address space"),
        register([32 | 2 << 32, 0, 1, 0], "a length of it"),
        register([32 | 6 << 32, 0, 0, 0], "prefetching all of it"),
        deregister(120 | 2 << 32, handle, .invalidArgument, "an unknown flag of a deregistration"),
        deregister(120, 77, .noEntry, "a region that is not there"),
        post([5, 4, address, 8, handle, 0], "an unknown operation"),
        post([5, 1 << 32, address, 8, handle, 0], "an unknown flag of a request"),
        post([5, 0, address, 8, handle | 1 << 32, 0], "a second region for a read"),
        post([5, 2, address, 16, handle, 1], "an addition to sixteen bytes"),
        post([5, 1, address, 8, handle, 4096], "a buffer that is not there", .badAddress),
        queue(0x29, [24 | 1 << 32, array, 1], "an unknown flag of a post"),
        queue(0x29, [24, array, 0], "a post of no request"),
        queue(0x29, [24, array, 257], "a post of more requests than fit"),
        queue(0x29, [24, 4096, 1], "a post of requests that are not there", .badAddress),
        queue(0x2a, [32 | 1 << 32, array, 1, 0], "an unknown flag of a poll"),
        queue(0x2a, [32, array, 0, 0], "a poll for no completion"),
        queue(0x2a, [32, array, 257, 0], "a poll for more completions than there can be"),
        queue(0x2a, [32, array, 1 | 60_001 << 32, 0], "a poll for more than a minute"),
    ]
}
