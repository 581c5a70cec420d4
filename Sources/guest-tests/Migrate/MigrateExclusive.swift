// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// A device has system memory to itself until the CPU faults.
let migrateExclusiveTests: [GuestTest] =
    [
        GuestTest(
            "migrate/exclusive-read-revokes", "A read of the CPU ends exclusive access of exactly the page it touches",
            needs: [.private]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let mirror = try MirrorDevice(unit: 0)
            let before = try buffer.range.places().map(\.frame)
            try mirror.seize(buffer.range, seed: 1)
            try buffer.range.expectPlace(.exclusive, "the page table gives the CPU no access")
            expectEqual(try buffer.range.places().map(\.frame), before, "the pages are in their frames")
            expect(try mirror.holdsExclusively(buffer.range), "the device holds the range")
            buffer.range.page(70).expectHolds(seed: 1, firstPage: 70, "the CPU reads the page")
            expectEqual(
                try buffer.range.places().map(\.kind), (0..<span).map { $0 == 70 ? .system : .exclusive },
                "exactly that page is the CPU's again")
            expect(try !mirror.holdsExclusively(buffer.range.page(70)), "the device holds it no longer")
            expect(try mirror.holdsExclusively(buffer.range.page(69)), "the device holds the page before")
            buffer.range.expectHolds(seed: 1, "the CPU reads all pages")
            expect(try !mirror.holdsExclusively(buffer.range), "the device holds none of them")
            expectEqual(try buffer.range.places().map(\.frame), before, "the pages never moved")
        },
        GuestTest(
            "migrate/exclusive-write-revokes", "A write of the CPU ends exclusive access and is seen by the device",
            needs: [.private]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let mirror = try MirrorDevice(unit: 0)
            try mirror.seize(buffer.range, seed: 1)
            buffer.range.fill(seed: 2)
            expect(try !mirror.holdsExclusively(buffer.range), "the device holds none of the pages")
            try buffer.range.expectPlace(.system, "the pages are the CPU's again")
            try mirror.expectReads(buffer.range, seed: 2, "the device reads what the CPU wrote")
            try mirror.fill(buffer.range, seed: 3)
            buffer.range.expectHolds(seed: 3, "the CPU reads what the device wrote")
        },
        GuestTest(
            "migrate/exclusive-untouched", "Untouched memory can be held exclusively and reads as zero",
            needs: [.private]
        ) {
            let buffer = try MappedBuffer.anonymous(pages: span)
            let image = try MappedBuffer.filled(pages: span, seed: 0xbad)
            let mirror = try MirrorDevice(unit: 0)
            expectEqual(
                try mirror.exclusive(buffer.range, readingInto: image.range.pointer).pages, span, "every page is held")
            image.range.expectZero("the device reads zeros")
            try buffer.range.expectPlace(.exclusive, "the page table gives the CPU no access")
            buffer.range.expectZero("the CPU reads zeros")
            try buffer.range.expectFlags(.anonymous, "the pages are this process's own, not the zero page")
        },
        GuestTest(
            "migrate/exclusive-fork", "A fork ends exclusive access, and parent and child have the contents",
            needs: [.private]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let mirror = try MirrorDevice(unit: 0)
            try mirror.seize(buffer.range, seed: 1)
            let child = try Child { _ in
                try buffer.range.expectPlace(.system, "the child has ordinary pages")
                buffer.range.expectHolds(seed: 1, "the child reads the contents")
                buffer.range.fill(seed: 2)
            }
            try buffer.range.expectPlace(.system, "the parent has ordinary pages")
            expect(try !mirror.holdsExclusively(buffer.range), "the device holds none of them")
            try child.expectPassed()
            buffer.range.expectHolds(seed: 1, "the parent has what it had")
            buffer.range.fill(seed: 3)
            buffer.range.expectHolds(seed: 3, "the parent can write")
        },
        GuestTest(
            "migrate/exclusive-mprotect", "mprotect reaches memory that a device holds exclusively", needs: [.private]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let mirror = try MirrorDevice(unit: 0)
            try mirror.seize(buffer.range, seed: 1)
            try buffer.protect(.read)
            try mirror.expectWriteRefused(.notPermitted, buffer.range, "the device may not write")
            expectEqual(FaultProbe.write(1, to: buffer.range), .forbidden(buffer.range), "the CPU may not write")
            buffer.range.expectHolds(seed: 1, "the CPU reads the contents")
            try buffer.range.expectPlace(.system, "the pages are the CPU's again")
        },
        GuestTest(
            "migrate/exclusive-munmap", "Memory that a device holds exclusively can be unmapped and mapped again",
            needs: [.private]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let mirror = try MirrorDevice(unit: 0)
            try mirror.seize(buffer.range, seed: 1)
            try buffer.replace(buffer.range.pages(from: 20, count: 100))
            let fresh = buffer.range.pages(from: 20, count: 100)
            try fresh.expectPlace(.nothing, "the new mapping is empty")
            expect(try !mirror.holdsExclusively(fresh), "the device holds nothing of it")
            fresh.expectZero("the CPU reads zeros")
            try mirror.expectReadsZero(fresh, "so does the device")
            buffer.range.pages(from: 0, count: 20).expectHolds(seed: 1, "the pages before have their contents")
            buffer.range.pages(from: 120, count: 30).expectHolds(
                seed: 1, firstPage: 120, "the pages behind have their contents")
        },
        GuestTest(
            "migrate/exclusive-second-device", "Another device's access ends exclusive access as the CPU's does",
            needs: [.private]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let holder = try MirrorDevice(unit: 0)
            let other = try MirrorDevice(unit: 1)
            try holder.seize(buffer.range, seed: 1)
            try other.expectReads(buffer.range, seed: 1, "the other device reads the contents")
            expect(try !holder.holdsExclusively(buffer.range), "the holder lost the pages")
            try buffer.range.expectPlace(.system, "the pages are ordinary again")
            try other.fill(buffer.range, seed: 2)
            try holder.seize(buffer.range, seed: 2)
            expect(try holder.holdsExclusively(buffer.range), "the holder can take them again")
            buffer.range.expectHolds(seed: 2, "the contents are right")
        },
        GuestTest(
            "migrate/exclusive-read-only-refused", "Memory that may not be written cannot be held exclusively",
            needs: [.private]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            try buffer.protect(.read)
            let image = try MappedBuffer.anonymous(pages: span)
            let mirror = try MirrorDevice(unit: 0)
            let before = try buffer.range.places()
            // What make_device_exclusive() says; its predecessor said how many pages it got, and test_hmm EBUSY.
            let refusal: Errno = KernelVersion.running < KernelVersion(6, 15) ? .busy : .badAddress
            expectRefused(refusal, "read-only memory is refused") { () throws(MirrorError) in
                try mirror.exclusive(buffer.range, readingInto: image.range.pointer)
            }
            try buffer.range.expectUnmoved(since: before, "the pages are as they were")
            buffer.range.expectHolds(seed: 1, "the contents are right")
        },
        GuestTest(
            "migrate/exclusive-shared-refused", "Shared memory cannot be held exclusively", needs: [.private]
        ) {
            let buffer = try MappedBuffer.anonymous(pages: span, shared: true)
            buffer.range.fill(seed: 1)
            let image = try MappedBuffer.anonymous(pages: span)
            let mirror = try MirrorDevice(unit: 0)
            let refusal: Errno = KernelVersion.running < KernelVersion(6, 15) ? .busy : .notSupported
            expectRefused(refusal, "shared memory is refused") { () throws(MirrorError) in
                try mirror.exclusive(buffer.range, readingInto: image.range.pointer)
            }
            expect(try !mirror.holdsExclusively(buffer.range), "the device holds none of it")
            try buffer.range.expectPlace(.system, "the pages are ordinary")
            buffer.range.expectHolds(seed: 1, "the contents are right")
        },
    ]
    + onDevicePages(
        "migrate/exclusive-device-page",
        "A page of device memory can be held exclusively, private ones after they came back"
    ) { memory, buffer, mirror in
        try mirror.fill(buffer.range, seed: 2)
        let before = try buffer.range.places()
        try mirror.seize(buffer.range, seed: 2)
        try buffer.range.expectPlace(.exclusive, "the page table gives the CPU no access")
        let now = try buffer.range.places().map(\.frame)
        if memory == .private {
            let moved = (0..<span).allSatisfy { before[$0].frame != now[$0] }
            expect(moved, "private pages came back to system memory for it")
        } else {
            expectEqual(now, before.map(\.frame), "coherent pages are held where they are")
        }
        buffer.range.expectHolds(seed: 2, "the contents are right")
        try mirror.release()
        try buffer.range.expectPlace(.system, "no page is left on the device")
    }
