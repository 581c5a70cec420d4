// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit
import Synchronization

/// Page cache on the device that somebody holds, locks or writes, and the device that wants to be rid of it.
let fileHoldTests: [GuestTest] =
    onTakenFile("file/pin-long", "A long-term pin brings page cache back to system memory first") {
        test, buffer, mirror in
        let held = try mirror.information().heldPages
        let part = buffer.range.pages(from: 10, count: 40)
        // Long-term pins of files on a disk are for reading only: they would hide writes from the filesystem.
        let pinned = try mirror.pin(part, test.kind.isShmem ? [.write, .longTerm] : .longTerm)
        expectEqual(pinned.systemPages, 40, "all pages that are held are of system memory")
        try part.expectPlace(.system, "so says the page table")
        try mirror.expectHeld(held - 40, "the device has none of them")
        try mirror.expectMigration(part, .toDevice, files: true, "pinned pages stay") { _ in .pinned }
        try test.expectContents(seed: 1, "the contents are right")
        if test.kind.isShmem {
            part.fill(seed: 2, firstPage: 10)
            let image = try test.file.contents(pages: span)
            image.range.pages(from: 10, count: 40).expectHolds(
                seed: 2, firstPage: 10, "what is written to pinned pages is in the file")
            part.fill(seed: 1, firstPage: 10)
        }
        try pinned.release()
        try mirror.takeFile(buffer.range, of: test)
        try test.expectContents(seed: 1, "they can go to the device again")
    }
    + onTakenFile(
        "file/pin-long-readers", "Nobody reads anything else while long-term pins bring page cache back", needs: [.smp]
    ) { test, buffer, mirror in
        let isOver = Atomic(false)
        let reads = Atomic<Int>(0)
        let page = buffer.range.page(7)
        try Workers.run(2) { worker in
            if worker == 1 {
                let image = try MappedBuffer.anonymous(pages: 1)
                while !isOver.load(ordering: .acquiring) {
                    try test.file.read(into: image.range, fromPage: 7)
                    guard expectNone(image.range.mismatch(seed: 1, firstPage: 7), "read(2) has the contents") else {
                        return
                    }
                    reads.add(1, ordering: .relaxed)
                }
                return
            }
            defer { isOver.store(true, ordering: .releasing) }
            var brought = 0
            for _ in 0..<2000 {
                _ = try mirror.migrate(page, .toDevice, files: true)
                // EBUSY: the reader has the page at this moment.
                guard let pinned = try? mirror.pin(page, .longTerm) else { continue }
                brought += pinned.systemPages
                try pinned.release()
            }
            expect(brought > 100, "the page came back by a pin", "\(brought) times")
        }
        expect(reads.load(ordering: .relaxed) > 100, "it was read meanwhile")
    }
    + onTakenFile("file/pin-short", "Page cache on the device that is held for a short time stays there until then") {
        test, buffer, mirror in
        let part = buffer.range.pages(from: 10, count: 40)
        let pinned = try mirror.pin(part, .write)
        expectEqual(pinned.coherentPages, 40, "the pages that are held are on the device")
        try mirror.expectMigration(buffer.range, .toSystem, "they stay, and say why") {
            (10..<50).contains($0) ? .pinned : .moved
        }
        try part.expectPlace(.coherent, "they are on the device")
        expectEqual(
            try mirror.evict(within: 0), Eviction(pages: 0, isComplete: false), "they cannot be evicted either")
        try test.expectContents(seed: 1, "the contents are right")
        try pinned.release()
        try mirror.moveFile(buffer.range, .toSystem, of: test)
        try test.expectContents(seed: 1, "then they come back with their contents")
    }
    + onTakenFile("file/pipe", "Page cache that is in a pipe stays on the device, also when it is cut off its file") {
        test, buffer, mirror in
        let held = try mirror.information().heldPages
        let pipe = try PagePipe()
        let part = buffer.range.pages(from: 3, count: 4)
        expectEqual(try pipe.splice(part), part.size, "the pipe holds four pages")
        try mirror.expectMigration(part, .toSystem, "they stay, and say why") { _ in .pinned }
        try test.file.resize(pages: 0)
        try mirror.expectHeld(held - span + 4, "all but them are free")
        let image = try pipe.drain(pages: 4)
        image.range.expectHolds(seed: 1, firstPage: 3, "the pipe has their contents")
        try mirror.expectHeld(held - span, "then they are free, too")
    }
    + onEachFile(
        "file/mlock", "Page cache that is locked in memory goes to the device and comes back", needs: [.filesOnDevice]
    ) { test, mirror in
        let buffer = try test.mapped()
        let before = try requireValue(KernelCounters.virtualMemory("nr_mlock"), "there is a counter nr_mlock")
        try buffer.lock()
        try mirror.takeFile(buffer.range, of: test)
        buffer.range.fill(seed: 2)
        try mirror.moveFile(buffer.range, .toSystem, of: test)
        try test.expectContents(seed: 2, "the contents are right")
        try mirror.takeFile(buffer.range, of: test)
        try buffer.unlock()
        try test.file.resize(pages: 0)
        try Shell.run("cat /proc/sys/vm/stat_refresh")
        expectEqual(KernelCounters.virtualMemory("nr_mlock"), before, "no page is counted as locked any more")
    }
    + onOwnDevice(
        "file/mlock-anonymous", "Anonymous memory that is locked counts as that in system memory only, and not for good"
    ) { memory, mirror in
        func locked() throws -> Int? {
            try Shell.run("cat /proc/sys/vm/stat_refresh")
            return KernelCounters.virtualMemory("nr_mlock")
        }
        let before = try requireValue(try locked(), "there is a counter nr_mlock")
        do {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            try buffer.lock()
            expectEqual(try locked(), before + span, "locked pages are counted")
            try mirror.take(buffer.range, seed: 1)
            try buffer.range.expectPlace(memory.place, "they go to the device")
            _ = try mirror.migrateToSystem(buffer.range)
            expectEqual(try locked(), before + span, "they are counted when they are back")
            try mirror.take(buffer.range, seed: 1)
            try buffer.unlock()
        }
        expectEqual(try locked(), before, "no page is counted any more")
    }
    + onOwnDevice("file/mlock-gone", "Locked memory on the device is free as soon as its mapping has gone") {
        memory, mirror in
        let before = try mirror.information().heldPages
        // A batch that keeps pages all the same is emptied, lest the next test counts them.
        defer { try? Shell.run("echo 1 > /proc/sys/vm/drop_caches") }
        // Fewer than a batch of mlock() holds, which nothing else would empty.
        let buffer = try MappedBuffer.filled(pages: 8, seed: 1)
        try buffer.lock()
        try mirror.take(buffer.range, seed: 1)
        try buffer.range.expectPlace(memory.place, "it is on the device")
        try buffer.unmap(buffer.range)
        try mirror.expectHeld(before, "the device has its pages back")
    }
    + onTakenFile("file/evict", "Eviction brings page cache back, mapped or not, with its contents") {
        test, buffer, mirror in
        let held = try mirror.information().heldPages
        try buffer.unmap(buffer.range.pages(from: 100, count: 50))
        expectEqual(
            try mirror.evict(within: 5000), Eviction(pages: span, isComplete: true), "every page comes back")
        try mirror.expectHeld(held - span, "the device has none of them")
        try buffer.range.pages(from: 0, count: 100).expectPlace(.system, "so says the page table")
        try test.expectContents(seed: 1, "the contents are right")
        buffer.range.pages(from: 0, count: 100).fill(seed: 2)
        let image = try test.file.contents(pages: 100)
        image.range.expectHolds(seed: 2, "what is written then is in the file")
    }
    + onTakenFile("file/release", "Release and unplugging bring page cache back") { test, buffer, mirror in
        buffer.range.fill(seed: 2)
        try test.settle()
        try mirror.release()
        try buffer.range.expectPlace(.system, "the pages are back")
        try test.expectContents(seed: 2, "with their contents")
        try mirror.takeFile(buffer.range, of: test)
        buffer.range.fill(seed: 3)
        try buffer.unmap(buffer.range)
        try test.settle()
        try mirror.unplug()
        expectEqual(try mirror.information().chunks, 0, "a device with page cache that nobody maps can go")
        try test.expectContents(seed: 3, "the contents are right")
    }
    + onOwnDevice(
        "file/writeback", "Page cache that is being written stays where it is and says so, on either side",
        on: [.coherent], needs: [.filesOnDevice, .ext4, .nullBlock], timeoutMilliseconds: 120_000
    ) { _, mirror in
        let disk = try DiskFileSystem(on: .slow)
        let file = try ScratchFile(.folder(disk.folder), pages: 16)
        let buffer = try MappedBuffer.file(file.descriptor, pages: 16, shared: true)
        func isInFlight(_ flags: KernelPages.Flags?) -> Bool { flags?.contains(.writeback) == true }
        for direction in [Migration.Direction.toDevice, .renew] {
            try file.sync()
            buffer.range.fill(seed: 1)
            try file.beginWriteBack()
            let before = try buffer.range.places()
            try require(
                try buffer.range.frameFlags().allSatisfy(isInFlight), "the pages are being written")
            let result = try mirror.migrate(buffer.range, direction, files: true)
            try require(
                try buffer.range.frameFlags().allSatisfy(isInFlight), "they were all the time")
            expectEqual(result.count(of: .writeback), 16, "every page says so")
            try buffer.range.expectUnmoved(since: before, "no page moved")
            try file.sync()
        }
        try mirror.takeFile(buffer.range)
        buffer.range.fill(seed: 2)
        try file.beginWriteBack()
        try mirror.expectMigration(buffer.range, .toSystem, "they stay on the device, too") { _ in .writeback }
        try buffer.range.expectPlace(.coherent, "so says the page table")
        // Whoever pins them for long waits for the disk.
        let pinned = try mirror.pin(buffer.range, .longTerm)
        expectEqual(pinned.systemPages, 16, "a long-term pin waits, and brings them back")
        try pinned.release()
        try file.sync()
        let image = try file.contentsOnDisk(pages: 16)
        image.range.expectHolds(seed: 2, "the disk has what was written")
    }
