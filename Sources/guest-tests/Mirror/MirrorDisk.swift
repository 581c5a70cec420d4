// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// The device and files that are written back to a disk, which those of tmpfs never are.
let mirrorDiskTests: [GuestTest] = [
    GuestTest(
        "mirror/disk-file", "read(2) and the device agree on a file of ext4, both ways", needs: [.private, .ext4]
    ) {
        let disk = try DiskFileSystem()
        try checkSharedFile(.folder(disk.folder))
    },
    GuestTest(
        "mirror/disk-write-back", "What the device writes before and after a write-back reaches the disk",
        needs: [.private, .ext4]
    ) {
        let disk = try DiskFileSystem()
        let file = try ScratchFile(.folder(disk.folder), pages: span)
        do {
            let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
            let mirror = try MirrorDevice(unit: 0)
            for seed: UInt64 in [1, 2] {
                try mirror.fill(buffer.range, seed: seed)
                try file.sync()
            }
            buffer.range.expectHolds(seed: 2, "the mapping shows what the device wrote last")
        }
        try file.dropCache()
        let fresh = try MappedBuffer.file(file.descriptor, pages: span, shared: true, .read)
        expect(try !fresh.range.residency().contains(true), "no page of the file is in memory any more")
        let contents = try file.contents(pages: span)
        contents.range.expectHolds(seed: 2, "the disk has what the device wrote last")
    },
    GuestTest(
        "mirror/write-back-revokes-write", "Writing a file back takes the device's right to write its pages",
        needs: [.private, .ext4]
    ) {
        let disk = try DiskFileSystem()
        let file = try ScratchFile(.folder(disk.folder), pages: span)
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.fill(buffer.range, seed: 1)
        try mirror.expectSnapshot(buffer.range, .writable, "the pages are writable and dirty")
        expectEqual(try mirror.fill(buffer.range, seed: 2).faults, 0, "the device writes them again without a fault")
        let before = try buffer.range.places()
        try file.sync()
        try mirror.expectSnapshot(buffer.range, .readable, "once they are clean a write has to be announced again")
        try mirror.expectReads(buffer.range, seed: 2, "the device still reads")
        expect(try mirror.fill(buffer.range, seed: 3).faults > 0, "the device's next write faults: it was told")
        try mirror.expectSnapshot(buffer.range, .writable, "the pages are writable and dirty again")
        try buffer.range.expectUnmoved(since: before, "no page moved")
        let contents = try file.contents(pages: span)
        contents.range.expectHolds(seed: 3, "read(2) gets what the device wrote last")
    },
    GuestTest(
        "mirror/disk-file-copy-on-write", "A write of the device to a private mapping leaves a file of ext4 alone",
        needs: [.private, .ext4]
    ) {
        let disk = try DiskFileSystem()
        let file = try ScratchFile(.folder(disk.folder), pages: span)
        try file.fill(seed: 1, pages: span)
        try file.sync()
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: false)
        let mirror = try MirrorDevice(unit: 0)
        try mirror.expectReads(buffer.range, seed: 1, "the device reads the file")
        try mirror.fill(buffer.range, seed: 2)
        expect(try !buffer.range.pagemap().contains(where: \.isFileOrShared), "writing made private copies")
        buffer.range.expectHolds(seed: 2, "the CPU reads what the device wrote")
        let contents = try file.contents(pages: span)
        contents.range.expectHolds(seed: 1, "the file holds what it held")
    },
]
