// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// The snapshot of pages that something special has happened to.
let mirrorPageStateTests: [GuestTest] = [
    GuestTest(
        "mirror/snapshot-exclusive", "A snapshot shows no page where a device has one to itself, and leaves it there",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let holder = try MirrorDevice(unit: 0)
        let other = try MirrorDevice(unit: 1)
        try holder.seize(buffer.range, seed: 1)
        let before = try buffer.range.places()
        try holder.expectSnapshot(buffer.range, .none, "the holder itself would have to fault")
        try other.expectSnapshot(buffer.range, .none, "another device as well")
        try buffer.range.expectPlace(.exclusive, "the device has the pages to itself")
        try buffer.range.expectUnmoved(since: before, "no page moved")
        expect(try holder.holdsExclusively(buffer.range), "the device says so too")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    },
    GuestTest(
        "mirror/snapshot-shared-file", "A snapshot shows the pages of a shared file mapping with their protection",
        needs: [.private]
    ) {
        let file = try ScratchFile(.tmpfs, pages: span)
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.expectSnapshot(buffer.range, .none, "nothing is mapped at first")
        buffer.range.fill(seed: 1)
        try mirror.expectSnapshot(buffer.range, .writable, "written pages are writable")
        try buffer.protect(.read)
        try mirror.expectSnapshot(buffer.range, .readable, "they are read-only after mprotect")
        expect(try buffer.range.pagemap().allSatisfy(\.isFileOrShared), "pagemap shows the file's pages")
    },
    GuestTest(
        "mirror/snapshot-private-file", "A snapshot shows a private file's pages as read-only until they are copied",
        needs: [.private]
    ) {
        let file = try ScratchFile(.tmpfs, pages: span)
        try file.fill(seed: 1, pages: span)
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: false)
        let mirror = try MirrorDevice(unit: 0)
        buffer.range.expectHolds(seed: 1, "the file is mapped")
        try mirror.expectSnapshot(buffer.range, .readable, "the file's own pages are read-only")
        buffer.range.page(9).fill(seed: 2, firstPage: 9)
        let entries = try mirror.snapshot(buffer.range)
        expectEqual(entries.count, span, "the snapshot has an entry for each page")
        expectEqual(entries.indices.filter { entries[$0] == .writable }, [9], "only the copied page is writable")
        expectEqual(entries.count { $0 == .readable }, span - 1, "all others are still read-only")
        let entry = try buffer.range.page(9).pagemap()
        expect(entry.allSatisfy { $0.isPresent && !$0.isFileOrShared }, "pagemap shows a copy there")
    },
    GuestTest(
        "mirror/snapshot-ksm", "A snapshot shows a page that KSM has merged as read-only", needs: [.private],
        timeoutMilliseconds: 60_000
    ) {
        let one = try MappedBuffer.filled(pages: 1, seed: 1)
        let two = try MappedBuffer.filled(pages: 1, seed: 1)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.expectSnapshot(one.range, .writable, "the page is writable before")
        try withMerged(one, two) {
            try mirror.expectSnapshot(one.range, .readable, "one mapping is read-only")
            try mirror.expectSnapshot(two.range, .readable, "so is the other")
            try one.range.expectFlags(.merged, "a snapshot leaves the page merged")
            one.range.fill(seed: 2)
            try mirror.expectSnapshot(one.range, .writable, "a copy is writable")
            try mirror.expectSnapshot(two.range, .readable, "what is left of the merged page is not")
        }
    },
    GuestTest(
        "mirror/snapshot-huge-zero-page", "A snapshot shows the huge zero page as a read-only PMD",
        needs: [.private, .thp]
    ) {
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        buffer.range.touch()
        try buffer.range.expectFlags(.zeroPage, "the huge zero page is mapped")
        let mirror = try MirrorDevice(unit: 0)
        try mirror.expectSnapshot(buffer.range, SnapshotEntry(.system, [.read, .pmd]), "a read-only PMD")
        try buffer.range.expectSmaps("Rss", 0, "the snapshot brought nothing in")
    },
    GuestTest(
        "mirror/snapshot-thp-private",
        "A snapshot shows a huge page in private memory as a PMD where the base keeps it whole",
        needs: [.private, .thp]
    ) {
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        buffer.range.fill(seed: 1)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.take(buffer.range, seed: 1)
        try buffer.range.expectPlace(.privateWritable, "every part is in device memory")
        let mapping: SnapshotEntry.Mapping = KernelVersion.running < KernelVersion(6, 19) ? .write : [.write, .pmd]
        try mirror.expectSnapshot(buffer.range, SnapshotEntry(.privateLocal, mapping), "the device sees its own page")
        try buffer.range.expectPlace(.privateWritable, "a snapshot moves no page")
    },
    GuestTest(
        "mirror/snapshot-thp-private-remote", "A snapshot shows nothing of a huge page in another device's memory",
        needs: [.private, .thp]
    ) {
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        buffer.range.fill(seed: 1)
        let holder = try MirrorDevice(unit: 0)
        let other = try MirrorDevice(unit: 1)
        try holder.take(buffer.range, seed: 1)
        try other.expectSnapshot(buffer.range, .none, "the other device would have to fault, as for small pages")
        try buffer.range.expectPlace(.privateWritable, "a snapshot moves no page")
        try other.expectReads(buffer.range, seed: 1, "a fault of the other device brings the pages back")
        try buffer.range.expectPlace(.system, "every part is in system memory")
    },
]
