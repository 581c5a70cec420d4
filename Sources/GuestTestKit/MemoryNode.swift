// SPDX-License-Identifier: Apache-2.0
import CGuestShims
import Glibc

/// NUMA nodes by their numbers in `/sys/devices/system/node`.
public enum MemoryNode {
    /// Whether the machine has a node of this number.
    public static func exists(_ number: Int) -> Bool { access("/sys/devices/system/node/node\(number)", F_OK) == 0 }

    /// Moves all of this process's pages from one node below 64 to another (migrate_pages(2)).
    public static func moveEverything(
        from old: Int, to new: Int, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        try systemCall("migrate_pages", file: file, line: line) { test_move_to_node(UInt32(old), UInt32(new)) }
    }
}
