// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import KernelSource
import ProcessRunner

/// The source of a build: a base with a series applied, as a commit in the store.
public struct KernelInput: Sendable, Equatable {
    /// The base, whose worktree is used.
    public var base: Base
    /// The commit to build: the base's, or the last patch's.
    public var commit: String
    /// That commit's tree, which is what the signature sees.
    public var tree: String

    /// Makes an input.
    public init(base: Base, commit: String, tree: String) {
        self.base = base
        self.commit = commit
        self.tree = tree
    }
}

/// What a kernel is configured with.
public struct ConfigRequest: Sendable {
    /// The flavour's name, for folders and messages.
    public var flavour: String
    /// A complete .config to start from instead of tinyconfig; its symbols are not verified, the fragments' are.
    public var start: Fragment?
    /// Fragments in the order of merging.
    public var fragments: [Fragment]

    /// Makes a request.
    public init(flavour: String, start: Fragment? = nil, fragments: [Fragment]) {
        self.flavour = flavour
        self.start = start
        self.fragments = fragments
    }

    /// Makes a request from a flavour's fragments, the person's files and the person's settings, in that order.
    ///
    /// A file that is a complete .config is started from; any other is merged.
    ///
    /// - Throws: ``LabError`` `fragment-bad`; `config-ambiguous` for two complete ones.
    public init(flavour: String, files: [Fragment.File], fragments: [Fragment], settings: Fragment) throws {
        let complete = files.filter(\.isComplete)
        guard complete.count < 2 else {
            throw LabError(
                "config-ambiguous", exit: .usage, "Two complete configurations were given",
                cause: complete.map(\.path).joined(separator: "\n"), next: "Give one, and fragments beside it.")
        }
        let merged = try files.filter { !$0.isComplete }.map { try Fragment(name: $0.path, text: $0.text) }
        self.init(
            flavour: flavour, start: try complete.first.map { try Fragment(name: $0.path, text: $0.text) },
            fragments: fragments + merged + (settings.lines.isEmpty ? [] : [settings]))
    }

    /// Identifies the requested configuration.
    public var digest: Digest {
        let lines = Fragment.merged((start.map { [$0] } ?? []) + fragments).map(\.line.text)
        return Digest(of: (start == nil ? "tinyconfig\n" : "given\n") + lines.joined(separator: "\n"))
    }
}

/// Builds kernels from commits, once per content.
public struct KernelBuilder: Sendable {
    /// Raised whenever the way of building changes what comes out.
    static let recipe = "1"

    let cache: Cache
    let runner: ProcessRunner
    let sources: KernelSources
    let environment: [String: String]
    let progress: ProgressHandler

    /// A builder for bases of a store.
    public init(
        cache: Cache, runner: ProcessRunner, sources: KernelSources,
        environment: [String: String] = ProcessInfo.processInfo.environment,
        progress: @escaping ProgressHandler = { _ in }
    ) {
        self.cache = cache
        self.runner = runner
        self.sources = sources
        self.environment = environment
        self.progress = progress
    }

    /// Refuses folders that the kernel's make cannot work in; to be called before anything is fetched.
    ///
    /// - Throws: ``LabError`` `path-unbuildable`.
    public func checkPaths() throws {
        try BuildPath.check(cache.root, setBy: "XDG_CACHE_HOME")
        if let output = personsOutput { try BuildPath.check(output, setBy: "KBUILD_OUTPUT") }
    }

    /// `KBUILD_OUTPUT` as an absolute path; nil if it is not set.
    private var personsOutput: String? {
        guard let given = environment["KBUILD_OUTPUT"], !given.isEmpty else { return nil }
        return given.hasPrefix("/") ? given : FileManager.default.currentDirectoryPath + "/" + given
    }

    /// The object folder for a base's worktree and a configuration.
    ///
    /// Below `KBUILD_OUTPUT` if that is set, never the folder itself: kernel developers export it, and have a kernel of
    /// their own there. Worktrees of two caches must not share one either, hence the digest of the source's path.
    func objectFolder(source: String, workspace: String, _ config: ConfigRequest) -> String {
        guard let output = personsOutput else {
            return "\((source as NSString).deletingLastPathComponent)/obj-\(config.flavour)-\(config.digest.short)"
        }
        let name = Digest(of: "\(source)\n\(config.digest)").short
        return "\(output)/hmmlab-\(workspace)-\(config.flavour)-\(name)"
    }

    /// Removes a folder of the cache that was found damaged, and would keep a sound one from its place for ever.
    func removeDamaged(_ folder: String) throws {
        guard Files.exists(folder) else { return }
        do {
            try FileManager.default.removeItem(atPath: folder)
        } catch {
            throw LabError(
                "cache-unwritable", "\(folder) is damaged and cannot be removed", cause: error.localizedDescription,
                next: "Remove it yourself: what it held is made again.")
        }
    }

    /// The kernel for an input and a configuration, from the cache or built now.
    ///
    /// - Throws: ``LabError``: `kernel-build-failed` and `config-dropped` (exit 2), `host-exhausted`, `disk-full`,
    ///   `path-unbuildable`, `tool-missing` and others.
    public func build(
        _ input: KernelInput, _ config: ConfigRequest, image: ImageNeed = .always
    ) async throws -> KernelArtifact {
        try checkPaths()
        let toolchain = try await Toolchain.detect(environment: environment, runner: runner)
        let signature = self.signature(input, config, toolchain)
        let folder = try cache.path("artifacts", signature.digest.hexadecimal)
        if let artifact = KernelArtifact.load(from: folder), artifact.satisfies(image) {
            cache.markUsed(folder)
            return artifact
        }

        return try await sources.worktree(for: input.base).withCheckout(of: input.commit) { source in
            // Another hmmlab may have built the very same kernel while this one waited for the worktree.
            let before = KernelArtifact.load(from: folder)
            if let before, before.satisfies(image) { return before }
            // A cold object folder with line numbers takes about 1.5 GiB, the artifact 200 MiB.
            try Files.requireSpace(3 << 30, at: source, for: "building a kernel")
            let tree = ObjectTree(builder: self, input: input, config: config, toolchain: toolchain, source: source)
            if let before { return try await tree.addImage(to: before) }
            return try await tree.build(signature: signature, final: folder, image: image)
        }
    }

    /// The kernel for an input and a configuration if it is in the cache.
    ///
    /// - Throws: ``LabError`` if the toolchain cannot be asked who it is.
    public func cached(
        _ input: KernelInput, _ config: ConfigRequest, image: ImageNeed = .always
    ) async throws -> KernelArtifact? {
        let toolchain = try await Toolchain.detect(environment: environment, runner: runner)
        let artifact = KernelArtifact.load(
            from: try cache.path("artifacts", signature(input, config, toolchain).digest.hexadecimal))
        return artifact.flatMap { $0.satisfies(image) ? $0 : nil }
    }

    func signature(_ input: KernelInput, _ config: ConfigRequest, _ toolchain: Toolchain) -> Signature {
        var signature = Signature()
        signature.add("recipe", Self.recipe)
        signature.add("tree", input.tree)
        signature.add("config", config.digest.hexadecimal)
        for (key, value) in toolchain.identity { signature.add(key, value) }
        return signature
    }
}
