// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Huge pages of the device, errors in its memory, and a device that goes and comes back.
let daxDeviceTests: [GuestTest] =
    onEachDax("dax/huge", "One fault maps all of a huge page", needs: [.thp]) { disk in
        let pages = 4 * MappedBuffer.pagesPerHugePage
        let file = try disk.filled(pages: pages)
        let buffer = try MappedBuffer.alignedFile(file.descriptor, hugePages: 4, shared: true)
        let before = try faultCount()
        for page in 0..<pages { buffer.range.page(page).fill(seed: 2, firstPage: page) }
        let faults = try faultCount() - before
        // The program's own memory may bring some, too.
        expect(faults < pages / 8, "huge pages are mapped", "\(faults) faults for \(pages) pages")
        try buffer.range.expectOnDevice(seed: 2, "what was stored is on the device")
        try file.expectContents(pages: pages, seed: 2, "and in the file")
    }
    + onEachDax("dax/huge-parts", "A part of a huge page changes without harm to the rest", needs: [.thp]) { disk in
        let pages = 2 * MappedBuffer.pagesPerHugePage
        let file = try disk.filled(pages: pages)
        let buffer = try MappedBuffer.alignedFile(file.descriptor, hugePages: 2, shared: true)
        buffer.range.touch()
        try buffer.protect(buffer.range.pages(from: 100, count: 50), .read)
        try buffer.unmap(buffer.range.pages(from: 200, count: 50))
        try file.punchHole(firstPage: 300, pages: 50)
        let child = try Child { _ in
            buffer.range.pages(from: 0, count: 200).expectHolds(seed: 1, "a child has the same")
            buffer.range.pages(from: 300, count: 50).expectZero("and the hole")
        }
        try child.expectPassed()
        let (locked, gone) = (buffer.range.page(120), buffer.range.page(220))
        expectEqual(.write(1, to: locked), FaultProbe.forbidden(locked), "what is read-only cannot be written")
        expectEqual(.read(gone), FaultProbe.unmapped(gone), "what is unmapped is not there")
        buffer.range.pages(from: 300, count: 50).expectZero("the hole is zero")
        buffer.range.pages(from: 350, count: pages - 350).expectHolds(seed: 1, firstPage: 350, "the rest is as it was")
        try file.resize(pages: 600)
        expectEqual(
            .read(buffer.range.page(600)), FaultProbe.beyondFile(buffer.range.page(600)), "what is cut off is gone")
        buffer.range.pages(from: 350, count: 250).expectHolds(seed: 1, firstPage: 350, "what is before it stays")
    }
    + onEachDax(
        "dax/rebind", "The device goes from its driver and comes back, with all that was on it",
        timeoutMilliseconds: 120_000
    ) { disk in
        try disk.filled().sync()
        for seed in UInt64(1)...3 {
            try disk.unmount()
            try DaxFileSystem.rebind()
            try disk.mount(.always)
            let file = try disk.opened()
            try file.expectContents(seed: seed, "the file is there")
            let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
            buffer.range.fill(seed: seed + 1)
            try buffer.range.expectOnDevice(seed: seed + 1, "what is stored is on the device")
        }
    }

/// Tests that leave pages marked as broken until the device has been with another driver; the last of the suite.
let daxPoisonTests: [GuestTest] =
    onEachDax("dax/poison", "A memory error on the device is told to who has the page, and to nobody else") { disk in
        do {
            let file = try disk.filled()
            let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
            buffer.range.touch()
            let child = try Child { channel in
                buffer.range.touch()
                try channel.wait()
                let page = buffer.range.page(70)
                expectEqual(.poison(page), FaultProbe.contentsLost(page), "who has the page is told at once")
            }
            // Everybody who has the page is told, and this process would end by that.
            try buffer.unmap(buffer.range.page(70))
            try child.channel.signal()
            try child.expectPassed()
            buffer.range.pages(from: 0, count: 70).expectHolds(seed: 1, "the pages before it are as they were")
            buffer.range.pages(from: 71, count: span - 71).expectHolds(
                seed: 1, firstPage: 71, "so are those behind it")
        }
        try disk.unmount()
        // New struct pages, which know nothing of the error.
        try DaxFileSystem.rebind()
        try disk.mount(.always)
        let file = try disk.opened()
        try file.expectContents(seed: 1, "the file is there, as there was no error in truth")
    }
