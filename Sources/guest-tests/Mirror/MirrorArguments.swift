// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Requests that make no sense are refused with the right error number and change nothing.
let mirrorArgumentTests: [GuestTest] = [
    GuestTest("mirror/unaligned-address", "An address in the middle of a page is refused", needs: [.private]) {
        let buffer = try MappedBuffer.filled(pages: 4, seed: 1)
        for offset: UInt64 in [1, 8, 2048, UInt64(PageRange.pageSize) - 1] {
            try expectAllRefused(
                PageRange(address: buffer.range.address + offset, pageCount: 1), "an offset of \(offset) is refused")
        }
        try expectUntouched(buffer.range)
    },
    GuestTest("mirror/empty-range", "A range without a page is refused", needs: [.private]) {
        let buffer = try MappedBuffer.filled(pages: 4, seed: 1)
        try expectAllRefused(PageRange(address: buffer.range.address, pageCount: 0), "an empty range is refused")
        try expectUntouched(buffer.range)
    },
    GuestTest("mirror/wrapping-range", "A range that ends before it begins is refused", needs: [.private]) {
        let buffer = try MappedBuffer.filled(pages: 4, seed: 1)
        let address = buffer.range.address
        let toTheEnd = (UInt64.max - address) / UInt64(PageRange.pageSize) + 1
        try expectAllRefused(PageRange(address: address, pageCount: toTheEnd), "ending at address 0 is refused")
        try expectAllRefused(PageRange(address: address, pageCount: toTheEnd + 1), "wrapping around is refused")
        try expectUntouched(buffer.range)
    },
    GuestTest(
        "mirror/overflowing-page-count", "A page count whose size in bytes does not fit 64 bits is refused",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: 4, seed: 1)
        for pageCount: UInt64 in [1 << 52, 1 << 52 + 1, UInt64.max] {
            try expectAllRefused(
                PageRange(address: buffer.range.address, pageCount: pageCount), "\(pageCount) pages are refused")
        }
        try expectUntouched(buffer.range)
    },
    GuestTest(
        "mirror/kernel-address", "The device reads and writes no kernel memory for its user", needs: [.private]
    ) {
        // The direct map of x86-64, where page 16 is ordinary memory (Documentation/arch/x86/x86_64/mm.rst).
        let kernel = PageRange(address: 0xffff_8880_0001_0000, pageCount: 1)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.expectReadRefused(.badAddress, kernel, "kernel memory is not read")
        try mirror.expectWriteRefused(.badAddress, kernel, "kernel memory is not written")
        try mirror.expectTakeRefused(.invalidArgument, kernel, "kernel memory does not migrate")
    },
    GuestTest(
        "mirror/bad-request", "A request that is none, or whose argument cannot be read, is refused", needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: 1, seed: 1)
        let image = try MappedBuffer.filled(pages: 1, seed: 0xbad)
        let closed = try MappedBuffer.anonymous(pages: 1, .none)
        let memory = try MappedBuffer.anonymous(pages: 1)
        let argument = try requireValue(memory.range.pointer, "the argument has an address")
        let noAccess = try requireValue(closed.range.pointer, "memory without access has an address")
        // The five words of the argument: address, buffer, pages, and two that the kernel fills in.
        argument.assumingMemoryBound(to: UInt64.self).update(
            from: [buffer.range.address, image.range.address, 1, 7, 7], count: 5)
        let mirror = try MirrorDevice(unit: 0)
        expectRefused(.invalidArgument, "an unknown command is refused") { () throws(MirrorError) in
            try mirror.raw(number: 0x7f, argument: argument)
        }
        // The first and the last command of every base.
        for number: UInt8 in [0, 7] {
            expectRefused(.badAddress, "an unreadable argument is refused") { () throws(MirrorError) in
                try mirror.raw(number: number, argument: noAccess)
            }
        }
        image.range.expectHolds(seed: 0xbad, "a refused request leaves the buffer alone")
        expectEqual(
            Array(memory.range.wordValues().prefix(5)), [buffer.range.address, image.range.address, 1, 7, 7],
            "a refused request leaves its argument alone")
        try mirror.raw(number: 0, argument: argument)
        image.range.expectHolds(seed: 1, "the same argument is good for a read")
        expectEqual(memory.range.wordValues()[3], 1, "the kernel tells how many pages it read")
        try expectUntouched(buffer.range)
    },
    GuestTest(
        "mirror/bad-buffer", "A buffer that cannot be read or written fails the request and leaves the memory alone",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let closed = try MappedBuffer.anonymous(pages: span, .none)
        let readOnly = try MappedBuffer.anonymous(pages: span, .read)
        let mirror = try MirrorDevice(unit: 0)
        expectRefused(.badAddress, "a read needs a buffer") { () throws(MirrorError) in
            try mirror.read(buffer.range, into: nil)
        }
        expectRefused(.badAddress, "a read needs a writable buffer") { () throws(MirrorError) in
            try mirror.read(buffer.range, into: readOnly.range.pointer)
        }
        expectRefused(.badAddress, "a write needs a readable buffer") { () throws(MirrorError) in
            try mirror.write(buffer.range, from: closed.range.pointer)
        }
        expectRefused(.badAddress, "a snapshot needs a buffer") { () throws(MirrorError) in
            try mirror.snapshot(buffer.range, into: nil)
        }
        readOnly.range.expectZero("the read-only buffer is as it was")
        try expectUntouched(buffer.range)
    },
]

/// Each request that takes a range refuses this one as an invalid argument.
private func expectAllRefused(
    _ range: PageRange, _ sentence: String, file: String = #fileID, line: Int = #line
) throws {
    let image = try MappedBuffer.anonymous(pages: 4)
    let pointer = image.range.pointer
    let mirror = try MirrorDevice(unit: 0)
    func refused(_ request: () throws(MirrorError) -> Void) {
        expectRefused(.invalidArgument, sentence, file: file, line: line, request)
    }
    refused { () throws(MirrorError) in _ = try mirror.read(range, into: pointer) }
    refused { () throws(MirrorError) in _ = try mirror.write(range, from: pointer) }
    refused { () throws(MirrorError) in _ = try mirror.snapshot(range, into: pointer) }
    refused { () throws(MirrorError) in _ = try mirror.migrateToDevice(range, readingInto: pointer) }
    refused { () throws(MirrorError) in _ = try mirror.migrateToSystem(range) }
    refused { () throws(MirrorError) in _ = try mirror.exclusive(range, readingInto: pointer) }
    refused { () throws(MirrorError) in _ = try mirror.holdsExclusively(range) }
    refused { () throws(MirrorError) in try mirror.release(range) }
    image.range.expectZero("a refused request writes nothing into the buffer", file: file, line: line)
}

/// The memory is as `MappedBuffer.filled(seed: 1)` made it.
private func expectUntouched(_ range: PageRange, file: String = #fileID, line: Int = #line) throws {
    range.expectHolds(seed: 1, "the memory is as it was", file: file, line: line)
    try range.expectPlace(.system, "the memory is where it was", file: file, line: line)
}
