// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// A device's engine moves pages from one place in system memory to another: page cache too, with all that its filesystem
/// knows of it.
///
/// Of these, `file/renew-*` do not ask whether the kernel does that rightly: without our series `file` some of them fail.
let fileRenewTests: [GuestTest] =
    onEachFile("file/renew", "Page cache that moves within system memory keeps its contents, also on the disk") {
        test, mirror in
        let buffer = try test.mapped()
        buffer.range.fill(seed: 2)
        let before = try buffer.range.places()
        try mirror.moveFile(buffer.range, .renew, of: test)
        try buffer.range.expectMoved(since: before, "every page is another one")
        try buffer.range.expectPlace(.system, "of system memory")
        buffer.range.expectHolds(seed: 2, "the mapping has the contents")
        try test.expectContents(seed: 2, "so has read(2)")
        buffer.range.fill(seed: 3)
        try test.expectContents(seed: 3, "read(2) gets what is written then")
        guard !test.kind.isShmem else { return }
        try test.expectOnDisk(seed: 3, "the disk has what was written")
    }
    + onEachFile(
        "file/renew-dirty", "What was written before the page cache moved within system memory reaches the disk",
        kinds: [.ext4, .xfs]
    ) { test, mirror in
        do {
            let buffer = try test.mapped()
            buffer.range.fill(seed: 2)
            try mirror.moveFile(buffer.range, .renew, of: test)
        }
        try test.expectOnDisk(seed: 2, "the disk has it")
        try test.file.dropCache()
        let fresh = try test.mapped(.read)
        expect(try !fresh.range.residency().contains(true), "no page of the file is in memory any more")
        try test.expectContents(seed: 2, "it is read back from the disk")
    }
    + onEachFile(
        "file/engine-copies", "Page cache that moves is copied by the device's engine, and not once more by the CPU",
        needs: [.filesOnDevice]
    ) { test, mirror in
        let buffer = try test.mapped()
        try mirror.expectOnlyCopy(of: buffer.range, in: test, seed: 2, "within system memory") {
            try mirror.moveFile(buffer.range, .renew, of: test)
        }
        try mirror.expectOnlyCopy(of: buffer.range, in: test, seed: 3, "on its way to the device") {
            try mirror.takeFile(buffer.range, of: test)
        }
        try mirror.expectOnlyCopy(of: buffer.range, in: test, seed: 4, "on its way back") {
            try mirror.moveFile(buffer.range, .toSystem, of: test)
        }
        try mirror.takeFile(buffer.range, of: test)
        try mirror.expectOnlyCopy(of: buffer.range, in: test, seed: 5, "when it is evicted") {
            try test.settle()
            expect(try mirror.evict(within: 10_000).isComplete, "every page leaves the device")
        }
        try buffer.range.expectPlace(.system, "the pages are back")
    }
    + onOwnDevice(
        "file/renew-anonymous", "Anonymous memory moves within system memory, and page cache only for who asks",
        on: [.coherent]
    ) { _, mirror in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let before = try buffer.range.places()
        try mirror.expectMigration(buffer.range, .renew, "the pages move") { _ in .moved }
        try buffer.range.expectMoved(since: before, "every page is another one")
        try buffer.range.expectPlace(.system, "of system memory")
        buffer.range.expectHolds(seed: 1, "with its contents")
        let test = try TestFile(.memfd, pages: 16)
        try test.file.fill(seed: 1, pages: 16)
        let mapped = try test.mapped(pages: 16)
        mapped.range.touch()
        let places = try mapped.range.places()
        try mirror.expectMigration(mapped.range, .renew, "page cache says why it stays") { _ in .mapping }
        try mapped.range.expectUnmoved(since: places, "it stays")
        try test.expectContents(pages: 16, seed: 1, "its contents are right")
    }
    + onOwnDevice(
        "file/renew-writeback", "A page that is being written to swap stays where it is in system memory",
        on: [.coherent], needs: [.nullBlock], timeoutMilliseconds: 120_000
    ) { _, mirror in
        try Workers.stayOnOneProcessor()
        let swap = try SlowSwap()
        let buffer = try smallPages(8)
        func isInFlight(_ flags: KernelPages.Flags?) -> Bool { flags?.contains(.writeback) == true }
        var isWritten = true
        // Everything is done again when the writing was over too early; the host's time limit ends this.
        while isWritten {
            while try buffer.range.frameFlags().contains(where: isInFlight) { usleep(10_000) }
            buffer.range.fill(seed: 1)
            try buffer.advise(.pageOut)
            guard try buffer.range.places().allSatisfy({ $0.kind == .swap }) else { continue }
            buffer.range.expectHolds(seed: 1, "the contents are there")
            let before = try buffer.range.places()
            let result = try mirror.migrate(buffer.range, .renew)
            isWritten = try !buffer.range.frameFlags().allSatisfy(isInFlight)
            if isWritten { continue }
            expectEqual(result.count(of: .writeback), 8, "every page says that it is being written")
            try buffer.range.expectUnmoved(since: before, "no page moved")
        }
        while try buffer.range.frameFlags().contains(where: isInFlight) { usleep(10_000) }
        buffer.range.expectHolds(seed: 1, "the contents are right")
        _ = consume swap
    }

extension MirrorDevice {
    /// All that a move of a file's pages leaves in them is the engine's copy of what is written here before.
    fileprivate func expectOnlyCopy(
        of range: PageRange, in test: borrowing TestFile, seed: UInt64, _ way: String, file: String = #fileID,
        line: Int = #line, _ move: () throws -> Void
    ) throws {
        range.fill(seed: seed)
        try markingCopies(file: file, line: line, move)
        range.expectMarked(seed: seed, "a mapping has the engine's copy (\(way))", file: file, line: line)
        let image = try test.file.contents(pages: range.count, file: file, line: line)
        image.range.expectMarked(seed: seed, "so has read(2) (\(way))", file: file, line: line)
    }
}
