// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Pages of a huge page have lost their contents, one or all of them.
///
/// Whether a huge page stays whole on the device is the base's choice; what becomes of its parts is not.
let contentsLostHugeTests: [GuestTest] =
    [0, 5, 511].flatMap { lost in
        onOwnDevice(
            "errors/lost-in-huge-fault-\(lost)",
            "A CPU fault for a huge page that lost one page brings back the others",
            on: [.private], needs: [.contentsLost, .thp]
        ) { _, mirror in
            let buffer = try hugeBuffer(mirror)
            // Of a huge page each fault copies all, from its beginning.
            let copies = try mirror.information().largePages > 1 ? lost + 1 : 1
            try mirror.inject(Injection(failingCopy: UInt64(copies), losesContents: true))
            let page = buffer.range.page(lost)
            expectEqual(FaultProbe.read(page), .contentsLost(page), "who touches the page is told")
            expectEqual(FaultProbe.add(1, to: page), .contentsLost(page), "and told again")
            buffer.expectLoss(of: lost)
            try mirror.expectHeld(0, "nothing is left on the device")
            try buffer.expectUsable(after: lost, on: mirror)
        }
    }
    + onOwnDevice(
        "errors/lost-in-huge-fault-elsewhere", "A fault for a good page of a huge page that lost one is no error",
        on: [.private], needs: [.contentsLost, .thp]
    ) { _, mirror in
        let buffer = try hugeBuffer(mirror)
        let isWhole = try mirror.information().largePages > 1
        try mirror.inject(Injection(failingCopy: isWhole ? 8 : 2, losesContents: true))
        buffer.range.page(300).expectHolds(seed: 1, firstPage: 300, "the page has its contents")
        buffer.expectLoss(of: 7)
        try mirror.expectHeld(0, "nothing is left on the device")
    }
    + onOwnDevice(
        "errors/lost-in-huge-migrate",
        "One page of a huge page that lost its contents leaves the device with the others",
        on: [.private], needs: [.contentsLost, .thp]
    ) { _, mirror in
        for lost in [0, 5, 511] {
            let buffer = try hugeBuffer(mirror)
            try mirror.inject(Injection(failingCopy: UInt64(lost + 1), losesContents: true))
            try mirror.expectMigration(buffer.range, .toSystem, "one page lost its contents") {
                $0 == lost ? .contentsLost : .moved
            }
            try mirror.expectHeld(0, "nothing is left on the device")
            buffer.expectLoss(of: lost)
        }
    }
    + onOwnDevice(
        "errors/lost-in-huge-evict", "A huge page that lost one page is evicted, and the others keep their contents",
        on: [.private], needs: [.contentsLost, .thp]
    ) { _, mirror in
        for lost in [0, 5, 511] {
            let buffer = try hugeBuffer(mirror)
            let child = try Child { parent in
                try parent.wait()
                buffer.expectLoss(of: lost)
            }
            try mirror.inject(Injection(failingCopy: UInt64(lost + 1), losesContents: true))
            expectEqual(
                try mirror.evict(within: 0), Eviction(pages: 511, isComplete: true), "all pages but one move")
            try mirror.expectHeld(0, "nothing is left on the device")
            buffer.expectLoss(of: lost)
            try child.channel.signal()
            try child.expectPassed("a child that shared it finds the same")
        }
    }
    + onOwnDevice(
        "errors/lost-in-huge-no-memory",
        "A huge page that lost one page stays on the device while there is no memory for the others",
        on: [.private], needs: [.contentsLost, .thp]
    ) { _, mirror in
        let buffer = try hugeBuffer(mirror)
        guard try mirror.information().largePages > 1 else { return }
        // The first allocation is for all of it, the others are for its pages.
        try mirror.inject(Injection(failingAllocation: 100, failingCopy: 6, losesContents: true))
        expectEqual(try mirror.evict(within: 0), Eviction(pages: 0, isComplete: false), "nothing moves")
        try mirror.expectHeld(512, "all of it is still there")
        expectEqual(
            try mirror.evict(within: 0), Eviction(pages: 511, isComplete: true), "the next attempt has memory")
        buffer.expectLoss(of: 5)
    }
    + onOwnDevice(
        "errors/lost-in-huge-fork", "Children from before and after the loss of a page of a huge page are told, too",
        on: [.private], needs: [.contentsLost, .thp]
    ) { _, mirror in
        for isByFault in [true, false] {
            let buffer = try hugeBuffer(mirror)
            let before = try Child { parent in
                try parent.wait()
                buffer.expectLoss(of: 9)
                try parent.signal()
                try parent.wait()
            }
            let isWhole = try mirror.information().largePages > 1
            try mirror.inject(Injection(failingCopy: isByFault && !isWhole ? 1 : 10, losesContents: true))
            if isByFault {
                let page = buffer.range.page(9)
                expectEqual(FaultProbe.read(page), .contentsLost(page), "who touches the page is told")
            } else {
                _ = try mirror.migrate(buffer.range, .toSystem)
            }
            try before.channel.signal()
            try before.channel.wait()
            let after = try Child { _ in buffer.expectLoss(of: 9) }
            try after.expectPassed("a child from after the loss is told")
            try buffer.advise(.dontNeed, buffer.range.page(9))
            buffer.range.page(9).expectZero("who drops the page has a fresh one")
            try before.channel.signal()
            try before.expectPassed("a child from before the loss is told")
            try mirror.expectHeld(0, "nothing is left on the device")
        }
    }
    + onOwnDevice(
        "errors/lost-huge", "All of a huge page is lost with its device, for a child as well", on: [.private],
        needs: [.contentsLost, .thp]
    ) { _, mirror in
        for way in WayOut.allCases {
            let buffer = try hugeBuffer(mirror)
            let child = try Child { parent in
                try parent.wait()
                buffer.range.expectLost("a child that shared it is told")
                try parent.signal()
                try parent.wait()
                buffer.range.expectLost("and told again when the parent has dropped it")
            }
            try mirror.inject(Injection(isLost: true, losesContents: true))
            _ = try mirror.statistics(reset: true)
            try way.take(buffer.range, from: mirror)
            buffer.range.expectLost("the process is told at each address (\(way))")
            try mirror.expectHeld(0, "nothing is left on the device")
            expectEqual(try mirror.statistics().copyErrors, 0, "nothing was copied for that")
            try child.channel.signal()
            try child.channel.wait()
            try mirror.makeWhole()
            try buffer.advise(.dontNeed)
            buffer.range.expectZero("who drops it has fresh memory")
            buffer.range.fill(seed: 1)
            try mirror.take(buffer.range, seed: 1)
            buffer.range.expectHolds(seed: 1, "that can go to the device")
            try child.channel.signal()
            try child.expectPassed()
        }
    }
    + onOwnDevice(
        "errors/lost-huge-moved", "A huge page is lost where mremap(2) has moved it to", on: [.private],
        needs: [.contentsLost, .thp]
    ) { _, mirror in
        for way in WayOut.allCases {
            var buffer = try hugeBuffer(mirror)
            try buffer.move()
            try mirror.inject(Injection(isLost: true, losesContents: true))
            try way.take(buffer.range, from: mirror)
            buffer.range.expectLost("the process is told at each new address (\(way))")
            try mirror.expectHeld(0, "nothing is left on the device")
            try mirror.makeWhole()
            try buffer.move()
            buffer.range.expectLost("and where it is moved to then")
        }
    }
    + onOwnDevice(
        "errors/lost-huge-part", "What is left of a partly unmapped huge page is lost, and nothing else",
        on: [.private], needs: [.contentsLost, .thp]
    ) { _, mirror in
        for way in WayOut.allCases {
            let buffer = try hugeBuffer(mirror)
            // One process has all of it, the other a part.
            let child = try Child { parent in
                try buffer.unmap(buffer.range.pages(from: 100, count: 412))
                try parent.signal()
                try parent.wait()
                buffer.range.pages(from: 0, count: 100).expectLost("the part is lost (\(way))")
                let behind = buffer.range.page(100)
                expectEqual(FaultProbe.read(behind), .unmapped(behind), "nothing is mapped behind it")
            }
            try child.channel.wait()
            try mirror.inject(Injection(isLost: true, losesContents: true))
            try way.take(buffer.range, from: mirror)
            buffer.range.expectLost("all of it is lost for who maps all of it (\(way))")
            try mirror.expectHeld(0, "nothing is left on the device")
            try child.channel.signal()
            try child.expectPassed()
            try mirror.makeWhole()
        }
    }
    + onOwnDevice(
        "errors/lost-in-huge-part", "One page of a partly unmapped huge page is lost, and nothing else",
        on: [.private], needs: [.contentsLost, .thp]
    ) { _, mirror in
        let buffer = try hugeBuffer(mirror)
        try buffer.unmap(buffer.range.pages(from: 300, count: 212))
        let left = buffer.range.pages(from: 0, count: 300)
        let frames = try left.places().map { try requireValue($0.frame, "a page has a frame") }
        try mirror.inject(Injection(failingCopy: 6, losesContents: true))
        expect(try mirror.evict(frames: frames[0]..<(frames[0] + 512), within: 0).isComplete, "its frames are free")
        left.expectLoss(of: 5)
        try mirror.expectHeld(0, "nothing is left on the device")
        try buffer.replace(buffer.range.pages(from: 300, count: 212))
        buffer.range.pages(from: 300, count: 212).expectZero("what is mapped beside it is zero")
    }
    + onOwnDevice(
        "errors/rss-after-loss", "Pages that are lost do not count for their process any more", needs: [.contentsLost]
    ) { memory, mirror in
        let child = try Child { _ in
            do {
                let own = try memory.open()
                let buffer = try MappedBuffer.filled(pages: 1024, seed: 1)
                try own.take(buffer.range, seed: 1)
                let before = try residentPages()
                try own.inject(Injection(isLost: true, losesContents: true))
                _ = try own.evict(within: 0)
                let after = try residentPages()
                // The counter may lag behind by some pages of each CPU.
                expect(
                    (before - 1024 - 300...before - 1024 + 300).contains(after), "the count is lower by what was lost",
                    "\(before) before, \(after) after")
                try own.inject(Injection())
            }
        }
        // The kernel checks the counters of a process that ends.
        try child.expectPassed()
    }

