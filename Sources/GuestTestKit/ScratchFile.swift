// SPDX-License-Identifier: Apache-2.0
import CGuestShims
public import DeviceMirror
import Glibc

/// A file for the time of a test, closed when its owner goes away; but for ``Place/named(_:)`` nothing is left of it then.
public struct ScratchFile: ~Copyable, Sendable {
    /// The open descriptor; owned by this value.
    public let descriptor: Int32

    /// Where the file's pages live.
    public enum Place: Sendable {
        /// A memory file (memfd_create(2)), which can be sealed.
        case memory
        /// Memory that is in no map of the kernel (memfd_secret(2)); it can only be mapped, and shared.
        case secret
        /// The tmpfs mounted on /tmp.
        case tmpfs
        /// Any other folder, such as one of a ``DiskFileSystem``.
        case folder(String)
        /// A file with this path, which stays.
        case named(String)
    }

    /// Makes a file of `pages` pages that read as zero.
    public init(
        _ place: Place, pages: Int, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        let opened = try systemCall("making a file in \(place)", file: file, line: line) {
            switch place {
            case .memory: test_memory_file("guest-tests")
            case .secret: test_secret_file()
            case .tmpfs: test_unnamed_file("/tmp")
            case .folder(let path): test_unnamed_file(path)
            case .named(let path): test_named_file(path)
            }
        }
        // A file that could not get its size stays open until the process ends, which is soon.
        try systemCall("ftruncate", file: file, line: line) { ftruncate(opened, pages * PageRange.pageSize) }
        descriptor = opened
    }

    deinit { close(descriptor) }

    /// Sets the file's length.
    public func resize(pages: Int, file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try systemCall("ftruncate", file: file, line: line) { ftruncate(descriptor, pages * PageRange.pageSize) }
    }

    /// Gives some pages back; they read as zero afterwards and the length stays.
    public func punchHole(
        firstPage: Int, pages: Int, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        try systemCall("fallocate", file: file, line: line) {
            test_punch_hole(descriptor, firstPage * PageRange.pageSize, pages * PageRange.pageSize)
        }
    }

    /// Gives some bytes of an open file back; they read as zero afterwards and the length stays.
    public static func punchHole(
        in descriptor: Int32, bytes: Range<Int>, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        try systemCall("fallocate", file: file, line: line) {
            test_punch_hole(descriptor, bytes.lowerBound, bytes.count)
        }
    }

    /// Refuses every further write and writable mapping; only for ``Place/memory``.
    public func seal(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try systemCall("F_SEAL_WRITE", file: file, line: line) { test_seal_against_writing(descriptor) }
    }

    /// Writes what was changed to the disk (fsync(2)).
    public func sync(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try systemCall("fsync", file: file, line: line) { fsync(descriptor) }
    }

    /// Makes the kernel forget what is on the disk as well (posix_fadvise(2)); pages that are mapped or changed stay.
    public func dropCache(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        let code = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
        guard code == 0 else {
            throw SystemCallError(call: "posix_fadvise", code: Errno(rawValue: code), file: file, line: line)
        }
    }

    /// Keeps the kernel from reading more than it is asked for (posix_fadvise(2)).
    public func expectRandomAccess(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        let code = posix_fadvise(descriptor, 0, 0, POSIX_FADV_RANDOM)
        guard code == 0 else {
            throw SystemCallError(call: "posix_fadvise", code: Errno(rawValue: code), file: file, line: line)
        }
    }

    /// Has ext4 write everything that is in its journal to its place on the disk, and empty the journal.
    public func checkpoint(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try systemCall("EXT4_IOC_CHECKPOINT", file: file, line: line) { test_checkpoint(descriptor) }
    }

    /// Begins to write what was changed to the disk, and waits for nothing.
    public func beginWriteBack(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try Self.beginWriteBack(of: descriptor, file: file, line: line)
    }

    /// As ``beginWriteBack(file:line:)``, for an open file.
    public static func beginWriteBack(
        of descriptor: Int32, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        try systemCall("sync_file_range", file: file, line: line) { test_begin_write_back(descriptor) }
    }

