// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// One page of many has lost its contents: who touches it is told that, and nothing else is harmed.
///
/// The first tests do not ask whether the kernel takes such pages from a device: without that they fail.
let contentsLostTests: [GuestTest] =
    onOwnDevice(
        "errors/contents-lost-fault",
        "A CPU fault for a page that lost its contents is a memory error at this address, and the page is free",
        on: [.private]
    ) { memory, mirror in try checkFault(memory, mirror) }
    + onOwnDevice(
        "errors/contents-lost-migrate", "A page that lost its contents leaves the device like those that move beside it"
    ) { memory, mirror in
        for lost in [0, 5, 15] {
            let buffer = try lossyBuffer(mirror, losing: lost)
            try mirror.expectMigration(buffer.range, .toSystem, "one page lost its contents") {
                $0 == lost ? .contentsLost : .moved
            }
            try mirror.expectHeld(0, "it has left the device as well")
            buffer.expectLoss(of: lost)
            try mirror.expectMigration(buffer.range, .toSystem, "nothing is on the device any more") {
                $0 == lost ? .none : .there
            }
            buffer.expectLoss(of: lost)
        }
        let buffer = try lossyBuffer(mirror, losing: 5)
        expectEqual(try mirror.migrateToSystem(buffer.range), 15, "upstream's command counts the others")
        buffer.expectLoss(of: 5)
    }
    + Access.allCases.flatMap { access in
        onOwnDevice(
            "errors/contents-lost-\(access.rawValue)",
            "A page that lost its contents is an error for who touches it \(access.phrase), then and later",
            on: [.private], needs: [.contentsLost]
        ) { _, mirror in
            let file = try sourceFile(pages: 16)
            let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
            try mirror.take(buffer.range, seed: 1)
            // Each fault copies one page.
            try mirror.inject(Injection(failingCopy: 6, losesContents: true))
            for round in 0..<2 {
                for number in 0..<16 where number == 5 || round == 0 {
                    let page = buffer.range.page(number)
                    expectEqual(
                        access.perform(on: page, number: number, worker: 0, file: file),
                        number == 5 ? access.lossAnswer(of: page) : .done, "page 5 is an error, and no other page")
                }
            }
            for number in 0..<16 where number != 5 {
                expect(
                    buffer.range.page(number).wordValues() == access.words(ofPage: number, threads: 1),
                    "every other page has what was done to it once", "page \(number)")
            }
            try mirror.expectHeld(0, "no page is left on the device")
        }
    }
    + onOwnDevice(
        "errors/contents-lost-access", "System calls and the device get EFAULT for a page that lost its contents",
        needs: [.contentsLost]
    ) { memory, mirror in
        let file = try sourceFile(pages: 16)
        let buffer = try lossyBuffer(mirror, losing: 5)
        _ = try mirror.migrate(buffer.range, .toSystem)
        let page = buffer.range.page(5)
        for access in Access.allCases {
            expectEqual(
                access.perform(on: page, number: 5, worker: 0, file: file), access.lossAnswer(of: page),
                "an error \(access.phrase)")
        }
        try mirror.expectReadRefused(.badAddress, page, "the device cannot read it")
        try mirror.expectWriteRefused(.badAddress, page, "nor write it")
        expectRefused(.badAddress, "nor change a word") { () throws(MirrorError) in
            try mirror.fetchAdd(1, at: page.address)
        }
        expectRefused(.badAddress, "nor hold it") { () throws(MirrorError) in _ = try mirror.pin(page, .write) }
        try mirror.expectMigration(buffer.range, .toDevice, "nor take it, but the others") {
            $0 == 5 ? .none : .moved
        }
        try mirror.expectReads(buffer.range.page(4), seed: 1, firstPage: 4, "the device reads the page before it")
        buffer.expectLoss(of: 5)
    }
    + onOwnDevice(
        "errors/contents-lost-fork", "Children from before and after the loss of a page's contents are told, too",
        needs: [.contentsLost]
    ) { memory, mirror in
        for isByFault in memory == .private ? [true, false] : [false] {
            let buffer = try lossyBuffer(mirror, losing: isByFault ? 0 : 5)
            let lost = 5
            let before = try Child { parent in
                try parent.wait()
                buffer.expectLoss(of: lost)
                try parent.signal()
                try parent.wait()
            }
            if isByFault {
                let page = buffer.range.page(lost)
                expectEqual(FaultProbe.read(page), .contentsLost(page), "who touches the page is told")
            } else {
                _ = try mirror.migrate(buffer.range, .toSystem)
            }
            try before.channel.signal()
            try before.channel.wait()
            let after = try Child { _ in buffer.expectLoss(of: lost) }
            try after.expectPassed("a child from after the loss is told")
            try buffer.advise(.dontNeed, buffer.range.page(lost))
            buffer.range.page(lost).expectZero("who drops the page has a fresh one")
            try before.channel.signal()
            try before.expectPassed("a child from before the loss is told")
        }
    }
    + onOwnDevice(
        "errors/contents-lost-dropped", "An address is as good as new when the page that lost its contents is dropped",
        needs: [.contentsLost]
    ) { memory, mirror in
        let buffer = try lossyBuffer(mirror, losing: 5)
        _ = try mirror.migrate(buffer.range, .toSystem)
        let page = buffer.range.page(5)
        try buffer.protect(page, .none)
        expectEqual(FaultProbe.read(page), .forbidden(page), "a mapping without access is that first")
        try buffer.protect(page, .readWrite)
        buffer.expectLoss(of: 5)
        try buffer.advise(.dontNeed, page)
        page.expectZero("it reads as zero after MADV_DONTNEED")
        page.fill(seed: 1, firstPage: 5)
        buffer.range.expectHolds(seed: 1, "it holds what is written then")
        try mirror.take(buffer.range, seed: 1)
        try buffer.range.expectPlace(memory.place, "the device takes it again")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onOwnDevice(
        "errors/contents-lost-evict", "A page that loses its contents when it is evicted has left the device",
        needs: [.contentsLost]
    ) { memory, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let frames = try buffer.range.places().map { try requireValue($0.frame, "a page has a frame") }
        // One frame alone, so that it is known which one fails.
        try mirror.inject(Injection(failingCopy: 1, losesContents: true))
        expectEqual(
            try mirror.evict(frames: frames[5]..<(frames[5] + 1), within: 0), Eviction(pages: 0, isComplete: true),
            "the frame is free, and no page moved")
        try mirror.expectHeld(15, "so the device says")
        try buffer.range.page(4).expectPlace(memory.place, "the page before it has not moved")
        expectEqual(
            try mirror.evict(within: 1000), Eviction(pages: 15, isComplete: true), "the others move with contents")
        buffer.expectLoss(of: 5)
    }
    + onOwnDevice("errors/ability", "A device says whether it can lose what its pages hold, and it can if it says so") {
        _, mirror in
        if try mirror.information().abilities.contains(.loseContents) {
            try mirror.inject(Injection(losesContents: true))
        } else {
            expectRefused(Errno(rawValue: EOPNOTSUPP), "it cannot") { () throws(MirrorError) in
                try mirror.inject(Injection(losesContents: true))
            }
        }
    }
    + onOwnDevice(
        "errors/copy-error-keeps", "Without a word of the driver a page that cannot be copied stays, as ever",
        needs: [.contentsLost]
    ) { memory, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        try mirror.inject(Injection(failingCopy: 6))
        try mirror.expectMigration(buffer.range, .toSystem, "one page cannot be copied") {
            $0 == 5 ? .copyFailed : .moved
        }
        try buffer.range.page(5).expectPlace(memory.place, "it is still on the device")
        buffer.range.expectHolds(seed: 1, "with its contents")
    }

/// Sixteen pages on the device, the `lost`th of which loses its contents when all of them move.
func lossyBuffer(
    _ mirror: borrowing MirrorDevice, losing lost: Int, file: String = #fileID, line: Int = #line
) throws -> MappedBuffer {
    let buffer = try MappedBuffer.filled(pages: 16, seed: 1, file: file, line: line)
    try mirror.take(buffer.range, seed: 1, file: file, line: line)
    try mirror.inject(
        Injection(failingCopy: UInt64(lost + 1), losesContents: true), file: file, line: line)
    return buffer
}

extension MappedBuffer {
    /// A page lost its contents, which every access is told, and all others hold the pattern of seed 1.
    func expectLoss(of lost: Int, file: String = #fileID, line: Int = #line) {
        range.expectLoss(of: lost, file: file, line: line)
    }
}

extension PageRange {
    /// A page lost its contents, which every access is told, and all others hold the pattern of seed 1.
    func expectLoss(of lost: Int, file: String = #fileID, line: Int = #line) {
        let page = page(lost)
        for offset in [0, 1232, 4088] as [UInt64] {
            let place = PageRange(address: page.address + offset, pageCount: 1)
            expectEqual(FaultProbe.read(place), .contentsLost(place), "it cannot be read", file: file, line: line)
            expectEqual(FaultProbe.write(1, to: place), .contentsLost(place), "nor written", file: file, line: line)
        }
        for number in 0..<count where number != lost {
            self.page(number).expectHolds(
                seed: 1, firstPage: number, "the other pages are intact", file: file, line: line)
        }
    }
}

extension Access {
    /// What the access brings when the page's contents are lost.
    fileprivate func lossAnswer(of page: PageRange) -> Answer {
        switch refusal(of: page) {
        case .signal: .signal(.contentsLost(page))
        case let answer: answer
        }
    }
}

/// Each of sixteen pages in turn is the one that cannot be brought back.
private func checkFault(_ memory: DeviceMemory, _ mirror: borrowing MirrorDevice) throws {
    for lost in [0, 5, 15] {
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let before = try buffer.range.places()
        _ = try mirror.statistics(reset: true)
        try mirror.inject(Injection(failingCopy: 1, losesContents: true))
        let page = buffer.range.page(lost)
        let place = PageRange(address: page.address + 1232, pageCount: 1)
        expectEqual(FaultProbe.read(place), .contentsLost(place), "the first access is told")
        try mirror.expectHeld(15, "the page is free at once")
        expectEqual(FaultProbe.add(1, to: place), .contentsLost(place), "so is the second")
        let statistics = try mirror.statistics()
        expectEqual(statistics.cpuFaults, 1, "the device was asked once")
        expectEqual(statistics.copyErrors, 1, "and counts an error")
        let after = try buffer.range.places()
        expect(
            (0..<16).allSatisfy { $0 == lost || after[$0] == before[$0] }, "no other page was touched", "\(after)")
        expectNone(after[lost].devicePiece.map { "\($0)" }, "nothing of the device is at the address")
        buffer.expectLoss(of: lost)
        try mirror.expectHeld(0, "the others are back")
        try buffer.unmap(page)
        expectEqual(FaultProbe.read(page), .unmapped(page), "the address can be unmapped")
        try buffer.replace(page)
        page.expectZero("what is mapped there next is zero")
        page.fill(seed: 1, firstPage: lost)
        try mirror.take(buffer.range.page(lost), seed: 1, firstPage: lost)
        try page.expectPlace(memory.place, "and can go to the device")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
}
