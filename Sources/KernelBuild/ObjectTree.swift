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

    /// The object folder.
    var objects: String { builder.objectFolder(source: source, workspace: input.base.workspace, config) }

    /// Notes beside the objects: what the `.config` there was made for.
    private struct State: Codable {
        var config: String
        var toolchain: String
        var commit: String
        /// The commit that all objects are of; nil while make runs, and before.
        var built: String?
        /// How many objects a build compiles at most, as far as is known.
        var objectsTotal: Int?
    }

    private var statePath: String { objects + "/.hmmlab-state.json" }
    /// Exists while make runs; its time says which objects an interrupted make may have left half written.
    private var runningMark: String { objects + "/.hmmlab-building" }

    private var bootImage: String { objects + "/arch/x86/boot/bzImage" }
    private var log: String { objects + "/hmmlab-build.log" }
    private var state: State? { (try? Files.bytes(statePath)).flatMap { try? JSON.value(State.self, from: $0) } }

    func build(signature: Signature, final: String, image: ImageNeed) async throws -> KernelArtifact {
        let compiled = try await makeKernel(image)
        return try await collect(signature, final: final, compiled: compiled)
    }

    /// Makes the compressed image of a kernel that was built without it, and puts it beside the rest.
    func addImage(to artifact: KernelArtifact) async throws -> KernelArtifact {
        try await makeKernel(.always)
        // Whoever looks meanwhile finds no image, or all of it.
        let part = "\(artifact.imagePath).\(UUID().uuidString)"
        defer { unlink(part) }
        try await builder.runner.check(Command("cp", ["--reflink=auto", bootImage, part]))
        guard rename(part, artifact.imagePath) == 0 else {
            throw LabError(
                "file-unwritable", "\(artifact.imagePath) cannot be written", cause: String(cString: strerror(errno)))
        }
        var artifact = artifact
        artifact.relocate(to: artifact.folder)
        return artifact
    }

    /// Whether the objects are those of this commit and configuration, and whole.
    func isBuilt() async throws -> Bool {
        let state = state
        guard state?.built == input.commit, !Files.exists(runningMark) else { return false }
        return try await !configurationIsStale(state)
    }

    /// Configures and compiles what is out of date; returns the number of objects that were compiled.
    @discardableResult
    func makeKernel(_ image: ImageNeed) async throws -> Int {
        try await withConfiguration {
            let before = state
            builder.progress(.step("Building \(input.base.kernelVersion) (\(config.flavour))"))
            let needsImage = image == .always || !KernelArtifact.hasPVHEntry(objects + "/.config")
            // An older state's image must not be taken for this one's.
            if !needsImage { try? FileManager.default.removeItem(atPath: bootImage) }
            let compiled = try await make(
                [needsImage ? "bzImage" : "vmlinux", "modules"], expected: before?.objectsTotal)
            try remember(objectsTotal: max(compiled, before?.objectsTotal ?? 0), built: true)
            return compiled
        }
    }

    /// Configures what is out of date, and runs what calls make while the mark of a running make lies there.
    func withConfiguration<Result>(_ body: () async throws -> Result) async throws -> Result {
        try await begin()
        builder.cache.markUsed(objects)
        let before = state
        if try await configurationIsStale(before) {
            try await configure(objectsTotal: before?.objectsTotal)
        } else {
            try remember(objectsTotal: before?.objectsTotal)
        }
        let result = try await body()
        end()
        return result
    }

    /// Installs the headers that the kernel exports to programs.
    func installHeaders(to folder: String) async throws {
        try await begin()
        try await makeQuietly(["headers_install", "INSTALL_HDR_PATH=" + folder])
        end()
    }

    // MARK: - Interruptions

    /// Removes what an interrupted make left half written, and marks that make may run from here on.
    func begin() async throws {
        try FileManager.default.createDirectory(atPath: objects, withIntermediateDirectories: true)
        try await removeHalfWritten()
        try Files.write("", to: runningMark)
    }

    /// Nothing that make runs can be interrupted any more.
    func end() { try? FileManager.default.removeItem(atPath: runningMark) }

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
        try forgetState()
    }

    // MARK: - Configuration

    /// olddefconfig has to run again when the request or the tools changed, or a patch touched what Kconfig reads.
    private func configurationIsStale(_ state: State?) async throws -> Bool {
        guard let state, state.config == config.digest.hexadecimal, Files.hasContent(objects + "/.config"),
            state.toolchain == toolchain.digest.hexadecimal
        else { return true }
        if state.commit == input.commit { return false }
        let changed = try await builder.runner.run(
            builder.sources.store.command(["diff", "--name-only", state.commit, input.commit]))
        guard changed.ending.isSuccess, !changed.isTruncated else { return true }
        return changed.standardOutput.split(separator: "\n").contains(where: Self.isReadByKconfig)
    }

    /// Whether a file of the tree can change what a configuration request leads to.
    static func isReadByKconfig(_ path: some StringProtocol) -> Bool {
        let parts = path.split(separator: "/")
        guard let name = parts.last else { return false }
        // Of the makefiles, only the one at the top and the architecture's are read before Kconfig.
        let isMakefile = name == "Makefile" && (parts.count == 1 || parts.first == "arch" && parts.count == 3)
        return name.hasPrefix("Kconfig") || isMakefile || path.hasPrefix("scripts/")
            || parts.dropLast().last == "configs"
    }

    /// Names everything that decides what the configuration request leads to in this tree.
    private func settledName() async throws -> String {
        let output = try await builder.runner.check(
            builder.sources.store.command(["ls-tree", "-r", input.commit]), outputLimit: 64 << 20)
        let files = output.split(separator: "\n").filter { line in
            line.firstIndex(of: "\t").map { Self.isReadByKconfig(line[line.index(after: $0)...]) } ?? false
        }
        let parts = [config.digest.hexadecimal, toolchain.digest.hexadecimal] + files.map(String.init)
        return "\(objects)/.hmmlab-settled-\(Digest(of: parts.joined(separator: "\n")).short)"
    }

    private func forgetState() throws {
        guard unlink(statePath) == 0 || errno == ENOENT else {
            throw LabError("file-unwritable", "\(statePath) cannot be removed", cause: String(cString: strerror(errno)))
        }
    }

    private func remember(objectsTotal: Int?, built: Bool = false) throws {
        let state = State(
            config: config.digest.hexadecimal, toolchain: toolchain.digest.hexadecimal, commit: input.commit,
            built: built ? input.commit : nil, objectsTotal: objectsTotal)
        try Files.write(try JSON.text(state), to: statePath)
    }

    private func configure(objectsTotal: Int?) async throws {
        builder.progress(.step("Configuring (\(config.flavour))"))
        // From here on the .config is nobody's until it has been verified.
        try forgetState()
        // A bisection goes back and forth between trees that Kconfig sees; what was settled once is settled.
        let settled = try await settledName()
        if let text = try? Files.text(settled) {
            if (try? Files.text(objects + "/.config")) != text { try Files.write(text, to: objects + "/.config") }
            return try remember(objectsTotal: objectsTotal)
        }
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
        guard dropped.isEmpty else {
            end()
            throw droppedError(dropped, final)
        }
        try Files.write(try Files.text(objects + "/.config"), to: settled)
        try remember(objectsTotal: objectsTotal)
    }

    private func droppedError(_ dropped: [(line: ConfigLine, from: String)], _ final: FinalConfig) -> LabError {
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

    private var makeEnvironment: [String: String?] {
        let inherited = Set(builder.environment.keys).union(ProcessInfo.processInfo.environment.keys)
        var values = MakeEnvironment.cleared(of: inherited)
        for (name, value) in MakeEnvironment.reproducible { values[name] = value }
        for (name, value) in MakeEnvironment.ccache(builder.environment, folder: builder.cache.root + "/ccache") {
            values[name] = value
        }
        // Relative names in the preprocessed text let one base's objects serve the next point release.
        values["CCACHE_BASEDIR"] = (source as NSString).deletingLastPathComponent
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

    /// Make with this kernel's variables.
    ///
    /// - Parameter isQuiet: whether the lines that name each object are left out.
    func makeCommand(_ targets: [String], isQuiet: Bool = true) -> Command {
        Command("make", makeArguments + (isQuiet ? ["-s"] : []) + targets, environment: makeEnvironment)
    }

    private func makeQuietly(_ targets: [String]) async throws {
        let command = makeCommand(targets)
        let output = try await builder.runner.run(command)
        guard !output.ending.isSuccess else { return }
        let failure = BuildFailure(
            log: output.standardError.split(whereSeparator: \.isNewline), source: source)
        throw hostError(output.ending, failure) ?? ProcessRunner.failure(of: command, output)
    }

    /// Runs make, keeps its output in a file, and returns the number of objects it compiled.
    private func make(_ targets: [String], expected: Int?) async throws -> Int {
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
        guard ending.isSuccess else { throw try await buildError(ending) }
        return compiled
    }

    private static func isCompilation(_ line: String) -> Bool {
        line.hasPrefix("  CC ") || line.hasPrefix("  AS ")
    }

    /// The error for a make that failed because of the host; nil if the kernel is to blame.
    ///
    /// A make that ends by itself removes the targets of failed rules (`.DELETE_ON_ERROR` in scripts/Kbuild.include), so
    /// that the mark can go. One that a signal ended, the kernel's for want of memory say, leaves half-written files.
    func hostError(_ ending: Ending, _ failure: BuildFailure) -> LabError? {
        var signal: String?
        switch ending {
        case .signalled(let number): signal = "make was ended by signal \(number)"
        // What the supervisor returns when it was itself asked to end make.
        case .exited(128...): signal = "make was ended from outside"
        case .exited: break
        }
        if signal == nil && !failure.wasKilled { end() }
        guard let problem = failure.hostProblem ?? signal else { return nil }
        return LabError(
            "host-exhausted", "The host gave out while the kernel was built", cause: problem,
            next: "Free some disk space or memory, and run the same command again; it goes on with what is left.")
    }

    private func buildError(_ ending: Ending) async throws -> LabError {
        let text = try Files.text(log)
        let failure = BuildFailure(log: text.split(whereSeparator: \.isNewline), source: source)
        if let error = hostError(ending, failure) { return error }
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

    private func collect(_ signature: Signature, final: String, compiled: Int) async throws -> KernelArtifact {
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
            let image = Files.exists(bootImage) ? [(bootImage, artifact.imagePath)] : []
            for (from, to) in image + [
                (objects + "/vmlinux", artifact.vmlinux),
                (objects + "/System.map", artifact.systemMap), (objects + "/.config", artifact.config),
                (objects + "/usr/gen_init_cpio", artifact.initramfsPacker),
                (source + "/scripts/decode_stacktrace.sh", artifact.stackDecoder), (log, artifact.buildLog),
            ] {
                try await builder.runner.check(Command("cp", ["--reflink=auto", from, to]))
            }
            try Files.write(try JSON.text(artifact), to: staging + "/" + KernelArtifact.manifestName)
            // The worktree's lock is held, and a sound kernel was looked for before: what is there now is damaged.
            if KernelArtifact.load(from: final) == nil { try builder.removeDamaged(final) }
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
