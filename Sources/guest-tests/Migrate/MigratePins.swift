// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

extension DeviceMemory {
    /// Where a page of device memory is after the kernel took a short reference to it.
    fileprivate var placeAfterAccess: PagePlace.Kind {
        switch self {
        case .private: .system
        case .coherent: .coherent
        }
    }
}

/// The kernel's own ways to a user's pages: copies, references and pins.
let migratePinTests: [GuestTest] =
    onBothMemories("migrate/kernel-copy", "process_vm_readv(2) reads device memory") { memory in
        try checkKernelAccess(memory) { range in try range.copyThroughKernel() }
    }
    + onBothMemories("migrate/proc-mem", "/proc/self/mem reads device memory") { memory in
        try checkKernelAccess(memory) { range in try range.copyThroughProc() }
    }
    + onBothMemories("migrate/pipe-write", "write(2) takes its data from device memory") { memory in
        try checkKernelAccess(memory) { range in
            let pipe = try PagePipe()
            expectEqual(try pipe.write(range), range.size, "the whole range goes into the pipe")
            return try pipe.drain(pages: range.count)
        }
    }
    + onBothMemories("migrate/file-read", "read(2) puts its data into device memory") { memory in
        let file = try ScratchFile(.tmpfs, pages: 16)
        try file.fill(seed: 2, pages: 16)
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        try file.read(into: buffer.range)
        try buffer.range.expectPlace(memory.placeAfterAccess, "the pages are where a CPU access leaves them")
        try mirror.expectReads(buffer.range, seed: 2, "the device reads the file's data")
        buffer.range.expectHolds(seed: 2, "so does the CPU")
    }
    + onBothMemories(
        "migrate/spliced-pages-stay", "Pages that a pipe refers to do not move until the pipe is empty"
    ) { memory in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        let pipe = try PagePipe()
        expectEqual(try pipe.splice(buffer.range), buffer.range.size, "the pages go into the pipe")
        try buffer.range.expectPlace(memory.placeAfterAccess, "private pages came back for it, coherent ones stayed")
        let before = try buffer.range.places()
        switch memory {
        case .private: try mirror.expectTakeRefused(.noEntry, buffer.range, "pages in use do not move")
        case .coherent: expectEqual(try mirror.migrateToSystem(buffer.range), 0, "pages in use do not move")
        }
        try buffer.range.expectUnmoved(since: before, "no page moved")
        // The pipe refers to the pages themselves: what the device writes now comes out of it.
        try mirror.fill(buffer.range, seed: 2)
        let contents = try pipe.drain(pages: 16)
        contents.range.expectHolds(seed: 2, "the pipe holds the pages and not a copy")
        switch memory {
        case .private: try mirror.take(buffer.range, seed: 2)
        case .coherent: expectEqual(try mirror.migrateToSystem(buffer.range), 16, "once the pipe is empty they move")
        }
        try buffer.range.expectMoved(since: before, "every page moved")
        buffer.range.expectHolds(seed: 2, "the contents are right")
        try mirror.release()
    }
    + onBothMemories(
        "migrate/gup-short", "A short reference leaves coherent memory in place and brings private memory back",
        needs: [.gupTest]
    ) { memory in try checkHold(.short, memory, memory.placeAfterAccess) }
    + onBothMemories("migrate/gup-long", "A long-term pin never holds device memory", needs: [.gupTest]) { memory in
        try checkHold(.long, memory, .system)
    }
    + onBothMemories(
        "migrate/gup-long-fast", "A long-term pin taken without the mmap lock never holds device memory",
        needs: [.gupTest]
    ) { memory in try checkHold(.longFast, memory, .system) }
    + onBothMemories(
        "migrate/pinned-pages-stay", "Pages with a long-term pin do not move to the device until they are unpinned",
        needs: [.longTermPin]
    ) { memory in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        let pins = try GupTestDevice()
        try pins.pin(buffer.range)
        try buffer.range.expectPlace(.system, "the pin brought the pages to system memory")
        let before = try buffer.range.places()
        try mirror.expectTakeRefused(.noEntry, buffer.range, "pinned pages do not move")
        try buffer.range.expectUnmoved(since: before, "no page moved")
        try mirror.fill(buffer.range, seed: 2)
        let pinned = try pins.readPinned(pages: 16)
        pinned.range.expectHolds(seed: 2, "the pin and the device see the same pages")
        try pins.unpin()
        try mirror.take(buffer.range, seed: 2)
        try buffer.range.expectPlace(memory.place, "once unpinned they move")
        buffer.range.expectHolds(seed: 2, "the contents are right")
        try mirror.release()
    }
    + onBothMemories(
        "migrate/pinned-part", "One pinned page stays behind and its neighbours move", needs: [.longTermPin]
    ) { memory in
        let buffer = try wideBuffer()
        buffer.range.fill(seed: 1)
        let mirror = try memory.open()
        let pins = try GupTestDevice()
        try pins.pin(buffer.range.page(600))
        try mirror.expectTakeRefused(.noEntry, buffer.range, "the range does not move as a whole")
        expectEqual(
            try buffer.range.places().map(\.kind), (0..<wideSpan).map { $0 == 600 ? .system : memory.place },
            "exactly the pinned page stayed behind")
        buffer.range.expectHolds(seed: 1, "the contents are right")
        try pins.unpin()
        try mirror.release()
        try buffer.range.expectPlace(.system, "no page is left on the device")
    }
    + onBothMemories(
        "migrate/kernel-copy-of-another", "process_vm_readv(2) of another process reads device memory"
    ) { memory in
        let buffer = try MappedBuffer.anonymous(pages: 16)
        let child = try Child { parent in
            try parent.wait()
            let copy = try buffer.range.copyThroughKernel(of: getppid())
            copy.range.expectHolds(seed: 2, "the child reads what the parent's device wrote")
            try buffer.range.expectPlace(.nothing, "the child's own memory at the address is untouched")
        }
        buffer.range.fill(seed: 1)
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        try mirror.fill(buffer.range, seed: 2)
        try child.channel.signal()
        try child.expectPassed()
        try buffer.range.expectPlace(memory.placeAfterAccess, "the pages are where a CPU access leaves them")
        buffer.range.expectHolds(seed: 2, "the parent has the contents")
        try mirror.release()
    }
    + onBothMemories(
        "migrate/forced-write-copies", "A debugger's write to a read-only page on the device stays in one process"
    ) { memory in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try buffer.protect(.read)
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        let word = PagePattern.word(seed: 2, page: 5, word: 0)
        let child = try Child { parent in
            try parent.wait()
            try buffer.range.page(5).poke(word, in: getppid())
            buffer.range.expectHolds(seed: 1, "the child has what was there at the fork")
        }
        try child.channel.signal()
        try child.expectPassed()
        let kinds = try buffer.range.places().map(\.kind)
        expectEqual(kinds[5], .system, "the written page is a copy in system memory")
        expect(!kinds.contains(.nothing), "no page is gone")
        var expected = (0..<PagePattern.wordsPerPage).map { PagePattern.word(seed: 1, page: 5, word: $0) }
        expected[0] = word
        expect(buffer.range.page(5).wordValues() == expected, "the page differs by the written word")
        expectEqual(
            FaultProbe.write(1, to: buffer.range.page(5)), .forbidden(buffer.range.page(5)),
            "the mapping is still read-only")
        buffer.range.pages(from: 6, count: 10).expectHolds(seed: 1, firstPage: 6, "the other pages are as they were")
        try mirror.release()
    }

