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

    /// The lines that say something about a file in the folder, without the folder.
    func findings(in text: String) -> [String] {
        var seen: Set<String> = []
        return text.split(whereSeparator: \.isNewline).compactMap { line in
            // make's own remarks name the folder, too, but no line of a file.
            guard let match = line.firstMatch(of: /[^\s:]+\.[ch]:[0-9]+/),
                match.output.hasPrefix(folder) || !match.output.hasPrefix("/"),
                line.contains(/(?i)warning|error|CHECK/)
            else { return nil }
            // C has no static_assert() that kernel and programs could both use without further headers.
            if line.contains("Avoid CamelCase: <_Static_assert>") { return nil }
            // The compiler's names are short for the debug information's sake.
            let name = (folder as NSString).lastPathComponent + "/"
            let finding = line.replacing(folder, with: "").replacing(name, with: "").trimmingCharacters(
                in: .whitespaces)
            return seen.insert(finding).inserted ? finding : nil
        }
    }

    /// Why sparse could not judge: kbuild finds none that it takes for good enough, or sparse does not understand the
    /// kernel's own headers.
    func whyUnchecked(in text: String) -> String? {
        text.split(whereSeparator: \.isNewline).first { line in
            line.contains("sparse is not available") || line.contains(": error:") && !line.contains(folder)
        }.map(String.init)
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
        if try await !isBuilt() { try await makeKernel() }
        let copy = try copyModules(from: folder, sources, to: "hmmlab-check")
        defer { try? FileManager.default.removeItem(atPath: copy) }
        let output = StyleOutput(folder: copy + "/")
        let files = sources.filter { $0.hasSuffix(".c") || $0.hasSuffix(".h") }

        builder.progress(.step("Checking hmmlab's modules: gcc, sparse, checkpatch, kernel-doc"))
        let warnings = try await makeModules(in: copy + "/modules", ["W=1"])
        let compiled = output.findings(in: warnings)
        var checks = [StyleCheck(name: "gcc W=1", findings: compiled)]

        let sparse = try await makeModules(in: copy + "/modules", ["C=2"])
        let why = output.whyUnchecked(in: sparse)
        checks.append(
            StyleCheck(
                name: "sparse C=2",
                findings: why == nil ? output.findings(in: sparse).filter { !compiled.contains($0) } : [],
                notChecked: why.map { "this sparse is not for this base: \($0)" }))

        let checkpatch = try await builder.runner.run(
            Command(
                "perl",
                [
                    source + "/scripts/checkpatch.pl", "--root=" + source, "--strict", "--max-line-length=100",
                    "--terse",
                    "--no-summary", "--show-types",
                    // kzalloc_obj() and its kind are newer than the oldest base of our one source.
                    "--ignore", "ALLOC_WITH_SIZEOF", "-f",
                ] + files, in: copy))
        checks.append(
            StyleCheck(name: "checkpatch --strict", findings: output.findings(in: checkpatch.standardOutput)))

        let documented = try await builder.runner.run(
            Command(source + "/scripts/kernel-doc", ["-none", "-Wall"] + files, in: copy))
        let remarks = output.findings(in: documented.standardOutput + documented.standardError)
        checks.append(
            StyleCheck(
                name: "kernel-doc -Wall", findings: remarks,
                notChecked: documented.ending.isSuccess || !remarks.isEmpty
                    ? nil
                    : documented.standardError.split(whereSeparator: \.isNewline).last.map(String.init) ?? "failed"))
        return checks
    }

    /// What make and its compiler or checker print.
    private func makeModules(in place: String, _ options: [String]) async throws -> String {
        let output = try await builder.runner.run(makeCommand(["M=" + place] + options + ["modules"]))
        // sparse makes make fail where the compiler is content; that is a finding, not a failure of the build.
        if !output.ending.isSuccess, options != ["C=2"] { throw moduleFailure(output, in: place) }
        return output.standardOutput + output.standardError
    }
}
