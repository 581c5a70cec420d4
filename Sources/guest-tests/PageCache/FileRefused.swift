// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// What stays where it is, without harm to anybody.
let fileRefusedTests: [GuestTest] =
    onEachFile("file/not-asked", "Without the word of the caller page cache stays, and says why") { test, mirror in
        let buffer = try test.mapped()
        buffer.range.touch()
        let before = try buffer.range.places()
        try mirror.expectMigration(buffer.range, .toDevice, "page cache belongs to a file") { _ in .mapping }
        try buffer.range.expectUnmoved(since: before, "no page moved")
        buffer.range.fill(seed: 2)
        try test.expectContents(seed: 2, "the file works")
    }
    + onOwnDevice(
        "file/ability", "A device says whether it can take page cache, and it can if it says so", on: [.coherent]
    ) { _, mirror in
        let buffer = try MappedBuffer.filled(pages: 1, seed: 1)
        if try mirror.information().abilities.contains(.takeFiles) {
            _ = try mirror.migrate(buffer.range, .toDevice, files: true)
        } else {
            expectRefused(.notSupported, "it cannot") { () throws(MirrorError) in
                try mirror.migrate(buffer.range, .toDevice, files: true)
            }
        }
    }
    + onOwnDevice(
        "file/private-memory", "Page cache never goes to memory that the CPU cannot address", on: [.private],
        needs: [.filesOnDevice]
    ) { _, mirror in
        for kind in [FileKind.memfd, .tmpfs] {
            let test = try TestFile(kind, pages: span)
            try test.file.fill(seed: 1, pages: span)
            let buffer = try test.mapped()
            buffer.range.touch()
            let before = try buffer.range.places()
            try mirror.expectMigration(buffer.range, .toDevice, files: true, "it belongs to a file") { _ in .mapping }
            try buffer.range.expectUnmoved(since: before, "no page moved")
            try test.expectContents(seed: 1, "the contents are right")
        }
    }
    + onOwnDevice(
        "file/secret-memory", "Secret memory is not given to a device", on: [.coherent], needs: [.secretMemory]
    ) { _, mirror in
        let file = try ScratchFile(.secret, pages: 4)
        let buffer = try MappedBuffer.file(file.descriptor, pages: 4, shared: true)
        buffer.range.fill(seed: 1)
        _ = try mirror.statistics(reset: true)
        expectRefused(.invalidArgument, "its mapping is refused") { () throws(MirrorError) in
            try mirror.migrate(buffer.range, .toDevice)
        }
        expectRefused(.invalidArgument, "also within system memory") { () throws(MirrorError) in
            try mirror.migrate(buffer.range, .renew, files: true)
        }
        expectEqual(try mirror.statistics().pagesToDevice, 0, "nothing of it was copied")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice(
        "file/hugetlb", "Files of hugetlbfs are not given to a device", on: [.coherent],
        needs: [.hugetlb, .filesOnDevice]
    ) { _, mirror in
        let buffer = try MappedBuffer.hugetlb(hugePages: 1)
        buffer.range.fill(seed: 1)
        expectRefused(.invalidArgument, "their mapping is refused") { () throws(MirrorError) in
            try mirror.migrate(buffer.range, .toDevice, files: true)
        }
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onEachFile(
        "file/holes", "Page cache that is not mapped, and holes of a file, stay holes", needs: [.filesOnDevice]
    ) {
        test, mirror in
        let buffer = try test.mapped()
        try buffer.advise(.dontNeed)
        try mirror.expectMigration(buffer.range, .toDevice, files: true, "nothing is mapped") { _ in .none }
        let result = try mirror.migrate(buffer.range, .toDevice, prefault: true, files: true)
        expectEqual(result.count(of: .moved), span, "what is faulted in first moves")
        try test.expectContents(seed: 1, "the contents are right")
    }
    + onTakenFile(
        "file/copy-failed", "A page of a file that cannot be copied stays, with its contents", kinds: FileKind.onDisk
    ) {
        test, buffer, mirror in
        buffer.range.fill(seed: 2)
        try test.settle()
        try mirror.inject(Injection(failingCopy: 6))
        try mirror.expectMigration(buffer.range, .toSystem, "one page cannot be copied") {
            $0 == 5 ? .copyFailed : .moved
        }
        try buffer.range.page(5).expectPlace(.coherent, "it is on the device")
        try mirror.inject(Injection(failingAllocation: 6))
        try mirror.expectMigration(buffer.range.pages(from: 6, count: 100), .toDevice, files: true, "nor has one room")
        {
            $0 == 5 ? .noMemory : .moved
        }
        try test.expectOnDisk(seed: 2, "all contents are right")
    }

/// The driver goes with page cache on its device.
let fileModuleTests: [GuestTest] = [
    GuestTest(
        "file/unload", "Unloading the driver brings page cache back, mapped or not",
        needs: [.coherent, .ours, .filesOnDevice, .mkfsExt4], timeoutMilliseconds: 60_000
    ) {
        let parameters = try driverParameters()
        let memory = try TestFile(.memfd, pages: span)
        let onDisk = try TestFile(.ext4, pages: span)
        let buffer = try memory.mapped()
        do {
            let mirror = try MirrorDevice(unit: 2)
            let other = try onDisk.mapped()
            buffer.range.fill(seed: 1)
            other.range.fill(seed: 2)
            // What was a hole may be in large folios, which stay whole while they are dirty.
            try onDisk.file.sync()
            try mirror.takeFile(buffer.range, of: memory)
            try mirror.takeFile(other.range, of: onDisk)
        }
        try Shell.run("rmmod hmm_dmirror")
        expect(
            try !PhysicalMemory.current().regions.contains { $0.name.contains("dmirror") }, "no memory is left behind")
        try buffer.range.expectPlace(.system, "the pages are back")
        try memory.expectContents(seed: 1, "with the contents of one file")
        try onDisk.expectContents(seed: 2, "and of the other")
        try onDisk.expectOnDisk(seed: 2, "which are on the disk, too")
        try Shell.run("modprobe hmm_dmirror \(parameters.joined(separator: " "))")
    }
]
