// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Page cache on the device is written back from there, and goes with its file; nothing is left in any count.
let fileLifetimeTests: [GuestTest] =
    onTakenFile(
        "file/write-back", "What is dirty in the device's memory is written to the disk from there",
        kinds: FileKind.onDisk
    ) { test, buffer, mirror in
        for seed: UInt64 in [2, 3] {
            buffer.range.fill(seed: seed)
            try test.expectOnDisk(seed: seed, "the disk has what a mapping wrote")
            try buffer.range.expectPlace(.coherent, "the pages have not moved")
        }
        try mirror.fill(buffer.range, seed: 4)
        try test.expectOnDisk(seed: 4, "the disk has what the device wrote")
    }
    + onTakenFile(
        "file/dirty-returns", "What was written on the device before the pages came back reaches the disk",
        // With data=journal dirty pages do not come back: file/checkpoint.
        kinds: [.ext4, .xfs]
    ) { test, buffer, mirror in
        buffer.range.fill(seed: 2)
        try mirror.moveFile(buffer.range, .toSystem, of: test)
        try test.expectOnDisk(seed: 2, "the disk has it")
    }
    + fileMountTests
    + onEachFile(
        "file/drop-caches", "Clean page cache on the device is dropped like any other", kinds: FileKind.onDisk,
        needs: [.filesOnDevice]
    ) { test, mirror in
        let held = try mirror.information().heldPages
        do {
            let buffer = try test.mapped()
            try mirror.takeFile(buffer.range, of: test)
            buffer.range.fill(seed: 2)
        }
        try test.file.sync()
        try test.settle()
        try mirror.expectHeld(held + span, "clean pages that nobody maps are in the cache")
        try Shell.run("echo 1 > /proc/sys/vm/drop_caches")
        try mirror.expectHeld(held, "drop_caches frees them")
        try test.expectContents(seed: 2, "the contents are read from the disk again")
    }
    + onTakenFile("file/truncate", "Pages that are cut off a file leave the device, and no others") {
        test, buffer, mirror in
        let held = try mirror.information().heldPages
        try test.file.resize(pages: span - 50)
        try mirror.expectHeld(held - 50, "the pages behind the new end are free")
        let page = buffer.range.page(span - 50)
        expectEqual(
            FaultProbe.read(page), .busError(code: 2, address: page.address), "nothing is behind the new end")
        buffer.range.pages(from: 0, count: span - 50).expectHolds(seed: 1, "what is before it is as it was")
        try test.file.resize(pages: span)
        buffer.range.pages(from: span - 50, count: 50).expectZero("a file that grows again has zeros there")
        try buffer.range.pages(from: 0, count: span - 50).expectPlace(.coherent, "the others have not moved")
    }
    + onTakenFile("file/punch-hole", "A hole in a file frees its pages on the device") { test, buffer, mirror in
        let held = try mirror.information().heldPages
        try test.file.punchHole(firstPage: 20, pages: 30)
        try mirror.expectHeld(held - 30, "the pages of the hole are free")
        buffer.range.pages(from: 20, count: 30).expectZero("the hole reads as zero")
        buffer.range.pages(from: 0, count: 20).expectHolds(seed: 1, "what is before it is as it was")
        buffer.range.pages(from: 50, count: span - 50).expectHolds(
            seed: 1, firstPage: 50, "what is behind it is as it was")
        buffer.range.pages(from: 20, count: 30).fill(seed: 1, firstPage: 20)
        // A filesystem may have large folios there now, which stay whole while they are dirty.
        try test.file.sync()
        try mirror.takeFile(buffer.range, of: test)
        try test.expectContents(seed: 1, "what is written to the hole can go to the device")
    }
    + onEachFile(
        "file/last-user", "The pages of a file that is gone leave the device with its last user",
        kinds: [.memfd, .tmpfs], needs: [.filesOnDevice]
    ) { test, mirror in
        let held = try mirror.information().heldPages
        do {
            let file = try TestFile(test.kind, pages: span)
            try file.fill(seed: 2)
            let buffer = try file.mapped()
            try mirror.takeFile(buffer.range, of: file)
            _ = consume file
            // Only the mapping keeps a file that has no name.
            buffer.range.expectHolds(seed: 2, "the mapping has the contents when the file is closed")
            try buffer.range.expectPlace(.coherent, "on the device")
        }
        try mirror.expectHeld(held, "with the mapping the pages go")
        try test.expectContents(seed: 1, "another file is as it was")
    }
    + onEachFile(
        "file/counters", "The kernel's counters are right while page cache is on the device and when it is gone",
        needs: [.filesOnDevice]
    ) { test, mirror in
        // So that the filesystem has found room on the disk, and read what it needs for that.
        try test.file.sync()
        let buffer = try test.mapped()
        buffer.range.fill(seed: 2)
        try test.settle()
        let before = try Counts()
        try mirror.takeFile(buffer.range, of: test)
        let there = try Counts()
        there.expectSame(as: before, "nothing changes when the pages move")
        try mirror.moveFile(buffer.range, .toSystem, of: test)
        try Counts().expectSame(as: before, "nor when they come back")
        try mirror.takeFile(buffer.range, of: test)
        // Nothing is dirty any more of what had to settle first.
        if test.kind == .ext4 || test.kind == .xfs {
            try test.file.sync()
            // What the filesystem keeps of its own may be dirty still.
            let dirty = try Counts().dirty
            expect(
                dirty <= before.dirty - span + 8, "pages that are written are not dirty any more",
                "\(before.dirty), then \(dirty)")
            buffer.range.fill(seed: 3)
        }
        let last = try Counts()
        try buffer.range.expectPlace(.coherent, "all of that was on the device")
        try test.file.resize(pages: 0)
        let after = try Counts()
        // What the filesystem has to read and change for it is in the cache, too.
        let own = test.kind.isShmem ? 0...0 : 0...16
        expect(
            own.contains(after.cache - last.cache + span), "the pages that are cut off are not counted as cache",
            "\(last.cache), then \(after.cache)")
        expectEqual(
            after.shmem, last.shmem - (test.kind.isShmem ? span : 0), "nor as shared memory where they were it")
        expect(
            own.contains(after.dirty - last.dirty + (test.kind == .ext4 || test.kind == .xfs ? span : 0)),
            "nor as dirty",
            "\(last.dirty), then \(after.dirty)")
    }
    + onEachFile(
        "file/after-anonymous", "Page cache is not taken for what was in the device's memory before",
        // With data=journal settling alone changes the counts, by what the journal needs.
        kinds: [.ext4, .xfs],
        needs: [.filesOnDevice]
    ) { test, mirror in
        for _ in 0..<2 {
            let anonymous = try MappedBuffer.filled(pages: 1024, seed: 1)
            try mirror.take(anonymous.range, seed: 1)
        }
        let buffer = try test.mapped()
        buffer.range.touch()
        let before = try Counts()
        try mirror.takeFile(buffer.range, of: test)
        try Counts().expectSame(as: before, "nothing is counted in another way")
        try mirror.moveFile(buffer.range, .toSystem, of: test)
        try Counts().expectSame(as: before, "also when they are back")
        try test.file.resize(pages: 0)
        expectEqual(try Counts().shmem, before.shmem, "and when they are gone")
    }

/// Numbers of pages that the kernel keeps for the whole system, exact.
struct Counts {
    let cache, shmem, dirty, pending: Int

    init(file: String = #fileID, line: Int = #line) throws {
        // Each processor's share is added.
        try Shell.run("cat /proc/sys/vm/stat_refresh", file: file, line: line)
        func number(_ name: String) throws -> Int {
            try requireValue(KernelCounters.virtualMemory(name), "there is a counter \(name)", file: file, line: line)
        }
        cache = try number("nr_file_pages")
        shmem = try number("nr_shmem")
        dirty = try number("nr_dirty")
        pending = try number("nr_zone_write_pending")
    }

    func expectSame(as other: Counts, _ sentence: String, file: String = #fileID, line: Int = #line) {
        expectEqual(cache, other.cache, "\(sentence) (nr_file_pages)", file: file, line: line)
        expectEqual(shmem, other.shmem, "\(sentence) (nr_shmem)", file: file, line: line)
        expectEqual(dirty, other.dirty, "\(sentence) (nr_dirty)", file: file, line: line)
        expectEqual(pending, other.pending, "\(sentence) (nr_zone_write_pending)", file: file, line: line)
    }
}
