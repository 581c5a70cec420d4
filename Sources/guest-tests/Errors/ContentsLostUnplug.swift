// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// A device is gone with everything that its pages held; its driver waits for nobody.
let contentsLostUnplugTests: [GuestTest] =
    onOwnDevice(
        "errors/gone-fault", "Each page of a device that is gone is a memory error where it is touched, and free then",
        on: [.private], needs: [.contentsLost]
    ) { _, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        _ = try mirror.statistics(reset: true)
        try mirror.inject(Injection(isLost: true, losesContents: true))
        for number in 0..<16 {
            let page = buffer.range.page(number)
            expectEqual(FaultProbe.write(1, to: page), .contentsLost(page), "each page is an error at its address")
            try mirror.expectHeld(15 - number, "and free")
        }
        expectEqual(try mirror.statistics().copyErrors, 0, "nothing was copied for that")
        try mirror.inject(Injection())
        buffer.range.expectLost("a device that is back does not bring them back")
    }
    + onOwnDevice(
        "errors/gone-evict", "The pages of several processes leave a device that is gone, and each process is told",
        needs: [.contentsLost]
    ) { memory, mirror in
        try withLosers(4, of: memory) {
            try mirror.inject(Injection(isLost: true, losesContents: true))
            expectEqual(
                try mirror.evict(within: 0), Eviction(pages: 0, isComplete: true), "one attempt frees every page")
            try mirror.expectHeld(0, "no page is left on the device")
        }
        try mirror.inject(Injection())
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        buffer.range.expectHolds(seed: 1, "the device works when it is back")
    }
    + onOwnDevice(
        "errors/gone-unplug", "A device with pages of several processes can go without warning", needs: [.contentsLost]
    ) { memory, mirror in
        try withLosers(4, of: memory) {
            try mirror.inject(Injection(losesContents: true))
            try mirror.unplug(surprise: true, within: 0)
            let gone = try mirror.information()
            expectEqual(gone.chunks, 0, "it has no memory left")
            expectEqual(gone.state, [.lost, .unplugged], "and says so")
        }
        try mirror.makeWhole()
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        buffer.range.expectHolds(seed: 1, "the device works when it is back")
    }

/// The driver goes together with the devices.
let contentsLostModuleTests: [GuestTest] = [
    GuestTest(
        "errors/gone-unload", "The driver of devices that are gone leaves, whatever processes have on them",
        needs: [.private, .coherent, .ours, .contentsLost], timeoutMilliseconds: 60_000
    ) {
        let parameters = try driverParameters()
        try withLosers(3, of: .private) {
            try withLosers(3, of: .coherent) {
                for memory in DeviceMemory.allCases {
                    try memory.open().inject(Injection(isLost: true, losesContents: true))
                }
                try Shell.run("rmmod hmm_dmirror")
                expect(
                    try !PhysicalMemory.current().regions.contains { $0.name.contains("dmirror") },
                    "no memory is left behind")
                try Shell.run("rmmod hmm_devmem")
            }
        }
        try Shell.run("modprobe hmm_dmirror \(parameters.joined(separator: " "))")
        for memory in DeviceMemory.allCases {
            let mirror = try memory.open()
            let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
            try mirror.take(buffer.range, seed: 1)
            buffer.range.expectHolds(seed: 1, "the driver works when it is back")
        }
    }
]

extension PageRange {
    /// Every page of the range lost its contents.
    func expectLost(_ sentence: String, file: String = #fileID, line: Int = #line) {
        for number in 0..<count {
            expectEqual(
                FaultProbe.read(page(number)), .contentsLost(page(number)), sentence, file: file, line: line)
        }
    }
}

/// So many processes, and a child of each, have 40 pages on the device; after `body` they find them lost.
private func withLosers(
    _ left: Int, of memory: DeviceMemory, file: String = #fileID, line: Int = #line, _ body: () throws -> Void
) throws {
    guard left > 0 else { return try body() }
    // Each child is the parent's, and one owner of a child cannot be kept in an array.
    let child = try Child(file: file, line: line) { parent in
        let seed = UInt64(left)
        let buffer = try MappedBuffer.filled(pages: 40, seed: seed)
        let other = try MappedBuffer.filled(pages: 40, seed: seed)
        do { try memory.open().take(buffer.range, seed: seed) }
        let grandchild = try Child { parent in
            try parent.wait()
            buffer.range.expectLost("the pages that it shares are lost for a child as well")
        }
        try parent.signal()
        try parent.wait()
        buffer.range.expectLost("the pages are lost")
        other.range.expectHolds(seed: seed, "others are intact")
        try grandchild.channel.signal()
        try grandchild.expectPassed()
    }
    try child.channel.wait(file: file, line: line)
    try withLosers(left - 1, of: memory, file: file, line: line, body)
    try child.channel.signal(file: file, line: line)
    try child.expectPassed(file: file, line: line)
}
