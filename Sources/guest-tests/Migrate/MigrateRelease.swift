// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Device memory is given up while pages are in it.
///
/// Here and elsewhere, a test that ends with ``DeviceMirror/MirrorDevice/release(_:file:line:)`` states that no page of
/// the device is in use any more: the request does not return before that.
let migrateReleaseTests: [GuestTest] =
    onBothMemories("migrate/close-with-pages", "Closing the device with pages on it loses nothing") { memory in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        do {
            let mirror = try memory.open()
            try mirror.take(buffer.range, seed: 1)
            try mirror.fill(buffer.range, seed: 2)
            try buffer.range.expectPlace(memory.place, "every page is in device memory")
        }
        buffer.range.expectHolds(seed: 2, "the CPU reads what the device wrote")
        let mirror = try memory.open()
        try mirror.expectReads(buffer.range, seed: 2, "so does the device once it is open again")
        _ = try mirror.migrateToSystem(buffer.range)
        try buffer.range.expectPlace(.system, "every page is or can be brought back")
        try mirror.take(buffer.range, seed: 2)
        try buffer.range.expectPlace(memory.place, "and can go to the device again")
        try mirror.release()
        buffer.range.expectHolds(seed: 2, "nothing is lost when the device gives its memory up")
    }
    + onDevicePages("migrate/munmap-on-device", "Unmapping pages on the device frees them and spares the rest") {
        memory, buffer, mirror in
        let middle = buffer.range.pages(from: 40, count: 60)
        try buffer.replace(middle)
        try middle.expectPlace(.nothing, "the new mapping is empty")
        middle.expectZero("the CPU reads zeros there")
        try mirror.expectReadsZero(middle, "so does the device")
        for rest in [buffer.range.pages(from: 0, count: 40), buffer.range.pages(from: 100, count: 50)] {
            try rest.expectPlace(memory.place, "the rest is in device memory")
        }
        buffer.range.pages(from: 0, count: 40).expectHolds(seed: 1, "the pages before have their contents")
        buffer.range.pages(from: 100, count: 50).expectHolds(
            seed: 1, firstPage: 100, "the pages behind have their contents")
        try mirror.release()
        try buffer.range.expectPlace(.system, "no page is left on the device")
    }
    + onDevicePages("migrate/release", "When the device gives its memory up, every page comes back") {
        memory, buffer, mirror in
        try mirror.fill(buffer.range, seed: 2)
        try mirror.release()
        try buffer.range.expectPlace(.system, "every page is in system memory")
        buffer.range.expectHolds(seed: 2, "the CPU reads what the device wrote")
        try mirror.expectReads(buffer.range, seed: 2, "so does the device")
        try mirror.take(buffer.range, seed: 2)
        try buffer.range.expectPlace(memory.place, "the device takes pages again")
        buffer.range.expectHolds(seed: 2, "the contents are right")
    }
    + onBothMemories(
        "migrate/release-of-others", "When the device gives its memory up, other processes' pages come back"
    ) { memory in
        let mirror = try memory.open()
        let child = try Child { parent in
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let own = try memory.open()
            try own.take(buffer.range, seed: 1)
            try buffer.range.expectPlace(memory.place, "the child's pages are on the device")
            try parent.signal()
            try parent.wait()
            try buffer.range.expectPlace(.system, "the child's pages are in system memory")
            buffer.range.expectHolds(seed: 1, "the child has its contents")
            try own.take(buffer.range, seed: 1)
        }
        try child.channel.wait()
        try mirror.release()
        try child.channel.signal()
        try child.expectPassed()
    }
    + onDevicePages("migrate/release-shared", "When the device gives its memory up, shared pages come back shared") {
        memory, buffer, mirror in
        let child = try Child { parent in
            try parent.wait()
            try buffer.range.expectPlace(.system, "the child's pages are in system memory")
            buffer.range.expectHolds(seed: 1, "the child has the contents")
            buffer.range.fill(seed: 2)
        }
        try mirror.release()
        try buffer.range.expectPlace(.system, "the parent's pages are in system memory")
        expect(try !buffer.range.pagemap().contains(where: \.isExclusivelyMapped), "both still share every page")
        try child.channel.signal()
        try child.expectPassed()
        buffer.range.expectHolds(seed: 1, "the parent has what it had")
    }
