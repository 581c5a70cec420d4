// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Pages on the device and what becomes of them when processes fork, exit and are replaced.
let migrateProcessTests: [GuestTest] =
    onDevicePages("migrate/fork-child-reads", "A child reads pages that were on the device at the fork") {
        memory, buffer, _ in
        let child = try Child { parent in
            try buffer.range.expectPlace(memory.placeAfterFork, "the child shares the device pages")
            buffer.range.expectHolds(seed: 1, "the child reads the contents")
            try buffer.range.expectPlace(memory == .private ? .system : .coherent, "the child's pages after reading")
            try parent.signal()
            try parent.wait()
        }
        try child.channel.wait()
        buffer.range.expectHolds(seed: 1, "the parent reads the contents")
        expect(
            try !buffer.range.pagemap().contains(where: \.isExclusivelyMapped), "both still share every page")
        try child.channel.signal()
        try child.expectPassed()
    }
    + onDevicePages("migrate/fork-child-writes", "What a child writes to shared device pages stays in the child") {
        memory, buffer, _ in
        let child = try Child { _ in
            buffer.range.fill(seed: 2)
            buffer.range.expectHolds(seed: 2, "the child has what it wrote")
            try buffer.range.expectPlace(.system, "the child's copies are in system memory")
        }
        try child.expectPassed()
        buffer.range.expectHolds(seed: 1, "the parent has what it had")
    }
    + onDevicePages("migrate/fork-parent-writes", "What the parent writes after a fork stays in the parent") {
        memory, buffer, _ in
        let child = try Child { parent in
            try parent.wait()
            buffer.range.expectHolds(seed: 1, "the child has what was there at the fork")
        }
        buffer.range.fill(seed: 2)
        buffer.range.expectHolds(seed: 2, "the parent has what it wrote")
        try buffer.range.expectPlace(.system, "the parent's copies are in system memory")
        try child.channel.signal()
        try child.expectPassed()
        buffer.range.expectHolds(seed: 2, "the parent still has what it wrote")
    }
    + onDevicePages("migrate/fork-both-write", "Parent and child write shared device pages and never meet") {
        _, buffer, mirror in
        let child = try Child { parent in
            for page in stride(from: 0, to: span, by: 2) { buffer.range.page(page).fill(seed: 2, firstPage: page) }
            try parent.signal()
            try parent.wait()
            for page in 0..<span {
                buffer.range.page(page).expectHolds(
                    seed: page % 2 == 0 ? 2 : 1, firstPage: page, "the child has its own page \(page)")
            }
        }
        try child.channel.wait()
        for page in stride(from: 0, to: span, by: 3) { buffer.range.page(page).fill(seed: 3, firstPage: page) }
        try child.channel.signal()
        try child.expectPassed()
        try mirror.release()
        for page in 0..<span {
            buffer.range.page(page).expectHolds(
                seed: page % 3 == 0 ? 3 : 1, firstPage: page, "the parent has its own page \(page)")
        }
        expect(try buffer.range.pagemap().allSatisfy { !$0.isEmpty }, "no page of the parent is gone")
    }
    + onDevicePages("migrate/fork-child-exits", "A child that exits leaves the parent's device pages alone") {
        _, buffer, mirror in
        let before = try buffer.range.places().map(\.frame)
        for _ in 0..<3 { try Child { _ in }.expectPassed() }
        expectEqual(try buffer.range.places().map(\.frame), before, "the pages are in their frames on the device")
        try buffer.range.expectSmaps("Rss", buffer.range.size, "every page counts")
        buffer.range.expectHolds(seed: 1, "the contents are right")
        buffer.range.fill(seed: 2)
        buffer.range.expectHolds(seed: 2, "the parent can write")
        try mirror.release()
        try buffer.range.expectPlace(.system, "no page is left on the device")
    }
    + onBothMemories(
        "migrate/fork-then-migrate", "A page that parent and child share moves for both, and both keep its contents"
    ) { memory in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let mirror = try memory.open()
        let child = try Child { parent in
            try parent.wait()
            try buffer.range.expectPlace(memory.placeAfterFork, "the child's pages are on the device as well")
            buffer.range.expectHolds(seed: 1, "the child reads the contents")
            buffer.range.fill(seed: 2)
        }
        try mirror.take(buffer.range, seed: 1)
        try buffer.range.expectPlace(memory.placeAfterFork, "every page is in device memory, shared")
        try child.channel.signal()
        try child.expectPassed()
        buffer.range.expectHolds(seed: 1, "the parent has what it had")
        try mirror.release()
    }
    + onBothMemories(
        "migrate/fork-back-then-write", "A shared page that went to the device and came back is still copied on write"
    ) { memory in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let mirror = try memory.open()
        let child = try Child { parent in
            try parent.wait()
            buffer.range.fill(seed: 2)
            try parent.signal()
            try parent.wait()
            buffer.range.expectHolds(seed: 2, "the child has what it wrote")
        }
        try mirror.take(buffer.range, seed: 1)
        expectEqual(try mirror.migrateToSystem(buffer.range), span, "every page comes back")
        expect(try !buffer.range.pagemap().contains(where: \.isExclusivelyMapped), "both share every page again")
        try child.channel.signal()
        try child.channel.wait()
        buffer.range.expectHolds(seed: 1, "the parent has what it had")
        buffer.range.fill(seed: 3)
        try child.channel.signal()
        try child.expectPassed()
        buffer.range.expectHolds(seed: 3, "the parent has what it wrote then")
    }
    + onBothMemories(
        "migrate/child-migrates-its-copies", "A child's device takes the child's copies and never the parent's pages"
    ) { memory in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1)
        let before = try buffer.range.places()
        let child = try Child { _ in
            buffer.range.fill(seed: 2)
            let own = try memory.open()
            try own.take(buffer.range, seed: 2)
            try buffer.range.expectPlace(memory.place, "the child's copies are on the device")
            try own.fill(buffer.range, seed: 3)
            buffer.range.expectHolds(seed: 3, "the child reads what its device wrote")
        }
        try child.expectPassed()
        try buffer.range.expectUnmoved(since: before, "the parent's pages are in their frames")
        buffer.range.expectHolds(seed: 1, "the parent has what it had")
    }
    + onBothMemories("migrate/exit-with-pages", "A process may end in any way with its pages on the device") { memory in
        let mirror = try memory.open()
        for end in ["exit", "kill", "exec"] {
            let child = try Child { parent in
                let buffer = try MappedBuffer.filled(pages: span, seed: 1)
                let own = try MirrorDevice(unit: memory == .private ? 0 : 2, closeOnExec: false)
                try own.take(buffer.range, seed: 1)
                try buffer.range.expectPlace(memory.place, "the child's pages are on the device")
                switch end {
                case "kill":
                    try parent.signal()
                    while true { pause() }
                case "exec":
                    try Helper.afterExec.become(arguments: ["\(own.descriptor)", "\(buffer.range.address)"])
                default:
                    break
                }
                // Without the owners' clean-up, which would unmap the buffer and close the device first.
                exitNow()
            }
            if end == "kill" {
                try child.channel.wait()
                kill(child.pid, SIGKILL)
                expectEqual(try child.wait(), .signaled(SIGKILL), "the child is killed")
            } else {
                try child.expectPassed("every expectation holds in the child that ends by \(end)")
            }
            try mirror.release()
        }
        let buffer = try MappedBuffer.filled(pages: span, seed: 2)
        try mirror.take(buffer.range, seed: 2)
        try buffer.range.expectPlace(memory.place, "the device takes pages afterwards")
        buffer.range.expectHolds(seed: 2, "the contents are right")
    }
    // After a fork the device has lost what it knew of the addresses, and the pages are shared.
    + onDevicePages("migrate/device-reads-after-fork", "The device reads its own pages after a fork") {
        _, buffer, mirror in
        let child = try Child { parent in
            try parent.wait()
            buffer.range.expectHolds(seed: 1, "the child has what was there at the fork")
        }
        try mirror.expectReads(buffer.range, seed: 1, "the device reads its own pages")
        try child.channel.signal()
        try child.expectPassed()
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
    + onDevicePages(
        "migrate/device-writes-after-fork", "What the device writes to its own pages after a fork stays in the parent"
    ) { _, buffer, mirror in
        let child = try Child { parent in
            try parent.wait()
            buffer.range.expectHolds(seed: 1, "the child has what was there at the fork")
        }
        try mirror.fill(buffer.range, seed: 2)
        try child.channel.signal()
        try child.expectPassed()
        buffer.range.expectHolds(seed: 2, "the parent reads what its device wrote")
    }

extension DeviceMemory {
    /// Where a page is that has migrated and is shared with a child, which takes away the right to write.
    fileprivate var placeAfterFork: PagePlace.Kind {
        switch self {
        case .private: .privateReadOnly
        case .coherent: .coherent
        }
    }
}
