// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Devices that see the memory of processes, and files that are mapped from another device's pages.
let daxMirrorTests: [GuestTest] =
    onEachDax(
        "dax/mirror", "A device reads and writes a file on persistent memory through the mirror",
        needs: [.private, .coherent]
    ) { disk in
        for memory in DeviceMemory.allCases {
            let file = try disk.filled()
            let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
            let mirror = try memory.open()
            try mirror.expectReads(buffer.range, seed: 1, "the device reads what nobody has touched")
            try mirror.fill(buffer.range, seed: 2)
            buffer.range.expectHolds(seed: 2, "the CPU finds what the device wrote")
            try file.expectContents(seed: 2, "so does read(2)")
            try buffer.range.expectOnDevice(seed: 2, "it is in persistent memory")
            try file.punchHole(firstPage: 30, pages: 10)
            try mirror.expectReadsZero(buffer.range.pages(from: 30, count: 10), "the device reads the hole")
            try file.resize(pages: 100)
            try mirror.expectReadRefused(
                .badAddress, buffer.range.pages(from: 100, count: 10), "the device is refused what is beyond the end")
            try file.resize(pages: 0)
        }
    }
    + onEachDax(
        "dax/mirror-private", "A device's write to a private mapping is a copy of its own", needs: [.private]
    ) { disk in
        let file = try disk.filled()
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: false)
        let mirror = try DeviceMemory.private.open()
        try mirror.expectReads(buffer.range, seed: 1, "the device reads the file")
        try mirror.fill(buffer.range.pages(from: 0, count: 50), seed: 2)
        buffer.range.pages(from: 0, count: 50).expectHolds(seed: 2, "the CPU finds what the device wrote")
        try buffer.range.pages(from: 0, count: 50).expectPlace(.system, "in memory of its own")
        try file.expectContents(seed: 1, "the file is as it was")
    }
    + onEachDax(
        "dax/mirror-huge", "A device reads and writes huge pages of persistent memory", needs: [.private, .thp]
    ) { disk in
        let pages = MappedBuffer.pagesPerHugePage
        let file = try disk.filled(pages: pages)
        let buffer = try MappedBuffer.alignedFile(file.descriptor, hugePages: 1, shared: true)
        buffer.range.touch()
        let mirror = try DeviceMemory.private.open()
        try mirror.expectReads(buffer.range, seed: 1, "the device reads all of it")
        try mirror.fill(buffer.range, seed: 2)
        try file.expectContents(pages: pages, seed: 2, "the file has what the device wrote")
        let part = buffer.range.pages(from: 33, count: 77)
        try mirror.expectReads(part, seed: 2, firstPage: 33, "the device reads a part of it")
    }
    + onEachDax(
        "dax/mirror-refused", "No device takes pages of persistent memory away from their file",
        needs: [.private, .coherent]
    ) { disk in
        let file = try disk.filled()
        for memory in DeviceMemory.allCases {
            let mirror = try memory.open()
            for shared in [true, false] {
                let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: shared)
                try mirror.expectTakeRefused(.invalidArgument, buffer.range, "nothing is there to take")
                buffer.range.touch()
                let before = try buffer.range.places()
                try mirror.expectTakeRefused(.invalidArgument, buffer.range, "the mapping is refused")
                try buffer.range.expectUnmoved(since: before, "every page is where it was")
                buffer.range.expectHolds(seed: 1, "the contents are right")
            }
        }
        try file.resize(pages: 0)
    }
    + onEachDax(
        "dax/mirror-files-refused", "Neither does one that takes page cache", needs: [.coherent, .ours]
    ) { disk in
        let file = try disk.filled()
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        buffer.range.touch()
        let mirror = try DeviceMemory.coherent.open()
        // Without the kernel's help the driver does not even ask.
        let takesFiles = try mirror.information().abilities.contains(.takeFiles)
        let before = try buffer.range.places()
        expectRefused(takesFiles ? .invalidArgument : .notSupported, "page cache is all that it takes") {
            () throws(MirrorError) in try mirror.migrate(buffer.range, .toDevice, files: true)
        }
        expectRefused(.invalidArgument, "nor does it move within the system") { () throws(MirrorError) in
            try mirror.migrate(buffer.range, .renew, files: true)
        }
        try buffer.range.expectUnmoved(since: before, "every page is where it was")
        try file.expectContents(seed: 1, "the contents are right")
        try file.resize(pages: 0)
    }
