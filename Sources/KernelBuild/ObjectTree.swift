// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import KernelSource
import ProcessRunner

/// One persistent object folder, for a base and a configuration.
///
/// Used inside the worktree's checkout, so that nobody else touches either.
struct ObjectTree: Sendable {
    let builder: KernelBuilder
    let input: KernelInput
    let config: ConfigRequest
    let toolchain: Toolchain
    /// The worktree's folder.
    let source: String

    /// The object folder: `KBUILD_OUTPUT` if it is set, else one beside the worktree.
    var objects: String {
        if let given = builder.environment["KBUILD_OUTPUT"], !given.isEmpty { return given }
        return "\((source as NSString).deletingLastPathComponent)/obj-\(config.flavour)-\(config.digest.short)"
    }

    /// Notes beside the objects: what they were last built from.
    private struct State: Codable {
        var config: String
        var commit: String
        var objectsTotal: Int
    }

    private var statePath: String { objects + "/.hmmlab-state.json" }
    /// Exists while make runs; its time says which objects an interrupted make may have left half written.
    private var runningMark: String { objects + "/.hmmlab-building" }

    func build(signature: Signature, final: String) async throws -> KernelArtifact {
        try FileManager.default.createDirectory(atPath: objects, withIntermediateDirectories: true)
        builder.cache.markUsed(objects)
        try await removeHalfWritten()
        let before = (try? Files.bytes(statePath)).flatMap { try? JSON.value(State.self, from: $0) }
        if try await configurationIsStale(before) { try await configure() }

        builder.progress(.step("Building \(input.base.kernelVersion) (\(config.flavour))"))
        let log = objects + "/hmmlab-build.log"
        try Files.write("", to: runningMark)
        let compiled = try await make(["bzImage", "modules"], log: log, expected: before?.objectsTotal)
        let total = max(compiled, before?.objectsTotal ?? 0)
        try Files.write(
            try JSON.text(State(config: config.digest.hexadecimal, commit: input.commit, objectsTotal: total)),
            to: statePath)
        let artifact = try await collect(signature, final: final, compiled: compiled, log: log)
        try? FileManager.default.removeItem(atPath: runningMark)
        return artifact
    }

    /// A killed compiler can leave a truncated object that is newer than its source, which make would take for done.
    private func removeHalfWritten() async throws {
        guard Files.exists(runningMark) else { return }
        builder.progress(.note("The last build of this kernel was interrupted; its objects are compiled again"))
        try await builder.runner.check(
            Command(
                "find",
                [
                    objects, "-newer", runningMark, "-type", "f", "!", "-name", "*.cmd", "!", "-name", ".config*",
                    "!", "-path", "*/include/config/*", "!", "-name", ".hmmlab-*", "-delete",
                ]))
        try? FileManager.default.removeItem(atPath: statePath)
    }

    /// olddefconfig has to run again when the request changed, or when a patch touched what Kconfig reads.
    private func configurationIsStale(_ state: State?) async throws -> Bool {
        guard let state, state.config == config.digest.hexadecimal, Files.exists(objects + "/.config") else {
            return true
        }
        if state.commit == input.commit { return false }
        let changed = try await builder.runner.run(
            builder.sources.store.command(["diff", "--name-only", state.commit, input.commit]))
        guard changed.ending.isSuccess else { return true }
        return changed.standardOutput.split(separator: "\n").contains { path in
            let name = path.split(separator: "/").last ?? path
            return name.hasPrefix("Kconfig") || path.hasPrefix("scripts/") || name == "Makefile"
        }
    }

    private func configure() async throws {
        builder.progress(.step("Configuring (\(config.flavour))"))
        let requests = Fragment.merged(config.fragments)
        let fragment = objects + "/.hmmlab-fragment.config"
        try Files.write(requests.map(\.line.text).joined(separator: "\n") + "\n", to: fragment)
        if let start = config.start {
            try Files.write(start.lines.map(\.text).joined(separator: "\n") + "\n", to: objects + "/.config")
        } else {
            try await makeQuietly(["tinyconfig"])
        }
        // -m merges only; olddefconfig then settles the rest.
        try await builder.runner.check(
            Command(
                source + "/scripts/kconfig/merge_config.sh", ["-m", "-O", objects, objects + "/.config", fragment],
                environment: makeEnvironment, in: source))
        try await makeQuietly(["olddefconfig"])
        let final = try FinalConfig(text: try Files.text(objects + "/.config"))
        let dropped = final.dropped(from: requests)
        guard dropped.isEmpty else { throw droppedError(dropped, final) }
    }

    private func droppedError(_ dropped: [(line: ConfigLine, from: String)], _ final: FinalConfig) -> LabError {
        // The next call must configure again even if nothing else changes.
        try? FileManager.default.removeItem(atPath: statePath)
        let tree = KconfigTree(root: source, architecture: "x86")
        let reasons = dropped.map { request in
            "\(request.line.text) (from \(request.from)): \(tree.explanation(for: request.line, values: final.values))"
        }
        let names = dropped.map(\.line.symbol)
        return LabError(
            "config-dropped", exit: .buildFailed,
            "The kernel's configuration dropped \(names.count == 1 ? names[0] : "\(names.count) requested symbols")",
            cause: reasons.joined(separator: "\n"),
            next: "Enable what is missing with --set, or take the symbol out of its fragment.")
    }

    // MARK: - make

