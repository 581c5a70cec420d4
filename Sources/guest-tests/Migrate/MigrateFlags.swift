// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// What the kernel believes of pages that were away.
let migrateFlagTests: [GuestTest] =
    [
        GuestTest(
            "migrate/clean-after-dirty", "A page of device memory has nothing left of its last use",
            needs: [.private]
        ) {
            let mirror = try DeviceMemory.private.open()
            do {
                let first = try MappedBuffer.filled(pages: span, seed: 1)
                try mirror.take(first.range, seed: 1)
            }
            let second = try MappedBuffer.anonymous(pages: span)
            try mirror.takeZero(second.range)
            expectEqual(try mirror.migrateToSystem(second.range), span, "every page comes back")
            try second.range.expectClean("memory is clean that nobody wrote")
        },
        GuestTest(
            "migrate/used-after-idle",
            "A page that has been on the device does not count as idle as what was there before",
            needs: [.private]
        ) {
            let mirror = try DeviceMemory.private.open()
            do {
                let first = try MappedBuffer.filled(pages: span, seed: 1)
                try KernelPages.markIdle(try first.range.frames().compactMap { $0 })
                expect(
                    try first.range.frameFlags().contains { $0?.contains(.idle) == true }, "some pages count as idle")
                try mirror.take(first.range, seed: 1)
            }
            let second = try MappedBuffer.filled(pages: span, seed: 2)
            try mirror.take(second.range, seed: 2)
            expectEqual(try mirror.migrateToSystem(second.range), span, "every page comes back")
            expectEqual(
                try second.range.frameFlags().count { $0?.contains(.idle) == true }, 0,
                "pages that have just been written do not count as idle")
        },
        GuestTest(
            "migrate/clean-after-eviction", "Memory that nobody wrote is clean after the device gave it up",
            needs: [.private]
        ) {
            let mirror = try DeviceMemory.private.open()
            // Pages that nobody has used before.
            try mirror.release()
            let buffer = try MappedBuffer.anonymous(pages: span)
            try mirror.takeZero(buffer.range)
            try mirror.release()
            try buffer.range.expectPlace(.system, "the memory is back")
            try buffer.range.expectClean("it is clean")
        },
        GuestTest(
            "migrate/exclusive-soft-dirty", "A read that ends exclusive access does not count as a write",
            needs: [.private]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let mirror = try MirrorDevice(unit: 0)
            try mirror.seize(buffer.range, seed: 1)
            try PageRange.clearSoftDirty()
            buffer.range.expectHolds(seed: 1, "the CPU reads the contents")
            try buffer.range.expectPlace(.system, "the pages are the CPU's again")
            expect(try !buffer.range.pagemap().contains(where: \.isSoftDirty), "no page is marked as written")
            let written = [3, 64, 65, 149]
            for page in written { buffer.range.page(page).fill(seed: 1, firstPage: page) }
            expectEqual(
                try buffer.range.pagemap().enumerated().filter { $0.element.isSoftDirty }.map(\.offset), written,
                "the pages are that the CPU writes")
        },
        GuestTest(
            "migrate/exclusive-protected-soft-dirty",
            "Exclusive memory that becomes read-only stays marked as written", needs: [.private]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let mirror = try MirrorDevice(unit: 0)
            try PageRange.clearSoftDirty()
            // The kernel faults it in as for a write.
            try mirror.seize(buffer.range, seed: 1)
            try buffer.protect(.read)
            buffer.range.expectHolds(seed: 1, "the CPU reads the contents")
            try buffer.range.expectPlace(.system, "the pages are the CPU's again")
            expect(try buffer.range.pagemap().allSatisfy(\.isSoftDirty), "all pages are marked as written")
        },
        GuestTest(
            "migrate/exclusive-peer-closes", "A page that is held exclusively survives that its device is cleared",
            needs: [.coherent]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let mirror = try DeviceMemory.coherent.open()
            try mirror.take(buffer.range, seed: 1)
            try mirror.seize(buffer.range, seed: 1)
            // test_hmm evicts all memory of the device whenever somebody closes it (6.12.86).
            _ = try DeviceMemory.coherent.open()
            let kinds = Set(try buffer.range.places().map(\.kind))
            expect(
                kinds.isSubset(of: [.exclusive, .system]), "the pages are held still or have left",
                "\(kinds)")
            buffer.range.expectHolds(seed: 1, "the contents are right")
            _ = try mirror.migrateToSystem(buffer.range)
            try buffer.range.expectPlace(.system, "every page can leave the device")
            buffer.range.expectHolds(seed: 1, "the contents are right in the end")
        },
        GuestTest(
            "migrate/exclusive-release", "A device that gives its memory up gives up what it holds exclusively",
            needs: [.coherent]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let mirror = try DeviceMemory.coherent.open()
            try mirror.take(buffer.range, seed: 1)
            try mirror.seize(buffer.range, seed: 1)
            try mirror.release()
            try buffer.range.expectPlace(.system, "the memory is back")
            buffer.range.expectHolds(seed: 1, "the contents are right")
        },
    ]

extension PageRange {
    /// Every page is in system memory, and none is dirty.
    fileprivate func expectClean(_ sentence: String, file: String = #fileID, line: Int = #line) throws {
        let flags = try frameFlags(file: file, line: line)
        let dirty = flags.indices.filter { flags[$0]?.contains(.dirty) != false }
        expectEqual(dirty.count, 0, "\(sentence): so many pages are not", file: file, line: line)
    }
}
