// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Page cache on the device is used like any other, by everybody who finds it, and stays there.
let fileAccessTests: [GuestTest] =
    onEachFile(
        "file/migrate", "The page cache of a file goes to the device and comes back with its contents",
        needs: [.coherent]
    ) { test, mirror in
        let buffer = try test.mapped()
        let held = try mirror.information().heldPages
        // No retry and no requirement here: without the series this fails.
        buffer.range.touch()
        _ = try mirror.migrate(buffer.range, .toDevice, files: true)
        try mirror.takeFile(buffer.range, of: test)
        try mirror.expectHeld(held + span, "the device says so as well")
        try mirror.expectContents(buffer.range, seed: 1, "the contents are in the device's memory")
        buffer.range.expectHolds(seed: 1, "the mapping has the contents")
        try mirror.moveFile(buffer.range, .toSystem, of: test)
        try buffer.range.expectPlace(.system, "the pages are back")
        try mirror.expectHeld(held, "the device has none of them")
        buffer.range.expectHolds(seed: 1, "the mapping has the contents still")
        try test.expectContents(seed: 1, "so has read(2)")
    }
    + onTakenFile("file/read", "Page cache on the device is read in every way, and stays there") {
        test, buffer, mirror in
        try test.expectContents(seed: 1, "read(2) has the contents")
        let second = try test.mapped(.read)
        second.range.expectHolds(seed: 1, "so has a second mapping")
        expectEqual(try second.range.frames(), try buffer.range.frames(), "it maps the same pages")
        try Child { _ in
            buffer.range.expectHolds(seed: 1, "a child has the contents")
            let own = try test.mapped(shared: false)
            own.range.expectHolds(seed: 1, "so has its private mapping")
            try own.range.expectPlace(.coherent, "which maps the device's pages")
        }.expectPassed()
        let copy = try ScratchFile(.memory, pages: span)
        try test.file.send(to: copy, pages: span)
        let image = try copy.contents(pages: span)
        image.range.expectHolds(seed: 1, "sendfile(2) sends the contents")
        let own = try buffer.range.copyThroughKernel()
        own.range.expectHolds(seed: 1, "get_user_pages() finds them")
        try mirror.expectReads(buffer.range, seed: 1, "the device reads them")
        try buffer.range.expectPlace(.coherent, "the pages have not moved")
    }
    + onTakenFile("file/write", "What is written to page cache on the device in any way is read in all others") {
        test, buffer, mirror in
        let second = try test.mapped(.read)
        buffer.range.fill(seed: 2)
        try test.expectContents(seed: 2, "read(2) gets what a mapping wrote")
        second.range.expectHolds(seed: 2, "so does a second mapping")
        try test.file.fill(seed: 3, pages: span)
        buffer.range.expectHolds(seed: 3, "a mapping has what write(2) wrote")
        try mirror.expectReads(buffer.range, seed: 3, "so has the device")
        try mirror.fill(buffer.range, seed: 4)
        try test.expectContents(seed: 4, "read(2) gets what the device wrote")
        second.range.expectHolds(seed: 4, "so does the second mapping")
        try Child { _ in buffer.range.fill(seed: 5) }.expectPassed()
        try test.expectContents(seed: 5, "and what a child wrote")
        try buffer.range.expectPlace(.coherent, "the pages have not moved")
        try mirror.moveFile(buffer.range, .toSystem, of: test)
        try test.expectContents(seed: 5, "it came back with the pages")
    }
    + onTakenFile("file/copy-on-write", "A private mapping copies from the device, and leaves the file alone") {
        test, buffer, mirror in
        let own = try test.mapped(shared: false)
        own.range.touch()
        try own.range.expectPlace(.coherent, "it maps the device's pages")
        own.range.fill(seed: 2)
        try own.range.expectPlace(.system, "writing made copies in system memory")
        own.range.expectHolds(seed: 2, "with what was written")
        buffer.range.expectHolds(seed: 1, "the file is as it was")
        try mirror.take(own.range, seed: 2)
        try own.range.expectPlace(.coherent, "the copies can go to the device, too")
        expect(
            try !own.range.frames().contains { frame in try buffer.range.frames().contains(frame) },
            "to pages of their own")
        try test.expectContents(seed: 1, "the file is as it was still")
    }
    + onEachFile(
        "file/private-mapping", "Page cache that a private mapping shows goes to the device", needs: [.filesOnDevice]
    ) { test, mirror in
        let own = try test.mapped(shared: false)
        try mirror.takeFile(own.range, of: test)
        own.range.expectHolds(seed: 1, "the mapping has the contents")
        try test.expectContents(seed: 1, "so has read(2)")
        own.range.page(3).fill(seed: 2, firstPage: 3)
        try own.range.page(3).expectPlace(.system, "a write copies the page")
        try test.expectContents(seed: 1, "and leaves the file alone")
    }
