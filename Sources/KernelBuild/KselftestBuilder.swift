// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import KernelSource
import ProcessRunner

/// One test program of the kernel's own selftests, built from the base's tree.
public struct KselftestProgram: Sendable, Equatable {
    /// The static executable.
    public var path: String
    /// The cases as the program's harness names them (`hmm.hmm_device_private.open_close`); empty if it cannot list them.
    public var cases: [String]
}

/// Builds tools/testing/selftests/mm/hmm-tests of the tree that the kernel itself was built from; never from a copy of ours.
public struct KselftestBuilder: Sendable {
    private let builder: KernelBuilder

    /// A builder that shares folders, tools and locks with the kernel's.
    public init(_ builder: KernelBuilder) { self.builder = builder }

    /// The program for an input, from the cache or built now; an unchanged selftest is recognised without a checkout.
    ///
    /// - Throws: ``LabError`` `kselftest-build-failed` (exit 2).
    public func build(_ input: KernelInput, config: ConfigRequest) async throws -> KselftestProgram {
        let toolchain = try await Toolchain.detect(environment: builder.environment, runner: builder.runner)
        var signature = Signature()
        signature.add("recipe", "1")
        // What the program is made of: its folder, the headers it reads from the tree, and the exported headers.
        for path in [
            "tools/testing/selftests", "lib/test_hmm_uapi.h", "mm/gup_test.h", "include/uapi", "arch/x86/include/uapi",
        ] {
            signature.add(path, try await builder.sources.store.objectID(of: "\(input.commit):\(path)") ?? "absent")
        }
        signature.add("compiler", toolchain.identity["compiler"] ?? "")
        let folder = try builder.cache.path("kselftests", signature.digest.hexadecimal)
        if Self.isWhole(folder) {
            builder.cache.markUsed(folder)
        } else {
            try await build(input, config, toolchain, final: folder)
        }
        return KselftestProgram(path: folder + "/hmm-tests", cases: try await cases(input))
    }

    private static func isWhole(_ folder: String) -> Bool {
        Files.hasContent(folder + "/hmm-tests") && access(folder + "/hmm-tests", X_OK) == 0
    }

    private func build(
        _ input: KernelInput, _ config: ConfigRequest, _ toolchain: Toolchain, final: String
    ) async throws {
        try await builder.sources.worktree(for: input.base).withCheckout(of: input.commit) { source in
            if Self.isWhole(final) { return }
            builder.progress(.step("Building the base's own hmm-tests"))
            let tree = ObjectTree(builder: builder, input: input, config: config, toolchain: toolchain, source: source)
            try await compile(tree, final: final)
        }
    }

    private func compile(_ tree: ObjectTree, final: String) async throws {
        let (source, compiler) = (tree.source, tree.toolchain.compiler)
        let staging = try builder.cache.stagingFolder()
        builder.cache.markUsed(tree.objects)
        do {
            try await tree.installHeaders(to: staging + "/headers")
            let selftests = source + "/tools/testing/selftests"
            let folder = try Self.folder(in: selftests)
            let sources = try Self.sources(of: "hmm-tests.c", in: folder).map { "\(folder)/\($0)" }
            let output = try await builder.runner.run(
                Command(
                    compiler[0],
                    compiler.dropFirst() + [
                        "-O2", "-static", "-D_GNU_SOURCE=", "-w", "-isystem", staging + "/headers/include",
                        "-I" + source,
                        "-I" + selftests, "-I\(source)/tools/include", "-o", staging + "/hmm-tests",
                    ] + sources + ["-lpthread"]))
            guard output.ending.isSuccess else {
                let failure = BuildFailure(log: output.standardError.split(separator: "\n"), source: source)
                throw LabError(
                    "kselftest-build-failed", exit: .buildFailed, "The base's own hmm-tests do not build",
                    cause: failure.lines.joined(separator: "\n"), next: "Leave the suite kselftest:mm/hmm out.")
            }
            try FileManager.default.removeItem(atPath: staging + "/headers")
            if !Self.isWhole(final) { try builder.removeDamaged(final) }
            try builder.cache.publish(staging, as: final)
        } catch {
            try? FileManager.default.removeItem(atPath: staging)
            throw error
        }
    }