    /// Fixed time, user and host make identical inputs give identical images (Documentation/kbuild/reproducible-builds.rst).
    private var makeEnvironment: [String: String?] {
        var values: [String: String?] = [
            "KBUILD_BUILD_TIMESTAMP": "@0", "KBUILD_BUILD_USER": "hmmlab", "KBUILD_BUILD_HOST": "hmmlab",
            "KBUILD_BUILD_VERSION": "1", "LC_ALL": "C", "TZ": "UTC", "LOCALVERSION": "",
        ]
        for inherited in ["MAKEFLAGS", "MAKELEVEL", "KBUILD_OUTPUT"] { values.updateValue(nil, forKey: inherited) }
        if builder.environment["CCACHE_DIR"] == nil { values["CCACHE_DIR"] = builder.cache.root + "/ccache" }
        // Relative names in the preprocessed text let one base's objects serve the next point release.
        values["CCACHE_BASEDIR"] = (source as NSString).deletingLastPathComponent
        values["CCACHE_MAXSIZE"] = builder.environment["CCACHE_MAXSIZE"] ?? "10G"
        return values
    }

    private var makeArguments: [String] {
        // Debug information must not know where the cache lies: two machines get the same vmlinux.
        let maps = ["-fdebug-prefix-map=\(source)=.", "-fdebug-prefix-map=\(objects)=."]
        let user = builder.environment["KCFLAGS"].map { [$0] } ?? []
        return ["-C", source, "O=" + objects, "-j\(ProcessInfo.processInfo.activeProcessorCount)"]
            + toolchain.variables.map { "\($0.name)=\($0.value)" }
            + ["KCFLAGS=" + (maps + user).joined(separator: " "), "KAFLAGS=" + maps.joined(separator: " ")]
    }

    func makeQuietly(_ targets: [String]) async throws {
        try await builder.runner.check(Command("make", makeArguments + ["-s"] + targets, environment: makeEnvironment))
    }

    /// Runs make, keeps its output in a file, and returns the number of objects it compiled.
    private func make(_ targets: [String], log: String, expected: Int?) async throws -> Int {
        try Files.write("", to: log)
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: log))
        defer { try? file.close() }
        let counter = LockedValue((objects: 0, splitter: LineSplitter()))
        let progress = builder.progress
        let ending = try await builder.runner.stream(
            Command("make", makeArguments + targets, environment: makeEnvironment)
        ) { stream, bytes in
            counter.withLock { state in
                try? file.write(contentsOf: Data(bytes))
                guard stream == .standardOutput else { return }
                for line in state.splitter.feed(bytes) where Self.isCompilation(line) {
                    state.objects += 1
                    progress(
                        .update(
                            line.trimmingSpaces.description,
                            fraction: expected.map { min(Double(state.objects) / Double(max($0, 1)), 1) }))
                }
            }
        }
        let compiled = counter.withLock { $0.objects }
        guard ending.isSuccess else { throw try await buildError(log) }
        return compiled
    }

    private static func isCompilation(_ line: String) -> Bool {
        line.hasPrefix("  CC ") || line.hasPrefix("  AS ")
    }

    private func buildError(_ log: String) async throws -> LabError {
        let text = try Files.text(log)
        // make removes the target of a failed rule by itself; nothing half written is left behind.
        try? FileManager.default.removeItem(atPath: runningMark)
        let failure = BuildFailure(log: text.split(whereSeparator: \.isNewline), source: source)
        if let problem = failure.hostProblem {
            return LabError(
                "host-exhausted", "The host gave out while the kernel was built", cause: problem,
                next: "Free some disk space or memory, and run the same command again: what was built is kept.")
        }
        var cause = failure.lines
        for file in failure.files.prefix(4) where input.commit != input.base.commit {
            let blame = try await builder.runner.run(
                builder.sources.store.command(
                    ["log", "-1", "--format=%h %s", "\(input.base.commit)..\(input.commit)", "--", file]))
            let patch = blame.standardOutput.trimmingSpaces.split(separator: "\n").first
            cause.append(
                patch.map { "\(file) was last touched by patch: \($0)" } ?? "\(file) is not touched by the series")
        }
        return LabError(
            "kernel-build-failed", exit: .buildFailed, "The kernel does not build",
            cause: cause.joined(separator: "\n"),
            next: "The whole log is \(log).")
    }

    // MARK: - artifact

    private func collect(_ signature: Signature, final: String, compiled: Int, log: String) async throws
        -> KernelArtifact
    {
        builder.progress(.step("Collecting the kernel"))
        let staging = try builder.cache.stagingFolder()
        do {
            let release =
                try Files.text(objects + "/include/config/kernel.release").trimmingSpaces
                .split(separator: "\n").first.map(String.init) ?? ""
            let artifact = KernelArtifact(
                signature: signature.digest.hexadecimal, release: release, folder: staging, objectsCompiled: compiled,
                inputs: signature.inputs)
            try await makeQuietly(["INSTALL_MOD_PATH=" + artifact.modules, "modules_install"])
            for link in ["build", "source"] {
                try? FileManager.default.removeItem(atPath: "\(artifact.modules)/lib/modules/\(release)/\(link)")
            }
            for (from, to) in [
                (objects + "/arch/x86/boot/bzImage", artifact.image), (objects + "/vmlinux", artifact.vmlinux),
                (objects + "/System.map", artifact.systemMap), (objects + "/.config", artifact.config),
                (objects + "/usr/gen_init_cpio", artifact.initramfsPacker),
                (source + "/scripts/decode_stacktrace.sh", artifact.stackDecoder), (log, artifact.buildLog),
            ] {
                try await builder.runner.check(Command("cp", ["--reflink=auto", from, to]))
            }
            try Files.write(try JSON.text(artifact), to: staging + "/" + KernelArtifact.manifestName)
            try builder.cache.publish(staging, as: final)
        } catch {
            try? FileManager.default.removeItem(atPath: staging)
            throw error
        }
        guard let artifact = KernelArtifact.load(from: final) else {
            throw LabError("artifact-incomplete", "The finished kernel in \(final) cannot be read back")
        }
        return artifact
    }
}
