// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import PatchSeries

@Suite struct RejectionTests {
    func rejection(_ bench: Workbench, _ source: String, onto base: String? = nil) async throws -> PatchRejection {
        let before = try await bench.leftovers()
        let objects = try await bench.objectCount()
        let series = try await bench.reader.read(source)
        let attempt = try await bench.applier.attempt(series, onto: base ?? bench.base)
        guard case .rejected(let rejection) = attempt else { throw LabError("applied", "\(attempt)") }
        #expect(try await bench.leftovers() == before)
        #expect(try await bench.objectCount() == objects)
        let error = try await labError { _ = try await bench.applier.apply(series, onto: base ?? bench.base) }
        #expect(error == rejection.labError)
        #expect(error.code == "patch-does-not-apply" && error.exitCode == .buildFailed && error.nextStep != nil)
        for text in [try JSON.text(rejection), try JSON.text(error.details)] {
            #expect(try JSON.value(PatchRejection.self, from: Data(text.utf8)) == rejection)
        }
        return rejection
    }

    @Test func theRejectedLinesBesideTheBase() async throws {
        let bench = try await Workbench()
        try bench.write(
            "s/0001-good.patch", MailTests.mail("[PATCH 1/2] good"))
        try bench.write(
            "s/0002-bad.patch",
            """
            From: B <b@c>
            Subject: [PATCH 2/2] mm: bad

            x
            ---
            diff --git a/mm/memory.c b/mm/memory.c
            --- a/mm/memory.c
            +++ b/mm/memory.c
            @@ -3,3 +3,3 @@
             int line_3;
            -int line_4;
            +int line_4 = 4;
             int line_5;
            @@ -20,5 +20,4 @@ int line_19;
             int line_20;
             int line_21;
            -int line_was_22;
            -int line_23;
            +int line_22_23;
             int line_24;
            @@ -40,3 +39,3 @@
             int line_40;
            -int nothing;
            +int something;
             int line_42;

            """)
        let found = try await rejection(bench, bench.root + "/s")
        #expect(found.number == 2 && found.total == 2 && found.subject == "mm: bad" && found.origin == "0002-bad.patch")
        #expect(found.reason == .context && found.drift.isEmpty)
        #expect(found.files.map(\.path) == ["mm/memory.c"])
        let hunks = found.files[0].hunks
        #expect(hunks.map(\.header) == ["@@ -20,5 +20,4 @@ int line_19;", "@@ -40,3 +39,3 @@"])
        #expect(
            hunks[0].lines == [
                " int line_20;", " int line_21;", "-int line_was_22;", "-int line_23;", "+int line_22_23;",
                " int line_24;",
            ])
        #expect(hunks[0].baseStart == 20)
        #expect(
            hunks[0].baseLines == ["int line_20;", "int line_21;", "int line_22;", "int line_23;", "int line_24;"])
        let error = found.labError
        #expect(error.sentence == "Patch 2 of 2, \"mm: bad\" (0002-bad.patch), does not apply")
        #expect(
            error.cause?.hasPrefix(
                """
                mm/memory.c, hunk @@ -20,5 +20,4 @@ int line_19;
                   int line_20;
                   int line_21;
                  -int line_was_22;
                """) == true)
        #expect(error.cause?.contains("the base has, from line 20:\n   int line_20;\n") == true)
    }

    @Test func aConflictWithDriftNamesTheDrift() async throws {
        let bench = try await Workbench()
        try await bench.shell(
            "git checkout -q -b other; sed -i 's/line_10;/line_10 = 99;/' mm/memory.c; git commit -qam x; git push -q ../store.git other"
        )
        let other = String(try await bench.shell("git rev-parse other").prefix(40))
        let found = try await rejection(bench, try await bench.patches(Workbench.three), onto: other)
        #expect(found.number == 1 && found.reason == .context && found.drift == ["mm/memory.c"])
        #expect(found.files[0].hunks[0].baseLines.contains("int line_10 = 99;"))
        #expect(found.labError.nextStep?.contains("another version of mm/memory.c") == true)
    }

    @Test func alreadyInTheBase() async throws {
        let bench = try await Workbench()
        try bench.write(
            "p.diff",
            "--- a/mm/hmm.c\n+++ b/mm/hmm.c\n@@ -1,3 +1,3 @@\n int hmm_1;\n-int old;\n+int hmm_2;\n int hmm_3;\n")
        let found = try await rejection(bench, bench.root + "/p.diff")
        #expect(found.reason == .alreadyInBase && found.labError.sentence.hasSuffix("is already in the base"))
    }

    @Test func missingAndPresentFiles() async throws {
        let bench = try await Workbench()
        try bench.write("p.diff", "--- a/mm/gone.c\n+++ b/mm/gone.c\n@@ -2 +2 @@\n-int old;\n+int new;\n")
        let missing = try await rejection(bench, bench.root + "/p.diff")
        #expect(missing.reason == .fileMissing && missing.files.map(\.path) == ["mm/gone.c"])
        #expect(missing.labError.cause == "mm/gone.c")
        for path in ["mm/hmm.c", "mm", "mm/hmm.c/below"] {
            try bench.write(
                "p.diff",
                "diff --git a/\(path) b/\(path)\nnew file mode 100644\n--- /dev/null\n+++ b/\(path)\n@@ -0,0 +1 @@\n+x\n"
            )
            let present = try await rejection(bench, bench.root + "/p.diff")
            #expect(present.reason == (path == "mm/hmm.c/below" ? .other : .fileExists), "\(path)")
            if present.reason == .other {
                #expect(present.labError.cause?.contains("as both a file and as a directory") == true)
            }
        }
        try bench.write(
            "p.diff",
            "diff --git a/mm/hmm.c b/mm/tail.c\nsimilarity index 100%\nrename from mm/hmm.c\nrename to mm/tail.c\n")
        #expect(try await rejection(bench, bench.root + "/p.diff").reason == .fileExists)
    }

    @Test func binaries() async throws {
        let bench = try await Workbench()
        _ = try await bench.patches(#"printf 'new\0' >logo.bin; git commit -qam binary"#)
        try await bench.shell(
            "git diff main~1 main >../without.diff; git diff --full-index --binary main~1 main >../with.diff")
        let without = try await rejection(bench, bench.root + "/without.diff")
        #expect(without.reason == .binary && without.files.map(\.path) == ["logo.bin"])
        #expect(without.labError.nextStep?.contains("--binary") == true)
        // The content that the patch was made for is not what this base has.
        try await bench.shell(
            "git checkout -q -b other main; git commit -q --amend -m x; printf 'z\\0z' >logo.bin; git commit -qam z; git push -q ../store.git other"
        )
        let other = String(try await bench.shell("git rev-parse other").prefix(40))
        #expect(try await rejection(bench, bench.root + "/with.diff", onto: other).reason == .binary)
        // git would skip the remark and apply the rest.
        try bench.write("plain.diff", "Binary files a/logo.bin and b/logo.bin differ\n" + MailTests.diff)
        #expect(try await rejection(bench, bench.root + "/plain.diff").reason == .binary)
    }

    @Test func aHunkWithoutContext() async throws {
        let bench = try await Workbench()
        try bench.write("p.diff", "--- a/mm/hmm.c\n+++ b/mm/hmm.c\n@@ -2 +2 @@\n-int hmm_2;\n+int x;\n")
        let found = try await rejection(bench, bench.root + "/p.diff")
        #expect(found.files[0].hunks[0].isThere)
        #expect(found.labError.cause?.contains("too little context") == true)
    }

    @Test func controlCharactersDoNotReachTheTerminal() async throws {
        let bench = try await Workbench()
        try bench.write(
            "p.diff",
            "--- a/mm/hmm.c\n+++ b/mm/hmm.c\n@@ -2 +2 @@ \u{1b}[31m\n-int \u{1b}]0;x\u{7} \u{9b}31m;\n+int new;\n")
        let found = try await rejection(bench, bench.root + "/p.diff")
        #expect(
            !found.labError.description.unicodeScalars.contains {
                $0.value == 0x1b || $0.value == 0x9b || $0.value == 7
            })
    }

    @Test func longHunksAreShortened() async throws {
        let bench = try await Workbench()
        let lines = (0..<5000).map { "+new \($0)" }.joined(separator: "\n")
        try bench.write("p.diff", "--- a/mm/hmm.c\n+++ b/mm/hmm.c\n@@ -2 +2,5000 @@\n-int gone;\n\(lines)\n")
        let found = try await rejection(bench, bench.root + "/p.diff")
        #expect(found.files[0].hunks[0].lines.count == PatchRejection.longestHunk)
        #expect((found.labError.cause?.count ?? 0) < 4000)
    }
}
