// SPDX-License-Identifier: Apache-2.0
import CGuestShims
public import DeviceMirror
import Glibc

/// One of the running kernel's modules, loaded by the bare system call: nothing else happens that could fail.
public struct KernelModule: ~Copyable, Sendable {
    private let descriptor: Int32
    private let name: String

    /// Opens the module's file, which modules.dep(5) names.
    public init(_ name: String, file: String = #fileID, line: Int = #line) throws {
        let release = try TextFile.read("/proc/sys/kernel/osrelease", file: file, line: line)
        let folder = "/lib/modules/\(release.prefix { !$0.isNewline })"
        let index = try TextFile.read("\(folder)/modules.dep", file: file, line: line)
        let entry = index.split(separator: "\n").first { line in
            line.prefix { $0 != ":" }.split(separator: "/").last == "\(name).ko"
        }
        let path = try requireValue(entry?.prefix { $0 != ":" }, "the guest has \(name)", file: file, line: line)
        let full = path.hasPrefix("/") ? String(path) : "\(folder)/\(path)"
        descriptor = try systemCall("open \(full)", file: file, line: line) { open(full, O_RDONLY | O_CLOEXEC) }
        self.name = name
    }

    deinit { close(descriptor) }

    /// Loads the module, without those that it depends on.
    ///
    /// - Returns: why the kernel refused; nil when it did not.
    public borrowing func load(_ parameters: String = "") -> Errno? {
        test_load_module(descriptor, parameters) == 0 ? nil : .current
    }

    /// Unloads the module.
    ///
    /// - Returns: why the kernel refused; nil when it did not.
    public borrowing func unload() -> Errno? { test_unload_module(name) == 0 ? nil : .current }
}
