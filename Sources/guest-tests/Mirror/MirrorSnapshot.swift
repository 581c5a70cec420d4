// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// The snapshot shows each state a page can be in, and changes none.
let mirrorSnapshotTests: [GuestTest] = [
    GuestTest(
        "mirror/snapshot-untouched", "A snapshot of untouched memory shows nothing and brings nothing in",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.anonymous(pages: span)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.expectSnapshot(buffer.range, .none, "untouched memory has no page")
        try buffer.range.expectPlace(.nothing, "the snapshot brought no page in")
        try buffer.range.expectSmaps("Rss", 0, "the snapshot brought no page in")
    },
    GuestTest(
        "mirror/snapshot-zero-page", "A snapshot shows the zero page as such, and read-only", needs: [.private]
    ) {
        let buffer = try MappedBuffer.anonymous(pages: span)
        buffer.range.touch()
        let mirror = try MirrorDevice(unit: 0)
        try buffer.range.expectFlags(.zeroPage, "reading mapped the zero page")
        try mirror.expectSnapshot(buffer.range, SnapshotEntry(.zeroPage, .read), "the snapshot shows the zero page")
    },
    GuestTest(
        "mirror/snapshot-writable", "A snapshot shows written memory as writable, and read-only after mprotect",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let mirror = try MirrorDevice(unit: 0)
        let before = try buffer.range.places()
        try mirror.expectSnapshot(buffer.range, .writable, "written memory is writable")
        try buffer.protect(.read)
        try mirror.expectSnapshot(buffer.range, .readable, "it is read-only after mprotect")
        try buffer.range.expectUnmoved(since: before, "a snapshot moves no page")
        buffer.range.expectHolds(seed: 1, "a snapshot changes nothing")
    },
    GuestTest(
        "mirror/snapshot-no-mapping", "A snapshot shows an error where there is no mapping or no access",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: 8, seed: 1)
        try buffer.protect(buffer.range.pages(from: 2, count: 2), .none)
        try buffer.unmap(buffer.range.pages(from: 5, count: 1))
        let mirror = try MirrorDevice(unit: 0)
        let expected: [SnapshotEntry] = [
            .writable, .writable, .error, .error, .writable, .error, .writable, .writable,
        ]
        expectEqual(try mirror.snapshot(buffer.range), expected, "each page has its own state")
        expectEqual(
            try buffer.range.places().map(\.kind),
            [.system, .system, .system, .system, .system, .nothing, .system, .system],
            "pagemap shows pages everywhere but in the hole")
    },
    GuestTest(
        "mirror/snapshot-alternating", "A snapshot keeps neighbours apart, also at the borders of the driver's batches",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.anonymous(pages: span)
        for page in 0..<span where page % 3 == 0 { buffer.range.page(page).fill(seed: 1, firstPage: page) }
        for page in 0..<span where page % 3 == 1 { buffer.range.page(page).touch() }
        let mirror = try MirrorDevice(unit: 0)
        let entries = try mirror.snapshot(buffer.range)
        let expected: [SnapshotEntry] = [.writable, SnapshotEntry(.zeroPage, .read), .none]
        let wrong = entries.indices.first { entries[$0] != expected[$0 % 3] }
        expectEqual(entries.count, span, "there is an entry for each page")
        expectNone(wrong.map { "page \($0) is \(entries[$0])" }, "each page has its own state")
        let present = try buffer.range.pagemap().map(\.isPresent)
        expectEqual(present, (0..<span).map { $0 % 3 != 2 }, "pagemap agrees")
    },
    GuestTest(
        "mirror/snapshot-after-fork",
        "A snapshot shows memory that a fork made shared as read-only, until it is copied",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.expectSnapshot(buffer.range, .writable, "the memory is writable before the fork")
        let child = try Child { parent in
            try parent.wait()
            buffer.range.expectHolds(seed: 1, "the child has the old contents")
        }
        try mirror.expectSnapshot(buffer.range, .readable, "the memory is read-only while the child shares it")
        expect(
            try !buffer.range.pagemap().contains(where: \.isExclusivelyMapped), "pagemap shows two users for each page")
        buffer.range.page(7).fill(seed: 2, firstPage: 7)
        let entries = try mirror.snapshot(buffer.range)
        expectEqual(entries[7], .writable, "the copied page is writable")
        expectEqual(entries.count { $0 == .readable }, span - 1, "all others are still read-only")
        try child.channel.signal()
        try child.expectPassed()
    },
    GuestTest(
        "mirror/snapshot-hugetlb", "A snapshot shows a page of the hugetlb pool as one PMD, with its protection",
        needs: [.private, .hugetlb]
    ) {
        let buffer = try MappedBuffer.hugetlb(hugePages: 1)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.expectSnapshot(buffer.range, .none, "nothing is there at first")
        buffer.range.fill(seed: 1)
        try buffer.range.expectFlags(.hugetlb, "the page is of the pool")
        try mirror.expectSnapshot(buffer.range, SnapshotEntry(.system, [.write, .pmd]), "a writable PMD")
        try buffer.protect(.read)
        try mirror.expectSnapshot(buffer.range, SnapshotEntry(.system, [.read, .pmd]), "a read-only PMD")
    },
    GuestTest(
        "mirror/snapshot-thp", "A snapshot shows a transparent huge page as a PMD, and its parts once it is split",
        needs: [.private, .thp]
    ) {
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        buffer.range.fill(seed: 1)
        let mirror = try MirrorDevice(unit: 0)
        try buffer.range.expectSmaps("AnonHugePages", buffer.range.size, "the memory is a huge page")
        try mirror.expectSnapshot(buffer.range, SnapshotEntry(.system, [.write, .pmd]), "a writable PMD")
        try buffer.protect(buffer.range.pages(from: 100, count: 1), .read)
        try buffer.range.expectSmaps("AnonHugePages", 0, "the huge mapping is split")
        let entries = try mirror.snapshot(buffer.range)
        expectEqual(entries[100], .readable, "the protected page is read-only")
        expectEqual(entries.count { $0 == .writable }, 511, "all others are writable and small")
    },
    GuestTest(
        "mirror/snapshot-private-devices",
        "A snapshot shows pages of its own private memory and none of another device's",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: 3, seed: 1)
        let first = try MirrorDevice(unit: 0)
        let second = try MirrorDevice(unit: 1)
        try first.take(buffer.range.page(0), seed: 1)
        try second.take(buffer.range.page(1), seed: 1, firstPage: 1)
        let own = SnapshotEntry(.privateLocal, .write)
        expectEqual(try first.snapshot(buffer.range), [own, .none, .writable], "the first device sees its own page")
        expectEqual(try second.snapshot(buffer.range), [.none, own, .writable], "the second device sees its own page")
        expectEqual(
            try buffer.range.places().map(\.kind), [.privateWritable, .privateWritable, .system],
            "a snapshot moves no page")
        expectEqual(
            Set(try buffer.range.places().compactMap(\.devicePiece)).count, 2, "the two pages are on two devices")
        buffer.range.expectHolds(seed: 1, "the contents are as before")
    },
    GuestTest(
        "mirror/snapshot-coherent-devices", "A snapshot tells its own coherent memory from that of another device",
        needs: [.coherent]
    ) {
        let buffer = try MappedBuffer.filled(pages: 3, seed: 1)
        let first = try MirrorDevice(unit: 2)
        let second = try MirrorDevice(unit: 3)
        try first.take(buffer.range.page(0), seed: 1)
        try second.take(buffer.range.page(1), seed: 1, firstPage: 1)
        let (own, other) = (SnapshotEntry(.coherentLocal, .write), SnapshotEntry(.coherentRemote, .write))
        expectEqual(try first.snapshot(buffer.range), [own, other, .writable], "as the first device sees it")
        expectEqual(try second.snapshot(buffer.range), [other, own, .writable], "as the second device sees it")
        expectEqual(
            try buffer.range.places().map(\.kind), [.coherent, .coherent, .system], "pagemap shows device memory")
        expectEqual(
            Set(try buffer.range.places().compactMap(\.devicePiece)).count, 2, "the two pages are on two devices")
        try buffer.protect(.read)
        let readOnly = SnapshotEntry.Mapping.read
        expectEqual(
            try second.snapshot(buffer.range),
            [SnapshotEntry(.coherentRemote, readOnly), SnapshotEntry(.coherentLocal, readOnly), .readable],
            "after mprotect both kinds are read-only")
        buffer.range.expectHolds(seed: 1, "the contents are as before")
    },
    GuestTest(
        "mirror/snapshot-read-only-private", "A snapshot shows a device page of a read-only mapping as read-only",
        needs: [.private]
    ) {
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try buffer.protect(.read)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.take(buffer.range, seed: 1)
        try mirror.expectSnapshot(buffer.range, SnapshotEntry(.privateLocal, .read), "the pages are read-only")
        try buffer.range.expectPlace(.privateReadOnly, "pagemap has read-only entries")
    },
    GuestTest(
        "mirror/snapshot-driver-mapping", "A snapshot shows pages that the driver itself mapped", needs: [.private]
    ) {
        let mirror = try MirrorDevice(unit: 0)
        let buffer = try MappedBuffer.file(mirror.descriptor, pages: 2, shared: false)
        try mirror.expectSnapshot(buffer.range, .readable, "a private mapping of the driver's pages is read-only")
        expect(try buffer.range.pagemap().allSatisfy(\.isPresent), "pagemap shows the pages")
        buffer.range.expectZero("the driver's pages are zero")
    },
]
