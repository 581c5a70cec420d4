// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Who pays for page cache on the device, and that everything is paid back.
let fileAccountTests: [GuestTest] =
    onEachFile(
        "file/group", "A memory group pays for page cache on the device as for any other, and for none that has gone",
        needs: [.filesOnDevice], timeoutMilliseconds: 120_000
    ) { test, _ in
        let dying = try MemoryGroup.dying()
        try expectGroupIsRight(test)
        // A group that is gone lives on as long as a page is charged to it. What its filesystem has in other caches goes.
        try eventually("no page is charged to the group any more") {
            // What is in a journal keeps the pages of the disk's own cache that it is about.
            try test.file.sync()
            if test.kind == .ext4 || test.kind == .ext4Journal { try test.file.checkpoint() }
            try Shell.run("sync && echo 3 > /proc/sys/vm/drop_caches")
            return try MemoryGroup.dying() <= dying
        }
    }
    + onEachFile(
        "file/blocks", "A filesystem has its room back when a file has gone whose pages were on the device",
        kinds: [.tmpfs] + FileKind.onDisk, needs: [.filesOnDevice]
    ) { test, mirror in
        // So that the filesystem has made what it keeps for the next file.
        try useAnotherFile(test, mirror)
        let before = try freeBlocks(test)
        try useAnotherFile(test, mirror)
        try eventually("the free blocks are as many as before") { try freeBlocks(test) == before }
    }

/// The parts of memory.stat that a file's pages are counted in.
private struct GroupCounts: Equatable {
    let file, mapped, shmem: Int

    init(_ group: borrowing MemoryGroup) throws {
        file = try group.statistic("file") / PageRange.pageSize
        mapped = try group.statistic("file_mapped") / PageRange.pageSize
        shmem = try group.statistic("shmem") / PageRange.pageSize
    }
}

/// A child in a group of its own fills the file, and the group's counts follow its pages.
private func expectGroupIsRight(_ test: borrowing TestFile) throws {
    let group = try MemoryGroup(bytes: 64 << 20)
    // Emptied, so that the group pays for all pages of the file.
    try test.file.resize(pages: 0)
    try test.file.resize(pages: span)
    let child = try Child { parent in
        try parent.wait()
        try expectCountsAreRight(of: group, test, try DeviceMemory.coherent.open())
    }
    try group.add(child.pid)
    try child.channel.signal()
    try child.expectPassed()
}

private func expectCountsAreRight(
    of group: borrowing MemoryGroup, _ test: borrowing TestFile, _ mirror: borrowing MirrorDevice
) throws {
    let before = try GroupCounts(group)
    // What the filesystem reads and changes for the file is in the cache, too.
    let extra = test.kind.isShmem ? 0...0 : 0...32
    let shmem = test.kind.isShmem ? span : 0
    try test.fill(seed: 2)
    try test.file.sync()
    try test.settle()
    let buffer = try test.mapped()
    buffer.range.touch()
    try eventually("the group pays for the file") {
        let now = try GroupCounts(group)
        return extra.contains(now.file - before.file - span) && now.mapped - before.mapped == span
            && now.shmem - before.shmem == shmem
    }
    let there = try GroupCounts(group)
    for _ in 0..<5 {
        try mirror.takeFile(buffer.range, of: test)
        try mirror.moveFile(buffer.range, .toSystem, of: test)
    }
    try eventually("it pays for pages that are back as before") { try GroupCounts(group) == there }
    try mirror.takeFile(buffer.range, of: test)
    try eventually("it pays for pages on the device as before") { try GroupCounts(group) == there }
    try buffer.range.expectPlace(.coherent, "all that time they were there")
    try test.file.resize(pages: 0)
    try eventually("it does not pay for pages that were cut off on the device") {
        let now = try GroupCounts(group)
        return extra.contains(now.file - before.file) && now.mapped == before.mapped && now.shmem == before.shmem
    }
}

/// Takes a file's pages to the device, changes there what room it needs, and lets it go.
private func useAnotherFile(_ test: borrowing TestFile, _ mirror: borrowing MirrorDevice) throws {
    let other = try TestFile(in: test, pages: span)
    try other.fill(seed: 2)
    let buffer = try other.mapped()
    try mirror.takeFile(buffer.range, of: other)
    try other.file.punchHole(firstPage: 20, pages: 30)
    buffer.range.pages(from: 0, count: 40).fill(seed: 3)
    try mirror.moveFile(buffer.range.pages(from: 60, count: 40), .toSystem, of: other)
    try other.file.resize(pages: span - 20)
}

/// Pages' worth of blocks that the file's filesystem has to give, once all is written.
func freeBlocks(_ test: borrowing TestFile) throws -> Int {
    try Shell.run("sync")
    return try DiskFileSystem.freeBlocks(of: test.folder)
}

/// States that something is so within a minute and more: the kernel adds up some counts every other second, ends some
/// work of filesystems behind their users' backs, and leaves some pages dirty for half a minute.
func eventually(
    _ sentence: String, file: String = #fileID, line: Int = #line, _ isSo: () throws -> Bool
) throws {
    for _ in 0..<700 {
        if try isSo() { return }
        usleep(100_000)
    }
    expect(false, sentence, "not so after more than a minute", file: file, line: line)
}
