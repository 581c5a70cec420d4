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

    @Test("Of a warning's entry, only its line makes no difference", arguments: [12, 16])
    func warnings(size: Int) async throws {
        func table(_ line: Int, _ flags: Int) -> String {
            ".section __bug_table,\"aw\"\n" + String(repeating: ".long 0\n", count: (size - 4) / 4)
                + ".word \(line)\n.word \(flags)\n"
        }
        func identity(_ line: Int, _ flags: Int) async throws -> String {
            try Files.makeFolder(folder)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            try Files.write(table(line, flags), to: folder + "/a.s")
            try await ProcessRunner().check(Command("gcc", ["-c", "a.s", "-o", "a.o"], in: folder))
            return try KernelIdentity.loaded(folder + "/a.o", bugEntrySize: size)
        }
        let one = try await identity(5, 1)
        #expect(try await identity(700, 1) == one)
        #expect(try await identity(5, 3) != one)
    }

    @Test("A kernel's release says how long an entry is")
    func entrySizes() {
        #expect(["6.1.192", "6.12.117", "6.18.0-rc3"].map(KernelIdentity.bugEntrySize) == [12, 12, 12])
        #expect(["6.19.0", "7.2.13", "7.3.4-x"].map(KernelIdentity.bugEntrySize) == [16, 16, 16])
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
