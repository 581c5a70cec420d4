// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import KernelSource
import ProcessRunner

/// What became of one object that was asked for by its name.
public struct MadeObject: Sendable, Codable, Equatable {
    /// How it ended.
    public enum State: String, Sendable, Codable {
        /// It is there and of the commit that was asked for.
        case built
        /// It does not compile.
        case failed
        /// The configuration has no such object.
        case absent
    }

    /// How it ended.
    public var state: State
    /// What the compiler says of it, whether it ran now or earlier.
    public var diagnostics: [Diagnostic]

    /// Makes a result.
    public init(_ state: State, _ diagnostics: [Diagnostic] = []) {
        self.state = state
        self.diagnostics = diagnostics
    }
}

/// What a checker that kbuild calls (`make C=2`) said.
public struct CheckerOutput: Sendable, Codable, Equatable {
    /// What it said by object; an object that it did not look at is missing.
    public var diagnostics: [String: [Diagnostic]]
    /// Why it could not judge; nil if it could.
    public var obstacle: String?
}

/// Makes single objects of commits with `W=1`, in object folders of their own that are kept between runs.
///
/// Used inside the worktree's checkout, so that nobody else touches either. What the compiler said of an object is kept
/// beside it, for make does not compile again what is up to date.
public struct ObjectMaker: Sendable {
    /// Raised whenever the same input would give other results than before.
    public static let recipe = "2"

    let builder: KernelBuilder
    let toolchain: Toolchain

    /// A maker with the compiler that the environment names.
    ///
    /// - Throws: ``LabError`` as ``Toolchain/detect(environment:runner:)``.
    public init(_ builder: KernelBuilder) async throws {
        self.builder = builder
        toolchain = try await Toolchain.detect(environment: builder.environment, runner: builder.runner)
    }

    /// Identifies the compiler, the linker and what they are told.
    public var identity: String { toolchain.digest.hexadecimal }

    private func tree(_ input: KernelInput, _ config: ConfigRequest, _ source: String) -> ObjectTree {
        ObjectTree(builder: builder, input: input, config: config, toolchain: toolchain, source: source)
    }

    /// Makes objects; one that does not compile does not keep the others from it.
    ///
    /// - Parameters:
    ///   - objects: names relative to the source tree, such as `mm/memory.o`.
    ///   - input: the commit that is checked out.
    ///   - config: the configuration.
    ///   - source: the worktree's folder.
    /// - Throws: ``LabError`` `config-dropped`, `host-exhausted` and others.
    public func compile(
        _ objects: [String], of input: KernelInput, _ config: ConfigRequest, in source: String
    ) async throws -> [String: MadeObject] {
        let tree = tree(input, config, source)
        // A first object folder takes about 150 MiB, of which most are made by `make prepare`.
        if !Files.exists(tree.objects) { try Files.requireSpace(1 << 30, at: source, for: "checking patches") }
        return try await tree.withConfiguration { try await tree.compile(objects) }
    }

    /// Lets a checker look at objects that have been made.
    ///
    /// - Parameters:
    ///   - variables: make's, such as `C=2`.
    ///   - objects: names as for ``compile(_:of:_:in:)``.
    ///   - input: the commit that is checked out.
    ///   - config: the configuration.
    ///   - source: the worktree's folder.
    /// - Throws: as ``compile(_:of:_:in:)``.
    public func check(
        _ variables: [String], _ objects: [String], of input: KernelInput, _ config: ConfigRequest, in source: String
    ) async throws -> CheckerOutput {
        let tree = tree(input, config, source)
        return try await tree.withConfiguration {
            let disabled = try await EnabledObjects(
                source: source, objects: tree.objects, runner: builder.runner
            ).missing(objects)
            let enabled = objects.filter { !disabled.contains($0) }
            guard !enabled.isEmpty else { return CheckerOutput(diagnostics: [:]) }
            let run = try await tree.makeObjects(variables + enabled)
            return ObjectLog(run.lines, source: source).checker(run.ending)
        }
    }
}

extension ObjectTree {
    /// What the compiler said of the objects as they are; an object that is not in it is made anew.
    private var notes: String { objects + "/.hmmlab-diagnostics.json" }

    fileprivate func compile(_ names: [String]) async throws -> [String: MadeObject] {
        var known =
            (try? Files.bytes(notes)).flatMap { try? JSON.value([String: [Diagnostic]].self, from: $0) } ?? [:]
        let before = known
        for name in names where known.removeValue(forKey: name) == nil {
            try? FileManager.default.removeItem(atPath: "\(objects)/\(name)")
        }
        // From here to the end of make, nobody knows what these objects are.
        try Files.write(try JSON.text(known), to: notes)
        let disabled = try await EnabledObjects(source: source, objects: objects, runner: builder.runner).missing(names)
        let enabled = names.filter { !disabled.contains($0) }
        guard !enabled.isEmpty else { return Dictionary(uniqueKeysWithValues: names.map { ($0, MadeObject(.absent)) }) }
        let run = try await makeObjects(enabled)
        let log = ObjectLog(run.lines, source: source)
        var made: [String: MadeObject] = [:]
        let obstacle = log.obstacle(to: enabled, run.ending)
        for name in names {
            if disabled.contains(name) || log.absent.contains(name) {
                made[name] = MadeObject(.absent)
            } else if let obstacle {
                made[name] = MadeObject(.failed, obstacle)
            } else if log.failed.contains(name) || !Files.exists("\(objects)/\(name)") {
                made[name] = MadeObject(.failed, log.diagnostics[name] ?? [])
            } else {
                let diagnostics = log.diagnostics[name] ?? before[name] ?? []
                made[name] = MadeObject(.built, diagnostics)
                known[name] = diagnostics
            }
        }
        try Files.write(try JSON.text(known), to: notes)
        return made
    }

