// SPDX-License-Identifier: Apache-2.0
import HarnessCore
import KernelModules

/// Finds modules that do not belong to a kernel before the guest finds out.
///
/// The kernel refuses a module whose vermagic is not letter for letter its own (kernel/module/version.c), but says so
/// only in its log.
public enum ModuleCheck {
    /// Checks that modules were built for one kernel.
    ///
    /// - Parameters:
    ///   - paths: the modules' files.
    ///   - kernelRelease: the release of the kernel, which each vermagic begins with.
    ///   - reference: a module of the kernel's own build; the others must have its whole vermagic, which also names the
    ///     options that change the binary interface. nil compares the release only.
    /// - Throws: ``LabError`` `module-mismatch` or `module-unreadable`.
    public static func verify(_ paths: [String], kernelRelease: String, reference: String? = nil) throws {
        let expected = try reference.map { try information($0).vermagic }
        for path in paths {
            let module = try information(path)
            let fits = expected.map { $0 == module.vermagic } ?? (module.kernelRelease == kernelRelease)
            if fits && module.kernelRelease == kernelRelease { continue }
            throw LabError(
                "module-mismatch", exit: .buildFailed, "The module \(module.name) does not belong to the kernel",
                cause: "\(path) was built for `\(module.vermagic)`, the kernel is `\(expected ?? kernelRelease)`.",
                next: "Build the module again, against the object directory of this kernel.")
        }
    }

    private static func information(_ path: String) throws -> ModuleInfo {
        do throws(ModuleError) {
            return try ModuleInfo(path: path)
        } catch {
            throw LabError(
                "module-unreadable", exit: .buildFailed, error.description,
                next: "Build the module again; the file may be half written.")
        }
    }
}
