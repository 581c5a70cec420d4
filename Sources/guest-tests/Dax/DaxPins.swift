// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit
import Synchronization

/// The kernel takes hold of pages of the device: for a moment it may, for long it may not.
let daxPinTests: [GuestTest] =
    onEachDax("dax/direct-write", "Another disk is written from the device's pages (O_DIRECT)", needs: [.ext4]) {
        disk in
        let file = try disk.filled()
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        let other = try DiskFileSystem()
        let target = try ScratchFile(.folder(other.folder), pages: span)
        let direct = try target.openedDirect()
        let count = try systemCall("pwrite with O_DIRECT") {
            pwrite(direct.descriptor, buffer.range.pointer, buffer.range.size, 0)
        }
        expectEqual(count, buffer.range.size, "all of it is written")
        let image = try target.contentsOnDisk(pages: span)
        image.range.expectHolds(seed: 1, "the other disk has the contents")
        // Waits for whoever still holds a page.
        try file.resize(pages: 0)
    }
    + onEachDax("dax/direct-read", "Another disk is read into the device's pages (O_DIRECT)", needs: [.ext4]) { disk in
        let file = try disk.filled()
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        let own = try MappedBuffer.file(file.descriptor, pages: span, shared: false)
        own.range.touch()
        let other = try DiskFileSystem()
        let source = try ScratchFile(.folder(other.folder), pages: span)
        try source.fill(seed: 2, pages: span)
        try source.sync()
        let direct = try source.openedDirect()
        for target in [buffer.range, own.range] {
            let count = try systemCall("pread with O_DIRECT") {
                pread(direct.descriptor, target.pointer, target.size, 0)
            }
            expectEqual(count, target.size, "all of it is read")
            target.expectHolds(seed: 2, "the mapping has the contents")
        }
        try file.expectContents(seed: 2, "the file has them")
        try buffer.range.expectOnDevice(seed: 2, "so has the device")
        try own.range.expectPlace(.system, "a private mapping has got its own pages")
        try file.resize(pages: 0)
    }
    + onEachDax("dax/pipe", "Pages in a pipe keep their contents, and cutting the file waits for them") { disk in
        let file = try disk.filled()
        let buffer = try MappedBuffer.file(file.descriptor, pages: 16, shared: true)
        let pipe = try PagePipe()
        expectEqual(try pipe.splice(buffer.range), buffer.range.size, "the pages are in the pipe")
        buffer.range.fill(seed: 2)
        let isCut = Mutex(false)
        try Workers.run(2) { worker in
            if worker == 0 {
                try file.resize(pages: 0)
                isCut.withLock { $0 = true }
            } else {
                usleep(300_000)
                expect(!isCut.withLock { $0 }, "the file cannot be cut while a page is in use")
                let image = try pipe.drain(pages: 16)
                image.range.expectHolds(seed: 2, "the pipe has what was stored since, as it has the pages themselves")
            }
        }
        expect(isCut.withLock { $0 }, "it can be cut then")
        expectEqual(.read(buffer.range), FaultProbe.beyondFile(buffer.range), "the pages are gone")
    }
    + onEachDax("dax/send", "A file goes to a pipe and to another file without a mapping (sendfile)") { disk in
        let file = try disk.filled()
        let pipe = try PagePipe()
        try pipe.send(0..<16 * PageRange.pageSize, of: file.descriptor)
        let image = try pipe.drain(pages: 16)
        image.range.expectHolds(seed: 1, "the pipe has the contents")
        let other = try ScratchFile(.tmpfs, pages: span)
        try file.send(to: other, pages: span)
        try other.expectContents(seed: 1, "the other file has them")
    }
    + onEachDax("dax/short-pins", "The kernel takes hold of the pages for a moment", needs: [.gupTest]) { disk in
        let file = try disk.filled()
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: true)
        let device = try GupTestDevice()
        try device.touch(buffer.range, .short)
        let copy = try buffer.range.copyThroughKernel()
        let other = try buffer.range.copyThroughProc()
        copy.range.expectHolds(seed: 1, "another process would read the contents")
        other.range.expectHolds(seed: 1, "so would a debugger")
        let child = try Child { channel in try channel.wait() }
        try buffer.range.page(7).poke(0x1234, in: child.pid)
        try child.channel.signal()
        try child.expectPassed()
        expectEqual(buffer.range.page(7).wordValues().first, 0x1234, "a debugger's write is in the file")
        try file.resize(pages: 0)
    }
    + onEachDax(
        "dax/long-pins", "Nobody may hold pages for long that a file may take away", needs: [.gupTest, .longTermPin]
    ) { disk in
        let file = try disk.filled()
        let device = try GupTestDevice()
        for shared in [true, false] {
            let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: shared)
            let words = shared ? "a shared mapping" : "a private mapping"
            expectFailure(.notSupported, "\(words) that nobody touched is refused") { () throws(SystemCallError) in
                try device.pin(buffer.range)
            }
            buffer.range.touch()
            expectFailure(.notSupported, "\(words) is refused") { () throws(SystemCallError) in
                try device.pin(buffer.range)
            }
            for hold in [GupTestDevice.Hold.long, .longFast] {
                // The device tells how much it got, and not why no more.
                expectFailure(.badAddress, "\(words) is refused, \(hold)") { () throws(SystemCallError) in
                    try device.touch(buffer.range, hold)
                }
            }
            buffer.range.expectHolds(seed: 1, "the contents are right")
            try buffer.range.expectOnDevice(seed: 1, "and where they were")
        }
        try file.resize(pages: 0)
    }
