// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Foundation
import Testing

@Suite("The device handle, without a device")
struct MirrorDeviceTests {
    private let range = PageRange(address: 0x7000_0000_0000, pageCount: 2)

    /// What the kernel answers when each request goes to something that is no mirror device.
    private func refusals(of descriptor: Int32) -> [MirrorError] {
        let device = MirrorDevice(adopting: descriptor)
        var errors: [MirrorError] = []
        func collect(_ request: () throws(MirrorError) -> Void) {
            do throws(MirrorError) { try request() } catch { errors.append(error) }
        }
        collect { () throws(MirrorError) in _ = try device.read(range, into: nil) }
        collect { () throws(MirrorError) in _ = try device.write(range, from: nil) }
        collect { () throws(MirrorError) in _ = try device.migrateToDevice(range, readingInto: nil) }
        collect { () throws(MirrorError) in _ = try device.migrateToSystem(range) }
        collect { () throws(MirrorError) in _ = try device.snapshot(range) }
        collect { () throws(MirrorError) in _ = try device.exclusive(range, readingInto: nil) }
        collect { () throws(MirrorError) in _ = try device.holdsExclusively(range) }
        collect { () throws(MirrorError) in try device.release() }
        collect { () throws(MirrorError) in try device.setFlags(.failAllocation) }
        collect { () throws(MirrorError) in _ = try device.readUnlocked(range, into: nil) }
        collect { () throws(MirrorError) in _ = try device.information() }
        collect { () throws(MirrorError) in _ = try device.statistics() }
        collect { () throws(MirrorError) in _ = try device.migrate(range, .toDevice) }
        collect { () throws(MirrorError) in _ = try device.evict() }
        collect { () throws(MirrorError) in try device.inject(Injection()) }
        collect { () throws(MirrorError) in _ = try device.readContents(of: range, into: nil) }
        collect { () throws(MirrorError) in try device.readContents(ofFrame: 1, into: nil) }
        collect { () throws(MirrorError) in _ = try device.fetchAdd(1, at: range.address) }
        collect { () throws(MirrorError) in _ = try device.compareExchange(1, with: 2, at: range.address) }
        collect { () throws(MirrorError) in _ = try device.register(range) }
        collect { () throws(MirrorError) in _ = try device.registerAddressSpace() }
        collect { () throws(MirrorError) in
            _ = try device.post([WorkRequest(1, .fetchAdd(1, to: .init(rawValue: 1), at: range.address))])
        }
        collect { () throws(MirrorError) in _ = try device.poll() }
        collect { () throws(MirrorError) in _ = try device.pin(range) }
        collect { () throws(MirrorError) in _ = try device.addChunk(pages: 512) }
        collect { () throws(MirrorError) in _ = try device.removeChunk(DeviceChunk(firstFrame: 512, pages: 512)) }
        collect { () throws(MirrorError) in try device.unplug() }
        collect { () throws(MirrorError) in try device.replug() }
        withUnsafeTemporaryAllocation(byteCount: 40, alignment: 8) { argument in
            guard let argument = argument.baseAddress else { return }
            collect { () throws(MirrorError) in try device.raw(number: 0x7f, argument: argument) }
        }
        return errors
    }

    private let operations: [MirrorError.Operation] = [
        .read, .write, .migrateToDevice, .migrateToSystem, .snapshot, .exclusive, .checkExclusive, .release,
        .flags, .readUnlocked, .information, .statistics, .migrate, .evict, .inject, .readContents, .readContents,
        .atomic, .atomic, .registerRegion, .registerRegion, .post, .poll, .pin, .addChunk, .removeChunk, .unplug,
        .unplug, .raw,
    ]

