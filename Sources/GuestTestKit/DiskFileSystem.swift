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

/// A filesystem of 32 MiB that the ext4 driver serves, on a loop device over a file of tmpfs or on a slow disk; gone when
/// its owner is.
///
/// Its pages are written back, which those of tmpfs never are.
public struct DiskFileSystem: ~Copyable, Sendable {
    /// Where it is mounted.
    public let folder: String
    private let device: Device
    private var image: String { folder + ".image" }

    /// What the filesystem lies on.
    public enum Device: Sendable {
        /// A file of tmpfs.
        case memory
        /// A disk that needs 0.3 seconds for each request; needs ``Requirement/nullBlock`` as well.
        case slow
    }

    /// Makes the filesystem and mounts it; needs ``Requirement/ext4``.
    public init(
        _ device: Device = .memory, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        folder = "/tmp/disk-\(getpid())"
        self.device = device
        // Busybox makes ext2, which is ext4 without its later features; blocks of a page, so that no page is cut.
        let script =
            switch device {
            case .memory:
                """
                mkdir \(folder) && truncate -s 32M \(folder).image && mke2fs -F -b 4096 \(folder).image > /dev/null \
                && mount -t ext4 -o loop \(folder).image \(folder)
                """
            case .slow:
                """
                mkdir \(folder) \
                && modprobe null_blk nr_devices=1 gb=1 memory_backed=1 irqmode=2 completion_nsec=300000000 \
                && mke2fs -F -b 4096 /dev/nullb0 8192 > /dev/null && mount -t ext4 /dev/nullb0 \(folder)
                """
            }
        try Shell.run(script, file: file, line: line)
    }

    /// Takes the filesystem away and mounts it again, so that all that is known of it comes from the disk; no file of it
    /// may be open.
    public func mountAgain(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try Shell.run(
            "umount \(folder) && mount -t ext4 -o loop \(image) \(folder)", file: file, line: line)
    }

    deinit {
        // Lazily, since a file in it may be open for a moment longer; a guest that keeps it is none the worse.
        switch device {
        case .memory: try? Shell.run("umount -l \(folder) && rmdir \(folder) && rm \(image)")
        case .slow: try? Shell.run("umount \(folder) && rmdir \(folder) && rmmod null_blk")
        }
    }
}