    /// The folder with hmm-tests.c; before 6.3 its name was `vm`.
    ///
    /// - Throws: ``LabError`` `kselftest-absent`.
    static func folder(in selftests: String) throws -> String {
        let places = ["mm", "vm"].map { "\(selftests)/\($0)" }
        guard let place = places.first(where: { Files.exists($0 + "/hmm-tests.c") }) else {
            throw LabError(
                "kselftest-absent", exit: .buildFailed, "The base has no hmm-tests.c",
                cause: "It is looked for in tools/testing/selftests/mm and vm.",
                next: "Leave the suite kselftest:mm/hmm out.")
        }
        return place
    }

    /// A source file and, transitively, the `.c` files beside it whose headers it includes.
    static func sources(of first: String, in folder: String) throws -> [String] {
        var found = [first]
        var position = 0
        while position < found.count {
            let text = try Files.text("\(folder)/\(found[position])")
            for line in text.split(separator: "\n") where line.hasPrefix("#include \"") {
                let header = line.dropFirst("#include \"".count).prefix { $0 != "\"" }
                guard header.hasSuffix(".h"), !header.contains("/") else { continue }
                let candidate = header.dropLast(2) + ".c"
                if !found.contains(String(candidate)), Files.exists("\(folder)/\(candidate)") {
                    found.append(String(candidate))
                }
            }
            position += 1
        }
        return found
    }

    /// The program's cases, or none if its harness (an old one) cannot run a single case.
    ///
    /// They are read from the source. The program itself is never run on the host: it would drive devices there, and
    /// upstream's writes to `nr_hugepages` before it looks at its arguments.
    private func cases(_ input: KernelInput) async throws -> [String] {
        func source(_ path: String) async throws -> String {
            let object = "\(input.commit):tools/testing/selftests/\(path)"
            let output = try await builder.runner.run(builder.sources.store.command(["cat-file", "blob", object]))
            return output.ending.isSuccess ? output.standardOutput : ""
        }
        guard try await source("kselftest_harness.h").contains("getopt(") else { return [] }
        return Self.cases(inSource: try await source("mm/hmm-tests.c"))
    }

    /// Every combination of a fixture's variants and tests, named as the harness's `-r` takes them
    /// (tools/testing/selftests/kselftest_harness.h).
    static func cases(inSource text: String) -> [String] {
        let test = /^TEST_F(?:_SIGNAL|_TIMEOUT)?\(\s*(\w+)\s*,\s*(\w+)/.anchorsMatchLineEndings()
        let variant = /^FIXTURE_VARIANT_ADD\(\s*(\w+)\s*,\s*(\w+)/.anchorsMatchLineEndings()
        let alone = /^TEST(?:_SIGNAL)?\(\s*(\w+)/.anchorsMatchLineEndings()
        let tests = text.matches(of: test).map { (fixture: $0.output.1, name: $0.output.2) }
        let variants = text.matches(of: variant).map { (fixture: $0.output.1, name: $0.output.2) }
        var fixtures: [Substring] = []
        for test in tests where !fixtures.contains(test.fixture) { fixtures.append(test.fixture) }
        return text.matches(of: alone).map { "global.\($0.output.1)" }
            + fixtures.flatMap { fixture in
                let names = tests.filter { $0.fixture == fixture }.map(\.name)
                let kinds = variants.filter { $0.fixture == fixture }.map { "\(fixture).\($0.name)" }
                return (kinds.isEmpty ? ["\(fixture)"] : kinds).flatMap { kind in names.map { "\(kind).\($0)" } }
            }
    }
}
