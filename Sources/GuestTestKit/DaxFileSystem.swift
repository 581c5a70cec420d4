// SPDX-License-Identifier: Apache-2.0
import CGuestShims
public import DeviceMirror
import Glibc

/// A filesystem on the persistent memory device, whose files are mapped from there; gone when its owner is.
///
/// Needs ``Requirement/persistentMemory`` and the program of its ``Format``.
public struct DaxFileSystem: ~Copyable, Sendable {
    /// The device.
    public static let device = "/dev/pmem0"

    /// How it is laid out.
    public enum Format: String, Sendable, CaseIterable {
        /// ext4 as Debian's tools make it.
        case ext4
        /// XFS as Debian's tools make it.
        case xfs

        /// What a test on such a filesystem needs.
        public var requirements: [Requirement] {
            switch self {
            case .ext4: [.persistentMemory, .mkfsExt4]
            case .xfs: [.persistentMemory, .xfs]
            }
        }

        /// Extents begin where huge pages do, as far as the filesystem can help it.
        fileprivate var make: String {
            switch self {
            case .ext4: "mkfs.ext4 -q -F -b 4096 -E stride=512,stripe_width=512,nodiscard \(device)"
            // Two parts: with the usual four the log would not fit into one.
            case .xfs: "mkfs.xfs -q -f -K -b size=4096 -d su=2m,sw=1,agcount=2 -l su=4k,size=64m \(device)"
            }
        }
    }

    /// The word for mount(8) that says whether files are mapped from the device.
    public enum Mode: String, Sendable {
        /// All files are.
        case always
        /// No file is: they go through the page cache, as on any disk.
        case never
    }

    /// Where it is mounted.
    public let folder: String
    private let format: Format

    /// Makes the filesystem and mounts it.
    public init(_ format: Format, file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        folder = "/tmp/dax-\(getpid())"
        self.format = format
        try Shell.run("mkdir \(folder) && \(format.make)", file: file, line: line)
        try mount(.always, file: file, line: line)
    }

    /// Mounts the filesystem again after ``unmount(file:line:)``.
    public func mount(_ mode: Mode, file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try Shell.run(
            "mount -t \(format.rawValue) -o dax=\(mode.rawValue) \(Self.device) \(folder)", file: file, line: line)
    }

    /// Takes the filesystem away, which nobody may use any more; what it holds stays on the device.
    public func unmount(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try Shell.run("umount \(folder)", file: file, line: line)
    }

    /// Takes the device from its driver, and all that the kernel knows of the memory's pages with it, and gives it back;
    /// nothing of it may be mounted.
    public static func rebind(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        let driver = "/sys/bus/nd/drivers/nd_pmem"
        try TextFile.write("namespace0.0", to: driver + "/unbind", file: file, line: line)
        guard access(device, F_OK) != 0 else {
            throw SystemCallError(call: "unbinding \(device)", code: .busy, file: file, line: line)
        }
        try TextFile.write("namespace0.0", to: driver + "/bind", file: file, line: line)
        guard access(device, R_OK | W_OK) == 0 else {
            throw SystemCallError(call: "binding \(device)", code: .noDevice, file: file, line: line)
        }
    }

    /// The frames behind a mapping as the device itself holds them, read past the filesystem and the page cache; nil where
    /// one of them is not on the device.
    public static func contents(
        of range: PageRange, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer? {
        let memory = try PhysicalMemory.current()
        let target = try MappedBuffer.anonymous(pages: range.count, file: file, line: line)
        let disk = try systemCall("open \(device)", file: file, line: line) { test_direct_reader(device) }
        defer { close(disk) }
        for (index, frame) in try range.frames(file: file, line: line).enumerated() {
            guard let frame, let region = memory.persistentRegion(holding: frame) else { return nil }
            let (part, offset) = (target.range.page(index).pointer, Int(frame << 12 - region.bytes.lowerBound))
            let count = try systemCall("pread of \(device)", file: file, line: line) {
                pread(disk, part, PageRange.pageSize, offset)
            }
            guard count == PageRange.pageSize else { return nil }
        }
        return target
    }

    deinit {
        // For a test that ended early; what is still in use then goes with its process.
        try? Shell.run("umount -l \(folder) 2> /dev/null; rmdir \(folder)")
    }
}

extension ScratchFile {
    /// Whether the file is mapped from its device directly, as statx(2) says.
    public func isDirectAccess(file: String = #fileID, line: Int = #line) throws(SystemCallError) -> Bool {
        try systemCall("statx", file: file, line: line) { test_is_dax(descriptor) } == 1
    }
}

extension PhysicalMemory {
    /// The persistent memory that a page frame lies in; nil for any other.
    public func persistentRegion(holding frame: UInt64) -> Region? {
        regions.first { $0.name.hasPrefix("Persistent Memory") && $0.bytes.contains(frame << 12) }
    }
}
