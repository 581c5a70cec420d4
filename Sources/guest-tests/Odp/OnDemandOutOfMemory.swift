// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// The kernel takes the memory of a process that the engine works on.
let onDemandOutOfMemoryTests: [GuestTest] =
    onOwnDevice(
        "mirror-odp/out-of-memory", "A process that is killed for want of memory ends under the engine's work",
        timeoutMilliseconds: 60_000
    ) { memory, mirror in
        let group = try MemoryGroup(bytes: 8 << 20)
        // That a process is killed is no defect here: it is not shown on the console, but looked for in the log.
        let log = try KernelMessages()
        let quiet = try KernelSetting("/proc/sys/kernel/printk", 1)
        let child = try Child { parent in
            try parent.wait()
            let own = try smallPages(64)
            own.range.fill(seed: 2)
            let device = try memory.open()
            let region = try device.register(own.range)
            try device.take(own.range.pages(from: 16, count: 16), seed: 2, firstPage: 16)
            for number in [
                device.descriptor, Int32(region.handle.rawValue), Int32(own.range.address >> 12 & 0x7fff_ffff),
            ] {
                try parent.signal(number: number)
            }
            try parent.signal(number: Int32(own.range.address >> 43))
            try parent.wait()
            region.leaveToClose()
            // Far more than it may have; nothing is given back.
            for _ in 0..<1024 {
                memset(mmap(nil, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1, 1 << 20)
            }
            exitNow()
        }
        try group.add(child.pid)
        try child.channel.signal()
        let device = MirrorDevice(adopting: try child.duplicate(descriptor: try child.channel.waitForNumber()))
        let region = OnDemandRegion.Handle(rawValue: UInt32(try child.channel.waitForNumber()))
        let low = UInt64(try child.channel.waitForNumber())
        let range = PageRange(address: low << 12 | UInt64(try child.channel.waitForNumber()) << 43, pageCount: 64)
        let copies = (0..<48).map { page in
            WorkRequest.Operation.copy(
                region.bytes(range.page(page)), to: region, at: range.page(page + 16).address)
        }
        let before = try device.complete(copies)
        expect(before.allSatisfy { $0.error == nil }, "the engine works on the child's memory")
        try child.channel.signal()
        // Until the address space has gone; the host's time limit ends this when it does not.
        var endings: [Errno?: Int] = [:]
        while endings[.noProcess] == nil {
            for completion in try device.complete(copies) { endings[completion.error, default: 0] += 1 }
        }
        Console.line("the requests: \(endings.map { "\($0.key?.description ?? "done"): \($0.value)" }.sorted())")
        expect(
            endings.keys.allSatisfy { [nil, .noProcess, .badAddress, .busy, .noMemory].contains($0) },
            "a request is done, or finds no memory", "\(endings)")
        expectEqual(try child.wait(), .signaled(SIGKILL), "the child is killed")
        expectEqual(try group.kills(), 1, "for want of memory")
        try device.expectFails(
            .noProcess, .fetchAdd(1, to: region, at: range.address), "there is nothing left to work on")
        quiet.restore()
        for message in try log.next() {
            let report = ["BUG", "WARNING:", "INFO:", "possible", "suspicious"].first { message.contains($0) }
            expectNone(report.map { _ in message }, "the kernel reports nothing else")
        }
        _ = consume group
    }
