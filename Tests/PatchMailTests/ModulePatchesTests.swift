// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchSeries
import Testing

@testable import PatchMail

@Suite("Modules as patches")
struct ModulePatchesTests {
    private var sources: String {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path + "/kernel-patches"
    }

    @Test("Our modules become two patches that apply, each with all that its Makefile names")
    func render() async throws {
        let bench = try await MailBench()
        let renderer = ModulePatches(store: bench.sources.store, runner: bench.runner, cache: bench.cache)
        let patches = try await renderer.patches(
            from: sources, onto: bench.base.commit, kernelVersion: "6.12.5",
            author: Address(name: "Müller, Jörg", email: "j@example.org"), date: "Mon, 3 Nov 2025 10:20:30 +0000")
        #expect(patches.count == 2)
        for patch in patches {
            #expect(patch.body.hasSuffix("\nSigned-off-by: Müller, Jörg <j@example.org>"))
            #expect(patch.author?.name == "Müller, Jörg")
        }
        let mails = try await bench.mails(.init(source: "modules", patches: patches))
        try MailFolder(bench.root + "/out").write(mails)
        try await bench.shell("git checkout -q --detach main; git am -q ../out/0001-*.patch")
        let first = try await check(bench)
        #expect(first.allSatisfy { $0.hasPrefix("devmem_") })
        #expect(try await bench.shell("tail -n 3 drivers/misc/Kconfig").contains("source \"drivers/misc/hmm_dmirror"))
        try await bench.shell("git am -q ../out/0002-*.patch")
        #expect(try await check(bench).count > first.count)
        #expect(
            try await bench.shell("git grep -n COMPAT_BASE || true").split(separator: "\n").allSatisfy {
                !$0.contains("#if")
            })
        #expect(try await bench.shell("git grep -l hmm_dmirror_uapi.h -- '*.c' || true") == "")
    }

    /// Every object of the Makefile has its source, and every source is an object.
    private func check(_ bench: MailBench) async throws -> [String] {
        let folder = bench.tree + "/drivers/misc/hmm_dmirror"
        let objects = try Files.text(folder + "/Makefile").matches(of: /([a-z_]+)\.o/).map { String($0.1) }
            .filter { !$0.hasPrefix("hmm_d") }.sorted()
        let files = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".c") }
            .map { String($0.dropLast(2)) }.sorted()
        #expect(objects == files)
        return files
    }

    @Test("Conditions about the base's version are decided, others stay")
    func compat() throws {
        let text = """
            #ifndef H
            #if COMPAT_BASE >= 612
            new
            #if X
            x
            #else
            y
            #endif
            #else
            old
            #ifdef Z
            z
            #endif
            #endif
            #endif
            """
        #expect(try CompatText.resolved(text, for: 702) == "#ifndef H\nnew\n#if X\nx\n#else\ny\n#endif\n#endif")
        #expect(try CompatText.resolved(text, for: 601) == "#ifndef H\nold\n#ifdef Z\nz\n#endif\n#endif")
        #expect(try CompatText.number(of: "6.12.117") == 612)
        #expect(try CompatText.number(of: "7.3.0-rc7") == 703)
        #expect(throws: LabError.self) { try CompatText.resolved("#if COMPAT_BASE < 3\n#endif", for: 601) }
        #expect(throws: LabError.self) { try CompatText.resolved("#endif", for: 601) }
    }

    @Test("Only additions are written")
    func treeDiff() throws {
        var diff = TreeDiff()
        #expect(throws: LabError.self) { try diff.replace("a", "1\n2\n", by: "1\n3\n4\n") }
        #expect(throws: LabError.self) { try diff.insert("x", into: "Kconfig", "config A\n") }
        try diff.insert("x", into: "m/Makefile", "1\n2\n3\n4\n")
        #expect(
            diff.text
                == "diff --git a/m/Makefile b/m/Makefile\n--- a/m/Makefile\n+++ b/m/Makefile\n@@ -2,3 +2,4 @@\n 2\n 3\n 4\n+x\n"
        )
    }
}
