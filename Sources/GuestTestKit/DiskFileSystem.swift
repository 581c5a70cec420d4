// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc

/// The guest's shell, for what has no system call of its own: loading modules and making filesystems.
public enum Shell {
    /// Runs a script with `/bin/sh` and waits for it.
    ///
    /// - Throws: EIO when it does not exit with 0.
    public static func run(
        _ script: String, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        let texts = ["sh", "-c", script]
        var words: [UnsafeMutablePointer<CChar>?] = texts.map { strdup($0) } + [nil]
        defer { for word in words { free(word) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, "/bin/sh", nil, nil, &words, environ)
        guard code == 0 else {
            throw SystemCallError(call: "/bin/sh", code: Errno(rawValue: code), file: file, line: line)
        }
        var status: Int32 = 0
        try systemCall("waitpid", file: file, line: line) { waitpid(pid, &status, 0) }
        guard status == 0 else {
            let call = "\"\(script)\" ended with wait status \(status) and"
            throw SystemCallError(call: call, code: Errno(rawValue: EIO), file: file, line: line)
        }
    }
}

/// A filesystem on a loop device over a file of tmpfs or on a slow disk; gone when its owner is.
///
/// Its pages are written back, which those of tmpfs never are.
public struct DiskFileSystem: ~Copyable, Sendable {
    /// Where it is mounted.
    public let folder: String
    private let format: Format
    private let device: Device

    /// How it is laid out, and which driver serves it.
    public enum Format: Sendable, CaseIterable {
        /// What busybox makes and the ext4 driver serves: ext2, without a journal and without extents, 32 MiB.
        case plain
        /// ext4 as Debian's tools make it, 32 MiB: a journal of the filesystem's own data, before which files' data is written
        /// to its place (`data=ordered`); needs ``Requirement/mkfsExt4``.
        case ext4
        /// The same, with the data of files in the journal, too (`data=journal`).
        case ext4Journal
        /// XFS, of the least size that its tools make; needs ``Requirement/xfs``.
        case xfs

        /// Makes a filesystem in a new image, which is as sparse as the tools leave it.
        fileprivate func make(in image: String) -> String {
            switch self {
            // Blocks of a page, so that no page is cut.
            case .plain: "truncate -s 32M \(image) && mke2fs -F -b 4096 \(image) > /dev/null"
            case .ext4, .ext4Journal: "truncate -s 32M \(image) && mkfs.ext4 -q -F -b 4096 \(image)"
            case .xfs: "truncate -s 300M \(image) && mkfs.xfs -q -b size=4096 \(image)"
            }
        }

        /// The words for mount(8) that choose the driver and the mode.
        fileprivate var mount: String {
            switch self {
            case .plain: "-t ext4 -o loop"
            case .ext4: "-t ext4 -o loop,data=ordered"
            case .ext4Journal: "-t ext4 -o loop,data=journal"
            case .xfs: "-t xfs -o loop"
            }
        }
    }

    /// What the filesystem lies on.
    public enum Device: Sendable {
        /// A file of tmpfs.
        case memory
        /// A disk that needs 0.3 seconds for each request, with ``Format/plain`` whatever else is asked for, since the others
        /// need many; needs ``Requirement/nullBlock`` as well.
        case slow
    }

    /// Makes the filesystem and mounts it; needs ``Requirement/ext4`` unless ``Format`` says otherwise.
    public init(
        _ format: Format = .plain, on device: Device = .memory, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        folder = "/tmp/disk-\(getpid())"
        self.device = device
        self.format = format
        let image = folder + ".image"
        let script =
            switch device {
            case .memory:
                "mkdir \(folder) && \(format.make(in: image)) && mount \(format.mount) \(image) \(folder)"
            case .slow:
                """
                mkdir \(folder) \
                && modprobe null_blk nr_devices=1 gb=1 memory_backed=1 irqmode=2 completion_nsec=300000000 \
                && mke2fs -F -b 4096 /dev/nullb0 8192 > /dev/null && mount -t ext4 /dev/nullb0 \(folder)
                """
            }
        try Shell.run(script, file: file, line: line)
    }

    /// The file of tmpfs that is the disk, and has what was written to it.
    public var image: String { folder + ".image" }

    /// Takes the filesystem away and mounts it again, so that all that is known of it comes from the disk; no file of it
    /// may be open.
    public func mountAgain(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try Shell.run("umount \(folder) && mount \(format.mount) \(image) \(folder)", file: file, line: line)
    }

    /// Brings everything to its place on the disk, the journal's contents included: a filesystem that is frozen needs none.
    public func settle(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try Shell.run("fsfreeze --freeze \(folder) && fsfreeze --unfreeze \(folder)", file: file, line: line)
    }

    /// The blocks that a mounted filesystem has to give (statvfs(3)).
    public static func freeBlocks(
        of folder: String, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> Int {
        var numbers = statvfs()
        try systemCall("statvfs", file: file, line: line) { statvfs(folder, &numbers) }
        return Int(numbers.f_bfree)
    }

    deinit {
        // Lazily, since a file in it may be open for a moment longer; a guest that keeps it is none the worse.
        switch device {
        case .memory: try? Shell.run("umount -l \(folder) && rmdir \(folder) && rm \(image)")
        case .slow: try? Shell.run("umount \(folder) && rmdir \(folder) && rmmod null_blk")
        }
    }
}
