// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Page cache on the device has lost its contents: what is nowhere else is an error for who maps it and for who uses
/// the file, what is on the disk is read again, and the device's page is free in any case.
let fileLostTests: [GuestTest] =
    onTakenFile(
        "file/lost-dirty",
        "A page that was changed and lost is an error in all mappings and in the file, and no other page",
        // What a journal has to do with stays: file/lost-journal.
        kinds: [.memfd, .tmpfs, .ext4, .xfs], needs: [.contentsLost]
    ) { test, buffer, mirror in
        let held = try mirror.information().heldPages
        let lost = 5
        try test.file.sync()
        buffer.range.page(lost).fill(seed: 2, firstPage: lost)
        let copy = try test.mapped(shared: false)
        copy.range.touch()
        let other = try Child { parent in
            let own = try test.mapped()
            own.range.touch()
            try parent.signal()
            try parent.wait()
            own.expectLoss(of: lost)
        }
        try other.channel.wait()
        try buffer.range.expectPlace(.coherent, "all of it is on the device")
        try mirror.inject(Injection(failingCopy: UInt64(lost + 1), losesContents: true))
        try mirror.expectMigration(buffer.range, .toSystem, "one page lost its contents") {
            $0 == lost ? .contentsLost : .moved
        }
        try mirror.expectHeld(held - span, "it has left the device as well")
        buffer.expectLoss(of: lost)
        copy.expectLoss(of: lost)
        try other.channel.signal()
        try other.expectPassed("another process that mapped it is told")
        if test.kind.isShmem {
            try expectUnreadable(test, lost)
            try test.file.punchHole(firstPage: lost, pages: 1)
        } else {
            expectFailure(Errno(rawValue: EIO), "fsync(2) says that something was lost") { () throws(SystemCallError) in
                try test.file.sync()
            }
            try test.file.sync()
            try test.expectContents(seed: 1, "the file has what the disk has")
        }
        buffer.expectLoss(of: lost)
        try buffer.advise(.dontNeed, buffer.range.page(lost))
        if test.kind.isShmem { buffer.range.page(lost).expectZero("a hole reads as zero") }
        buffer.range.page(lost).fill(seed: 1, firstPage: lost)
        try test.expectContents(seed: 1, "what is written there then is in the file")
        try test.file.sync()
        try mirror.takeFile(buffer.range, of: test)
        buffer.range.expectHolds(seed: 1, "and can go to the device")
    }
    + onTakenFile(
        "file/lost-clean", "What is on the disk is read again when the device has lost it, and nobody is told",
        kinds: FileKind.onDisk, needs: [.contentsLost]
    ) { test, buffer, mirror in
        let held = try mirror.information().heldPages
        buffer.range.fill(seed: 2)
        try test.file.sync()
        try test.settle()
        let other = try Child { parent in
            let own = try test.mapped()
            own.range.touch()
            try parent.signal()
            try parent.wait()
            own.range.expectHolds(seed: 2, "another process finds it, too")
        }
        try other.channel.wait()
        try buffer.range.expectPlace(.coherent, "all of it is on the device")
        try mirror.loseAll()
        try mirror.expectHeld(held - span, "the device is empty")
        buffer.range.expectHolds(seed: 2, "the contents are there")
        try buffer.range.expectPlace(.system, "in system memory")
        try other.channel.signal()
        try other.expectPassed()
        try test.file.sync()
        try test.expectOnDisk(seed: 2, "the disk has them as before")
        try mirror.takeFile(buffer.range, of: test)
    }
    + onTakenFile(
        "file/lost-journal", "What the journal still has to bring to the disk stays on a device that is lost",
        kinds: [.ext4Journal], needs: [.contentsLost]
    ) { test, buffer, mirror in
        let held = try mirror.information().heldPages
        buffer.range.fill(seed: 2)
        try mirror.inject(Injection(isLost: true, losesContents: true))
        expectEqual(
            try mirror.evict(within: 0), Eviction(pages: 0, isComplete: false), "it cannot be given up")
        try buffer.range.expectPlace(.coherent, "it is where it was")
        buffer.range.expectHolds(seed: 2, "and nobody is told that it is lost")
        try mirror.inject(Injection())
        try test.file.sync()
        try test.settle()
        try mirror.loseAll()
        try mirror.expectHeld(held - span, "without the journal it is given up")
        buffer.range.expectHolds(seed: 2, "and read from the disk")
    }
    + onEachFile(
        "file/lost-counters", "The kernel's counters are right when page cache was lost, and when its file has gone",
        kinds: [.memfd, .tmpfs, .ext4, .xfs], needs: [.filesOnDevice, .contentsLost]
    ) { test, mirror in
        try test.file.sync()
        let buffer = try test.mapped()
        buffer.range.fill(seed: 2)
        let free = try DiskFileSystem.freeBlocks(of: test.folder)
        let blocks = try fileBlocks(test)
        try mirror.takeFile(buffer.range, of: test)
        let before = try Counts()
        try mirror.loseAll()
        let lost = try Counts()
        // What the filesystem has to read and change for it is in the cache, too.
        let own = test.kind.isShmem ? 0...0 : 0...16
        expect(
            own.contains(lost.cache - before.cache + span), "lost pages are not counted as cache",
            "\(before.cache), then \(lost.cache)")
        expectEqual(
            lost.shmem, before.shmem - (test.kind.isShmem ? span : 0), "nor as shared memory where they were it")
        expect(
            own.contains(lost.dirty - before.dirty + (test.kind.isShmem ? 0 : span)), "nor as dirty",
            "\(before.dirty), then \(lost.dirty)")
        buffer.range.expectLost("the pages are lost")
        if test.kind.isShmem { expectEqual(try fileBlocks(test), blocks, "they are still a part of the file") }
        try test.file.resize(pages: 0)
        expectEqual(try fileBlocks(test), 0, "until it is truncated")
        if test.kind == .tmpfs {
            expectEqual(
                try DiskFileSystem.freeBlocks(of: test.folder), free + span, "the filesystem has its room back")
        }
        expectEqual(try Counts().shmem, lost.shmem, "nothing is counted twice")
        try test.file.resize(pages: span)
        buffer.range.expectZero("a file that grows again has zeros there")
    }
    + onEachFile(
        "file/lost-blocks", "A filesystem has its room back when a file has gone that was lost on the device",
        kinds: [.tmpfs, .ext4, .xfs], needs: [.filesOnDevice, .contentsLost], timeoutMilliseconds: 120_000
    ) { test, mirror in
        // So that the filesystem has made what it keeps for the next file.
        try loseAnotherFile(test, mirror)
        let before = try freeBlocks(test)
        try loseAnotherFile(test, mirror)
        try eventually("the free blocks are as many as before") { try freeBlocks(test) == before }
    }

