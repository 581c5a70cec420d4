// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// A memory error in a page of coherent memory: who maps it is told, nothing else is harmed, and the page is not used
/// again.
///
/// These tests do not ask whether the kernel handles such errors: without that they fail.
let poisonTests: [GuestTest] =
    onCoherent("errors/poison-coherent", "A page with a memory error is an error where it is mapped, in a child too") {
        mirror in
        let buffer = try coherentBuffer(mirror)
        let before = try buffer.range.places()
        let child = try Child { parent in
            try parent.wait()
            buffer.expectLoss(of: 5)
        }
        try buffer.expectPoisoned(5)
        buffer.expectLoss(of: 5)
        let after = try buffer.range.places()
        expect((0..<16).allSatisfy { $0 == 5 || after[$0] == before[$0] }, "no other page moved", "\(after)")
        try mirror.expectHeld(15, "the page has no user any more")
        expectEqual(try mirror.information().badPages, 1, "and the device does not count it as free")
        try mirror.expectReadRefused(.badAddress, buffer.range.page(5), "the device cannot read it")
        try mirror.expectReads(buffer.range.page(4), seed: 1, firstPage: 4, "it reads the page before it")
        try child.channel.signal()
        try child.expectPassed("a child that shared it is told")
        let later = try Child { _ in buffer.expectLoss(of: 5) }
        try later.expectPassed("so is a later child")
        expect(try mirror.evict(within: 1000).isComplete, "the other pages can be evicted")
        buffer.expectLoss(of: 5)
        try buffer.advise(.dontNeed, buffer.range.page(5))
        buffer.range.page(5).expectZero("the address is as good as new when the page is dropped")
    }
    + onCoherent(
        "errors/poison-coherent-reuse", "A page with a memory error is not used again until its memory has gone"
    ) { mirror in
        var bad: Set<UInt64> = []
        for round in 0..<3 {
            let buffer = try coherentBuffer(mirror)
            let frames = try buffer.range.frameNumbers()
            expect(bad.isDisjoint(with: frames), "no bad page is handed out", "\(frames)")
            if round == 1 {
                expect(frames.count { $0 <= (bad.max() ?? 0) + 16 } == 16, "the pages around it are", "\(frames)")
            }
            try buffer.expectPoisoned(5 + round)
            bad.insert(frames[5 + round])
            expectEqual(try mirror.information().badPages, round + 1, "each is counted")
        }
        try mirror.expectHeld(0, "all pages are given back")
        try mirror.release()
        expectEqual(try mirror.information().badPages, 0, "the bad pages go with their memory")
        let buffer = try coherentBuffer(mirror)
        expectEqual(try mirror.information().badPages, 0, "memory that comes has none")
        expect(!bad.isDisjoint(with: try buffer.range.frameNumbers()), "its pages are used")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onCoherent("errors/poison-coherent-free", "A page that has a memory error while nobody uses it is never used") {
        mirror in
        let buffer = try coherentBuffer(mirror)
        let frames = try buffer.range.frameNumbers()
        try buffer.advise(.dontNeed)
        try mirror.expectHeld(0, "the pages are free")
        try reportError(in: frames[5])
        buffer.range.fill(seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let now = try buffer.range.frameNumbers()
        expect(!now.contains(frames[5]), "the page with the error is not handed out", "\(now)")
        expect(now.contains(frames[4]) && now.contains(frames[6]), "those beside it are", "\(now)")
        expectEqual(try mirror.information().badPages, 1, "it is counted")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onCoherent("errors/poison-coherent-pinned", "A page that is pinned is an error for the CPU, and free when let go")
{
    mirror in
    let buffer = try coherentBuffer(mirror)
    let pin = try mirror.pin(buffer.range.page(5), .write)
    // A child would have its own copy of a pinned page.
    try reportError(in: buffer.range.frameNumbers()[5])
    buffer.expectLoss(of: 5)
    try mirror.expectHeld(16, "who holds the page has it still")
    try pin.release()
    try mirror.expectHeld(15, "it is given back then")
    expectEqual(try mirror.information().badPages, 1, "and not used again")
    buffer.expectLoss(of: 5)
}
    + onCoherent("errors/poison-coherent-locked", "A page that is locked in memory is an error as well") { mirror in
        let buffer = try coherentBuffer(mirror)
        try buffer.lock()
        try buffer.range.expectPlace(.coherent, "it is on the device")
        try buffer.expectPoisoned(5)
        buffer.expectLoss(of: 5)
        try mirror.expectHeld(15, "the page has no user any more")
        try buffer.unlock()
    }
    + onCoherent("errors/poison-coherent-twice", "A second error in a page changes nothing") { mirror in
        let buffer = try coherentBuffer(mirror)
        let frame = try buffer.range.frameNumbers()[5]
        try reportError(in: frame)
        buffer.expectLoss(of: 5)
        expectFailure(Errno(rawValue: EHWPOISON), "the kernel knows of it") { () throws(SystemCallError) in
            try reportError(in: frame)
        }
        buffer.expectLoss(of: 5)
        expectEqual(try mirror.information().badPages, 1, "it is counted once")
    }
    + onCoherent(
        "errors/poison-coherent-early", "Processes that want to know of memory errors at once are told, and no others"
    ) { mirror in
        // Each process tells where its page is.
        func owner() throws -> Child {
            try Child { parent in
                let buffer = try coherentBuffer(DeviceMemory.coherent.open())
                try parent.signal(number: Int32(try buffer.range.frameNumbers()[5]))
                try parent.wait()
                buffer.expectLoss(of: 5)
            }
        }
        let late = try owner()
        try reportError(in: UInt64(try late.channel.waitForNumber()))
        try late.channel.signal()
        try late.expectPassed("who does not want to know is told at the access")
        let early = try owner()
        let other = try owner()
        _ = try other.channel.waitForNumber()
        let setting = try KernelSetting("/proc/sys/vm/memory_failure_early_kill", 1)
        try reportError(in: UInt64(try early.channel.waitForNumber()))
        setting.restore()
        // Who was told by a signal does not read this any more.
        try? early.channel.signal()
        expectEqual(try early.wait(), .signaled(SIGBUS), "who wants to know at once is told by a signal")
        kill(other.pid, SIGTERM)
        expectEqual(try other.wait(), .signaled(SIGTERM), "nobody else is")
    }
    + onCoherent("errors/poison-coherent-gone", "Nothing leads to a page with a memory error when its memory has gone")
{
    mirror in
    let buffer = try coherentBuffer(mirror)
    try buffer.expectPoisoned(5)
    try mirror.unplug(within: 1000)
    expectEqual(try mirror.information().chunks, 0, "the device has no memory left")
    buffer.expectLoss(of: 5)
    let place = try buffer.range.page(5).places()[0]
    expectNone(place.devicePiece.map { "\($0)" }, "pagemap names no page of the device")
    _ = try buffer.range.smaps("Rss")
    let child = try Child { _ in buffer.expectLoss(of: 5) }
    try child.expectPassed("a child is told")
    try mirror.replug()
}

/// The driver goes while processes map what was a bad page.
let poisonModuleTests: [GuestTest] = [
    GuestTest(
        "errors/poison-coherent-unload", "The driver leaves, whatever pages of its devices have memory errors",
        needs: [.private, .coherent, .ours], timeoutMilliseconds: 60_000
    ) {
        let parameters = try driverParameters()
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        do {
            let mirror = try DeviceMemory.coherent.open()
            try mirror.take(buffer.range, seed: 1)
            try buffer.expectPoisoned(5)
        }
        try Shell.run("rmmod hmm_dmirror && rmmod hmm_devmem")
        buffer.expectLoss(of: 5)
        _ = try buffer.range.places()
        try Shell.run("modprobe hmm_dmirror \(parameters.joined(separator: " "))")
        let mirror = try DeviceMemory.coherent.open()
        expectEqual(try mirror.information().badPages, 0, "all pages of a driver that comes are good")
        let other = try MappedBuffer.filled(pages: 16, seed: 2)
        try mirror.take(other.range, seed: 2)
        other.range.expectHolds(seed: 2, "it works")
    }
]

/// A test on the first coherent device, whose memory goes and comes afterwards, with all errors in it.
private func onCoherent(
    _ id: String, _ summary: String, file: String = #fileID, line: Int = #line,
    _ body: @escaping @Sendable (borrowing MirrorDevice) throws -> Void
) -> [GuestTest] {
    onOwnDevice(id, summary, on: [.coherent], file: file, line: line) { _, mirror in
        try mirror.release()
        defer { try? mirror.release() }
        try body(mirror)
    }
}

/// Sixteen pages with the pattern of seed 1, on the device.
private func coherentBuffer(
    _ mirror: borrowing MirrorDevice, file: String = #fileID, line: Int = #line
) throws -> MappedBuffer {
    let buffer = try MappedBuffer.filled(pages: 16, seed: 1, file: file, line: line)
    try mirror.take(buffer.range, seed: 1, file: file, line: line)
    try buffer.range.expectPlace(.coherent, "the pages are on the device", file: file, line: line)
    return buffer
}

extension MappedBuffer {
    /// The kernel takes a page with a memory error away from who maps it.
    fileprivate func expectPoisoned(_ number: Int, file: String = #fileID, line: Int = #line) throws {
        expectEqual(
            try poison(range.page(number), file: file, line: line), .signaled(SIGBUS),
            "who meets the error is told by a signal", file: file, line: line)
    }
}

/// Tells the kernel of a memory error in a frame, as the machine would.
private func reportError(in frame: UInt64, file: String = #fileID, line: Int = #line) throws(SystemCallError) {
    try TextFile.write(
        "\(frame * UInt64(PageRange.pageSize))", to: "/sys/devices/system/memory/hard_offline_page", file: file,
        line: line)
}

extension PageRange {
    fileprivate func frameNumbers(file: String = #fileID, line: Int = #line) throws -> [UInt64] {
        try places(file: file, line: line).map {
            try requireValue($0.frame, "a page has a frame", file: file, line: line)
        }
    }
}