    @Test("A device that does not exist is ENOENT, with the node and the place of the call")
    func missing() throws {
        let line = #line + 1
        let error = #expect(throws: MirrorError.self) { _ = try MirrorDevice(unit: 987_654) }
        #expect(error?.operation == .open)
        #expect(error?.code == .noEntry)
        #expect(error?.target == "/dev/hmm_dmirror987654")
        #expect(error?.file.hasSuffix("MirrorDeviceTests.swift") == true)
        #expect(error?.line == line)
        #expect(
            error?.description
                == "device open of /dev/hmm_dmirror987654 failed with ENOENT (No such file or directory)")
    }

    @Test("Every request on a descriptor that is not open is EBADF")
    func notOpen() {
        let errors = refusals(of: -1)
        #expect(errors.map(\.operation) == operations)
        #expect(errors.allSatisfy { $0.code == .badDescriptor })
    }

    @Test("Every request on a file that is no device is ENOTTY, and never taken for an answer")
    func wrongFile() {
        let errors = refusals(of: open("/dev/null", O_RDWR | O_CLOEXEC))
        #expect(errors.map(\.operation) == operations)
        #expect(errors.allSatisfy { $0.code.rawValue == ENOTTY })
    }

    @Test("The descriptor is closed with the handle")
    func closes() throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        defer { close(ends[0]) }
        do { _ = MirrorDevice(adopting: ends[1]) }
        // With the last write end gone, the read end is at its end instead of empty.
        var byte: UInt8 = 0
        #expect(read(ends[0], &byte, 1) == 0)
    }

    @Test("A request at address 0 gets to the kernel, and says why it was refused")
    func addressZero() {
        let device = MirrorDevice(adopting: open("/dev/null", O_RDWR | O_CLOEXEC))
        #expect(device.raw(request: MirrorDevice.request(number: 0x20), argument: 0)?.rawValue == ENOTTY)
    }

    /// How many descriptors of the write end of a pipe are left when the device that had adopted it is closed.
    ///
    /// The reader would not tell: a child that another test forks meanwhile has the write end, too.
    private func descriptorsLeft(_ use: (borrowing MirrorDevice) throws -> Void) throws -> Int {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        defer { close(ends[0]) }
        func target(_ descriptor: String) -> String? {
            try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(descriptor)")
        }
        let pipe = try #require(target("\(ends[0])"))
        do {
            let device = MirrorDevice(adopting: ends[1])
            try use(device)
        }
        let open = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")
        return open.count { $0 != "\(ends[0])" && target($0) == pipe }
    }

    @Test("A pin that is refused leaves no descriptor behind")
    func refusedPin() throws {
        #expect(
            try descriptorsLeft { device in
                #expect(throws: MirrorError.self) { _ = try device.pin(range) }
            } == 0)
    }

    @Test("A region that is refused leaves no descriptor behind")
    func refusedRegion() throws {
        #expect(
            try descriptorsLeft { device in
                #expect(throws: MirrorError.self) { _ = try device.register(range) }
            } == 0)
    }

    @Test("An error number without a name is shown by its value")
    func names() {
        #expect(Errno.invalidArgument.description == "EINVAL (Invalid argument)")
        #expect(Errno(rawValue: ENOTTY).description == "errno 25 (Inappropriate ioctl for device)")
    }
}

@Suite("Page ranges")
struct PageRangeTests {
    private let page = UInt64(PageRange.pageSize)

    @Test("Parts are counted in pages from the start")
    func parts() {
        let range = PageRange(address: 0x10000, pageCount: 8)
        #expect(range.page(3) == PageRange(address: 0x10000 + 3 * page, pageCount: 1))
        #expect(range.pages(from: 2, count: 4) == PageRange(address: 0x10000 + 2 * page, pageCount: 4))
        #expect(range.byteCount == 8 * page)
        #expect(range.count == 8)
    }

    @Test("Absurd ranges wrap around as in the kernel and never trap")
    func absurd() {
        let range = PageRange(address: .max, pageCount: .max)
        #expect(range.byteCount == 0 &- page)
        #expect(range.count == .max)
        #expect(range.address(ofPage: 1) == page - 1)
        #expect(PageRange(address: 0, pageCount: 1 << 52 + 1).byteCount == page)
    }
}
