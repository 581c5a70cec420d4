// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import ProcessRunner

/// Bases from this machine: commits, folders, archives.
extension KernelSources {
    func importCommit(_ revision: String, of path: String, _ spec: BaseSpec) async throws -> Base {
        let repository = UserRepository(path: path, runner: runner)
        let commit = try await repository.commit(revision)
        let identifier = "git-\(commit.prefix(16))"
        if let known = try await store.bases().first(where: { $0.spec == spec && $0.commit == commit }) { return known }
        return try await store.exclusively {
            store.removeLocks()
            if try await !store.holds(commit) {
                progress(.step("Reading \(commit.prefix(12)) from \(path)"))
                try await store.fetch(commit, from: repository)
            }
            let makefile = try await runner.run(store.command(["cat-file", "blob", commit + ":Makefile"]))
            guard let kernel = KernelVersion.parse(makefile: makefile.standardOutput) else {
                throw KernelVersion.notKernel(spec.description)
            }
            guard let tree = try await store.objectID(of: commit + "^{tree}") else {
                throw LabError("fetch-failed", "\(commit) did not arrive in the store")
            }
            let base = Base(
                spec: spec, identifier: identifier, workspace: Base.workspace("git", path: path), version: revision,
                kernelVersion: kernel, commit: commit, tree: tree, origin: nil, importedAt: now())
            try await store.publish(base)
            return base
        }
    }

    func importDirectory(_ path: String, _ spec: BaseSpec) async throws -> Base {
        guard Files.isFolder(path) else {
            throw LabError(
                "folder-missing", exit: .usage, "There is no folder \(path)",
                next: "Name the top of a Linux source tree.")
        }
        let kernel = try KernelVersion.of(folder: path, named: path)
        try Self.requireClean(path, named: path, next: "Run make mrproper there, or use git:\(path)@HEAD.")
        let workspace = Base.workspace("dir", path: path)
        return try await store.exclusively {
            store.removeLocks()
            progress(.step("Reading \(path)"))
            let imported = try await store.importFolder(
                path, named: path, index: "\(store.gitDirectory)/hmmlab/\(workspace).index",
                message: "Linux \(kernel) from a folder")
            let base = Base(
                spec: spec, identifier: "dir-\(imported.tree.prefix(16))", workspace: workspace, version: kernel,
                kernelVersion: kernel, commit: imported.commit, tree: imported.tree, origin: nil, importedAt: now())
            let known = try await store.bases().filter { $0.workspace == workspace }
            if let same = known.first(where: { $0.identifier == base.identifier }) { return same }
            try await store.publish(base)
            // Each edit makes a new state; only the newest has a name, or the list would fill up with them.
            for former in known { try await store.forget(former) }
            return base
        }
    }

    func importArchive(_ path: String, _ spec: BaseSpec) async throws -> Base {
        guard Files.exists(path), !Files.isFolder(path) else {
            throw LabError("archive-missing", exit: .usage, "There is no file \(path)", next: "Name a tar archive.")
        }
        let digest: Digest
        do { digest = try Digest(ofFile: path) } catch {
            throw LabError(
                "archive-unreadable", exit: .usage, "\(path) cannot be read", cause: error.localizedDescription)
        }
        let identifier = "tar-\(digest.short)"
        return try await importUnpacked(identifier, spec, version: { $0 }, message: { "Linux \($0) from an archive" }) {
            progress(.step("Unpacking \((path as NSString).lastPathComponent)"))
            let folder = try await Unpacker(runner: runner).tar(path, into: $0)
            try Self.requireClean(folder, named: path, next: "Run make mrproper in the tree before packing it.")
            return folder
        }
    }

    /// Refuses a tree that a kernel was configured or built in: kbuild then builds nowhere else (`outputmakefile` in
    /// the top Makefile).
    private static func requireClean(_ folder: String, named name: String, next: String) throws {
        let left = [".config", "include/config", "arch/x86/include/generated"].filter {
            Files.exists("\(folder)/\($0)")
        }
        guard left.isEmpty else {
            throw LabError(
                "base-not-clean", exit: .usage, "A kernel was built inside of \(name)",
                cause:
                    "It holds \(left.joined(separator: ", ")), with which the kernel's make refuses to build elsewhere.",
                next: next)
        }
    }

    /// Imports a folder that is made for the purpose, and keeps it as the worktree.
    ///
    /// - Parameters:
    ///   - identifier: the base's identifier, which is its workspace too.
    ///   - spec: what was asked for.
    ///   - origin: the suite, if it is a package.
    ///   - version: the base's version, from the kernel's.
    ///   - message: the commit's message, from the kernel's version.
    ///   - unpack: fills an empty folder and returns the top of the sources in it.
    /// - Returns: the base, which the store may have had already.
    /// - Throws: ``LabError`` `base-not-kernel`, `disk-full`, `import-failed`; what `unpack` throws.
    func importUnpacked(
        _ identifier: String, _ spec: BaseSpec, origin: String? = nil, version: @Sendable (String) -> String,
        message: @Sendable (String) -> String, unpack: @Sendable (String) async throws -> String
    ) async throws -> Base {
        let stored = { @Sendable in try await store.bases().first { $0.identifier == identifier } }
        if let known = try await stored() { return known }
        let staging = try cache.stagingFolder()
        defer { try? FileManager.default.removeItem(atPath: staging) }
        let index = staging + "/index"
        let (base, folder) = try await store.exclusively { () -> (Base, String?) in
            if let known = try await stored() { return (known, nil) }
            store.removeLocks()
            let place = staging + "/unpacked"
            try makeFolder(place)
            let folder = try await unpack(place)
            let kernel = try KernelVersion.of(folder: folder, named: spec.description)
            progress(.step("Importing Linux \(kernel) into the store"))
            let imported = try await store.importFolder(
                folder, named: spec.description, index: index, message: message(kernel))
            let base = Base(
                spec: spec, identifier: identifier, workspace: identifier, version: version(kernel),
                kernelVersion: kernel, commit: imported.commit, tree: imported.tree, origin: origin, importedAt: now())
            try await store.publish(base)
            return (base, folder)
        }
        if let folder { try await worktree(for: base).adopt(folder, index: index) }
        return base
    }

    /// The time as it is recorded, in whole seconds: JSON keeps no more.
    private func now() -> Date { Date(timeIntervalSince1970: Date().timeIntervalSince1970.rounded(.down)) }
}
