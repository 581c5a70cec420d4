// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Forks a child that does nothing, and waits for its end.
///
/// - Returns: false when the kernel says that there is no memory for it.
func forksIdleChild() throws(SystemCallError) -> Bool {
    let child: pid_t
    do throws(SystemCallError) {
        child = try systemCall("fork") { fork() }
    } catch {
        if error.code == .noMemory { return false }
        throw error
    }
    if child == 0 { _exit(0) }
    var status: Int32 = 0
    try systemCall("waitpid") { waitpid(child, &status, 0) }
    expectEqual(status, 0, "the child ends")
    return true
}