    /// Runs make with both streams in one and each target's lines together.
    fileprivate func makeObjects(_ arguments: [String]) async throws -> (ending: Ending, lines: [Substring]) {
        var command = makeCommand(["-k", "-Otarget", "W=1"] + arguments, isQuiet: false)
        command.arguments = ["-c", "exec \"$@\" 2>&1", "sh", command.executable] + command.arguments
        command.executable = "sh"
        let output = try await builder.runner.run(command, outputLimit: 64 << 20)
        let lines = output.standardOutput.split(whereSeparator: \.isNewline)
        if !output.ending.isSuccess,
            let error = hostError(output.ending, BuildFailure(log: lines, source: source))
        {
            throw error
        }
        return (output.ending, lines)
    }
}

/// The output of a make that was asked for single objects with `-k -Otarget`.
struct ObjectLog {
    /// What was said below each `CC` or `CHECK` line, by object.
    var diagnostics: [String: [Diagnostic]] = [:]
    /// Objects whose rules failed.
    var failed: Set<String> = []
    /// Objects that no rule makes in this configuration.
    var absent: Set<String> = []
    /// What was said while nothing of the above was at work.
    var others: [Diagnostic] = []
    private var lines: [Substring]

    init(_ lines: [Substring], source: String) {
        self.lines = lines
        var current: String?
        for line in lines {
            if let match = line.wholeMatch(of: /\s\s(?:CC|AS|CHECK|LD)\s+(?:\[[MP]\]\s+)?(\S+)/) {
                var name = Diagnostic.relative(match.1, to: source)
                if name.hasSuffix(".c") { name = name.dropLast(1) + "o" }
                current = name
                if diagnostics[name] == nil { diagnostics[name] = [] }
            } else if let match = line.firstMatch(of: /\*\*\* No rule to make target '([^']+)'\./) {
                absent.insert(String(match.1))
            } else if let match = line.firstMatch(of: /\*\*\* No rule to make target '([^']+)', needed by '([^']+)'\./)
            {
                // Its source is not there yet.
                let (missing, object) = (Diagnostic.relative(match.1, to: source), String(match.2))
                if missing.hasSuffix(".c"), missing.dropLast(1) + "o" == object { absent.insert(object) }
            } else if let match = line.firstMatch(of: /\*\*\* \[(?:[^\]]*: )?([^\]\s]+\.[A-Za-z]+)\]/) {
                failed.insert(String(match.1))
                current = nil
            } else if line.hasPrefix("make") {
                current = nil
            } else if let diagnostic = Diagnostic(line, source: source) {
                if let current {
                    if diagnostics[current]?.contains(diagnostic) != true { diagnostics[current]?.append(diagnostic) }
                } else {
                    others.append(diagnostic)
                }
            }
        }
    }

    /// What kept make from trying the objects at all, such as a header that its own tools cannot read.
    func obstacle(to names: [String], _ ending: Ending) -> [Diagnostic]? {
        guard !ending.isSuccess else { return nil }
        let culprits = failed.subtracting(names)
        if culprits.isEmpty && !(failed.isEmpty && absent.isEmpty) { return nil }
        let said = culprits.sorted().flatMap { diagnostics[$0] ?? [] }.filter(\.isError) + others.filter(\.isError)
        guard said.isEmpty else { return said }
        let line = lines.first { $0.contains("***") } ?? lines.last ?? "make failed"
        return [Diagnostic(file: "make", place: "", isError: true, text: "error: \(line)")]
    }

    /// The log as that of a checker.
    ///
    /// One that kbuild refuses, that breaks down, or that does not understand the kernel's own headers, has not judged.
    func checker(_ ending: Ending) -> CheckerOutput {
        // scripts/coccicheck says this when spatch has failed; the reason stands in front of it.
        let breakdown = lines.firstIndex { $0 == "coccicheck failed" }.map { place in
            lines[..<place].last { !$0.contains("/spatch ") }.map(String.init) ?? "coccicheck failed"
        }
        let refusal = lines.first { StyleOutput.isRefusal($0) }.map(String.init) ?? breakdown
        let misread = diagnostics.values.joined().first { $0.isError && $0.file.hasSuffix(".h") }?.line
        return CheckerOutput(
            diagnostics: diagnostics.filter { !failed.contains($0.key) }, obstacle: refusal ?? misread)
    }
}
