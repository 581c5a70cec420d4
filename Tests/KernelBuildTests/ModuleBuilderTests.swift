// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import KernelBuild

@Suite("Modules from outside the tree") struct ModuleBuilderTests {
    private let kernel: FakeKernel
    /// Makes two modules and counts how often.
    private static let kbuild = """
        set -e
        cat "$2/compiled-as" "$1/x.c" "$1/../abi/x.h" >"$1/hmm_b.ko"
        cp "$1/hmm_b.ko" "$1/hmm_a.ko"
        echo again >>"$2/modules-made"

        """

    init() throws {
        kernel = try FakeKernel()
        try kernel.write("mm/hmm.c", "echo first >$o/compiled-as\n")
    }

    private func modules(_ folder: String, for input: KernelInput) async throws -> [String] {
        let builder = kernel.builder()
        let config = try FakeKernel.config()
        return try await ModuleBuilder(builder).build(
            from: folder, for: builder.build(input, config), input, config)
    }

    private func timesMade() async throws -> Int {
        try await Files.text(kernel.objectFolder() + "/modules-made").split(separator: "\n").count
    }

    @Test("are built once for what they are made of, headers beside them included")
    func once() async throws {
        let folder = try kernel.moduleSources(Self.kbuild)
        let input = try await kernel.input()
        let built = try await modules(folder, for: input)
        #expect(built.map { ($0 as NSString).lastPathComponent } == ["hmm_a.ko", "hmm_b.ko"])
        #expect(try Files.text(built[0]) == "first\nint x;\n#define X 1\n")
        #expect(try await modules(folder, for: input) == built)
        #expect(try await timesMade() == 1)

        try Files.write("#define X 2\n", to: folder + "/abi/x.h")
        let changed = try await modules(folder, for: input)
        #expect(try changed != built && Files.text(changed[1]).hasSuffix("#define X 2\n"))
        #expect(try Files.text(built[1]).hasSuffix("#define X 1\n"), "the old ones are still there")
        #expect(try await timesMade() == 2)
    }

    @Test("are never built against the objects of another kernel")
    func otherKernel() async throws {
        let folder = try kernel.moduleSources(Self.kbuild)
        let first = try await kernel.input()
        try await kernel.build()
        try kernel.write("mm/hmm.c", "echo second >$o/compiled-as\n")
        try await kernel.forgetObject()
        try await kernel.build()

        // A real make would see that hmm.c is older again.
        try await kernel.forgetObject()
        #expect(try Files.text(try await modules(folder, for: first)[0]).hasPrefix("first\n"))
    }

    @Test("are made again when the cache has lost one")
    func damaged() async throws {
        let folder = try kernel.moduleSources(Self.kbuild)
        let input = try await kernel.input()
        let built = try await modules(folder, for: input)
        try Files.write("", to: built[1])
        #expect(try await modules(folder, for: input) == built)
        #expect(Files.hasContent(built[1]))
    }

    @Test("tell in the compiler's words why they do not build")
    func failure() async throws {
        let folder = try kernel.moduleSources(
            "echo \"$1/x.c:1:5: error: unknown type name 'intt'\" >&2\necho '    1 | intt x;' >&2\nexit 2\n")
        let input = try await kernel.input()
        let error = await #expect(throws: LabError.self) { _ = try await modules(folder, for: input) }
        #expect(error?.code == "module-build-failed" && error?.exitCode == .buildFailed)
        #expect(error?.cause?.contains("unknown type name 'intt'\n    1 | intt x;") == true)
    }

    @Test("are missed if their folder is empty")
    func absent() async throws {
        let input = try await kernel.input()
        try FileManager.default.createDirectory(atPath: kernel.folder + "/none", withIntermediateDirectories: true)
        let error = await #expect(throws: LabError.self) { _ = try await modules(kernel.folder + "/none", for: input) }
        #expect(error?.code == "installation-unknown")
    }
}
