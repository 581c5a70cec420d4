// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit
import Synchronization

/// Figures of the loaded driver, for `scripts/bench`; they mean something only beside another driver's in the same guest.
enum Measure {
    /// 64 MiB.
    private static let hugePages = 32
    static let rounds = 7
    /// How many faults are timed one by one, in pages.
    private static let faults = 2048

    /// Prints one `name TAB value TAB unit` line for each figure.
    static func run() throws {
        try migration("4k", .noHugePage)
        try migration("2m", .hugePage)
        try faultLatency()
        for movers in [0, 1, 4] { try lookups(beside: movers) }
        try tableMemory()
    }

    static func figure(_ name: String, _ value: Double, _ unit: String) {
        Console.line("\(name)\t\((value * 100).rounded() / 100)\t\(unit)")
    }

    /// The duration of some work in seconds.
    static func seconds(_ work: () throws -> Void) rethrows -> Double {
        let clock = ContinuousClock()
        let duration = try clock.measure(work)
        return duration / .seconds(1)
    }

    static func median(_ values: [Double], _ percent: Int = 50) -> Double {
        values.sorted()[min(values.count * percent / 100, values.count - 1)]
    }

    /// Moves memory to the device and back.
    ///
    /// The way there includes the device's copy to the caller, as the command does.
    private static func migration(_ name: String, _ advice: MappedBuffer.Advice) throws {
        let image = try MappedBuffer.anonymous(pages: hugePages * MappedBuffer.pagesPerHugePage)
        image.range.fill(seed: 0)
        var (there, back): ([Double], [Double]) = ([], [])
        for round in 1...rounds {
            let buffer = try MappedBuffer.transparentHuge(hugePages: hugePages)
            try buffer.advise(advice)
            buffer.range.fill(seed: UInt64(round))
            let mirror = try MirrorDevice(unit: 0)
            there.append(
                try seconds { _ = try mirror.migrateToDevice(buffer.range, readingInto: image.range.pointer) })
            back.append(try seconds { _ = try mirror.migrateToSystem(buffer.range) })
            try buffer.range.expectPlace(.system, "everything is back")
            buffer.range.expectHolds(seed: UInt64(round), "the contents are right")
        }
        let size = Double(image.range.byteCount) / Double(1 << 20)
        figure("to-device-\(name)", size / median(there), "MiB/s")
        figure("to-system-\(name)", size / median(back), "MiB/s")
    }

    /// Times the CPU's first access to each page that the device holds.
    private static func faultLatency() throws {
        let buffer = try MappedBuffer.anonymous(pages: faults)
        try buffer.advise(.noHugePage)
        buffer.range.fill(seed: 1)
        let image = try MappedBuffer.anonymous(pages: faults)
        let mirror = try MirrorDevice(unit: 0)
        var times: [Double] = []
        for _ in 1...rounds {
            _ = try mirror.migrateToDevice(buffer.range, readingInto: image.range.pointer)
            for page in 0..<faults {
                let place = buffer.range.page(page)
                times.append(seconds { _ = place.touch() })
            }
            try buffer.range.expectPlace(.system, "every page is back")
        }
        figure("cpu-fault-median", median(times) * 1e6, "us")
        figure("cpu-fault-p99", median(times, 99) * 1e6, "us")
    }

    /// Reads pages through the device's page table while other threads move memory of their own there and back.
    private static func lookups(beside movers: Int) throws {
        let pages = 256
        let source = try MappedBuffer.filled(pages: pages, seed: 1)
        let image = try MappedBuffer.anonymous(pages: pages * (movers + 1))
        let moved = try MappedBuffer.filled(pages: pages * max(movers, 1), seed: 2)
        let mirror = try MirrorDevice(unit: 0)
        _ = try mirror.read(source.range, into: image.range.pointer)
        let running = Atomic(movers)
        let calls = Atomic(0)
        let duration = try seconds {
            try Workers.run(movers + 1) { worker in
                guard worker > 0 else {
                    repeat {
                        _ = try mirror.read(source.range, into: image.range.pointer)
                        calls.add(1, ordering: .relaxed)
                    } while running.load(ordering: .relaxed) > 0
                        || (movers == 0 && calls.load(ordering: .relaxed) < 400)
                    return
                }
                defer { running.subtract(1, ordering: .relaxed) }
                let own = moved.range.pages(from: (worker - 1) * pages, count: pages)
                let copy = image.range.pages(from: worker * pages, count: pages)
                for _ in 1...10 {
                    _ = try mirror.migrateToDevice(own, readingInto: copy.pointer)
                    _ = try mirror.migrateToSystem(own)
                }
            }
        }
        let read = Double(calls.load(ordering: .relaxed) * pages)
        figure("lookups-beside-\(movers)", read / duration / 1000, "kpages/s")
    }

    /// Memory of the device's page table for 64 MiB that it has read; test_hmm cannot tell.
    private static func tableMemory() throws {
        let buffer = try MappedBuffer.filled(pages: hugePages * MappedBuffer.pagesPerHugePage, seed: 1)
        let image = try MappedBuffer.anonymous(pages: buffer.range.count)
        let mirror = try MirrorDevice(unit: 0)
        _ = try mirror.read(buffer.range, into: image.range.pointer)
        guard let information = try? mirror.information() else { return }
        figure("table-per-page", Double(information.tableBytes) / Double(buffer.range.count), "bytes")
    }
}
