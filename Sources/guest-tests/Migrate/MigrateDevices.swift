// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Several devices.
let migrateDevicesTests: [GuestTest] =
    [
        GuestTest(
            "migrate/peer-read-private",
            "A device that reads another one's private page gets the contents by way of RAM",
            needs: [.private]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let holder = try DeviceMemory.private.open()
            let peer = try DeviceMemory.private.open(second: true)
            try holder.take(buffer.range, seed: 1)
            let first = try buffer.range.places().first?.devicePiece
            try holder.fill(buffer.range, seed: 2)
            try peer.expectReads(buffer.range, seed: 2, "the peer reads what the holder wrote")
            try buffer.range.expectPlace(.system, "the pages came back for it")
            try peer.take(buffer.range, seed: 2)
            try buffer.range.expectPlace(.privateWritable, "then the peer can take them")
            expect(try buffer.range.places().first?.devicePiece != first, "they are on the peer and not on the holder")
            try holder.expectReads(buffer.range, seed: 2, "the former holder reads them back from the peer")
            buffer.range.expectHolds(seed: 2, "the contents are right")
        },
        GuestTest(
            "migrate/peer-write-private", "What a device writes to another one's private page is not lost",
            needs: [.private]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let holder = try DeviceMemory.private.open()
            let peer = try DeviceMemory.private.open(second: true)
            try holder.take(buffer.range, seed: 1)
            try peer.fill(buffer.range.pages(from: 30, count: 50), seed: 2, firstPage: 30)
            let kinds = try buffer.range.places().map(\.kind)
            expectEqual(
                kinds, (0..<span).map { (30..<80).contains($0) ? .system : .privateWritable },
                "exactly the written pages came back")
            try holder.expectReads(
                buffer.range.pages(from: 30, count: 50), seed: 2, firstPage: 30, "the holder reads what the peer wrote")
            buffer.range.pages(from: 0, count: 30).expectHolds(seed: 1, "the pages before are as they were")
            buffer.range.pages(from: 80, count: 70).expectHolds(seed: 1, firstPage: 80, "the pages behind as well")
        },
        GuestTest(
            "migrate/peer-access-coherent", "A device reads and writes another one's coherent pages in place",
            needs: [.coherent]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let holder = try DeviceMemory.coherent.open()
            let peer = try DeviceMemory.coherent.open(second: true)
            try holder.take(buffer.range, seed: 1)
            let before = try buffer.range.places()
            try peer.expectReads(buffer.range, seed: 1, "the peer reads the holder's pages")
            try peer.fill(buffer.range, seed: 2)
            try holder.expectReads(buffer.range, seed: 2, "the holder reads what the peer wrote")
            buffer.range.expectHolds(seed: 2, "so does the CPU")
            try buffer.range.expectUnmoved(since: before, "no page moved")
        },
        GuestTest(
            "migrate/private-then-coherent",
            "Memory travels through both kinds of device memory and keeps its contents",
            needs: [.private, .coherent]
        ) {
            let buffer = try MappedBuffer.filled(pages: span, seed: 1)
            let first = try DeviceMemory.private.open()
            let second = try DeviceMemory.coherent.open()
            try first.take(buffer.range, seed: 1)
            try first.fill(buffer.range, seed: 2)
            try second.expectTakeRefused(.noEntry, buffer.range, "there is no direct way between devices")
            try buffer.range.expectPlace(.privateWritable, "the refusal moved no page")
            expectEqual(try first.migrateToSystem(buffer.range), span, "every page comes back")
            try second.take(buffer.range, seed: 2)
            try buffer.range.expectPlace(.coherent, "every page is in coherent memory")
            try second.fill(buffer.range, seed: 3)
            try first.expectReads(buffer.range, seed: 3, "the first device reads coherent memory in place")
            try buffer.range.expectPlace(.coherent, "reading moved no page")
            expectEqual(try second.migrateToSystem(buffer.range), span, "every page comes back")
            try first.take(buffer.range, seed: 3)
            buffer.range.expectHolds(seed: 3, "the contents are right in the end")
        },
        GuestTest(
            "migrate/devices-side-by-side", "Pages of four devices lie side by side in one mapping",
            needs: [.private, .coherent]
        ) {
            let buffer = try MappedBuffer.filled(pages: 5, seed: 1)
            let zero = try MirrorDevice(unit: 0)
            let one = try MirrorDevice(unit: 1)
            let two = try MirrorDevice(unit: 2)
            let three = try MirrorDevice(unit: 3)
            try zero.take(buffer.range.page(0), seed: 1, firstPage: 0)
            try one.take(buffer.range.page(1), seed: 1, firstPage: 1)
            try two.take(buffer.range.page(2), seed: 1, firstPage: 2)
            try three.take(buffer.range.page(3), seed: 1, firstPage: 3)
            expectEqual(
                try buffer.range.places().map(\.kind),
                [.privateWritable, .privateWritable, .coherent, .coherent, .system],
                "each page is where it was sent")
            let pieces = try buffer.range.places().compactMap(\.devicePiece)
            expectEqual(Set(pieces).count, 4, "no two of them are on one device")
            try two.expectReads(buffer.range, seed: 1, "a third device reads across all of them")
            expectEqual(
                try buffer.range.places().map(\.kind), [.system, .system, .coherent, .coherent, .system],
                "private pages came back for it, coherent ones stayed")
            buffer.range.expectHolds(seed: 1, "the contents are right")
        },
    ]
    + onBothMemories(
        "migrate/device-reads-after-peer", "A device reads its own pages after another device asked for them in vain"
    ) { memory in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let holder = try memory.open()
        let peer = try memory.open(second: true)
        try holder.take(buffer.range, seed: 1)
        try peer.expectTakeRefused(.noEntry, buffer.range, "the peer gets nothing")
        try holder.expectReads(buffer.range, seed: 1, "the holder reads its pages")
        try buffer.range.expectPlace(memory.place, "no page moved")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
