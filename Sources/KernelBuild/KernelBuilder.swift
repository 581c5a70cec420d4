// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import ProcessRunner

/// The source of a build: a base with a series applied, as a commit in the store.
public struct KernelInput: Sendable, Equatable {
    /// Names the base's folders in the cache.
    public var baseIdentifier: String
    /// `VERSION.PATCHLEVEL.SUBLEVEL`, such as `6.12.117`.
    public var kernelVersion: String
    /// The base's commit.
    public var baseCommit: String
    /// The commit to build: the base's, or the last patch's.
    public var commit: String
    /// That commit's tree, which is what the signature sees.
    public var tree: String

    /// Makes an input.
    public init(baseIdentifier: String, kernelVersion: String, baseCommit: String, commit: String, tree: String) {
        self.baseIdentifier = baseIdentifier
        self.kernelVersion = kernelVersion
        self.baseCommit = baseCommit
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
    let environment: [String: String]
    let progress: ProgressHandler
    /// Puts a commit of a base into that base's source folder and returns its path; called with the base's lock held.
    let checkOut: @Sendable (KernelInput) async throws -> String

    /// A builder.
    ///
    /// - Parameter checkOut: puts a commit into its base's persistent source folder, changing only files that differ.
    public init(
        cache: Cache, runner: ProcessRunner, environment: [String: String] = ProcessInfo.processInfo.environment,
        progress: @escaping ProgressHandler = { _ in },
        checkOut: @escaping @Sendable (KernelInput) async throws -> String
    ) {
        self.cache = cache
        self.runner = runner
        self.environment = environment
        self.progress = progress
        self.checkOut = checkOut
    }

    /// The kernel for an input and a configuration, from the cache or built now.
    ///
    /// - Throws: ``LabError``: `kernel-build-failed` and `config-dropped` (exit 2), `disk-full`, `tool-missing` and others.
    public func build(_ input: KernelInput, _ config: ConfigRequest) async throws -> KernelArtifact {
        let toolchain = try await Toolchain.detect(environment: environment, runner: runner)
        let signature = self.signature(input, config, toolchain)
        let folder = try cache.path("artifacts", signature.digest.hexadecimal)
        if let artifact = KernelArtifact.load(from: folder) { return artifact }

        let work = try cache.folder("work", input.baseIdentifier)
        let progress = progress
        let lock = try await FileLock.acquire(work + "/build.lock") {
            progress(.note("Another hmmlab builds this base; waiting for it"))
        }
        defer { _ = lock }
        // The other one may have built the very same kernel.
        if let artifact = KernelArtifact.load(from: folder) { return artifact }
        // A cold object folder with line numbers takes about 1.5 GiB, the artifact 200 MiB.
        try Files.requireSpace(3 << 30, at: work, for: "building a kernel")

        progress(.step("Checking out \(input.kernelVersion)"))
        let source = try await checkOut(input)
        let tree = ObjectTree(
            builder: self, input: input, config: config, toolchain: toolchain, source: source,
            objects: environment["KBUILD_OUTPUT"].flatMap { $0.isEmpty ? nil : $0 }
                ?? "\(work)/obj-\(config.flavour)-\(config.digest.short)")
        return try await tree.build(signature: signature, final: folder)
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
