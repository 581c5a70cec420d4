// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import KernelSource
import ProcessRunner

/// Builds modules whose sources lie outside the kernel's tree, with the tree's own kbuild
/// (Documentation/kbuild/modules.rst).
public struct ModuleBuilder: Sendable {
    /// Where the modules are built, below the kernel's objects; their debug information names it.
    public static let folder = "hmmlab-modules"

    /// Raised whenever the way of building changes what comes out.
    private static let recipe = "1"

    let builder: KernelBuilder

    /// A builder that shares folders, tools and locks with the kernel's.
    public init(_ builder: KernelBuilder) { self.builder = builder }

    /// The modules for a kernel, from the cache or built now.
    ///
    /// - Parameters:
    ///   - folder: holds `modules` with a Kbuild file, and whatever that names relative to itself.
    ///   - artifact: the kernel that the input and the configuration gave.
    /// - Returns: the finished modules, in the order of their names.
    /// - Throws: ``LabError`` `module-build-failed` (exit 2), and what building a kernel throws.
    public func build(
        from folder: String, for artifact: KernelArtifact, _ input: KernelInput, _ config: ConfigRequest
    ) async throws -> [String] {
        let sources = try Self.sources(in: folder)
        var signature = Signature()
        signature.add("recipe", Self.recipe)
        signature.add("kernel", artifact.signature)
        for name in sources { signature.add(name, try Digest(ofFile: "\(folder)/\(name)").hexadecimal) }
        let final = try builder.cache.path("modules", signature.digest.hexadecimal)
        if let modules = Self.modules(in: final) {
            builder.cache.markUsed(final)
            return modules
        }

        let toolchain = try await Toolchain.detect(environment: builder.environment, runner: builder.runner)
        return try await builder.sources.worktree(for: input.base).withCheckout(of: input.commit) { source in
            if let modules = Self.modules(in: final) { return modules }
            let tree = ObjectTree(builder: builder, input: input, config: config, toolchain: toolchain, source: source)
            try await collect(try await tree.buildModules(from: folder, sources), final: final)
            guard let modules = Self.modules(in: final) else {
                throw LabError("artifact-incomplete", "The finished modules in \(final) cannot be read back")
            }
            return modules
        }
    }

    /// Files below a folder by their relative names, in a fixed order; hidden ones are an editor's.
    static func sources(in folder: String) throws -> [String] {
        let names = FileManager.default.enumerator(atPath: folder)?.allObjects as? [String] ?? []
        let files = names.sorted().filter { name in
            !name.split(separator: "/").contains { $0.hasPrefix(".") } && !Files.isFolder("\(folder)/\(name)")
        }
        guard files.contains("modules/Kbuild") else {
            throw LabError(
                "installation-unknown", "hmmlab does not find its own modules",
                cause: "There is no modules/Kbuild in \(folder).", next: "Restore the clone with git.")
        }
        return files
    }

    /// The modules in a finished folder; nil if there is none.
    private static func modules(in folder: String) -> [String]? {
        guard Files.exists(folder + "/" + list), let names = try? Files.text(folder + "/" + list) else { return nil }
        let modules = names.split(separator: "\n").map { "\(folder)/\($0)" }
        return !modules.isEmpty && modules.allSatisfy(Files.hasContent) ? modules : nil
    }

    /// Names what a folder in the cache holds.
    private static let list = "list"

    private func collect(_ modules: [String], final: String) async throws {
        let staging = try builder.cache.stagingFolder()
        do {
            try await builder.runner.check(Command("cp", ["--reflink=auto", "-t", staging] + modules))
            let names = modules.map { ($0 as NSString).lastPathComponent }
            try Files.write(names.joined(separator: "\n") + "\n", to: "\(staging)/\(Self.list)")
            try builder.removeDamaged(final)
            try builder.cache.publish(staging, as: final)
        } catch {
            try? FileManager.default.removeItem(atPath: staging)
            throw error
        }
    }
}

extension ObjectTree {
    /// Builds modules against the objects of this commit, which are made again first if they are another's.
    ///
    /// The sources are copied to one place in the object folder, so that ccache knows again what did not change.
    ///
    /// - Returns: the modules' paths, in the order of their names; gone with the next call.
    func buildModules(from folder: String, _ sources: [String]) async throws -> [String] {
        if try await !isBuilt() { try await makeKernel(.unlessPVH) }
        builder.progress(.step("Building hmmlab's modules"))
        let place = try copyModules(from: folder, sources, to: ModuleBuilder.folder) + "/modules"
        let output = try await builder.runner.run(makeCommand(["M=" + place, "modules"]))
        guard output.ending.isSuccess else { throw moduleFailure(output, in: place) }
        let names = try FileManager.default.contentsOfDirectory(atPath: place).filter { $0.hasSuffix(".ko") }
        return names.sorted().map { "\(place)/\($0)" }
    }

    /// Copies the modules' sources to a folder of that name below the objects, and returns its path.
    func copyModules(from folder: String, _ sources: [String], to name: String) throws -> String {
        let copy = "\(objects)/\(name)"
        try? FileManager.default.removeItem(atPath: copy)
        for name in sources { try Files.write(try Files.bytes("\(folder)/\(name)"), to: "\(copy)/\(name)") }
        return copy
    }

    /// The error for modules that do not compile.
    func moduleFailure(_ output: CommandOutput, in place: String) -> LabError {
        let failure = BuildFailure(log: output.standardError.split(whereSeparator: \.isNewline), source: place)
        return hostError(output.ending, failure)
            ?? LabError(
                "module-build-failed", exit: .buildFailed, "hmmlab's modules do not build on this base",
                cause: failure.lines.joined(separator: "\n"),
                next: "Run the suites with --driver test_hmm, the base's own.")
    }
}
