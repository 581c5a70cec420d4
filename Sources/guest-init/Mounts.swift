// SPDX-License-Identifier: Apache-2.0
import Glibc

/// The filesystems that programs expect, in the order in which they lie upon each other.
enum Mounts {
    private struct Filesystem {
        let type: String
        let folder: String
        var options = ""
    }

    private static let all = [
        Filesystem(type: "sysfs", folder: "/sys"),
        Filesystem(type: "devtmpfs", folder: "/dev", options: "mode=0755"),
        Filesystem(type: "devpts", folder: "/dev/pts", options: "mode=0620,ptmxmode=0666"),
        Filesystem(type: "tmpfs", folder: "/dev/shm", options: "mode=1777"),
        Filesystem(type: "tmpfs", folder: "/tmp", options: "mode=1777"),
        Filesystem(type: "tmpfs", folder: "/run", options: "mode=0755"),
        Filesystem(type: "debugfs", folder: "/sys/kernel/debug"),
        Filesystem(type: "cgroup2", folder: "/sys/fs/cgroup"),
    ]

    /// Mounts them all and returns a sentence for each that could not be.
    ///
    /// What the kernel was built without is left out with a line on the console only: that was somebody's choice.
    static func mountAll() -> [String] {
        var problems: [String] = []
        for filesystem in all {
            // On sysfs the folder is the kernel's to make.
            mkdir(filesystem.folder, 0o755)
            let status = mount(
                filesystem.type, filesystem.folder, filesystem.type, UInt(MS_NOSUID), filesystem.options)
            if status == 0 || errno == EBUSY { continue }
            let error = SystemError("\(filesystem.type) cannot be mounted on \(filesystem.folder)")
            if [ENODEV, ENOENT].contains(error.code) {
                System.log(error.description)
            } else {
                problems.append(error.description)
            }
        }
        return problems
    }
}