/// The kernel reads what the device wrote to its memory, 16 pages of it.
private func checkKernelAccess(
    _ memory: DeviceMemory, file: String = #fileID, line: Int = #line,
    _ access: (PageRange) throws -> MappedBuffer
) throws {
    let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
    let mirror = try memory.open()
    try mirror.take(buffer.range, seed: 1)
    try mirror.fill(buffer.range, seed: 2)
    try buffer.range.expectPlace(memory.place, "every page is in device memory", file: file, line: line)
    let copy = try access(buffer.range)
    copy.range.expectHolds(seed: 2, "the kernel reads what the device wrote", file: file, line: line)
    try buffer.range.expectPlace(
        memory.placeAfterAccess, "the pages are where a CPU access leaves them", file: file, line: line)
    buffer.range.expectHolds(seed: 2, "the contents are right afterwards", file: file, line: line)
    try mirror.release(file: file, line: line)
}

/// The kernel takes hold of pages in device memory and lets go; this tells where it left them.
private func checkHold(
    _ hold: GupTestDevice.Hold, _ memory: DeviceMemory, _ place: PagePlace.Kind, file: String = #fileID,
    line: Int = #line
) throws {
    let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
    let mirror = try memory.open()
    try mirror.take(buffer.range, seed: 1)
    try mirror.fill(buffer.range, seed: 2)
    let held = buffer.range.pages(from: 4, count: 8)
    let gup = try GupTestDevice()
    try gup.touch(held, hold)
    let kinds = try buffer.range.places().map(\.kind)
    expectEqual(
        kinds, (0..<16).map { (4..<12).contains($0) ? place : memory.place },
        "the pages that were held are in \(place.rawValue), the others in device memory", file: file, line: line)
    buffer.range.expectHolds(seed: 2, "the contents are right", file: file, line: line)
    if place == .system { try mirror.take(held, seed: 2, firstPage: 4, file: file, line: line) }
    try mirror.release(file: file, line: line)
    try buffer.range.expectPlace(.system, "no page is left on the device", file: file, line: line)
}
