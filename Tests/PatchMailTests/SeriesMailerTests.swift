// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchSeries
import ProcessRunner
import Testing

@testable import PatchMail

@Suite("Mails of a series")
struct SeriesMailerTests {
    private static let run = TestedRun(
        tree: "t", base: "git-1", kernelVersion: "6.12.5", flavour: "fast", driver: "test_hmm",
        suites: ["mirror", "migrate"], counts: ["pass": 279], known: ["fail": 3], date: Date(timeIntervalSince1970: 0))

    @Test("The bytes are these, and the same from a folder of mails, from commits, and a second time")
    func golden() async throws {
        let bench = try await MailBench()
        let series = try await bench.series(MailBench.two)
        let tested = [
            TestedBase(version: "6.12.5", source: "git", runs: [Self.run]),
            TestedBase(version: "7.2", source: nil, runs: []),
        ]
        let mails = try await bench.mails(series, tested: tested)
        #expect(
            mails.files.map(\.name) == [
                "0000-cover-letter.patch", "0001-mm-set-line-10.patch", "0002-mm-hmm-set-line-5.patch", "series",
            ])
        #expect(try mails.text("series") == "0001-mm-set-line-10.patch\n0002-mm-hmm-set-line-5.patch\n")
        #expect(try mails.text("0001") == Golden.first)
        #expect(
            try mails.text("0000")
                == Golden.cover.replacing("COMMIT", with: bench.base.commit).replacing("TREE", with: bench.base.tree))
        #expect(try await bench.mails(series, tested: tested) == mails)

        try await bench.shell("git format-patch -q -o ../out main")
        try FileManager.default.removeItem(atPath: bench.cache.root + "/series")
        let again = try await bench.reader.read(.path(bench.root + "/out"))
        #expect(try await bench.mails(again, tested: tested) == mails)
    }

    @Test("Configuration, clock zone and locale of the caller have no say in what git is told")
    func isolation() async throws {
        let bench = try await MailBench()
        let series = try await bench.series(MailBench.two)
        let mails = try await bench.mails(series)
        // The store's own configuration is the only one that git may read; what it decides by default is fixed.
        for setting in [
            "diff.noprefix=true", "diff.context=9", "diff.algorithm=patience", "diff.statGraphWidth=3",
            "core.abbrev=40",
            "format.signature=me", "diff.renames=false", "diff.interHunkContext=40", "color.ui=always",
        ] {
            let pair = setting.split(separator: "=")
            try await bench.shell(
                "git config \(pair[0]) \(pair[1])", in: bench.sources.store.gitDirectory)
        }
        #expect(try await bench.mails(series).files == mails.files)
    }

    @Test("Base trees without a public commit are named by package and tree")
    func debianBase() async throws {
        let bench = try await MailBench()
        let series = try await bench.series(MailBench.two)
        var base = bench.base
        base.spec = .debian(.series("6.12"))
        base.version = "6.12.5-1~deb12u1"
        let cover = try await bench.mails(series, on: base).text("0000")
        #expect(cover.contains("Debian's linux-source 6.12.5-1~deb12u1\nhas it"))
        #expect(cover.contains("\nbase-tree: \(base.tree)\n"))
        #expect(!cover.contains("base-commit"))
    }

    @Test("git am and quilt put the same on a fresh tree, with authors, dates and messages as they were")
    func applies() async throws {
        let bench = try await MailBench()
        let long = "mm: " + (1...15).map { "word\($0)" }.joined(separator: " ")
        let series = try await bench.series(
            MailBench.edit("memory", 3, "mm: grüße from line 3", author: "Müller, Jörg (X) <j@example.org>")
                + MailBench.edit("hmm", 4, long, body: "Größe.\n\nCc: \"Doe, J.\" <doe@example.org>")
                + MailBench.edit("gup", 5, "mm/gup: set 5", author: "日本 太郎 <taro@example.org>")
                + MailBench.edit("gup", 6, "mm/gup: set 6", author: "Ada \"A.\" Author <ada@example.org>")
                + "git mv mm/swap.c mm/swap_new.c; chmod +x mm/gup.c; printf 'a\\nb' >mm/new.c; git add -A\n"
                + "git commit -qm 'mm: move, add, and make executable'\n")
        let mails = try await bench.mails(series)
        let folder = MailFolder(bench.root + "/out")
        try folder.write(mails)
        try await bench.shell(
            """
            git log --reverse --format='%an|%ae|%ad|%B' main..HEAD >../want
            git rev-parse HEAD^{tree} >../tree-id
            git checkout -q --detach main
            git am -q $(sed 's|^|../out/|' ../out/series)
            git log --reverse --format='%an|%ae|%ad|%B' main..HEAD >../got
            git rev-parse HEAD^{tree} | cmp - ../tree-id
            cmp ../want ../got
            """)
        try ProcessRunner.require("quilt")
        try await bench.shell(
            """
            git archive main --prefix=fresh/ | tar -x -C ..
            cd ../fresh
            QUILT_PATCHES=../out quilt --quiltrc - push -q -a
            rm -rf .pc
            git init -q . && git add -A && git write-tree | cmp - ../tree-id
            """)
        #expect(try mails.text("0001").contains("From: =?UTF-8?q?M=C3=BCller=2C_J=C3=B6rg_=28X=29?= <j@"))
        #expect(try mails.text("0004").contains("From: \"Ada \\\"A.\\\" Author\" <ada@"))
        #expect(try mails.text("0002").contains(" \"Doe, J.\" <doe@example.org>"))
    }

    @Test("Text of any encoding and line end arrives byte by byte; a note says where git am needs to be told")
    func anyBytes() async throws {
        let bench = try await MailBench()
        let mails = try await bench.mails(
            try await bench.series(
                """
                printf 'gr\\374n\\n' >mm/latin1.c; git add -A; git commit -qm 'mm: Latin-1'
                printf 'one\\r\\ntwo\\r\\n' >mm/crlf.c; git add -A; git commit -qm 'mm: CR LF'

                """))
        #expect(mails.notes == ["Lines end with CR LF in: mm: CR LF. Use git am --keep-cr."])
        try MailFolder(bench.root + "/out").write(mails)
        try await bench.shell(
            """
            git rev-parse HEAD^{tree} >../tree-id
            git checkout -q --detach main
            git am -q ../out/0001-*.patch
            git am -q --keep-cr ../out/0002-*.patch
            git rev-parse HEAD^{tree} | cmp - ../tree-id
            """)
    }

    @Test("Each patch goes to its own people, the cover letter to all of them, and nobody to himself")
    func recipients() async throws {
        let bench = try await MailBench()
        let mails = try await bench.mails(
            try await bench.series(
                MailBench.edit("memory", 3, "mm: one", body: "Cc: stable@example.org")
                    + MailBench.edit("hmm", 4, "mm: two", author: "Andrew M. <akpm@example.org>")))
        let (cover, one, two) = (mails.files[0].recipients, mails.files[1].recipients, mails.files[2].recipients)
        #expect(one.to.map(\.text) == ["Andrew M. <akpm@example.org>"])
        #expect(one.cc.map(\.email) == ["linux-mm@example.org", "stable@example.org"])
        #expect(two.to == [])
        #expect(two.cc.map(\.text) == ["linux-mm@example.org", "Re, Viewer <re@example.org>"])
        #expect(cover.to.map(\.email) == ["akpm@example.org"])
        #expect(
            cover.cc.map(\.email) == ["linux-mm@example.org", "stable@example.org", "re@example.org"])
        #expect(try mails.text("0002").contains(" \"Re, Viewer\" <re@example.org>\n"))
    }

    @Test("A patch that the base has is left out with a note; if it has all, there is nothing to mail")
    func nothing() async throws {
        let bench = try await MailBench()
        let series = try await bench.series(MailBench.two)
        let first = try PatchSeries(source: "x", patches: series.patches).prefix(1)
        // Blob ids let the three-way merge see that the change is there.
        try await bench.shell("git branch half HEAD~1")
        let base = try await bench.sources.resolve(.git(repository: bench.tree, revision: "half"))
        let mails = try await bench.mails(series, on: base)
        #expect(mails.files.map(\.name) == ["0000-cover-letter.patch", "0001-mm-hmm-set-line-5.patch", "series"])
        #expect(mails.notes.contains { $0.contains("the base already has it") })
        let error = try await labError { _ = try await bench.mails(first, on: base) }
        #expect(error.code == "nothing-to-mail")
        let empty = try await labError { _ = try await bench.mails(PatchSeries(source: "x", patches: [])) }
        #expect(empty.code == "nothing-to-mail")
    }

    @Test("A patch without an author cannot be mailed")
    func noAuthor() async throws {
        let bench = try await MailBench()
        _ = try await bench.series(MailBench.two)
        try await bench.shell("git diff main HEAD >../plain.diff")
        let plain = try await bench.reader.read(.path(bench.root + "/plain.diff"))
        #expect(try await labError { _ = try await bench.mails(plain) }.code == "patch-without-author")
    }

    @Test("A base without get_maintainer is told, and the trailers still count")
    func noMaintainers() async throws {
        let bench = try await MailBench()
        try await bench.shell("git rm -q MAINTAINERS; git commit -qm none; git branch none; git checkout -q main")
        let base = try await bench.sources.resolve(.git(repository: bench.tree, revision: "none"))
        let series = try await bench.series(MailBench.edit("memory", 3, "mm: one", body: "Cc: stable@example.org"))
        let mails = try await bench.mails(series, on: base)
        #expect(mails.files[1].recipients == Recipients(to: [], cc: [Address(name: "", email: "stable@example.org")]))
        #expect(mails.notes.contains { $0.contains("get_maintainer") })
    }
}

