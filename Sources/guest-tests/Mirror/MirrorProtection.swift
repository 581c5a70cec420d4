// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// The device obeys the protection of the mapping, whenever it changes.
let mirrorProtectionTests: [GuestTest] = [
    GuestTest(
        "mirror/no-access-refuses-read", "Memory without access is refused to the device and keeps its contents",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let mirror = try MirrorDevice(unit: 0)
        let before = try buffer.range.places()
        try buffer.protect(.none)
        expectEqual(FaultProbe.read(buffer.range), .forbidden(buffer.range), "the CPU has no access")
        try mirror.expectReadRefused(.badAddress, buffer.range, "the device has no access")
        try buffer.protect(.read)
        try buffer.range.expectUnmoved(since: before, "a refused read moves no page")
        buffer.range.expectHolds(seed: 1, "the contents are as before")
    },
    GuestTest(
        "mirror/no-access-revokes-read", "A page the device has read is out of its reach once access is taken away",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.expectReads(buffer.range, seed: 1, "the device reads the memory")
        try buffer.protect(.none)
        try mirror.expectReadRefused(.badAddress, buffer.range, "the device reads no longer")
        expectEqual(FaultProbe.read(buffer.range), .forbidden(buffer.range), "neither does the CPU")
        try buffer.protect(.readWrite)
        try mirror.expectReads(buffer.range, seed: 1, "the device reads again")
        buffer.range.expectHolds(seed: 1, "the contents are as before")
    },
    GuestTest(
        "mirror/read-only-refuses-write", "A write of the device to a read-only mapping is refused with EPERM",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try buffer.protect(.read)
        let mirror = try MirrorDevice(unit: 0)
        let before = try buffer.range.places()
        try mirror.expectWriteRefused(.notPermitted, buffer.range, "the device may not write")
        buffer.range.expectHolds(seed: 1, "the contents are as before")
        try buffer.range.expectUnmoved(since: before, "a refused write copies no page")
    },
    GuestTest(
        "mirror/read-only-untouched-refuses-write", "A refused write of the device leaves untouched memory untouched",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.anonymous(pages: span, .read)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.expectReadsZero(buffer.range.page(0), "the device may read")
        try mirror.expectWriteRefused(.notPermitted, buffer.range, "the device may not write")
        try buffer.range.pages(from: 1, count: span - 1).expectPlace(.nothing, "a refused write brings no page in")
        buffer.range.expectZero("the memory is still zero")
    },
    GuestTest(
        "mirror/downgrade-revokes-write", "A page the device has written becomes read-only for it with mprotect",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.anonymous(pages: span)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.fill(buffer.range, seed: 1)
        try buffer.protect(.read)
        try mirror.expectWriteRefused(.notPermitted, buffer.range, "the device writes no longer")
        buffer.range.expectHolds(seed: 1, "the contents are as before mprotect")
        try mirror.expectReads(buffer.range, seed: 1, "the device still reads")
        expectEqual(FaultProbe.write(1, to: buffer.range), .forbidden(buffer.range), "the CPU writes no longer either")
    },
    GuestTest(
        "mirror/upgrade-allows-write", "A read-only mapping made writable is writable for the device", needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try buffer.protect(.read)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.expectReads(buffer.range, seed: 1, "the device reads the read-only memory")
        let before = try buffer.range.places()
        try buffer.protect(.readWrite)
        try mirror.fill(buffer.range, seed: 2)
        buffer.range.expectHolds(seed: 2, "the CPU reads what the device wrote")
        try buffer.range.expectUnmoved(since: before, "pages of one owner are written in place")
    },
    GuestTest(
        "mirror/mixed-protection", "A write of the device that reaches a read-only page leaves that page alone",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let closed = buffer.range.pages(from: 70, count: 10)
        try buffer.protect(closed, .read)
        let mirror = try MirrorDevice(unit: 0)
        let before = try buffer.range.places()
        try mirror.expectWriteRefused(.notPermitted, buffer.range, "the range is not writable as a whole")
        closed.expectHolds(seed: 1, firstPage: 70, "the read-only pages are as they were")
        let open = buffer.range.pages(from: 80, count: 70)
        try mirror.fill(open, seed: 2, firstPage: 80)
        open.expectHolds(seed: 2, firstPage: 80, "the writable pages behind them take the device's write")
        try closed.expectUnmoved(since: Array(before[70..<80]), "the read-only pages are in their frames")
    },
    GuestTest(
        "mirror/read-only-file-refuses-write", "The device cannot change a file through a read-only shared mapping",
        needs: [.private]
    ) {
        let file = try ScratchFile(.tmpfs, pages: span)
        try file.fill(seed: 1, pages: span)
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true, .read)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.expectReads(buffer.range, seed: 1, "the device reads the file")
        try mirror.expectWriteRefused(.notPermitted, buffer.range, "the device may not write")
        let contents = try file.contents(pages: span)
        contents.range.expectHolds(seed: 1, "the file holds what it held")
    },
    GuestTest(
        "mirror/sealed-file-refuses-write", "The device cannot change a memory file that is sealed against writing",
        needs: [.private]
    ) {
        let file = try ScratchFile(.memory, pages: span)
        try file.fill(seed: 1, pages: span)
        try file.seal()
        let shared = try MappedBuffer.file(file.descriptor, pages: span, shared: true, .read)
        let own = try MappedBuffer.file(file.descriptor, pages: span, shared: false)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.expectReads(shared.range, seed: 1, "the device reads the file")
        try mirror.expectWriteRefused(.notPermitted, shared.range, "the device may not write the shared mapping")
        try mirror.fill(own.range, seed: 2)
        own.range.expectHolds(seed: 2, "the device may write private copies")
        let contents = try file.contents(pages: span)
        contents.range.expectHolds(seed: 1, "the file holds what was sealed")
    },
    GuestTest(
        "mirror/secret-memory-refused", "The device gets no page of secret memory, for which the kernel has no address",
        needs: [.private, .secretMemory]
    ) {
        let file = try ScratchFile(.secret, pages: span)
        let secret = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        secret.range.fill(seed: 1)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.expectReadRefused(.badAddress, secret.range, "the device may not read it")
        try mirror.expectWriteRefused(.badAddress, secret.range, "nor write it")
        secret.range.expectHolds(seed: 1, "it is as it was")
    },
    GuestTest(
        "mirror/hole-refused", "A range with an unmapped hole is refused, and nothing behind the hole is written",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try buffer.unmap(buffer.range.pages(from: 100, count: 1))
        let mirror = try MirrorDevice(unit: 0)
        let hole = buffer.range.page(100)
        expectEqual(FaultProbe.read(hole), .unmapped(hole), "nothing is mapped there")
        try mirror.expectReadRefused(.badAddress, buffer.range, "the device cannot read across the hole")
        try mirror.expectWriteRefused(.badAddress, buffer.range.pages(from: 64, count: 60), "nor write across it")
        // How far a write gets before it meets the hole is the driver's choice.
        buffer.range.pages(from: 64, count: 36).fill(seed: 1, firstPage: 64)
        try mirror.expectReads(buffer.range.pages(from: 0, count: 100), seed: 1, "it reads what lies before")
        try mirror.expectReads(
            buffer.range.pages(from: 101, count: 49), seed: 1, firstPage: 101, "and what lies behind")
        buffer.range.pages(from: 0, count: 64).expectHolds(seed: 1, "nothing was written outside the range")
        buffer.range.pages(from: 101, count: 49).expectHolds(
            seed: 1, firstPage: 101, "nothing was written behind the hole")
    },
]
