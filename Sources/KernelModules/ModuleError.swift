// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Why a kernel module could not be loaded, unloaded or read.
public struct ModuleError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What was being done to the module.
    public enum Operation: String, Sendable, Equatable {
        /// Preparing libkmod itself.
        case prepare
        /// Inserting the module or one that it depends on.
        case load
        /// Removing the module.
        case unload
        /// Reading the module's file.
        case inspect
    }

    /// What was being done.
    public let operation: Operation
    /// The module's name, alias or path, as it was asked for.
    public let module: String
    /// The errno(3) value that libkmod or the kernel gave.
    public let code: Int32
    /// What happened and why, in one sentence without a full stop.
    public let description: String

    init(_ operation: Operation, _ module: String, _ code: Int32, _ reason: String? = nil) {
        self.operation = operation
        self.module = module
        self.code = code
        let verb =
            switch operation {
            case .prepare: "prepared"
            case .load: "loaded"
            case .unload: "unloaded"
            case .inspect: "read"
            }
        let subject = operation == .prepare ? "libkmod" : "The module \(module)"
        description = "\(subject) cannot be \(verb): \(reason ?? Self.reason(operation, code))"
    }

    /// What an errno value means here; init_module(2) and delete_module(2) give several a meaning of their own.
    private static func reason(_ operation: Operation, _ code: Int32) -> String {
        switch (operation, code) {
        case (.load, ENOENT): "it uses a symbol or parameter that the kernel does not have; the kernel's log names it"
        case (.load, ENOEXEC): "it was built for another kernel, or its file is damaged; the kernel's log says which"
        case (.load, EEXIST): "it is loaded already"
        case (.load, EINVAL): "it refused a parameter, or its own start failed with EINVAL; see the kernel's log"
        case (.unload, ENOENT): "it is not loaded"
        case (.unload, EAGAIN): "it is in use"
        case (.unload, EBUSY): "it is just being loaded or unloaded, or cannot be unloaded at all"
        case (.inspect, ENOEXEC): "it is not a kernel module"
        default: String(cString: strerror(code))
        }
    }
}
