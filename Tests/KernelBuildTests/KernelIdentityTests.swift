// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

@testable import KernelBuild

@Suite("Whether two kernels do the same")
struct KernelIdentityTests {
    private let folder = NSTemporaryDirectory() + "hmmlab-identity-\(UUID().uuidString)"

    /// What a compiler makes of a text, as a module's object or linked.
    private func identity(_ text: String, linked: Bool = false) async throws -> String {
        try Files.makeFolder(folder)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Files.write(text, to: folder + "/a.c")
        let arguments = linked ? ["-nostdlib", "-shared"] : ["-c"]
        try await ProcessRunner().check(
            Command("gcc", ["-g", "-O2", "-fPIC"] + arguments + ["a.c", "-o", "a.o"], in: folder))
        return try KernelIdentity.loaded(folder + "/a.o")
    }

    private let source = "int a(void); int b(void);\nint call(int x)\n{\n\treturn a() + x;\n}\n"

    @Test("Comments and moved lines make no difference", arguments: [false, true])
    func comments(linked: Bool) async throws {
        let moved = "/* A comment of\n * three lines.\n */\n" + source.replacing("{\n", with: "{\n\n\t/* Another. */\n")
        #expect(try await identity(source, linked: linked) == identity(moved, linked: linked))
    }

    @Test("Code and calls do", arguments: [false, true])
    func code(linked: Bool) async throws {
        let before = try await identity(source, linked: linked)
        #expect(try await identity(source.replacing("+ x", with: "- x"), linked: linked) != before)
        // The instruction is the same: which function it calls stands in a relocation.
        #expect(try await identity(source.replacing("return a()", with: "return b()"), linked: linked) != before)
        #expect(try await identity(source + "int data = 5;\n", linked: linked) != before)
    }

    @Test("A file that is damaged is refused")
    func damaged() async throws {
        try Files.makeFolder(folder)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for text in ["", "\u{7f}ELF", String(repeating: "x", count: 5000)] {
            try Files.write(text, to: folder + "/x")
            #expect(throws: LabError.self) { try KernelIdentity.loaded(folder + "/x") }
        }
        try Files.write(source, to: folder + "/a.c")
        try await ProcessRunner().check(Command("gcc", ["-c", "a.c", "-o", "a.o"], in: folder))
        let whole = try Files.bytes(folder + "/a.o")
        for length in stride(from: 0, to: whole.count - 1, by: 37) {
            try Files.write(whole.prefix(length), to: folder + "/x")
            #expect(throws: LabError.self) { try KernelIdentity.loaded(folder + "/x") }
        }
    }
}
