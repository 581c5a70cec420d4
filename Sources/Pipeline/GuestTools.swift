// SPDX-License-Identifier: Apache-2.0
import GuestImage
import HarnessCore
import ProcessRunner

/// Programs of the host that some tests use in the guest.
///
/// They go into the image only where one of the tests to run wants them: fio alone brings several times its own size in
/// libraries, and all other guests boot without it.
struct GuestTools {
    /// By the requirement that asks for it (``GuestTestKit``'s words), the program's name and the Debian package that has it.
    private static let all = [
        "mkfs_ext4": (program: "mkfs.ext4", package: "e2fsprogs"),
        "mkfs_xfs": (program: "mkfs.xfs", package: "xfsprogs"),
        "fio": (program: "fio", package: "fio"),
    ]

    /// What goes into the image.
    private(set) var programs: [ImageDescription.Program] = []
    /// What somebody should know about programs that the host lacks; one sentence for each.
    private(set) var warnings: [String] = []

    /// Looks for what some tests want.
    ///
    /// - Parameter find: where a program is on the host; nil where it is not.
    init(for tests: [GuestTest], find: (String) -> String? = { ProcessRunner.find($0) }) {
        for (requirement, tool) in Self.all.sorted(by: { $0.key < $1.key }) {
            let users = tests.count { $0.requirements.contains(requirement) }
            guard users > 0 else { continue }
            if let path = find(tool.program) {
                // The folder is in PATH of whatever runs in the guest, and busybox has nothing there.
                programs.append(.init(path, to: "/usr/sbin/\(tool.program)"))
            } else {
                warnings.append(
                    "\(tool.program) is not on this machine, so \(users.of("test")) will be skipped; it comes with the package \(tool.package)"
                )
            }
        }
    }
}
