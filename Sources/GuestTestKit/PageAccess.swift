// SPDX-License-Identifier: Apache-2.0
import CGuestShims
public import DeviceMirror
import Glibc

/// Ways into a process's memory that go through the kernel and not through the CPU's page table walk: get_user_pages().
extension PageRange {
    /// Copies the range of a process with process_vm_readv(2); by default, of the caller itself.
    public func copyThroughKernel(
        of process: pid_t = getpid(), file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer {
        let target = try MappedBuffer.anonymous(pages: count, file: file, line: line)
        try systemCall("process_vm_readv", file: file, line: line) {
            test_copy_through_kernel(process, UInt(address), target.range.pointer, Int(byteCount))
        }
        return target
    }

    /// Copies as much of the range as can be read, from its beginning, to `target` with process_vm_readv(2).
    ///
    /// - Returns: how many pages.
    /// - Throws: EFAULT when that is none.
    public func copyThroughKernel(
        to target: UnsafeMutableRawPointer?, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> Int {
        try systemCall("process_vm_readv", file: file, line: line) {
            test_copy_through_kernel(getpid(), UInt(address), target, Int(byteCount))
        } / PageRange.pageSize
    }

    /// Copies the range by reading /proc/self/mem, as a debugger does.
    public func copyThroughProc(file: String = #fileID, line: Int = #line) throws(SystemCallError) -> MappedBuffer {
        let target = try MappedBuffer.anonymous(pages: count, file: file, line: line)
        let memory = try systemCall("open /proc/self/mem", file: file, line: line) {
            open("/proc/self/mem", O_RDONLY | O_CLOEXEC)
        }
        defer { close(memory) }
        try systemCall("pread /proc/self/mem", file: file, line: line) {
            pread(memory, target.range.pointer, Int(byteCount), Int(address))
        }
        return target
    }

    /// Writes the first word of the range in another process, as a debugger sets a breakpoint: also where the mapping is
    /// read-only (ptrace(2), FOLL_FORCE of mm/gup.c).
    ///
    /// /proc/PID/mem would do the same, but since 6.12 the kernel's configuration may forbid that.
    public func poke(
        _ word: UInt64, in process: pid_t, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        try systemCall("ptrace", file: file, line: line) { test_poke(process, UInt(address), word) }
    }

    /// Leaves the range to userfaultfd(2) for missing pages, which nobody then provides.
    ///
    /// - Returns: the descriptor; closing it ends the watch.
    public func watchMissingPages(file: String = #fileID, line: Int = #line) throws(SystemCallError) -> Int32 {
        try systemCall("userfaultfd", file: file, line: line) {
            test_watch_missing_pages(UInt(address), Int(byteCount))
        }
    }
}

/// A pipe that holds pages of a process, not copies of them (vmsplice(2)).
public struct PagePipe: ~Copyable, Sendable {
    private let readEnd: Int32
    private let writeEnd: Int32

    /// Makes an empty pipe.
    public init(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        var ends: [Int32] = [-1, -1]
        try systemCall("pipe", file: file, line: line) { pipe(&ends) }
        (readEnd, writeEnd) = (ends[0], ends[1])
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }

    /// Puts references to the range's pages into the pipe; at most 16 pages fit.
    ///
    /// - Returns: how many bytes went in.
    public func splice(_ range: PageRange, file: String = #fileID, line: Int = #line) throws(SystemCallError) -> Int {
        try systemCall("vmsplice", file: file, line: line) {
            test_splice_pages(writeEnd, UInt(range.address), Int(range.byteCount))
        }
    }

    /// Writes the range's bytes, copied by the kernel (write(2)); at most 16 pages fit.
    ///
    /// - Returns: how many bytes went in.
    public func write(_ range: PageRange, file: String = #fileID, line: Int = #line) throws(SystemCallError) -> Int {
        try systemCall("write to a pipe", file: file, line: line) {
            Glibc.write(writeEnd, range.pointer, Int(range.byteCount))
        }
    }

    /// Puts references to the pages of an open file's part into the pipe (sendfile(2)); at most 16 pages fit.
    public func send(
        _ bytes: Range<Int>, of descriptor: Int32, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        var done = 0
        while done < bytes.count {
            let count = try systemCall("sendfile", file: file, line: line) {
                test_send_file(writeEnd, descriptor, off_t(bytes.lowerBound + done), bytes.count - done)
            }
            guard count > 0 else {
                throw SystemCallError(
                    call: "sendfile of \(done) bytes", code: Errno(rawValue: EIO), file: file, line: line)
            }
            done += count
        }
    }

    /// Empties the pipe of so many bytes, which lets go of the pages.
    public func drain(
        bytes count: Int, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        var done = 0
        while done < count {
            done += try systemCall("read from a pipe", file: file, line: line) {
                bytes.withUnsafeMutableBytes { Glibc.read(readEnd, $0.baseAddress.map { $0 + done }, count - done) }
            }
        }
        return bytes
    }

    /// Empties the pipe of `pages` pages, which lets go of them.
    public func drain(
        pages: Int, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer {
        let target = try MappedBuffer.anonymous(pages: pages, file: file, line: line)
        var done = 0
        while done < pages * PageRange.pageSize {
            done += try systemCall("read from a pipe", file: file, line: line) {
                Glibc.read(readEnd, target.range.pointer.map { $0 + done }, pages * PageRange.pageSize - done)
            }
        }
        return target
    }
}

/// The kernel's own test device for get_user_pages(), mm/gup_test.c.
public struct GupTestDevice: ~Copyable {
    private let descriptor: Int32

    /// How the kernel takes hold of pages before it lets go again.
    public enum Hold: Sendable, CaseIterable {
        /// A short reference for writing.
        case short
        /// A long-term pin for writing, taken without the mmap lock.
        case longFast
        /// A long-term pin for writing.
        case long

        var shim: test_pin {
            switch self {
            case .short: TEST_PIN_GET
            case .longFast: TEST_PIN_FAST_LONGTERM
            case .long: TEST_PIN_LONGTERM
            }
        }
    }

    /// `FOLL_LONGTERM` was renumbered in 6.3 (include/linux/mm_types.h, before that include/linux/mm.h).
    static func longTermFlag(of kernel: KernelVersion) -> UInt32 { kernel < KernelVersion(6, 3) ? 0x10000 : 0x100 }

    /// Opens the device.
    public init(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        descriptor = try systemCall("open gup_test", file: file, line: line) {
            open("/sys/kernel/debug/gup_test", O_RDWR | O_CLOEXEC)
        }
    }

    deinit { close(descriptor) }

    /// Takes hold of the pages and lets go at once.
    public func touch(
        _ range: PageRange, _ hold: Hold, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        try systemCall("gup_test \(hold)", file: file, line: line) {
            test_pin_and_release(
                descriptor, hold.shim, Self.longTermFlag(of: .running), UInt(range.address), Int(range.byteCount))
        }
    }

    /// Pins the pages for long, until ``unpin(file:line:)`` or this value's end; not before 6.2, see
    /// ``Requirement/longTermPin``.
    public func pin(_ range: PageRange, file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try systemCall("long-term pin", file: file, line: line) {
            test_pin_for_long(descriptor, UInt(range.address), Int(range.byteCount))
        }
    }

    /// Reads the pinned pages through the pin, not through the page table.
    public func readPinned(
        pages: Int, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer {
        let target = try MappedBuffer.anonymous(pages: pages, file: file, line: line)
        try systemCall("reading pinned pages", file: file, line: line) {
            test_read_pinned(descriptor, target.range.pointer)
        }
        return target
    }

    /// Lets go of the pinned pages.
    public func unpin(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try systemCall("unpin", file: file, line: line) { test_unpin(descriptor) }
    }
}
