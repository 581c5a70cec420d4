// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import ProcessRunner

/// What one checker had to say about kernel C.
public struct StyleCheck: Sendable, Codable, Equatable {
    /// The checker, with the option that makes it strict.
    public var name: String
    /// One line each, with names relative to the folder of the sources.
    public var findings: [String]
    /// Why it could not judge; nil if it could.
    public var notChecked: String?
}

/// What the kernel's own checkers print, as findings about some of the files.
struct StyleOutput {
    /// The folder of the copy that was checked, with a slash at its end.
    let folder: String

    /// Whether kbuild says that it takes the sparse that is installed for too old.
    static func isRefusal(_ line: some StringProtocol) -> Bool { line.contains("sparse is not available") }

    /// The lines that say something about a file in the folder, without the folder.
    func findings(in text: String) -> [String] {
        var seen: Set<String> = []
        return text.split(whereSeparator: \.isNewline).compactMap { line in
            // make's own remarks name the folder, too, but no line of a file.
            guard let match = line.firstMatch(of: /[^\s:]+\.[ch]:[0-9]+/),
                match.output.hasPrefix(folder) || !match.output.hasPrefix("/"),
                line.contains(/(?i)warning|error|CHECK/)
            else { return nil }
            // The compiler's names are short for the debug information's sake.
            let name = (folder as NSString).lastPathComponent + "/"
            let finding = line.replacing(folder, with: "").replacing(name, with: "").trimmingCharacters(
                in: .whitespaces)
            return seen.insert(finding).inserted ? finding : nil
        }
    }

    /// What a checker said, apart from what another one has said already.
    ///
    /// One that failed without a finding about our files has not judged: it could not be run, kbuild took it for too old,
    /// or it does not understand the kernel's own headers.
    func check(_ name: String, _ output: CommandOutput, except said: [String] = []) -> StyleCheck {
        let text = output.standardOutput + output.standardError
        let lines = text.split(whereSeparator: \.isNewline)
        let findings = findings(in: text).filter { !said.contains($0) }
        var obstacle = lines.first { line in
            Self.isRefusal(line) || line.contains(": error:") && !line.contains(folder)
        }
        if obstacle == nil, !output.ending.isSuccess, findings.isEmpty { obstacle = lines.last ?? "it failed" }
        return StyleCheck(name: name, findings: obstacle == nil ? findings : [], notChecked: obstacle.map(String.init))
    }
}

extension ModuleBuilder {
    /// Looks at the modules' sources with the base's own checkers: gcc with W=1, sparse (C=2), `checkpatch.pl --strict`
    /// with lines of 100 columns, and `kernel-doc` (Documentation/dev-tools/sparse.rst, checkpatch.rst,
    /// Documentation/doc-guide/kernel-doc.rst).
    ///
    /// - Parameters:
    ///   - folder: as for ``build(from:for:_:_:)``.
    /// - Returns: one entry for each checker.
    /// - Throws: ``LabError`` `module-build-failed` (exit 2), and what building a kernel throws.
    public func check(
        _ folder: String, _ input: KernelInput, _ config: ConfigRequest
    ) async throws -> [StyleCheck] {
        let sources = try Self.sources(in: folder)
        let toolchain = try await Toolchain.detect(environment: builder.environment, runner: builder.runner)
        return try await builder.sources.worktree(for: input.base).withCheckout(of: input.commit) { source in
            let tree = ObjectTree(builder: builder, input: input, config: config, toolchain: toolchain, source: source)
            return try await tree.checkModules(from: folder, sources)
        }
    }
}

extension ObjectTree {
    func checkModules(from folder: String, _ sources: [String]) async throws -> [StyleCheck] {
        if try await !isBuilt() { try await makeKernel(.unlessPVH) }
        let copy = try copyModules(from: folder, sources, to: "hmmlab-check")
        defer { try? FileManager.default.removeItem(atPath: copy) }
        let output = StyleOutput(folder: copy + "/")
        let files = sources.filter { $0.hasSuffix(".c") || $0.hasSuffix(".h") }

        builder.progress(.step("Checking hmmlab's modules: gcc, sparse, checkpatch, kernel-doc"))
        let place = copy + "/modules"
        let compiler = try await builder.runner.run(makeCommand(["M=" + place, "W=1", "modules"]))
        guard compiler.ending.isSuccess else { throw moduleFailure(compiler, in: place) }
        let compiled = output.check("gcc W=1", compiler)
        let sparse = try await builder.runner.run(makeCommand(["M=" + place, "C=2", "modules"]))
        let checkpatch = try await builder.runner.run(
            Command(
                "perl",
                [
                    source + "/scripts/checkpatch.pl", "--root=" + source, "--strict", "--max-line-length=100",
                    "--terse", "--no-summary", "--show-types",
                    // kzalloc_obj() and its kind are newer than the oldest base of our one source.
                    "--ignore", "ALLOC_WITH_SIZEOF", "-f",
                ] + files, in: copy))
        let documentation = try await builder.runner.run(
            Command(source + "/scripts/kernel-doc", ["-none", "-Wall"] + files, in: copy))
        return [
            compiled, output.check("sparse C=2", sparse, except: compiled.findings),
            output.check("checkpatch --strict", checkpatch), output.check("kernel-doc -Wall", documentation),
        ]
    }
}
