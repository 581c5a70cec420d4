// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

extension DeviceMemory {
    /// Where a page is that has migrated and may not be written.
    fileprivate var readOnlyPlace: PagePlace.Kind {
        switch self {
        case .private: .privateReadOnly
        case .coherent: .coherent
        }
    }
}

/// Protection and migration, in either order.
let migrateProtectionTests: [GuestTest] =
    onBothMemories("migrate/read-only", "A read-only mapping moves and stays read-only") { memory in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try buffer.protect(.read)
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        try buffer.range.expectPlace(memory.readOnlyPlace, "every page is in device memory, not writable")
        expectEqual(
            FaultProbe.write(1, to: buffer.range), .forbidden(buffer.range), "the CPU may not write device memory")
        buffer.range.expectHolds(seed: 1, "the CPU reads the contents")
        expectEqual(
            FaultProbe.write(1, to: buffer.range), .forbidden(buffer.range), "the CPU may not write afterwards either")
        try buffer.protect(.readWrite)
        buffer.range.fill(seed: 2)
        buffer.range.expectHolds(seed: 2, "once made writable, the CPU writes")
    }
    + onBothMemories("migrate/read-only-untouched", "Untouched memory of a read-only mapping moves read-only") {
        memory in
        let buffer = try MappedBuffer.anonymous(pages: span, .read)
        let mirror = try memory.open()
        try mirror.takeZero(buffer.range)
        try buffer.range.expectPlace(memory.readOnlyPlace, "every page is in device memory, not writable")
        expectEqual(FaultProbe.write(1, to: buffer.range), .forbidden(buffer.range), "the CPU may not write")
        buffer.range.expectZero("the CPU reads zeros")
    }
    + onDevicePages("migrate/protect-on-device", "mprotect reaches pages that are on the device") {
        memory, buffer, mirror in
        try buffer.protect(.read)
        try buffer.range.expectPlace(memory.readOnlyPlace, "the pages are still there, not writable")
        expectEqual(FaultProbe.write(1, to: buffer.range), .forbidden(buffer.range), "the CPU writes no longer")
        try mirror.expectSnapshot(buffer.range, SnapshotEntry(memory.local, .read), "the device sees read-only pages")
        try buffer.protect(.readWrite)
        buffer.range.expectHolds(seed: 1, "the contents are right")
        buffer.range.fill(seed: 2)
        buffer.range.expectHolds(seed: 2, "the CPU writes again")
        try mirror.expectReads(buffer.range, seed: 2, "the device reads what the CPU wrote")
    }
    + onDevicePages("migrate/no-access-on-device", "Pages on the device survive the loss of all access") {
        _, buffer, mirror in
        let before = try buffer.range.places()
        try buffer.protect(.none)
        expectEqual(FaultProbe.read(buffer.range), .forbidden(buffer.range), "the CPU has no access")
        try mirror.expectReadRefused(.badAddress, buffer.range, "the device has no access")
        expectEqual(
            try buffer.range.places().map(\.frame), before.map(\.frame), "the pages are in their frames on the device")
        try buffer.protect(.readWrite)
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onBothMemories("migrate/no-access-refused", "Memory without access does not move") { memory in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let before = try buffer.range.places()
        try buffer.protect(.none)
        let mirror = try memory.open()
        try mirror.expectTakeRefused(.invalidArgument, buffer.range, "memory without access is refused")
        try buffer.protect(.read)
        try buffer.range.expectUnmoved(since: before, "no page moved")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onBothMemories("migrate/hole-refused", "A range with an unmapped hole is refused and loses nothing") { memory in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try buffer.unmap(buffer.range.page(70))
        let mirror = try memory.open()
        try mirror.expectTakeRefused(.invalidArgument, buffer.range, "a hole is refused")
        buffer.range.pages(from: 0, count: 70).expectHolds(seed: 1, "the contents before the hole are right")
        buffer.range.pages(from: 71, count: 79).expectHolds(
            seed: 1, firstPage: 71, "the contents behind the hole are right")
        try buffer.range.page(70).expectPlace(.nothing, "the hole is still a hole")
        try mirror.take(buffer.range.pages(from: 71, count: 79), seed: 1, firstPage: 71)
    }
    // The device has lost what it knew of the addresses and must find its own pages again.
    + onDevicePages("migrate/device-reads-after-mprotect", "The device finds its own pages again after mprotect") {
        _, buffer, mirror in
        let before = try buffer.range.places()
        try buffer.protect(.read)
        try mirror.expectReads(buffer.range, seed: 1, "the device reads its own pages")
        expectEqual(try buffer.range.places().map(\.frame), before.map(\.frame), "no page moved")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onDevicePages(
        "migrate/device-writes-after-mprotect", "The device writes its own pages again after mprotect there and back"
    ) { _, buffer, mirror in
        try buffer.protect(.read)
        try buffer.protect(.readWrite)
        try mirror.fill(buffer.range, seed: 2)
        buffer.range.expectHolds(seed: 2, "the CPU reads what the device wrote")
        try mirror.expectReads(buffer.range, seed: 2, "so does the device")
    }
    + onDevicePages(
        "migrate/device-write-to-read-only", "A write of the device to its own pages of a read-only mapping is refused"
    ) { _, buffer, mirror in
        try buffer.protect(.read)
        try mirror.expectWriteRefused(.notPermitted, buffer.range, "the device may not write")
        buffer.range.expectHolds(seed: 1, "the contents are as before")
    }
