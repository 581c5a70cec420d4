// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Files that are mapped from the device itself: who sees what is stored, and where it is.
let daxMappingTests: [GuestTest] =
    onEachDax("dax/mount", "A file is mapped from the device where the mount says so, and only there") { disk in
        do {
            let file = try disk.filled()
            let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
            buffer.range.touch()
            try buffer.range.expectOnDevice(seed: 1, "its pages are the device's")
        }
        try disk.unmount()
        try disk.mount(.never)
        let file = try disk.opened()
        expect(try !file.isDirectAccess(), "with dax=never the file is not mapped from the device (statx)")
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        buffer.range.expectHolds(seed: 1, "what was written before is there")
        try buffer.range.expectPlace(.system, "its pages are the page cache's")
    }
    + onEachDax("dax/store", "What is stored is what read(2), the device and the next mount have") { disk in
        do {
            let file = try disk.filled()
            let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
            buffer.range.expectHolds(seed: 1, "the mapping has what was written")
            buffer.range.fill(seed: 2)
            try file.expectContents(seed: 2, "read(2) has what was stored")
            try buffer.range.expectOnDevice(seed: 2, "so has the device")
            try file.fill(seed: 3, pages: span)
            buffer.range.expectHolds(seed: 3, "the mapping has what was written since")
            buffer.range.fill(seed: 4)
            try file.sync()
        }
        try disk.unmount()
        try disk.mount(.always)
        let file = try disk.opened()
        try file.expectContents(seed: 4, "the next mount has what was stored last")
    }
    + onEachDax("dax/holes", "A hole reads as zero, and gets pages of its own when it is stored to") { disk in
        let file = try disk.opened()
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        buffer.range.expectZero("the hole is zero")
        buffer.range.pages(from: 10, count: 20).fill(seed: 2)
        try buffer.range.pages(from: 10, count: 20).expectOnDevice(seed: 2, "what was stored is on the device")
        buffer.range.pages(from: 0, count: 10).expectZero("before it the hole is zero")
        buffer.range.pages(from: 30, count: span - 30).expectZero("and behind it")
        let image = try file.contents(pages: span)
        image.range.pages(from: 10, count: 20).expectHolds(seed: 2, "read(2) has the same")
        image.range.pages(from: 30, count: span - 30).expectZero("read(2) has zeros in the hole")
    }
    + onEachDax("dax/sync", "Only files on the device can be mapped so that every store is safe (MAP_SYNC)") { disk in
        do {
            let file = try disk.opened()
            let buffer = try MappedBuffer.synchronousFile(file.descriptor, pages: span)
            buffer.range.fill(seed: 1)
            try buffer.range.expectOnDevice(seed: 1, "what was stored is on the device")
            try file.expectContents(seed: 1, "read(2) has it")
        }
        let other = try ScratchFile(.tmpfs, pages: 1)
        expectFailure(.notSupported, "memory without a device is refused") { () throws(SystemCallError) in
            _ = try MappedBuffer.synchronousFile(other.descriptor, pages: 1)
        }
        try disk.unmount()
        try disk.mount(.never)
        let cached = try disk.opened()
        try cached.expectContents(seed: 1, "the next mount has what was stored")
        expectFailure(.notSupported, "the page cache is refused") { () throws(SystemCallError) in
            _ = try MappedBuffer.synchronousFile(cached.descriptor, pages: 1)
        }
    }
    + onEachDax("dax/private", "A private mapping has the device's pages until it writes, and then its own") { disk in
        let file = try disk.filled()
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: false)
        buffer.range.expectHolds(seed: 1, "it has what was written")
        try buffer.range.expectOnDevice(seed: 1, "in the device's pages")
        let (own, shared) = (buffer.range.pages(from: 0, count: 60), buffer.range.pages(from: 60, count: span - 60))
        own.fill(seed: 2)
        try own.expectPlace(.system, "what it wrote is in memory of its own")
        try shared.expectOnDevice(seed: 1, firstPage: 60, "the rest is where it was")
        try file.expectContents(seed: 1, "the file is as it was")
        try file.fill(seed: 3, pages: span)
        own.expectHolds(seed: 2, "its own pages do not change with the file")
        shared.expectHolds(seed: 3, firstPage: 60, "the others do")
        try buffer.advise(.dontNeed)
        buffer.range.expectHolds(seed: 3, "without its own pages it is the file")
    }
    + onEachDax("dax/fork", "A child shares what is mapped shared, and has its own of what is private") { disk in
        let file = try disk.filled()
        let shared = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        let mine = try MappedBuffer.file(file.descriptor, pages: span, shared: false)
        shared.range.touch()
        mine.range.pages(from: 0, count: 75).fill(seed: 5)
        let child = try Child { channel in
            mine.range.pages(from: 0, count: 75).expectHolds(seed: 5, "the child has its parent's own pages")
            shared.range.expectHolds(seed: 1, "and the file")
            shared.range.fill(seed: 2)
            mine.range.pages(from: 0, count: 75).fill(seed: 6)
            try channel.signal()
            try channel.wait()
            shared.range.expectHolds(seed: 3, "the child sees what its parent stores")
            mine.range.pages(from: 0, count: 75).expectHolds(seed: 6, "and has its own pages")
            mine.range.pages(from: 75, count: span - 75).expectHolds(
                seed: 3, firstPage: 75, "the private pages that nobody wrote are the file's")
        }
        try child.channel.wait()
        shared.range.expectHolds(seed: 2, "the parent sees what its child stores")
        mine.range.pages(from: 0, count: 75).expectHolds(seed: 5, "and keeps its own pages")
        shared.range.fill(seed: 3)
        try child.channel.signal()
        try child.expectPassed()
        try file.expectContents(seed: 3, "the file has what was stored last")
        try shared.range.expectOnDevice(seed: 3, "on the device")
    }
    + onEachDax("dax/shared-by-processes", "Two processes that map one file have the same pages") { disk in
        let file = try disk.filled()
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        buffer.range.touch()
        let path = disk.path
        let child = try Child { channel in
            try channel.wait()
            let own = try ScratchFile(.named(path), pages: span)
            let mapping = try MappedBuffer.file(own.descriptor, pages: span, shared: true)
            mapping.range.expectHolds(seed: 2, "the child has what its parent stored")
            let frame = try requireValue(try mapping.range.frames()[span - 1], "the last page is mapped")
            try channel.signal(number: Int32(truncatingIfNeeded: frame))
            try channel.wait()
            mapping.range.fill(seed: 3)
            try channel.signal()
        }
        buffer.range.fill(seed: 2)
        try child.channel.signal()
        let frame = try child.channel.waitForNumber()
        // To set the file's size, even to what it was, takes the mappings away.
        buffer.range.touch()
        expectEqual(
            Int32(truncatingIfNeeded: try buffer.range.frames()[span - 1] ?? 0), frame, "both map the same page")
        try child.channel.signal()
        try child.channel.wait()
        buffer.range.expectHolds(seed: 3, "the parent has what its child stored")
        try child.expectPassed()
    }
    + onEachDax("dax/exit", "Processes end with the file mapped, and nothing of them is left with its pages") { disk in
        let file = try disk.filled()
        for round in 0..<8 {
            let child = try Child { _ in
                let shared = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
                let own = try MappedBuffer.file(file.descriptor, pages: span, shared: false)
                shared.range.fill(seed: UInt64(10 + round))
                own.range.pages(from: 0, count: 50).fill(seed: 2)
                own.range.touch()
                exitNow()
            }
            try child.expectPassed()
            try file.expectContents(seed: UInt64(10 + round), "what was stored is there")
        }
        // This waits for every reference to a page of the file.
        try file.resize(pages: 0)
        try file.resize(pages: span)
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        buffer.range.expectZero("the file begins anew")
    }
