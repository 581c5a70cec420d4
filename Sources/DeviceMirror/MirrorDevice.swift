// SPDX-License-Identifier: Apache-2.0
import CDeviceMirrorABI
import Glibc

/// What a request to the device took.
public struct Transfer: Sendable, Hashable {
    /// The pages the device dealt with.
    public let pages: Int
    /// How often the device had to fault pages in before it could go on.
    public let faults: Int
}

/// An open `/dev/hmm_dmirrorN`: a device that sees the address space of the process that opened it.
///
/// The commands and their answers are those of hmm_dmirror_uapi.h. Each method throws ``MirrorError`` with the kernel's
/// error number and the place of the call; a call that a signal interrupted is repeated. The descriptor survives
/// fork(2) and, unless closed, execve(2), and goes on mirroring the address space it was opened in.
public struct MirrorDevice: ~Copyable, Sendable {
    /// The open descriptor; owned by this value.
    public let descriptor: Int32
    /// The node's path, or which descriptor it is; for messages.
    let path: String

    /// Opens the device node for this process's address space: units 0 and 1 have private memory, 2 and 3 coherent.
    ///
    /// - Throws: `noEntry` where there is no such device.
    public init(unit: Int, closeOnExec: Bool = true, file: String = #fileID, line: Int = #line) throws(MirrorError) {
        let path = "/dev/hmm_dmirror\(unit)"
        let flags = O_RDWR | (closeOnExec ? O_CLOEXEC : 0)
        var opened = open(path, flags)
        while opened < 0 {
            let code = Errno.current
            guard code == .interrupted else {
                throw MirrorError(operation: .open, code: code, target: path, file: file, line: line)
            }
            opened = open(path, flags)
        }
        descriptor = opened
        self.path = path
    }

    /// Takes over a descriptor that was opened elsewhere, such as before an execve(2).
    public init(adopting descriptor: Int32) {
        self.descriptor = descriptor
        path = "descriptor \(descriptor)"
    }

    deinit { close(descriptor) }

