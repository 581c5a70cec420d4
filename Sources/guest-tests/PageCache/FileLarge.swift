// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Page cache in large folios, which has to be split before it can move.
///
/// Where a base makes no large ones the tests ask the same of small ones.
let fileLargeTests: [GuestTest] =
    onOwnDevice(
        "file/large-not-asked", "Large folios of a file stay whole for who has no use for their pages",
        on: [.coherent], needs: [.ext4]
    ) { _, mirror in
        let disk = try DiskFileSystem()
        let file = try ScratchFile(.folder(disk.folder), pages: span)
        try file.fill(seed: 1, pages: span, pagesAtATime: span)
        try file.sync()
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        buffer.range.touch()
        let before = try buffer.range.places()
        let large = try buffer.range.largePages()
        for direction in [Migration.Direction.toDevice, .renew] {
            try mirror.expectMigration(buffer.range, direction, "page cache says why it stays") { _ in .mapping }
            try buffer.range.expectUnmoved(since: before, "it is mapped where it was")
            expectEqual(try buffer.range.largePages(), large, "its folios are what they were")
        }
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice(
        "file/large-ext4", "Large folios of a file on a disk go to the device in small pages", on: [.coherent],
        needs: [.filesOnDevice, .ext4]
    ) { _, mirror in
        let disk = try DiskFileSystem()
        let file = try ScratchFile(.folder(disk.folder), pages: span)
        try file.fill(seed: 1, pages: span, pagesAtATime: span)
        // Buffers of what is dirty keep a folio whole.
        try file.sync()
        try checkLargeFile(file, mirror)
        try file.sync()
        let found = try file.contentsOnDisk(pages: span)
        found.range.expectHolds(seed: 3, "the disk has what was written last")
    }
    + onOwnDevice(
        "file/large-tmpfs", "Large folios of tmpfs go to the device in small pages", on: [.coherent],
        needs: [.filesOnDevice, .thp]
    ) { _, mirror in
        let folder = "/tmp/large"
        try Shell.run("mkdir \(folder) && mount -t tmpfs -o huge=always tmpfs \(folder)")
        // The file goes first.
        defer { try? Shell.run("umount -l \(folder) && rmdir \(folder)") }
        let file = try ScratchFile(.folder(folder), pages: span)
        try file.fill(seed: 1, pages: span, pagesAtATime: span)
        try checkLargeFile(file, mirror)
    }
    + onOwnDevice(
        "file/large-dirty", "Large folios that are dirty stay, say why, and are in no other page's way",
        on: [.coherent], needs: [.filesOnDevice, .ext4]
    ) { _, mirror in
        let disk = try DiskFileSystem()
        let file = try ScratchFile(.folder(disk.folder), pages: span)
        try file.fill(seed: 1, pages: span)
        // What is in small folios stays in them until it is gone.
        try file.sync()
        try file.punchHole(firstPage: 0, pages: 64)
        try file.fill(seed: 1, pages: 64, pagesAtATime: 64)
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        buffer.range.pages(from: 64, count: span - 64).fill(seed: 1, firstPage: 64)
        buffer.range.touch()
        let before = try buffer.range.places()
        let large = try buffer.range.largePages()
        try mirror.expectMigration(buffer.range, .toDevice, files: true, "what is large stays, and nothing else") {
            large[$0] ? .large : .moved
        }
        let after = try buffer.range.places()
        let wrong = large.indices.first { large[$0] && after[$0] != before[$0] }
        expectNone(wrong.map { "page \($0)" }, "what is large is mapped where it was")
        try file.sync()
        try mirror.takeFile(buffer.range)
        buffer.range.expectHolds(seed: 1, "once it is written it moves, with its contents")
    }

/// A file with the pattern of seed 1, clean or without a disk, goes to the device and comes back with seed 3.
private func checkLargeFile(_ file: borrowing ScratchFile, _ mirror: borrowing MirrorDevice) throws {
    let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
    let second = try MappedBuffer.file(file.descriptor, pages: span, shared: true, .read)
    buffer.range.touch()
    second.range.touch()
    let large = try buffer.range.largePages().count { $0 }
    Console.line("\(large) of \(span) pages are parts of large folios")
    try mirror.takeFile(buffer.range)
    buffer.range.expectHolds(seed: 1, "the mapping has the contents")
    second.range.expectHolds(seed: 1, "so has a second one")
    expectEqual(try second.range.frames(), try buffer.range.frames(), "which maps the same pages")
    buffer.range.fill(seed: 2)
    try mirror.expectReads(buffer.range, seed: 2, "the device reads what was written")
    try mirror.moveFile(buffer.range, .toSystem)
    second.range.expectHolds(seed: 2, "it came back with the pages")
    buffer.range.fill(seed: 3)
    let contents = try file.contents(pages: span)
    contents.range.expectHolds(seed: 3, "read(2) has what was written last")
}

extension PageRange {
    /// Which pages are parts of large folios.
    fileprivate func largePages(file: String = #fileID, line: Int = #line) throws(SystemCallError) -> [Bool] {
        try frameFlags(file: file, line: line).map { $0?.contains(.transparentHuge) == true }
    }
}