    /// Opens the file once more, to read and write it past the page cache (O_DIRECT).
    public func openedDirect(file: String = #fileID, line: Int = #line) throws(SystemCallError) -> ScratchFile {
        ScratchFile(
            adopting: try systemCall("open with O_DIRECT", file: file, line: line) { test_direct_file(descriptor) })
    }

    private init(adopting descriptor: Int32) { self.descriptor = descriptor }

    /// Reads the file past the page cache, from its disk (O_DIRECT).
    public func contentsOnDisk(
        pages: Int, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer {
        let target = try MappedBuffer.anonymous(pages: pages, file: file, line: line)
        let direct = try openedDirect(file: file, line: line)
        let count = try systemCall("pread with O_DIRECT", file: file, line: line) {
            pread(direct.descriptor, target.range.pointer, Int(target.range.byteCount), 0)
        }
        guard count == Int(target.range.byteCount) else {
            throw SystemCallError(
                call: "pread of \(count) bytes with O_DIRECT", code: Errno(rawValue: EIO), file: file, line: line)
        }
        return target
    }

    /// Reads the file's blocks from the disk itself, past its filesystem, which says where they are (FIBMAP); blocks of a page.
    public func contentsOfBlocks(
        pages: Int, onDisk disk: String, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer {
        let target = try MappedBuffer.anonymous(pages: pages, file: file, line: line)
        let opened = try systemCall("open \(disk)", file: file, line: line) { open(disk, O_RDONLY | O_CLOEXEC) }
        defer { close(opened) }
        for page in 0..<pages {
            let block = try systemCall("FIBMAP", file: file, line: line) { test_block_of_page(descriptor, Int32(page)) }
            // Block 0 stands for a hole, which reads as zero.
            guard block > 0 else { continue }
            let (part, size) = (target.range.page(page).pointer, PageRange.pageSize)
            try systemCall("pread of the disk", file: file, line: line) { pread(opened, part, size, Int(block) * size) }
        }
        return target
    }

    /// Sends the file's first pages to another file, without a copy in this program (sendfile(2)).
    public func send(
        to other: borrowing ScratchFile, pages: Int, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        let bytes = pages * PageRange.pageSize
        let (target, source) = (other.descriptor, descriptor)
        let count = try systemCall("sendfile", file: file, line: line) { test_send_file(target, source, 0, bytes) }
        guard count == bytes else {
            throw SystemCallError(
                call: "sendfile of \(count) bytes", code: Errno(rawValue: EIO), file: file, line: line)
        }
    }

    /// Writes the pattern with pwrite(2), not through a mapping.
    ///
    /// - Parameter pagesAtATime: how much one call writes. A filesystem may make large folios of what it gets at once.
    public func fill(
        seed: UInt64, pages: Int, pagesAtATime: Int = 1, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        let source = try MappedBuffer.filled(pages: pages, seed: seed, file: file, line: line)
        for first in stride(from: 0, to: pages, by: pagesAtATime) {
            let part = source.range.pages(from: first, count: min(pagesAtATime, pages - first))
            try systemCall("pwrite", file: file, line: line) {
                pwrite(descriptor, part.pointer, Int(part.byteCount), first * PageRange.pageSize)
            }
        }
    }

    /// Reads the file with pread(2), not through a mapping.
    public func contents(
        pages: Int, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer {
        let target = try MappedBuffer.anonymous(pages: pages, file: file, line: line)
        try systemCall("pread", file: file, line: line) {
            pread(descriptor, target.range.pointer, Int(target.range.byteCount), 0)
        }
        return target
    }

    /// Reads the file from page `firstPage` on with pread(2) into memory that is there already.
    public func read(
        into range: PageRange, fromPage firstPage: Int = 0, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        try systemCall("pread", file: file, line: line) {
            pread(descriptor, range.pointer, Int(range.byteCount), firstPage * PageRange.pageSize)
        }
    }
}