    /// Reads the range through the device into `buffer`, which must hold the range.
    public func read(
        _ range: PageRange, into buffer: UnsafeMutableRawPointer?, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> Transfer {
        try perform(.read, hmm_dmirror_ioctl_read, range, buffer, file, line)
    }

    /// Reads the range as ``read(_:into:file:line:)`` does, while the kernel takes the locks by itself
    /// (hmm_range_fault_unlocked_timeout()).
    ///
    /// - Throws: `invalidArgument` where the driver does not know the command, as test_hmm before 7.3.
    public func readUnlocked(
        _ range: PageRange, into buffer: UnsafeMutableRawPointer?, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> Transfer {
        try perform(.readUnlocked, hmm_dmirror_ioctl_read_unlocked, range, buffer, file, line)
    }

    /// Writes the range through the device from `buffer`, which must hold the range; on an error part may be written.
    public func write(
        _ range: PageRange, from buffer: UnsafeRawPointer?, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> Transfer {
        // The kernel only reads from the pointer; the argument's one field serves both directions.
        try perform(.write, hmm_dmirror_ioctl_write, range, UnsafeMutableRawPointer(mutating: buffer), file, line)
    }

    /// Moves the range into the device's memory and reads it back through the device into `buffer`.
    ///
    /// - Throws: `noEntry` when a page did not move, although others may have.
    public func migrateToDevice(
        _ range: PageRange, readingInto buffer: UnsafeMutableRawPointer?, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> Transfer {
        try perform(.migrateToDevice, hmm_dmirror_ioctl_migrate_to_dev, range, buffer, file, line)
    }

    /// Moves those pages of the range that this device holds back to system memory.
    ///
    /// - Returns: how many pages moved.
    public func migrateToSystem(
        _ range: PageRange, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> Int {
        try perform(.migrateToSystem, hmm_dmirror_ioctl_migrate_to_sys, range, nil, file, line).pages
    }

    /// Looks at the range in the CPU's page table without faulting anything in.
    ///
    /// - Returns: one entry for each page.
    public func snapshot(
        _ range: PageRange, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> [SnapshotEntry] {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: range.count, alignment: 1)
        defer { bytes.deallocate() }
        let transfer = try snapshot(range, into: bytes.baseAddress, file: file, line: line)
        return bytes.prefix(transfer.pages).map(SnapshotEntry.init(rawValue:))
    }

    /// Looks at the range as ``snapshot(_:file:line:)`` does, with the bytes going to `buffer`, one for each page.
    public func snapshot(
        _ range: PageRange, into buffer: UnsafeMutableRawPointer?, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> Transfer {
        try perform(.snapshot, hmm_dmirror_ioctl_snapshot, range, buffer, file, line)
    }

    /// Takes the CPU's access to the range away until it faults, and reads the pages through the device into `buffer`.
    ///
    /// - Throws: `busy` when a page was refused.
    public func exclusive(
        _ range: PageRange, readingInto buffer: UnsafeMutableRawPointer?, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> Transfer {
        try perform(.exclusive, hmm_dmirror_ioctl_exclusive, range, buffer, file, line)
    }

    /// Whether the device holds any page of the range exclusively.
    public func holdsExclusively(
        _ range: PageRange, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> Bool {
        do {
            _ = try perform(.checkExclusive, hmm_dmirror_ioctl_check_exclusive, range, nil, file, line)
            return false
        } catch {
            guard error.code == .notPermitted else { throw error }
            return true
        }
    }

    /// Moves every page of this device, whoever owns it, back to system memory, and gives the device's memory back.
    ///
    /// Does not return before the last reference to a page of the device is gone (memunmap_pages() in mm/memremap.c).
    /// The range plays no part and is checked all the same.
    public func release(
        _ range: PageRange = PageRange(address: 0, pageCount: 1), file: String = #fileID, line: Int = #line
    ) throws(MirrorError) {
        _ = try perform(.release, hmm_dmirror_ioctl_release, range, nil, file, line)
    }

    /// What a descriptor does differently from now on.
    public struct Flags: OptionSet, Sendable, Hashable {
        /// The bits.
        public let rawValue: UInt64
        /// Makes a set from its bits.
        public init(rawValue: UInt64) { self.rawValue = rawValue }

        /// The next allocation for a page that moves fails, once: of device memory on the way to the device, of system
        /// memory on the way back.
        public static let failAllocation = Flags(rawValue: UInt64(hmm_dmirror_flag_fail_alloc))
        /// The device maps the page that the kernel reports, also where the driver knows better; hmm_dmirror only.
        public static let asReported = Flags(rawValue: UInt64(hmm_dmirror_flag_as_reported))
    }

    /// Sets this descriptor's flags and takes all others away.
    ///
    /// - Throws: `invalidArgument` where the driver does not know the command, as test_hmm before 6.19, and for a set
    ///   without a member, which the driver takes for an empty range.
    public func setFlags(_ flags: Flags, file: String = #fileID, line: Int = #line) throws(MirrorError) {
        let carrier = PageRange(address: 0, pageCount: flags.rawValue)
        _ = try perform(.flags, hmm_dmirror_ioctl_flags, carrier, nil, file, line)
    }

    /// Makes a request that no other method makes: command `number` with whatever lies at `argument`.
    public func raw(
        number: UInt8, argument: UnsafeMutableRawPointer, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) {
        if let code = raw(request: MirrorDevice.request(number: number), argument: UInt(bitPattern: argument)) {
            throw MirrorError(
                operation: .raw, code: code, target: "command \(number) on \(path)", file: file, line: line)
        }
    }

    /// Makes a request of any number, kind and size, whose argument may be no address at all; for tests of argument
    /// checks.
    ///
    /// - Returns: why the kernel refused; nil when it did not.
    public func raw(request: UInt, argument: UInt) -> Errno? {
        while true {
            // Address 0 is no pointer in Swift, and the same as the number 0 to the kernel.
            let result =
                UnsafeMutableRawPointer(bitPattern: argument).map { ioctl(descriptor, request, $0) }
                ?? ioctl(descriptor, request, CInt(0))
            if result >= 0 { return nil }
            let code = Errno.current
            if code != .interrupted { return code }
        }
    }

    /// The request for a command, which reads and writes an argument of `bytes` bytes, below 2^14
    /// (include/uapi/asm-generic/ioctl.h).
    public static func request(number: UInt8, bytes: Int = MemoryLayout<hmm_dmirror_cmd>.size) -> UInt {
        hmm_dmirror_ioctl_read & ~0x3fff_00ff | UInt(bytes) << 16 | UInt(number)
    }

    /// The size in bytes of the argument of one of our own commands; nil for a number that is none.
    public static func argumentBytes(number: UInt8) -> Int? {
        let request = [
            hmm_dmirror_ioctl_info, hmm_dmirror_ioctl_migrate2, hmm_dmirror_ioctl_evict, hmm_dmirror_ioctl_inject,
            hmm_dmirror_ioctl_stats, hmm_dmirror_ioctl_devmem_read, hmm_dmirror_ioctl_dev_atomic,
            hmm_dmirror_ioctl_odp_reg, hmm_dmirror_ioctl_odp_dereg, hmm_dmirror_ioctl_odp_post,
            hmm_dmirror_ioctl_odp_poll, hmm_dmirror_ioctl_pin, hmm_dmirror_ioctl_unpin, hmm_dmirror_ioctl_chunk_add,
            hmm_dmirror_ioctl_chunk_remove, hmm_dmirror_ioctl_unplug,
        ].first { UInt8(truncatingIfNeeded: $0) == number }
        return request.map { Int($0 >> 16 & 0x3fff) }
    }

    private func perform(
        _ operation: MirrorError.Operation, _ request: UInt, _ range: PageRange, _ buffer: UnsafeMutableRawPointer?,
        _ file: String, _ line: Int
    ) throws(MirrorError) -> Transfer {
        var command = hmm_dmirror_cmd()
        command.addr = range.address
        command.npages = range.pageCount
        command.ptr = UInt64(UInt(bitPattern: buffer))
        while ioctl(descriptor, request, &command) < 0 {
            let code = Errno.current
            if code == .interrupted { continue }
            throw MirrorError(operation: operation, code: code, target: "\(range) on \(path)", file: file, line: line)
        }
        return Transfer(pages: Int(clamping: command.cpages), faults: Int(clamping: command.faults))
    }
}
