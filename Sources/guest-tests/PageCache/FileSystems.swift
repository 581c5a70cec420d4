// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// What single filesystems do with their page cache, and what becomes of it on the device.
let fileSystemTests: [GuestTest] =
    onEachFile(
        "file/checkpoint", "What the journal still has to bring to the disk stays where it is, on either side",
        kinds: [.ext4Journal], needs: [.filesOnDevice]
    ) { test, mirror in
        let buffer = try test.mapped()
        buffer.range.fill(seed: 2)
        try mirror.expectStay(buffer.range, .toDevice, "it is in a transaction")
        try test.file.sync()
        try mirror.expectStay(buffer.range, .toDevice, "it is in the journal")
        try buffer.range.expectPlace(.system, "it has not moved")
        try test.expectContents(seed: 2, "the contents are right")
        // This has it brought to the disk.
        try mirror.takeFile(buffer.range, of: test)
        buffer.range.fill(seed: 3)
        try mirror.expectStay(buffer.range, .toSystem, "what is written on the device stays there")
        expectEqual(
            try mirror.evict(within: 0), Eviction(pages: 0, isComplete: false), "it cannot be evicted either")
        try buffer.range.expectPlace(.coherent, "it is on the device")
        try test.expectContents(seed: 3, "with its contents")
        try test.settle()
        try buffer.range.expectPlace(.coherent, "it is written to the journal and the disk from there")
        try mirror.moveFile(buffer.range, .toSystem, of: test)
        try test.expectOnDisk(seed: 3, "the disk has it")
    }
    + onOwnDevice(
        "file/large-xfs", "A large folio of a file stays where it is, and says why, or its pages move", on: [.coherent],
        needs: [.filesOnDevice, .xfs]
    ) { _, mirror in
        let test = try TestFile(.xfs, pages: 128)
        // One write makes one folio, the kernel's memory permitting.
        try test.file.fill(seed: 1, pages: 128, pagesAtATime: 128)
        let buffer = try test.mapped(pages: 128)
        buffer.range.touch()
        let before = try buffer.range.places()
        if try mirror.migrate(buffer.range, .toDevice, files: true).count(of: .large) > 0 {
            try mirror.expectMigration(buffer.range, .toDevice, files: true, "it does not move") { _ in .large }
            try buffer.range.expectUnmoved(since: before, "it is where it was")
            try mirror.expectMigration(buffer.range, .renew, files: true, "nor within system memory") { _ in .large }
        } else {
            // Splitting it has unmapped it, which ended that attempt.
            try mirror.takeFile(buffer.range, of: test)
        }
        try test.expectContents(pages: 128, seed: 1, "the contents are right")
        try test.expectOnDisk(pages: 128, seed: 1, "so are those on the disk")
        try test.file.dropCache()
    }

/// The filesystem goes while page cache of it is on the device; the first one has no journal.
let fileMountTests: [GuestTest] =
    mountAgain("", .plain, needs: .ext4) + mountAgain("-ext4", .ext4, needs: .mkfsExt4)
    + mountAgain("-ext4-journal", .ext4Journal, needs: .mkfsExt4) + mountAgain("-xfs", .xfs, needs: .xfs)

private func mountAgain(
    _ suffix: String, _ format: DiskFileSystem.Format, needs requirement: Requirement
) -> [GuestTest] {
    onOwnDevice(
        "file/mount-again\(suffix)",
        "A file that was changed on the device is right after its filesystem was away (\(format))",
        on: [.coherent], needs: [.filesOnDevice, requirement]
    ) { _, mirror in
        let disk = try DiskFileSystem(format)
        let held = try mirror.information().heldPages
        do {
            let file = try ScratchFile(.named(disk.folder + "/file"), pages: span)
            try file.fill(seed: 1, pages: span)
            try disk.settle()
            let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
            try mirror.takeFile(buffer.range)
            buffer.range.fill(seed: 2)
        }
        try mirror.expectHeld(held + span, "the pages are in the cache when nobody has the file open")
        try disk.mountAgain()
        try mirror.expectHeld(held, "they went with the filesystem")
        let file = try ScratchFile(.named(disk.folder + "/file"), pages: span)
        let contents = try file.contents(pages: span)
        contents.range.expectHolds(seed: 2, "what was written on the device is on the disk")
    }
}

extension MirrorDevice {
    /// No page of the range moves, since its filesystem's journal has to do with it; some may be in a list of the kernel's
    /// besides, which counts as held.
    fileprivate func expectStay(
        _ range: PageRange, _ direction: Migration.Direction, _ sentence: String, file: String = #fileID,
        line: Int = #line
    ) throws {
        let result = try migrate(range, direction, files: direction != .toSystem, file: file, line: line)
        let (kept, held) = (result.count(of: .other), result.count(of: .pinned))
        expect(
            kept + held == range.count && kept > held, sentence, "\(kept) were kept, \(held) were held", file: file,
            line: line)
    }
}