/// The driver goes while page cache of several processes is on its lost device.
let fileLostModuleTests: [GuestTest] = [
    GuestTest(
        "file/lost-unload", "The driver of a device that is gone leaves, whatever page cache is there",
        needs: [.coherent, .ours, .filesOnDevice, .contentsLost, .mkfsExt4], timeoutMilliseconds: 120_000
    ) {
        let parameters = try driverParameters()
        let memory = try TestFile(.memfd, pages: span)
        let onDisk = try TestFile(.ext4, pages: span)
        let buffer = try memory.mapped()
        let other = try onDisk.mapped()
        do {
            let mirror = try MirrorDevice(unit: 2)
            buffer.range.fill(seed: 1)
            try onDisk.fill(seed: 2)
            try onDisk.file.sync()
            try mirror.takeFile(buffer.range, of: memory)
            try mirror.takeFile(other.range, of: onDisk)
            // Nobody has mapped these.
            do {
                let unmapped = try TestFile(in: onDisk, named: "\(onDisk.folder)/lost", pages: span)
                try unmapped.fill(seed: 3)
                let own = try unmapped.mapped()
                try mirror.takeFile(own.range, of: unmapped)
            }
        }
        let first = try loser(buffer.range, other.range)
        let second = try loser(buffer.range, other.range)
        try MirrorDevice(unit: 2).inject(Injection(isLost: true, losesContents: true))
        try Shell.run("rmmod hmm_dmirror")
        expect(
            try !PhysicalMemory.current().regions.contains { $0.name.contains("dmirror") }, "no memory is left behind")
        try Shell.run("rmmod hmm_devmem")
        buffer.range.expectLost("shared memory is lost")
        other.range.expectHolds(seed: 2, "what is on the disk is read again")
        try first.channel.signal()
        try second.channel.signal()
        try first.expectPassed()
        try second.expectPassed()
        try Shell.run("modprobe hmm_dmirror \(parameters.joined(separator: " "))")
        try memory.file.resize(pages: 0)
        try memory.file.resize(pages: span)
        try memory.fill(seed: 4)
        try MirrorDevice(unit: 2).takeFile(buffer.range, of: memory)
        buffer.range.expectHolds(seed: 4, "the driver works when it is back")
    }
]

