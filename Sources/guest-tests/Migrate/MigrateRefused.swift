// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// What does not move to the device, and is none the worse for having been asked.
let migrateRefusedTests: [GuestTest] =
    onBothMemories("migrate/shared-anonymous-refused", "Shared anonymous memory does not move") { memory in
        let buffer = try MappedBuffer.anonymous(pages: span, shared: true)
        buffer.range.fill(seed: 1)
        try checkRefused(buffer.range, memory)
    }
    + onBothMemories("migrate/tmpfs-file-refused", "Pages of a file of tmpfs do not move") { memory in
        let file = try ScratchFile(.tmpfs, pages: span)
        try file.fill(seed: 1, pages: span)
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        try checkRefused(buffer.range, memory)
        let contents = try file.contents(pages: span)
        contents.range.expectHolds(seed: 1, "read(2) gets the contents")
    }
    + onBothMemories("migrate/disk-file-refused", "Pages of a file of ext4 do not move", needs: [.ext4]) { memory in
        let disk = try DiskFileSystem()
        let file = try ScratchFile(.folder(disk.folder), pages: span)
        try file.fill(seed: 1, pages: span)
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        try checkRefused(buffer.range, memory)
        try file.sync()
        let contents = try file.contents(pages: span)
        contents.range.expectHolds(seed: 1, "read(2) gets the contents after they were written back")
    }
    + onBothMemories("migrate/memory-file-refused", "Pages of a memory file do not move") { memory in
        let file = try ScratchFile(.memory, pages: span)
        try file.fill(seed: 1, pages: span)
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        try checkRefused(buffer.range, memory)
        try file.punchHole(firstPage: 0, pages: span)
        buffer.range.expectZero("the pages can still be freed")
    }
    + onBothMemories(
        "migrate/private-file", "The copied pages of a private file mapping move and the file's own pages do not"
    ) { memory in
        let file = try ScratchFile(.tmpfs, pages: span)
        try file.fill(seed: 1, pages: span)
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: false)
        let copied = buffer.range.pages(from: 0, count: 90)
        let own = buffer.range.pages(from: 90, count: 60)
        copied.fill(seed: 2)
        own.expectHolds(seed: 1, firstPage: 90, "the file is mapped")
        let mirror = try memory.open()
        let before = try own.places()
        try mirror.take(copied, seed: 2)
        try copied.expectPlace(memory.place, "the copied pages are in device memory")
        try mirror.expectTakeRefused(.noEntry, own, "the file's own pages do not move")
        try own.expectUnmoved(since: before, "the file's own pages are in their frames")
        copied.expectHolds(seed: 2, "the copied pages have their contents")
        let contents = try file.contents(pages: span)
        contents.range.expectHolds(seed: 1, "the file holds what it held")
    }
    + [
        GuestTest("migrate/poison-refused", "A device page is not taken for broken system memory", needs: [.coherent]) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let mirror = try DeviceMemory.coherent.open()
            try mirror.take(buffer.range, seed: 1)
            let before = try buffer.range.places()
            // The kernel refuses it, or handles it, as with our series errors.
            let end = try buffer.poison(buffer.range.page(70))
            guard end != .exited(0) else {
                try buffer.range.expectUnmoved(since: before, "every page is in its frame on the device")
                buffer.range.expectHolds(seed: 1, "the contents are right")
                return
            }
            expectEqual(end, .signaled(SIGBUS), "only the driver knows what to do about it")
            let page = buffer.range.page(70)
            expectEqual(FaultProbe.read(page), .contentsLost(page), "the page is an error where it is mapped")
            for (first, count) in [(0, 70), (71, span - 71)] {
                let part = buffer.range.pages(from: first, count: count)
                try part.expectUnmoved(
                    since: Array(before[first..<(first + count)]), "every other page is in its frame")
                part.expectHolds(seed: 1, firstPage: first, "the contents of the others are right")
            }
            // test_hmm does not look at a page before it hands it out again.
            try mirror.release()
        }
    ]
    + onBothMemories("migrate/hugetlb-refused", "Pages of the hugetlb pool do not move", needs: [.hugetlb]) { memory in
        let buffer = try MappedBuffer.hugetlb(hugePages: 1)
        buffer.range.fill(seed: 1)
        let mirror = try memory.open()
        let before = try buffer.range.places()
        try mirror.expectTakeRefused(.invalidArgument, buffer.range, "the pool's pages are refused")
        try buffer.range.expectUnmoved(since: before, "no page moved")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onBothMemories(
        "migrate/failed-allocation", "A page that no memory could be had for stays usable, on the way there and back",
        needs: [.flags]
    ) { memory in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        let mirror = try memory.open()
        let before = try buffer.range.places()
        try mirror.setFlags(.failAllocation)
        try mirror.expectTakeRefused(.noEntry, buffer.range, "one page does not move")
        let places = try buffer.range.places()
        expectEqual(
            places.map(\.kind), (0..<16).map { $0 == 0 ? .system : memory.place }, "the first page stayed behind")
        expectEqual(places[0], before[0], "it is in its frame")
        buffer.range.page(0).expectHolds(seed: 1, "it has its contents")
        try mirror.take(buffer.range, seed: 1)
        try buffer.range.expectPlace(memory.place, "the next attempt takes it")
        try mirror.fill(buffer.range, seed: 2)
        try mirror.setFlags(.failAllocation)
        expectRefused(.noMemory, "no page comes back without memory for it") { () throws(MirrorError) in
            try mirror.migrateToSystem(buffer.range)
        }
        try buffer.range.expectPlace(memory.place, "every page is still on the device")
        try mirror.expectReads(buffer.range, seed: 2, "the device reads its pages")
        expectEqual(try mirror.migrateToSystem(buffer.range), 16, "the next attempt brings them back")
        try buffer.range.expectPlace(.system, "every page is in system memory")
        buffer.range.expectHolds(seed: 2, "the contents are right")
        try mirror.release()
    }
    + onBothMemories("migrate/other-device-refused", "A device does not take pages that another device holds") {
        memory in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let holder = try memory.open()
        let other = try memory.open(second: true)
        try holder.take(buffer.range, seed: 1)
        let before = try buffer.range.places()
        try other.expectTakeRefused(.noEntry, buffer.range, "the other device gets nothing")
        expectEqual(try other.migrateToSystem(buffer.range), 0, "nor can it send the pages back")
        try buffer.range.expectUnmoved(since: before, "no page moved")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }

/// File pages stay in their frames, with their contents, although the driver had memory ready for them.
private func checkRefused(
    _ range: PageRange, _ memory: DeviceMemory, file: String = #fileID, line: Int = #line
) throws {
    range.expectHolds(seed: 1, "the contents are right before", file: file, line: line)
    let mirror = try memory.open()
    let before = try range.places()
    try mirror.expectTakeRefused(.noEntry, range, "the pages do not move", file: file, line: line)
    try range.expectUnmoved(since: before, "every page is in its frame", file: file, line: line)
    range.expectHolds(seed: 1, "the contents are right afterwards", file: file, line: line)
    // A page left locked or with a reference too many shows here.
    try mirror.expectTakeRefused(.noEntry, range, "a second attempt is refused as well", file: file, line: line)
    range.fill(seed: 1)
    try mirror.release(file: file, line: line)
    range.expectHolds(seed: 1, "the contents outlive the device's memory", file: file, line: line)
}
