// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Figures of kernels with and without our series, for `scripts/bench --series`.
extension Measure {
    /// What everybody uses and the series must not slow down; needs no driver, and two NUMA nodes for `migrate_pages`.
    ///
    /// Prints one `name TAB value TAB unit` line for each figure; less is better.
    static func kernel() throws {
        try pageFaults("anonymous") { try MappedBuffer.anonymous(pages: kernelPages) }
        let file = try ScratchFile(.memory, pages: kernelPages)
        try pageFaults("file") { try MappedBuffer.file(file.descriptor, pages: kernelPages, shared: true) }
        try forks()
        if MemoryNode.exists(1) { try nodes() }
    }

    /// 32 MiB.
    private static let kernelPages = 8192

    /// Times first accesses and the end of the mapping; of a file all but the first round find its pages.
    private static func pageFaults(_ name: String, _ map: () throws -> MappedBuffer) throws {
        var (come, go): ([Double], [Double]) = ([], [])
        for round in 0...rounds {
            let buffer = try map()
            try buffer.advise(.noHugePage)
            let coming = seconds { for page in 0..<kernelPages { _ = buffer.range.page(page).touch() } }
            let going = try seconds { try buffer.unmap(buffer.range) }
            if round > 0 {
                come.append(coming)
                go.append(going)
            }
        }
        figure("page-fault-\(name)", median(come) / Double(kernelPages) * 1e9, "ns")
        figure("unmap-\(name)", median(go) / Double(kernelPages) * 1e9, "ns")
    }

    /// Times a child that ends at once, of a process with memory of its own.
    private static func forks() throws {
        let buffer = try MappedBuffer.anonymous(pages: kernelPages)
        try buffer.advise(.noHugePage)
        buffer.range.fill(seed: 1)
        var times: [Double] = []
        for _ in 0..<rounds * 3 {
            times.append(
                try seconds {
                    let child = try systemCall("fork") { fork() }
                    if child == 0 { _exit(0) }
                    var status: Int32 = 0
                    try systemCall("waitpid") { waitpid(child, &status, 0) }
                })
        }
        figure("fork", median(times) * 1e6, "us")
    }

    /// Times migrate_pages(2) from one NUMA node to the other and back.
    private static func nodes() throws {
        let buffer = try MappedBuffer.anonymous(pages: kernelPages)
        try buffer.advise(.noHugePage)
        let file = try ScratchFile(.memory, pages: kernelPages)
        let cache = try MappedBuffer.file(file.descriptor, pages: kernelPages, shared: true)
        buffer.range.fill(seed: 1)
        cache.range.fill(seed: 2)
        try MemoryNode.moveEverything(from: 0, to: 1)
        var times: [Double] = []
        for _ in 0..<rounds {
            times.append(
                try seconds {
                    try MemoryNode.moveEverything(from: 1, to: 0)
                    try MemoryNode.moveEverything(from: 0, to: 1)
                })
        }
        buffer.range.expectHolds(seed: 1, "the contents are right")
        cache.range.expectHolds(seed: 2, "so are those of the file")
        figure("migrate-pages", median(times) / Double(4 * kernelPages) * 1e9, "ns")
    }

    /// Pages per second to coherent memory and back: anonymous ones, and page cache of tmpfs.
    static func files() throws {
        let memory = try MappedBuffer.anonymous(pages: kernelPages)
        try memory.advise(.noHugePage)
        try roundTrip("anonymous", memory, files: false)
        let file = try ScratchFile(.tmpfs, pages: kernelPages)
        try roundTrip("file", try MappedBuffer.file(file.descriptor, pages: kernelPages, shared: true), files: true)
    }

    private static func roundTrip(_ name: String, _ buffer: borrowing MappedBuffer, files: Bool) throws {
        let mirror = try DeviceMemory.coherent.open()
        var (there, back): ([Double], [Double]) = ([], [])
        for round in 1...rounds {
            buffer.range.fill(seed: UInt64(round))
            there.append(try seconds { try move(buffer.range, .toDevice, files: files, mirror) })
            try buffer.range.expectPlace(.coherent, "everything is on the device")
            back.append(try seconds { try move(buffer.range, .toSystem, files: false, mirror) })
            buffer.range.expectHolds(seed: UInt64(round), "the contents are right")
        }
        figure("to-coherent-\(name)", Double(kernelPages) / median(there) / 1000, "kpages/s")
        figure("to-system-\(name)", Double(kernelPages) / median(back) / 1000, "kpages/s")
    }

    /// Moves a range in pieces of 2 MiB, and expects that every page of it moves.
    private static func move(
        _ range: PageRange, _ direction: Migration.Direction, files: Bool, _ mirror: borrowing MirrorDevice
    ) throws {
        var moved = 0
        for first in stride(from: 0, to: range.count, by: MappedBuffer.pagesPerHugePage) {
            let piece = range.pages(from: first, count: min(MappedBuffer.pagesPerHugePage, range.count - first))
            moved += try mirror.migrate(piece, direction, files: files).count(of: .moved)
        }
        expectEqual(moved, range.count, "every page moves")
    }

    /// How long the driver needs to leave 1 GiB of live pages: of a device that works, and of one that is lost.
    static func unload() throws {
        let parameters = try driverParameters().joined(separator: " ")
        for isLost in [false, true] {
            let buffer = try MappedBuffer.anonymous(pages: 1 << 18)
            try buffer.advise(.noHugePage)
            try fillDevice(buffer.range, isLost: isLost)
            let time = try seconds { try Shell.run("rmmod hmm_dmirror") }
            figure(isLost ? "unload-lost" : "unload-working", time, "s")
            if isLost { buffer.range.page(7).expectLost("its contents are lost") }
            try Shell.run("modprobe hmm_dmirror \(parameters)")
        }
    }

    /// Fills pages and moves them to private memory; afterwards no descriptor of the device is open.
    private static func fillDevice(_ range: PageRange, isLost: Bool) throws {
        let mirror = try DeviceMemory.private.open()
        let piece = 1 << 14
        for first in stride(from: 0, to: range.count, by: piece) {
            let part = range.pages(from: first, count: piece)
            part.fill(seed: 1)
            try move(part, .toDevice, files: false, mirror)
        }
        if isLost { try mirror.inject(Injection(isLost: true, losesContents: true)) }
    }
}
