// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Device memory and swap.
let migrateReclaimTests: [GuestTest] =
    onBothMemories("migrate/reclaim-on-device", "Reclaim leaves pages on the device alone", needs: [.swap]) { memory in
        try Workers.stayOnOneProcessor()
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let mirror = try memory.open()
        try mirror.take(buffer.range.pages(from: 0, count: 100), seed: 1)
        let before = try buffer.range.places()
        try buffer.advise(.pageOut)
        let now = try buffer.range.places()
        expectEqual(Array(now[..<100]), Array(before[..<100]), "the pages on the device are in their frames")
        expect(now[100...].allSatisfy { $0.kind == .swap }, "the others are in swap")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onBothMemories("migrate/swapped-out-refused", "Memory in swap does not move until it is back", needs: [.swap]) {
        memory in
        try Workers.stayOnOneProcessor()
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try buffer.advise(.pageOut)
        try buffer.range.expectPlace(.swap, "the memory is in swap")
        let mirror = try memory.open()
        try mirror.expectTakeRefused(.noEntry, buffer.range, "memory in swap does not move")
        try buffer.range.expectPlace(.swap, "the memory is still in swap")
        buffer.range.expectHolds(seed: 1, "the contents come back from swap")
        // A read alone brings a page back read-only on older kernels, and so it would go to the device.
        buffer.range.fill(seed: 1)
        try mirror.take(buffer.range, seed: 1)
        try buffer.range.expectPlace(memory.place, "then the memory moves")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onBothMemories(
        "migrate/swap-cache", "A page with a copy in swap that another process needs does not move",
        needs: [.swap]
    ) { memory in
        try Workers.stayOnOneProcessor()
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try buffer.advise(.pageOut)
        try buffer.range.expectPlace(.swap, "the memory is in swap")
        let child = try Child { parent in
            try parent.wait()
            try buffer.range.expectPlace(.swap, "the child's memory is in swap")
            buffer.range.expectHolds(seed: 1, "the child reads the contents")
        }
        buffer.range.expectHolds(seed: 1, "the parent reads the contents")
        let before = try buffer.range.places()
        let mirror = try memory.open()
        try mirror.expectTakeRefused(.noEntry, buffer.range, "pages that are also in swap do not move")
        try buffer.range.expectUnmoved(since: before, "no page moved")
        try child.channel.signal()
        try child.expectPassed()
        buffer.range.fill(seed: 2)
        try mirror.take(buffer.range, seed: 2)
        buffer.range.expectHolds(seed: 2, "once the parent has pages of its own they move")
    }
    + onBothMemories(
        "migrate/reclaim-after-return", "Memory that came back from the device can be swapped out", needs: [.swap]
    ) { memory in
        try Workers.stayOnOneProcessor()
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        try mirror.fill(buffer.range, seed: 2)
        expectEqual(try mirror.migrateToSystem(buffer.range), span, "every page comes back")
        try buffer.advise(.pageOut)
        try buffer.range.expectPlace(.swap, "the memory is in swap")
        buffer.range.expectHolds(seed: 2, "the device's data went to swap and back")
    }
    + onBothMemories(
        "migrate/reclaim-after-refusal", "Memory that was refused can be swapped out", needs: [.swap, .longTermPin]
    ) { memory in
        try Workers.stayOnOneProcessor()
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let mirror = try memory.open()
        let pins = try GupTestDevice()
        try pins.pin(buffer.range)
        try mirror.expectTakeRefused(.noEntry, buffer.range, "pinned pages do not move")
        try pins.unpin()
        try buffer.advise(.pageOut)
        try buffer.range.expectPlace(.swap, "the memory is in swap")
        buffer.range.expectHolds(seed: 1, "the contents come back from swap")
    }
    + onBothMemories(
        "migrate/batch-elsewhere", "Pages that another processor has in a batch for later move to the device",
        needs: [.smp]
    ) { memory in
        try Workers.stayOnOneProcessor()
        // Fewer than fill a batch.
        let buffer = try MappedBuffer.filled(pages: 8, seed: 1)
        try buffer.advise(.free)
        buffer.range.fill(seed: 2)
        try Workers.goToOtherProcessor()
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 2)
        try buffer.range.expectPlace(memory.place, "all of them are on the device")
        buffer.range.expectHolds(seed: 2, "the contents are right")
    }
