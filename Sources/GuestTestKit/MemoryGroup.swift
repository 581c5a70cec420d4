// SPDX-License-Identifier: Apache-2.0
import Glibc

/// A memory cgroup without swap whose processes are killed when they want more than they may have; gone when its owner is,
/// with its processes (Documentation/admin-guide/cgroup-v2.rst).
public struct MemoryGroup: ~Copyable {
    private static let root = "/sys/fs/cgroup"
    private let folder: String

    /// Makes an empty group that may have so many bytes.
    public init(bytes: Int, file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        folder = "\(Self.root)/test-\(getpid())"
        let folder = folder
        try TextFile.write("+memory", to: "\(Self.root)/cgroup.subtree_control", file: file, line: line)
        try systemCall("mkdir \(folder)", file: file, line: line) { mkdir(folder, 0o755) }
        try TextFile.write("\(bytes)", to: "\(folder)/memory.max", file: file, line: line)
        try TextFile.write("0", to: "\(folder)/memory.swap.max", file: file, line: line)
    }

    deinit {
        // Empty unless a test failed.
        try? TextFile.write("1", to: "\(folder)/cgroup.kill")
        rmdir(folder)
    }

    /// Moves a process here; what it has already stays with its old group.
    public borrowing func add(
        _ process: pid_t, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        try TextFile.write("\(process)", to: "\(folder)/cgroup.procs", file: file, line: line)
    }

    /// How many processes were killed for want of memory.
    public borrowing func kills(file: String = #fileID, line: Int = #line) throws(SystemCallError) -> Int {
        let events = try TextFile.read("\(folder)/memory.events", file: file, line: line)
        return KernelCounters.value(of: "oom_kill", in: events) ?? 0
    }

    /// A number of memory.stat, in bytes where it is memory; exact after at most two seconds of rest.
    public borrowing func statistic(
        _ name: String, file: String = #fileID, line: Int = #line
    ) throws -> Int {
        let statistics = try TextFile.read("\(folder)/memory.stat", file: file, line: line)
        return try requireValue(
            KernelCounters.value(of: name, in: statistics), "memory.stat has \(name)", file: file, line: line)
    }

    /// How many groups of the system are removed but not gone, since memory is still charged to them.
    public static func dying(file: String = #fileID, line: Int = #line) throws -> Int {
        let statistics = try TextFile.read("\(root)/cgroup.stat", file: file, line: line)
        return try requireValue(
            KernelCounters.value(of: "nr_dying_descendants", in: statistics), "cgroup.stat has the number", file: file,
            line: line)
    }
}
