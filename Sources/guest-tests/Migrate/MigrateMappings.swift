// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Changes of the mapping while its pages are on the device, and how they are accounted for.
let migrateMappingTests: [GuestTest] =
    onDevicePages("migrate/dontneed-on-device", "MADV_DONTNEED drops pages that are on the device") {
        memory, buffer, mirror in
        try buffer.advise(.dontNeed)
        try buffer.range.expectPlace(.nothing, "the pages are gone")
        try buffer.range.expectSmaps("Rss", 0, "no page counts")
        try mirror.expectReadsZero(buffer.range, "the device reads zeros")
        buffer.range.expectZero("so does the CPU")
        try mirror.release()
        try mirror.takeZero(buffer.range)
        try buffer.range.expectPlace(memory.place, "the device takes the empty pages")
    }
    + onBothMemories(
        "migrate/written-copy-dropped", "What a process has written of a file for itself goes with its mapping"
    ) { memory in
        let file = try ScratchFile(.memory, pages: span)
        let buffer = try MappedBuffer.file(file.descriptor, pages: span, shared: false)
        let mirror = try memory.open()
        buffer.range.fill(seed: 1)
        try mirror.take(buffer.range, seed: 1)
        try buffer.advise(.dontNeed)
        buffer.range.expectZero("the file is as it was")
        buffer.range.fill(seed: 2)
        try mirror.take(buffer.range, seed: 2)
        try buffer.unmap(buffer.range)
        try mirror.expectReadRefused(.badAddress, buffer.range, "nothing is mapped there any more")
    }
    + onBothMemories("migrate/mremap-on-device", "A mapping moves with its pages on the device") { memory in
        var buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        let before = try buffer.range.places()
        let old = try buffer.move()
        expectEqual(FaultProbe.read(old), .unmapped(old), "nothing is left at the old address")
        try mirror.expectReadRefused(.badAddress, old, "the device finds nothing there either")
        try buffer.range.expectUnmoved(since: before, "the pages are in their frames on the device")
        buffer.range.expectHolds(seed: 1, "the CPU reads the contents at the new address")
        buffer.range.fill(seed: 2)
        try mirror.expectReads(buffer.range, seed: 2, "the device reads what the CPU wrote there")
        try mirror.release()
        buffer.range.expectHolds(seed: 2, "nothing is lost when the device gives its memory up")
    }
    + onBothMemories(
        "migrate/device-reads-after-mremap", "The device finds its own pages at the address they moved to"
    ) { memory in
        var buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        try buffer.move()
        try mirror.expectReads(buffer.range, seed: 1, "the device reads its own pages")
        try buffer.range.expectPlace(memory.place, "no page came back for it")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onBothMemories(
        "migrate/neighbour-unmapped", "The device keeps its pages when the memory right before them is unmapped"
    ) { memory in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let rest = buffer.range.pages(from: 10, count: span - 10)
        let mirror = try memory.open()
        try mirror.take(rest, seed: 1, firstPage: 10)
        let before = try rest.places()
        try buffer.unmap(buffer.range.pages(from: 0, count: 10))
        try mirror.expectReads(rest, seed: 1, firstPage: 10, "the device reads its own pages")
        try rest.expectUnmoved(since: before, "no page moved")
        rest.expectHolds(seed: 1, firstPage: 10, "the contents are right")
    }
    + onBothMemories(
        "migrate/neighbour-split", "The device keeps its pages when the mapping right before them is split"
    ) { memory in
        let buffer = try MappedBuffer.transparentHuge(hugePages: 2)
        try buffer.advise(.noHugePage)
        let half = MappedBuffer.pagesPerHugePage
        let upper = buffer.range.pages(from: half, count: span)
        buffer.range.fill(seed: 1)
        let mirror = try memory.open()
        try mirror.take(upper, seed: 1, firstPage: half)
        let before = try upper.places()
        // A split notifies the 2 MiB around it, up to where the pages on the device begin.
        try buffer.protect(buffer.range.pages(from: 10, count: 1), .read)
        try mirror.expectReads(upper, seed: 1, firstPage: half, "the device reads its own pages")
        try upper.expectUnmoved(since: before, "no page moved")
        upper.expectHolds(seed: 1, firstPage: half, "the contents are right")
    }
    + onBothMemories("migrate/mlock", "Locked memory moves to the device, comes back locked, and can be unlocked") {
        memory in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try buffer.lock()
        try buffer.range.expectSmaps("Locked", buffer.range.size, "the memory is locked")
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        try buffer.range.expectPlace(memory.place, "every page is in device memory")
        expectEqual(try mirror.migrateToSystem(buffer.range), span, "every page comes back")
        try buffer.range.expectSmaps("Locked", buffer.range.size, "the memory is still locked")
        try buffer.range.expectFlags(.locked, "the pages are marked as locked")
        try buffer.unlock()
        try buffer.range.expectSmaps("Locked", 0, "the memory is unlocked")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onDevicePages("migrate/mlock-on-device", "Memory can be locked while it is on the device") {
        memory, buffer, mirror in
        try buffer.lock()
        try buffer.range.expectSmaps("Locked", buffer.range.size, "the memory is locked")
        buffer.range.expectHolds(seed: 1, "the CPU reads the contents")
        try buffer.unlock()
        try mirror.take(buffer.range, seed: 1)
        try buffer.range.expectPlace(memory.place, "every page is in device memory")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onBothMemories("migrate/accounting", "Memory on the device counts as the process's resident memory") { memory in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let fields = ["Rss", "Pss", "Anonymous", "Swap", "Locked"]
        let before = try fields.map { try buffer.range.smaps($0) }
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        expectEqual(try fields.map { try buffer.range.smaps($0) }, before, "smaps is the same (\(fields))")
        expectEqual(before[0], buffer.range.size, "every page counts")
        expect(try buffer.range.residency().allSatisfy { $0 }, "mincore(2) calls every page resident")
        let entries = try buffer.range.pagemap()
        expect(!entries.contains(where: \.isFileOrShared), "pagemap calls no page a file's")
        switch memory {
        case .private: expect(entries.allSatisfy(\.isSwapFormat), "pagemap shows entries of swap format")
        case .coherent:
            let flags = try buffer.range.frameFlags()
            expect(flags.allSatisfy { $0 == .noPage || $0 == [] }, "the page allocator does not know the frames")
        }
        buffer.range.expectHolds(seed: 1, "the contents are right")
        _ = try mirror.migrateToSystem(buffer.range)
        expectEqual(try fields.map { try buffer.range.smaps($0) }, before, "smaps is the same at the end")
        expect(try buffer.range.pagemap().allSatisfy(\.isExclusivelyMapped), "every page is this process's own again")
    }
    + onBothMemories(
        "migrate/soft-dirty", "A page keeps its mark of having been written on the way to the device and back"
    ) { memory in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        try PageRange.clearSoftDirty()
        let written = [3, 64, 65, 149]
        for page in written { buffer.range.page(page).fill(seed: 1, firstPage: page) }
        func marked() throws -> [Int] {
            try buffer.range.pagemap().enumerated().filter { $0.element.isSoftDirty }.map(\.offset)
        }
        expectEqual(try marked(), written, "the written pages are marked")
        let mirror = try memory.open()
        try mirror.take(buffer.range, seed: 1)
        expectEqual(try marked(), written, "the same pages are marked on the device")
        expectEqual(try mirror.migrateToSystem(buffer.range), span, "every page comes back")
        expectEqual(try marked(), written, "the same pages are marked in system memory")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