/// A process that maps what is to be lost; when it is told, the first part is, and the second is read again.
private func loser(_ gone: PageRange, _ onDisk: PageRange) throws -> Child {
    let child = try Child { parent in
        gone.touch()
        onDisk.touch()
        try parent.signal()
        try parent.wait()
        gone.expectLost("shared memory is lost in other processes")
        onDisk.expectHolds(seed: 2, "they read from the disk, too")
    }
    try child.channel.wait()
    return child
}

extension MirrorDevice {
    /// The device loses every page that it has, and works again.
    fileprivate func loseAll(file: String = #fileID, line: Int = #line) throws {
        try inject(Injection(isLost: true, losesContents: true), file: file, line: line)
        expectEqual(
            try evict(within: 5000, file: file, line: line), Eviction(pages: 0, isComplete: true),
            "every page leaves a device that is lost", file: file, line: line)
        try inject(Injection(), file: file, line: line)
    }
}

/// A page of shared memory is an error for who reads, writes or maps the file; its neighbours are not.
private func expectUnreadable(_ test: borrowing TestFile, _ lost: Int) throws {
    let target = try MappedBuffer.anonymous(pages: span)
    let (part, size) = (target.range.page(lost), PageRange.pageSize)
    let descriptor = test.file.descriptor
    expectFailure(Errno(rawValue: EIO), "the file cannot be read there") { () throws(SystemCallError) in
        try systemCall("pread") { pread(descriptor, part.pointer, size, lost * size) }
    }
    expectFailure(Errno(rawValue: EIO), "nor written") { () throws(SystemCallError) in
        try systemCall("pwrite") { pwrite(descriptor, part.pointer, size, lost * size) }
    }
    for page in [lost - 1, lost + 1] {
        try test.file.read(into: target.range.page(page), fromPage: page)
        target.range.page(page).expectHolds(seed: 1, firstPage: page, "its neighbours can be read")
    }
    let fresh = try test.mapped()
    let page = fresh.range.page(lost)
    expectEqual(FaultProbe.read(page), .unreachable(page), "who maps it later gets no zeros")
    fresh.range.page(lost + 1).expectHolds(seed: 1, firstPage: lost + 1, "but the page behind it")
}

/// The file's blocks, in pages.
private func fileBlocks(_ test: borrowing TestFile) throws(SystemCallError) -> Int {
    var status = stat()
    let descriptor = test.file.descriptor
    try systemCall("fstat") { fstat(descriptor, &status) }
    return Int(status.st_blocks) * 512 / PageRange.pageSize
}

/// A file's pages, never written to the disk, are lost on the device, and the file goes.
private func loseAnotherFile(_ test: borrowing TestFile, _ mirror: borrowing MirrorDevice) throws {
    let other = try TestFile(in: test, pages: span)
    try other.fill(seed: 2)
    let buffer = try other.mapped()
    try mirror.takeFile(buffer.range, of: other)
    try mirror.loseAll()
}