private enum Golden {
    static let first = """
        From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
        From: Ada Author <ada@example.org>
        Date: Mon, 3 Nov 2025 10:20:30 +0130
        Subject: [PATCH 1/2] mm: set line 10
        To: "Andrew M." <akpm@example.org>
        Cc: linux-mm@example.org

        Because it matters.

        Signed-off-by: Ada Author <ada@example.org>
        ---
         mm/memory.c | 2 +-
         1 file changed, 1 insertion(+), 1 deletion(-)

        diff --git a/mm/memory.c b/mm/memory.c
        index 6d464c127927..dabc0287cf30 100644
        --- a/mm/memory.c
        +++ b/mm/memory.c
        @@ -7,7 +7,7 @@ int memory_6;
         int memory_7;
         int memory_8;
         int memory_9;
        -int memory_10;
        +int memory_10 = 1;
         int memory_11;
         int memory_12;
         int memory_13;

        """
    static let cover = """
        From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
        From: Ada Author <ada@example.org>
        Date: Mon, 3 Nov 2025 10:20:30 +0130
        Subject: [PATCH 0/2] Set some lines
        To: "Andrew M." <akpm@example.org>
        Cc: linux-mm@example.org,
         "Re, Viewer" <re@example.org>

        These lines matter.

        Tested:
          6.12.5 (git, fast, test_hmm): suites mirror, migrate: 279 passed, 3
            known failures
          7.2: not run

        Ada Author (2):
          mm: set line 10
          mm/hmm: set line 5

         mm/hmm.c    | 2 +-
         mm/memory.c | 2 +-
         2 files changed, 2 insertions(+), 2 deletions(-)

        base-commit: COMMIT
        base-tree: TREE

        """
}
