// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// A device that goes without warning, and one that comes back.
let faultUnplugTests: [GuestTest] =
    onOwnDevice(
        "faults/surprise-unplug", "A device that goes without warning leaves errors, and its contents when it is back"
    ) { memory, mirror in
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try mirror.take(buffer.range, seed: 1)
        let before = try buffer.range.places()
        expectRefused(.busy, "the pages cannot be brought back") { () throws(MirrorError) in
            try mirror.unplug(surprise: true, within: 100)
        }
        expectEqual(try mirror.information().state, [.lost, .unplugged], "the device is gone")
        try mirror.expectHeld(16, "its pages are still in use")
        let first = buffer.range.page(0)
        switch memory {
        case .private:
            expectEqual(FaultProbe.read(first), .unreachable(first), "the CPU cannot read a page")
            expectEqual(FaultProbe.write(1, to: first), .unreachable(first), "nor write it")
        case .coherent:
            buffer.range.expectHolds(seed: 1, "the CPU reaches coherent memory still")
        }
        let other = try MappedBuffer.filled(pages: 16, seed: 2)
        expectRefused(.noDevice, "the device takes no page") { () throws(MirrorError) in
            try mirror.migrate(other.range, .toDevice)
        }
        expectRefused(.noDevice, "and gets no memory") { () throws(MirrorError) in
            try mirror.addChunk(pages: ownChunkPages)
        }
        try buffer.range.expectUnmoved(since: before, "no page moved")
        try other.range.expectPlace(.system, "neither did those that it did not take")
        try mirror.replug()
        expectEqual(try mirror.information().state, [], "the device is back")
        try mirror.expectReads(buffer.range, seed: 1, "it reads its pages")
        try mirror.take(other.range, seed: 2)
        buffer.range.expectHolds(seed: 1, "the contents are right")
        other.range.expectHolds(seed: 2, "so are those of what it takes then")
    }
    + onOwnDevice(
        "faults/surprise-unplug-freed", "The memory of a device that went is gone once nobody maps its pages",
        on: [.private]
    ) { memory, mirror in
        do {
            let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
            try mirror.take(buffer.range, seed: 1)
            expectRefused(.busy, "the pages cannot be brought back") { () throws(MirrorError) in
                try mirror.unplug(surprise: true, within: 50)
            }
        }
        try mirror.expectHeld(0, "unmapping gave the pages up")
        try mirror.unplug(surprise: true, within: 1000)
        expectEqual(try mirror.information().chunks, 0, "the device has no memory left")
        try mirror.replug()
        let buffer = try MappedBuffer.filled(pages: 16, seed: 2)
        try mirror.take(buffer.range, seed: 2)
        try buffer.range.expectPlace(memory.place, "it gets memory when it is back")
        buffer.range.expectHolds(seed: 2, "the contents are right")
    }
    + onOwnDevice("faults/surprise-unplug-empty", "A device without pages in use can go without warning and come back")
{
    memory, mirror in
    let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
    try mirror.take(buffer.range, seed: 1)
    expect(try mirror.evict().isComplete, "its pages are brought back in time")
    try mirror.unplug(surprise: true, within: 1000)
    let gone = try mirror.information()
    expectEqual(gone.chunks, 0, "the device has no memory left")
    expectEqual(gone.state, [.lost, .unplugged], "and says so")
    buffer.range.expectHolds(seed: 1, "the contents are right")
    try mirror.replug()
    try mirror.take(buffer.range, seed: 1)
    try buffer.range.expectPlace(memory.place, "it takes pages when it is back")
    buffer.range.expectHolds(seed: 1, "the contents are right still")
}