/// How pages that are lost with their device leave it.
private enum WayOut: CaseIterable {
    case fault, evict

    func take(_ range: PageRange, from mirror: borrowing MirrorDevice) throws {
        switch self {
        case .fault:
            for number in [17] + Array(0..<range.count) {
                let page = range.page(number)
                guard FaultProbe.read(page) != .contentsLost(page) else { continue }
                expect(false, "each page is an error at its address", "page \(number)")
                return
            }
        case .evict:
            expectEqual(
                try mirror.evict(within: 0), Eviction(pages: 0, isComplete: true), "one attempt frees every page")
        }
    }
}

/// A huge page with the pattern of seed 1, on the device.
private func hugeBuffer(
    _ mirror: borrowing MirrorDevice, file: String = #fileID, line: Int = #line
) throws -> MappedBuffer {
    let buffer = try MappedBuffer.transparentHuge(hugePages: 1, file: file, line: line)
    buffer.range.fill(seed: 1)
    try buffer.range.expectFlags(.transparentHuge, "the memory is a huge page", file: file, line: line)
    try mirror.take(buffer.range, seed: 1, file: file, line: line)
    return buffer
}

/// The pages that this process has in memory, by its counters.
private func residentPages() throws -> Int {
    let fields = try TextFile.read("/proc/self/statm").split(separator: " ")
    return try requireValue(fields.dropFirst().first.flatMap { Int($0) }, "statm has the resident pages")
}

extension MappedBuffer {
    /// The address of a lost page, and all the others, can be used as ever.
    fileprivate func expectUsable(after lost: Int, on mirror: borrowing MirrorDevice) throws {
        let page = range.page(lost)
        try advise(.dontNeed, page)
        page.expectZero("it reads as zero after MADV_DONTNEED")
        page.fill(seed: 1, firstPage: lost)
        try mirror.take(range, seed: 1)
        range.expectHolds(seed: 1, "everything can go to the device again")
    }
}
