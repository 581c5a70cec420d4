// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import ProcessRunner

/// The compiler and make variables of a build, taken from the environment as the kernel's own make would take them.
///
/// Honoured: `ARCH`, `CROSS_COMPILE`, `LLVM`, `CC`, `KCFLAGS`, `CCACHE_DIR` (Documentation/kbuild/kbuild.rst, kbuild/llvm.rst).
public struct Toolchain: Sendable {
    /// Variables for make's command line, in a fixed order.
    public let variables: [(name: String, value: String)]
    /// What identifies the tools: versions of the compiler and the linker, and every variable that changes the output.
    public let identity: [String: String]
    /// The compiler without its launcher, as words.
    public let compiler: [String]

    /// Identifies the tools and what they are told.
    var digest: Digest {
        var signature = Signature()
        for (name, value) in identity { signature.add(name, value) }
        return signature.digest
    }

    /// Finds the compiler and asks it for its version.
    ///
    /// - Throws: ``LabError`` `arch-unsupported`, `tool-missing`, `tool-failed`.
    public static func detect(environment: [String: String], runner: ProcessRunner) async throws -> Toolchain {
        let architecture = environment["ARCH"] ?? "x86_64"
        guard ["x86_64", "x86"].contains(architecture) else {
            throw LabError(
                "arch-unsupported", exit: .usage, "ARCH=\(architecture) is not supported",
                cause: "The machine descriptions in qemu/machines are for x86_64 only.",
                next: "Unset ARCH, or set it to x86_64.")
        }
        let prefix = environment["CROSS_COMPILE"] ?? ""
        let llvm = environment["LLVM"].flatMap { $0.isEmpty ? nil : $0 }
        var compiler = (environment["CC"] ?? "").split(separator: " ").map(String.init)
        if compiler.isEmpty { compiler = [llvm.map { llvmTool("clang", $0) } ?? prefix + "gcc"] }
        let launched = compiler.first == "ccache"
        if launched { compiler.removeFirst() }
        guard let name = compiler.first else { throw ProcessRunner.missing("gcc") }
        let ccache = launched || ProcessRunner.find("ccache") != nil
        let linker = llvm.map { llvmTool("ld.lld", $0) } ?? prefix + "ld"

        var identity = ["arch": "x86_64"]
        identity["compiler"] = try await firstLine(name, runner)
        identity["linker"] = try await firstLine(linker, runner)
        identity["compiler-words"] = compiler.joined(separator: " ")
        for key in ["CROSS_COMPILE", "LLVM", "KCFLAGS"] { identity[key] = environment[key] }
        // Kconfig asks for these tools whether or not they are used, and the configuration is part of the kernel.
        identity["rustc"] = "none"
        if ProcessRunner.find("pahole") != nil { identity["pahole"] = try await firstLine("pahole", runner) }

        // Rust is not supported; what a machine happens to have must not make another kernel.
        var variables = [("ARCH", "x86_64"), ("RUSTC", "false"), ("BINDGEN", "false")]
        if let llvm { variables.append(("LLVM", llvm)) }
        if !prefix.isEmpty { variables.append(("CROSS_COMPILE", prefix)) }
        variables.append(("CC", ((ccache ? ["ccache"] : []) + compiler).joined(separator: " ")))
        return Toolchain(variables: variables, identity: identity, compiler: compiler)
    }

    /// `LLVM=1`, `LLVM=-15` and `LLVM=/path/` as Documentation/kbuild/llvm.rst has them.
    private static func llvmTool(_ name: String, _ llvm: String) -> String {
        llvm.hasSuffix("/") ? llvm + name : llvm.hasPrefix("-") ? name + llvm : name
    }

    private static func firstLine(_ tool: String, _ runner: ProcessRunner) async throws -> String {
        let text = try await runner.check(Command(tool, ["--version"]))
        return text.split(separator: "\n").first.map(String.init) ?? tool
    }
}
