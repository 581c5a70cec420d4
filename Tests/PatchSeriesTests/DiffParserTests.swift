// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import PatchSeries

@Suite struct DiffParserTests {
    func parse(_ text: String, strip: Int = 1, isReversed: Bool = false) throws -> (diff: Data, files: [FileChange]) {
        try DiffParser.parse(Data(text.utf8), strip: strip, isReversed: isReversed, origin: "x.patch")
    }

    @Test func aGitHeaderWithEverything() throws {
        let (_, files) = try parse(
            """
            diff --git "a/mm/\\303\\244 \\"1\\".c" b/mm/two.c
            old mode 100644
            new mode 100755
            similarity index 90%
            rename from "mm/\\303\\244 \\"1\\".c"
            rename to mm/two.c
            index 0123456789ab..ba9876543210
            --- "a/mm/\\303\\244 \\"1\\".c"
            +++ b/mm/two.c
            @@ -1,2 +1 @@ int main(void)
             a
            -b

            """)
        let file = try #require(files.first)
        #expect(file.oldPath == "mm/ä \"1\".c" && file.newPath == "mm/two.c")
        #expect(file.oldMode == 0o100644 && file.newMode == 0o100755)
        #expect(file.oldBlob == "0123456789ab" && file.newBlob == "ba9876543210")
        #expect(file.hunks.map(\.header) == ["@@ -1,2 +1 @@ int main(void)"])
        #expect(file.hunks.map(\.oldCount) == [2] && file.hunks.map(\.newCount) == [1])
    }

    @Test func theDiffBeginsAndEndsWithItsFiles() throws {
        let (diff, files) = try parse("words\n---\n x | 2\n\n" + MailTests.diff + "-- \n2.39.5\n\nfooter\n")
        #expect(diff == Data(MailTests.diff.utf8))
        #expect(files.count == 1)
        let body = try #require(files[0].hunks.first).body
        #expect(diff[body].starts(with: " int hmm_1;\n-int".utf8) && body.upperBound == diff.count)
    }

    @Test func contentThatLooksLikeAHeader() throws {
        let (_, files) = try parse(
            """
            --- a/x
            +++ b/x
            @@ -1,3 +1,4 @@
            --- a/../evil
            +++ b/../evil
            +@@ -1 +1 @@
             diff --git a/../z b/../z
             z

            """)
        #expect(files.map(\.newPath) == ["x"])
    }

    @Test func createdRemovedAndReversed() throws {
        let text = """
            diff --git a/new b/new
            new file mode 100644
            index 0000000..1234567
            --- /dev/null
            +++ b/new
            @@ -0,0 +1 @@
            +x
            --- a/old\t2025-01-01 00:00:00.000000000 +0000
            +++ /dev/null\t2025-01-01 00:00:00.000000000 +0000
            @@ -1 +0,0 @@
            -x
            diff --git a/empty b/empty
            deleted file mode 100644

            """
        let files = try parse(text).files
        #expect(files.map(\.oldPath) == [nil, "old", "empty"])
        #expect(files.map(\.newPath) == ["new", nil, nil])
        #expect(files[0].oldBlob == nil && files[0].newBlob == "1234567")
        let reversed = try parse(text, isReversed: true).files
        #expect(reversed.map(\.oldPath) == ["new", nil, nil] && reversed[0].oldBlob == "1234567")
    }

    @Test func namesOfOtherTools() throws {
        let hunk = "@@ -1 +1 @@\n-a\n+b\n"
        #expect(
            try parse("--- linux.orig/mm/x.c 2025-01-02 10:11:12.0 +0100\n+++ linux/mm/x.c\n" + hunk).files[0].paths
                == ["mm/x.c"])
        #expect(try parse("--- x.c.orig\n+++ x.c\n" + hunk, strip: 0).files[0].paths == ["x.c"])
        #expect(
            try parse("diff --git mm/a b mm/a b\n--- mm/a b\t\n+++ mm/a b\t\n" + hunk, strip: 0).files[0].paths == [
                "mm/a b"
            ])
        #expect(
            try parse("diff --git a/mm/a b b/mm/a b\nold mode 100644\nnew mode 100755\n").files[0].paths == ["mm/a b"])
    }

    @Test func lineEndsOfAWholeDiff() throws {
        let crlf = MailTests.diff.replacing("\n", with: "\r\n")
        #expect(try parse(crlf).diff == Data(MailTests.diff.utf8))
        // Where only the content has CR LF, it stays.
        let content = MailTests.diff.replacing(";\n", with: ";\r\n")
        #expect(try parse(content).diff == Data(content.utf8))
    }

    @Test(arguments: [
        ("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b\n+c\n", "ends before"),
        ("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n+d\n", "more lines"),
        ("--- a/x\n+++ b/x\n@@ -1,2 +1,1 @@\n a\n+b\n-c\n", "other lines"),
        ("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n a\nwrapped\n", "none of space"),
        ("--- a/x\n+++ b/x\n@@ -1 +1\n-a\n+b\n", "@@ line"),
        ("--- a/x\n+++ b/x\n@@ -1 +99999999999999999999 @@\n-a\n+b\n", "@@ line"),
        ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n\n@@ -9 +9 @@\n-a\n+b\n", "outside of any file"),
        ("--- x\n+++ x\n@@ -1 +1 @@\n-a\n+b\n", "fewer folders"),
        ("diff --git a/x b/x\nold mode 10064x\n", "octal"),
        ("diff --git \"a/x b/x\n", "no end"), ("diff --git \"a/\\9\" b/x\n", "escape"),
        ("diff --git \"a/\\377\" \"b/\\377\"\n", "UTF-8"),
        ("diff --git a/x b/x\nGIT binary patch\nnothing\n", "missing"),
        ("diff --git a/x b/x\nGIT binary patch\nliteral 3\nKcm", "too early"),
    ])
    func damaged(_ text: String, _ cause: String) throws {
        let error = try #require(throws: LabError.self) { _ = try parse(text) }
        #expect(error.code == "patch-malformed" && error.exitCode == .usage && error.sentence.contains("x.patch"))
        #expect(error.cause?.contains(cause) == true, "\(error)")
    }
}
