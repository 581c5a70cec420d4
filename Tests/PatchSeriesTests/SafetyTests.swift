// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import PatchSeries

@Suite struct SafetyTests {
    /// A new file with one line; the path stands in the headers as given.
    static func creation(_ path: String, mode: String = "100644", line: String = "x", quoted: Bool = false) -> String {
        let (old, new) = quoted ? ("\"a/\(path)\"", "\"b/\(path)\"") : ("a/\(path)", "b/\(path)")
        return """
            diff --git \(old) \(new)
            new file mode \(mode)
            --- /dev/null
            +++ \(new)
            @@ -0,0 +1 @@
            +\(line)
            \\ No newline at end of file

            """
    }

    static let refused: [(name: String, diff: String, cause: String)] = [
        ("parent folder", creation("../x"), ".."),
        ("parent folder inside", creation("mm/../../x"), ".."),
        ("parent folder at the end", creation("mm/.."), ".."),
        ("parent folder, plain", "--- a/../x\n+++ b/../x\n@@ -0,0 +1 @@\n+x\n", ".."),
        ("parent folder, removal", "--- a/../x\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n", ".."),
        ("absolute", creation("/etc/passwd"), "absolute"),
        ("absolute, plain", "--- a//etc/passwd\n+++ b//etc/passwd\n@@ -1 +1 @@\n-x\n+y\n", "absolute"),
        ("octal dots", creation(#"\056\056/x"#, quoted: true), ".."),
        ("octal slash", creation(#"mm\057..\057..\057x"#, quoted: true), ".."),
        ("parent folder with a combining mark", creation("../\u{301}x"), ".."),
        ("absolute with a combining mark", creation("/\u{301}etc"), "absolute"),
        ("link, absolute with a combining mark", creation("mm/x", mode: "120000", line: "/\u{301}etc"), "absolute"),
        ("decomposed letters", creation("mm/a\u{308}.c"), "NFC"),
        ("dot", creation("mm/./x"), "contains ."),
        ("empty name", creation("mm//x"), "empty name"),
        (".git", creation(".git/hooks/post-checkout", mode: "100755"), ".git"),
        (".git below", creation("mm/.git/config"), ".git"),
        (".GIT", creation(".GIT/config"), ".git"),
        (".git with a tail", creation(".git. /config"), ".git"),
        (".git stream", creation(".git::$INDEX_ALLOCATION/config"), ".git"),
        ("git~1", creation("git~1/config"), ".git"),
        (".git with an invisible letter", creation(".g\u{200c}it/config"), ".git"),
        (".git itself", creation(".git", line: "gitdir: /tmp"), ".git"),
        ("control characters", creation(#"mm/a\033[31m"#, quoted: true), "control"),
        ("line break", creation(#"mm/a\nb"#, quoted: true), "control"),
        (
            "rename from outside",
            "diff --git a/../x b/mm/x\nsimilarity index 100%\nrename from ../x\nrename to mm/x\n", ".."
        ),
        (
            "rename to outside",
            "diff --git a/mm/hmm.c b/../x\nsimilarity index 100%\nrename from mm/hmm.c\nrename to ../x\n", ".."
        ),
        (
            "copy from outside",
            "diff --git a/etc/shadow b/mm/x\nsimilarity index 100%\ncopy from /etc/shadow\ncopy to mm/x\n", "absolute"
        ),
        (
            "copy from quoted",
            "diff --git a/y b/mm/x\nsimilarity index 100%\ncopy from \"\\056\\056/y\"\ncopy to mm/x\n", ".."
        ),
        ("mode change outside", "diff --git a/../x b/../x\nold mode 100644\nnew mode 100755\n", ".."),
        (
            "submodule",
            creation("mm/sub", mode: "160000", line: "Subproject commit \(String(repeating: "1", count: 40))"),
            "submodule"
        ),
        (
            "submodule by index line",
            "diff --git a/mm/hmm.c b/mm/hmm.c\nindex 1111111..2222222 160000\n--- a/mm/hmm.c\n+++ b/mm/hmm.c\n@@ -1 +1 @@\n-Subproject commit 1\n+Subproject commit 2\n",
            "submodule"
        ),
        ("folder mode", creation("mm/x", mode: "40000"), "mode 40000"),
        ("device mode", creation("mm/x", mode: "020666"), "mode 20666"),
        ("link, absolute", creation("mm/x", mode: "120000", line: "/etc/passwd"), "absolute"),
        ("link, escaping", creation("mm/x", mode: "120000", line: "../../etc"), "outside"),
        ("link, escaping later", creation("x", mode: "120000", line: "./.././mm"), "outside"),
        ("link, behind a name", creation("mm/x", mode: "120000", line: "kasan/../.."), "behind a name"),
        ("link into .git", creation("x", mode: "120000", line: ".git/config"), ".git"),
        (
            "link, empty", "diff --git a/x b/x\nnew file mode 120000\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+\n",
            "empty"
        ),
        (
            "file becomes an escaping link",
            "diff --git a/mm/hmm.c b/mm/hmm.c\ndeleted file mode 100644\n--- a/mm/hmm.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
                + creation("mm/hmm.c", mode: "120000", line: "/"), "absolute"
        ),
        ("through the base's link", creation("folder/new.c"), "folder is a symbolic link"),
        (
            "through the base's link to a file", creation("Documentation/link/x"),
            "Documentation/link is a symbolic link"
        ),
        (
            "change through a link", MailTests.diff.replacing("mm/hmm.c", with: "folder/hmm.c"),
            "folder is a symbolic link"
        ),
        (
            "through a link of its own", creation("mm/l", mode: "120000", line: "kasan") + creation("mm/l/x"),
            "mm/l is a symbolic link"
        ),
        // What only the result shows.
        (
            "link changed without its mode",
            "--- a/Documentation/link\n+++ b/Documentation/link\n@@ -1 +1 @@\n-../mm/hmm.c\n\\ No newline at end of file\n+/etc/passwd\n\\ No newline at end of file\n",
            "absolute"
        ),
        (
            "link moved up",
            "diff --git a/Documentation/link b/link\nsimilarity index 100%\nrename from Documentation/link\nrename to link\n",
            "outside"
        ),
    ]

    /// What lies in the bench's folder beside the cache.
    func surroundings(_ bench: Workbench) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: bench.root).filter { !$0.hasPrefix("cache") }.sorted()
    }

    @Test func everyTrickIsRefused() async throws {
        let bench = try await Workbench()
        let parent = (bench.root as NSString).deletingLastPathComponent
        let wasThere = Files.exists(parent + "/x")
        let path = try bench.write("p.patch", "")
        let before = try surroundings(bench)
        for (name, diff, cause) in Self.refused {
            try bench.write("p.patch", "From: a@b\nSubject: [PATCH] \(name)\n\n---\n\(diff)")
            let error = try await labError { _ = try await bench.apply(path) }
            #expect(error.code == "patch-unsafe" && error.exitCode == .usage, "\(name): \(error)")
            #expect(error.cause?.contains(cause) == true, "\(name): \(error)")
            #expect(try surroundings(bench) == before, "\(name)")
            #expect(Files.exists(parent + "/x") == wasThere, "\(name)")
        }
        #expect(try await bench.leftovers().count == 1)
    }

    /// Nothing of a series is applied, not even what stands before the bad patch.
    @Test func aBadPatchAtTheEnd() async throws {
        let bench = try await Workbench()
        let folder = try await bench.patches(Workbench.three)
        try bench.write("out/0004-bad.patch", Self.creation("../x"))
        let objects = try await bench.objectCount()
        let error = try await labError { _ = try await bench.apply(folder) }
        #expect(error.code == "patch-unsafe" && error.sentence.contains("Patch 4 (0004-bad.patch)"))
        #expect(try await bench.objectCount() == objects)
    }

    @Test func throughALinkOfAnEarlierPatch() async throws {
        let bench = try await Workbench()
        try bench.write("s/1.patch", Self.creation("mm/l", mode: "120000", line: "kasan"))
        try bench.write("s/2.patch", Self.creation("mm/l/x"))
        let error = try await labError { _ = try await bench.apply(bench.root + "/s") }
        #expect(error.code == "patch-unsafe" && error.cause?.contains("mm/l is a symbolic link") == true)
        // The same after the first patch is cached.
        _ = try await bench.apply(bench.root + "/s/1.patch")
        #expect(try await labError { _ = try await bench.apply(bench.root + "/s") }.code == "patch-unsafe")
    }

    @Test func absolutePathsWithoutStripping() async throws {
        let bench = try await Workbench()
        try bench.write("q/a.patch", "--- /etc/passwd\n+++ /etc/passwd\n@@ -1 +1 @@\n-x\n+y\n")
        try bench.write("q/series", "a.patch -p0\n")
        #expect(try await labError { _ = try await bench.reader.read(bench.root + "/q") }.code == "patch-unsafe")
    }

    @Test func backwardsAndBinaryLinks() async throws {
        let bench = try await Workbench()
        try await bench.shell("ln -s /etc evil; git add -A; git commit -qm evil; git rm -q evil; git commit -qm gone")
        try await bench.shell("mkdir ../q; git diff main~1 main >../q/a.patch; printf 'a.patch -R\\n' >../q/series")
        #expect(try await labError { _ = try await bench.apply(bench.root + "/q") }.cause?.contains("absolute") == true)

        try await bench.shell(
            "mkdir -p .git/info; echo '* -diff' >.git/info/attributes; printf /etc >evil; git add evil; git diff --binary --cached evil | sed s/100644/120000/ >../b.patch"
        )
        #expect(try Files.text(bench.root + "/b.patch").contains("GIT binary patch"))
        let error = try await labError { _ = try await bench.apply(bench.root + "/b.patch") }
        #expect(error.code == "patch-unsafe" && error.cause?.contains("absolute") == true)
        #expect(try await bench.leftovers().count == 1)
    }

    @Test func headersThatDisagree() async throws {
        let bench = try await Workbench()
        let hunk = "@@ -1 +1 @@\n-x\n+y\n"
        for diff in [
            "--- a/mm/hmm.c\n+++ b/mm/memory.c\n" + hunk,
            "diff --git a/mm/hmm.c b/mm/hmm.c\n--- a/mm/hmm.c\n+++ b/mm/memory.c\n" + hunk,
            "diff --git a/mm/hmm.c b/mm/hmm.c\n--- a/mm/memory.c\n+++ b/mm/memory.c\n" + hunk,
            "diff --git a/mm/hmm.c b/mm/x.c\nrename from mm/hmm.c\nrename to mm/x.c\n--- a/mm/memory.c\n+++ b/mm/x.c\n"
                + hunk,
            "diff --git a/mm/hmm.c b/mm/x.c\nrename from mm/hmm.c\n",
            "diff --git a/mm/hmm.c b/mm/x.c\nindex 1..2\n",
            "--- /dev/null\n+++ /dev/null\n" + hunk,
        ] {
            try bench.write("p.diff", diff)
            let error = try await labError { _ = try await bench.reader.read(bench.root + "/p.diff") }
            #expect(error.code == "patch-malformed" && error.exitCode == .usage, "\(diff)\(error)")
        }
    }

    @Test func whatIsAllowed() {
        for path in ["mm/hmm.c", ".gitignore", "a/.gitattributes", "a..b/...", "x.git/y", "git/x", "ä ö"] {
            #expect(PathRules.objection(to: path) == nil, "\(path)")
        }
        for (path, target) in [("a/b/c", "../../x"), ("a/b/c", "../.."), ("a", "b/c"), ("a/b", "./c"), ("a", ".")] {
            #expect(PathRules.objection(toLink: path, target: target) == nil, "\(path) -> \(target)")
        }
        #expect(PathRules.ancestors(of: "a/b/c") == ["a", "a/b"])
        #expect(PathRules.ancestors(of: "a").isEmpty)
    }
}
