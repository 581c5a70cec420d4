// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Transparent huge pages and device memory.
///
/// Whether a huge page stays whole is the base's choice; where its parts are and what they hold is not.
let migrateHugeTests: [GuestTest] =
    onBothMemories("migrate/thp", "A transparent huge page moves to the device and back", needs: [.thp]) { memory in
        let buffer = try MappedBuffer.transparentHuge(hugePages: 2)
        buffer.range.fill(seed: 1)
        try buffer.range.expectSmaps("AnonHugePages", buffer.range.size, "the memory is in huge pages")
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        try buffer.range.expectPlace(memory.place, "every part is in device memory")
        try mirror.fill(buffer.range, seed: 2)
        let back = try mirror.migrateToSystem(buffer.range)
        // A base whose huge pages stay whole counts each as one.
        expect(back == buffer.range.count || back == 2, "every part comes back", "\(back) are back")
        try buffer.range.expectPlace(.system, "every part is in system memory")
        buffer.range.expectHolds(seed: 2, "the CPU reads what the device wrote")
        try mirror.release()
    }
    + onBothMemories("migrate/thp-partial", "A part of a transparent huge page moves alone", needs: [.thp]) { memory in
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        buffer.range.fill(seed: 1)
        try buffer.range.expectSmaps("AnonHugePages", buffer.range.size, "the memory is a huge page")
        let mirror = try memory.open()
        try mirror.take(buffer.range.pages(from: 200, count: 100), seed: 1, firstPage: 200)
        let expected = (0..<512).map { (200..<300).contains($0) ? memory.place : .system }
        expectEqual(try buffer.range.places().map(\.kind), expected, "exactly the part is in device memory")
        buffer.range.expectHolds(seed: 1, "the contents are right")
        try mirror.release()
        try buffer.range.expectPlace(.system, "the part is back once the device has no memory")
    }
    + onBothMemories(
        "migrate/thp-partial-unmap",
        "What is left of a partly unmapped transparent huge page moves whole or not at all",
        needs: [.thp]
    ) { memory in
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        buffer.range.fill(seed: 1)
        try buffer.range.expectSmaps("AnonHugePages", buffer.range.size, "the memory is a huge page")
        try buffer.unmap(buffer.range.pages(from: 300, count: 212))
        let left = buffer.range.pages(from: 0, count: 300)
        let image = try MappedBuffer.anonymous(pages: left.count)
        let before = try left.places()
        let mirror = try memory.open()
        var moved = true
        do throws(MirrorError) {
            _ = try mirror.migrateToDevice(left, readingInto: image.range.pointer)
        } catch {
            // 6.12 leaves the parts of a huge page alone that is no longer mapped as one.
            expectEqual(error.code, .noEntry, "the rest does not move")
            moved = false
        }
        if moved {
            image.range.expectHolds(seed: 1, "the device's copy holds what was written")
            try left.expectPlace(memory.place, "the rest is in device memory")
        } else {
            try left.expectUnmoved(since: before, "every part is in its frame")
        }
        left.expectHolds(seed: 1, "the contents are right")
        left.fill(seed: 2)
        try mirror.expectReads(left, seed: 2, "the device reads what the CPU wrote")
    }
    + onBothMemories("migrate/thp-zero-page", "The huge zero page becomes zeroed device memory", needs: [.thp]) {
        memory in
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        buffer.range.touch()
        try buffer.range.expectFlags(.zeroPage, "the huge zero page is mapped")
        try buffer.range.expectSmaps("Rss", 0, "it does not count")
        let mirror = try memory.open()
        try mirror.takeZero(buffer.range)
        try buffer.range.expectPlace(memory.place, "every part is in device memory")
        try mirror.fill(buffer.range, seed: 1)
        buffer.range.expectHolds(seed: 1, "the CPU reads what the device wrote")
        let other = try MappedBuffer.transparentHuge(hugePages: 1)
        other.range.touch()
        other.range.expectZero("the huge zero page is still zero")
    }
    + onBothMemories(
        "migrate/thp-after-fork", "A transparent huge page that a child shares moves for both", needs: [.thp]
    ) { memory in try checkSharedHugePage(memory) { _ in } }
    + onBothMemories(
        "migrate/thp-after-fork-split",
        "A transparent huge page that a child shares moves for both in small pages when the device has no huge one",
        needs: [.thp, .flags]
    ) { memory in
        try checkSharedHugePage(memory) { mirror in
            // Device memory in its first order: what a huge mapping of a small page runs into is then always the same.
            try mirror.release()
            try mirror.setFlags(.failAllocation)
        }
    }
    + onBothMemories(
        "migrate/thp-device-writes-after-mprotect",
        "The device writes its own huge page again after mprotect there and back", needs: [.thp]
    ) { memory in
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        buffer.range.fill(seed: 1)
        try buffer.range.expectSmaps("AnonHugePages", buffer.range.size, "the memory is a huge page")
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        try buffer.protect(.read)
        try buffer.protect(.readWrite)
        try mirror.fill(buffer.range, seed: 2)
        buffer.range.expectHolds(seed: 2, "the CPU reads what the device wrote")
        try mirror.expectReads(buffer.range, seed: 2, "so does the device")
    }
    + onBothMemories(
        "migrate/thp-pinned", "A pinned transparent huge page stays where it is, and the request returns",
        needs: [.thp, .longTermPin]
    ) { memory in
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        buffer.range.fill(seed: 1)
        let pins = try GupTestDevice()
        try pins.pin(buffer.range.pages(from: 100, count: 10))
        let before = try buffer.range.places()
        let mirror = try memory.open()
        try mirror.expectTakeRefused(.noEntry, buffer.range, "the pinned pages do not move")
        try buffer.range.pages(from: 100, count: 10).expectUnmoved(
            since: Array(before[100..<110]), "the pinned pages are in their frames")
        buffer.range.fill(seed: 2)
        let pinned = try pins.readPinned(pages: 10)
        pinned.range.expectHolds(seed: 2, firstPage: 100, "the pin and the process see the same pages")
        buffer.range.expectHolds(seed: 2, "the contents are right")
    }

/// A huge page that a child shares moves to the device once the device is prepared.
private func checkSharedHugePage(
    _ memory: DeviceMemory, _ prepare: (borrowing MirrorDevice) throws -> Void
) throws {
    let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
    buffer.range.fill(seed: 1)
    let child = try Child { parent in
        try parent.wait()
        try buffer.range.expectPlace(
            memory == .private ? .privateReadOnly : .coherent, "every part is in device memory for the child as well")
        buffer.range.expectHolds(seed: 1, "the child reads the contents")
        buffer.range.fill(seed: 2)
        try parent.signal()
        try parent.wait()
    }
    let mirror = try memory.open()
    try prepare(mirror)
    try mirror.take(buffer.range, seed: 1)
    try buffer.range.expectPlace(
        memory == .private ? .privateReadOnly : .coherent, "every part is in device memory, shared")
    try child.channel.signal()
    try child.channel.wait()
    buffer.range.expectHolds(seed: 1, "the parent has what it had")
    try child.channel.signal()
    try child.expectPassed()
    try mirror.release()
    try buffer.range.expectPlace(.system, "no part is left on the device")
}
