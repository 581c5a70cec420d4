// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import PatchSeries

@Suite struct SeriesFormsTests {
    @Test func everyFormGivesTheSameCommits() async throws {
        let bench = try await Workbench()
        let folder = try await bench.patches(Workbench.three)
        try await bench.shell("git format-patch -q --stdout \(bench.base) >../all.mbox")
        let forms = [
            folder, bench.root + "/all.mbox", "git:\(bench.work)@\(bench.base)..main", "git:\(bench.work)@main~3..",
        ]
        var tips: Set<String> = []
        for form in forms {
            let series = try await bench.reader.read(form)
            #expect(series.patches.map(\.subject) == ["mm: set line 10", "mm/hmm: set hmm 5", "kasan: report more"])
            #expect(series.patches.map(\.touchedPaths) == [["mm/memory.c"], ["mm/hmm.c"], ["mm/kasan/report.c"]])
            #expect(series.patches.first?.body == "Because it matters.")
            #expect(
                series.patches.first?.author
                    == Patch.Author(
                        name: "Ada Author", email: "ada@example.org", date: "Mon, 3 Nov 2025 10:20:30 +0130"))
            let fresh = SeriesApplier(
                gitDirectory: bench.store, runner: bench.runner, cache: Cache(root: "\(bench.root)/\(UUID())"))
            let applied = try await fresh.apply(series, onto: bench.base)
            #expect(applied.cachedCount == 0)
            #expect(applied.patches.allSatisfy { $0.outcome == .clean && $0.drift.isEmpty })
            tips.insert(applied.tip)
        }
        // The short blob ids of mails and the long ones of the commits do not matter for the result.
        #expect(tips.count == 1)
        let tip = try #require(tips.first)
        #expect(try await bench.content("mm/hmm.c", at: tip).contains("hmm_5 = 1;"))
        #expect(
            try await bench.shell("git rev-parse main^{tree}")
                == bench.shell("git rev-parse \(tip)^{tree}", in: bench.store))
    }

    @Test func commitsAreThoseOfGitAmExceptForTheCommitter() async throws {
        let bench = try await Workbench()
        let folder = try await bench.patches(
            Workbench.three + """

                sed -i 's/line_50;/line_50 = 1;/' mm/memory.c
                printf 'mm: [odd] subject\n\n  indented\n\n\ntwo   \n# not a comment\n\nSigned-off-by: A <a@b>\n' |
                    GIT_AUTHOR_NAME='"Dr. Ö" <x>' git commit -qa --cleanup=verbatim -F -
                """)
        let applied = try await bench.apply(folder)
        try await bench.shell("git checkout -q -b am \(bench.base); git am -q ../out/*")
        let format = "git log --format='%an|%ae|%ad|%T|%B' -4"
        #expect(try await bench.shell("\(format) am") == bench.shell("\(format) \(applied.tip)", in: bench.store))
        let committers = try await bench.shell(
            "git log -4 --format='%cn %ce %cI' \(applied.tip) | sort -u", in: bench.store)
        #expect(committers == "hmmlab hmmlab@localhost 2025-11-04T01:02:03+00:00\n")
    }

    @Test func foldersAreReadInNumericOrNameOrder() throws {
        let folder = NSTemporaryDirectory() + "hmmlab-names-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        for name in ["10-j.patch", "2-b.diff", "001-a.patch", "readme.txt", ".hidden.patch"] {
            try Files.write("", to: "\(folder)/\(name)")
        }
        #expect(try PatchFiles.names(in: folder) == ["001-a.patch", "2-b.diff", "10-j.patch"])
        try Files.write("", to: folder + "/fix.patch")
        #expect(try PatchFiles.names(in: folder) == ["001-a.patch", "10-j.patch", "2-b.diff", "fix.patch"])
    }

    @Test func plainDiffsTakeTheirSubjectFromTheFileName() async throws {
        let bench = try await Workbench()
        _ = try await bench.patches(Workbench.three)
        try await bench.shell("mkdir ../plain; git diff main~1 main >../plain/0007-kasan-more.diff")
        let diff = try await bench.shell("git diff main~3 main~2")
        let lines = diff.split(separator: "\n").filter { !$0.hasPrefix("diff") && !$0.hasPrefix("index") }
        try bench.write(
            "plain/0001-fix.patch",
            "Mutant: H01\nKind: tiny\n\nWhy it is.\n---\n x | 2\n\n" + lines.joined(separator: "\n") + "\n")
        let series = try await bench.reader.read(bench.root + "/plain")
        #expect(series.patches.map(\.subject) == ["fix", "kasan-more"])
        #expect(series.patches.map(\.body) == ["Mutant: H01\nKind: tiny\n\nWhy it is.", ""])
        #expect(series.patches.map(\.author) == [nil, nil])
        let applied = try await bench.apply(bench.root + "/plain")
        #expect(try await bench.content("mm/memory.c", at: applied.tip).contains("line_10 = 1;"))
        #expect(
            try await bench.shell("git log -1 --format='%an %aI %s' \(applied.tip)", in: bench.store)
                == "hmmlab 2025-11-04T01:02:03+00:00 kasan-more\n")
        // A single patch is a series as well.
        #expect(try await bench.apply(bench.root + "/plain/0007-kasan-more.diff").patches.count == 1)
    }

    @Test func quiltSeriesWithOptions() async throws {
        let bench = try await Workbench()
        _ = try await bench.patches(Workbench.three)
        try await bench.shell(
            """
            mkdir -p ../q/sub
            git diff --no-prefix main~3 main~2 >../q/zero.patch
            git diff -R main~2 main~1 >../q/sub/back.diff
            cp ../out/0003* ../q/a.patch
            cp ../out/0001* ../q/unused.patch
            """)
        try bench.write(
            "q/series",
            "# all of it\n\nzero.patch -p0   # flat\r\n  sub/back.diff -p1 -R\n#unused.patch\na.patch -pab\n")
        for form in ["/q", "/q/series"] {
            let series = try await bench.reader.read(bench.root + form)
            #expect(series.patches.map(\.origin) == ["zero.patch", "sub/back.diff", "a.patch"])
            #expect(series.patches.map(\.strip) == [0, 1, 1])
            #expect(series.patches.map(\.isReversed) == [false, true, false])
        }
        try await bench.shell("cp ../q/series ../q/my-list")
        let applied = try await bench.apply(bench.root + "/q/my-list")
        #expect(
            try await bench.shell("git rev-parse main^{tree}")
                == bench.shell("git rev-parse \(applied.tip)^{tree}", in: bench.store))
    }

    @Test(arguments: [
        ("gone.patch", "gone.patch does not exist"), ("../out/0001-mm-set-line-10.patch", "outside"),
        ("/etc/passwd", "outside"), ("a.patch -p1 -z", "-z"), ("a.patch -p99", "-p99"), ("sub", "folder"),
    ])
    func badQuiltSeries(_ line: String, _ cause: String) async throws {
        let bench = try await Workbench()
        let folder = try await bench.patches(Workbench.three)
        try await bench.shell("mkdir -p ../q/sub; cp \(folder)/0001* ../q/a.patch")
        try bench.write("q/series", "a.patch\n\(line)\n")
        let error = try await labError { _ = try await bench.reader.read(bench.root + "/q") }
        #expect(error.code == "series-unreadable" && error.exitCode == .usage)
        #expect(error.cause?.hasPrefix("line 2: ") == true && error.cause?.contains(cause) == true)
    }

    @Test func rangesOfCommits() async throws {
        let bench = try await Workbench()
        _ = try await bench.patches(Workbench.three + "\ngit commit -q --allow-empty -m nothing")
        let git = "git:\(bench.work)@"
        #expect(try await bench.reader.read(git + "main~2..main~1").patches.map(\.subject) == ["kasan: report more"])
        #expect(try await bench.reader.read(git + "main@{0}~2..main").notes.count == 1)
        // A message that no mail could carry.
        let message = "odd: message\n\n---\ndiff --git a/x b/x\nFrom: x\n\nend"
        try bench.write("message", message)
        try await bench.shell("echo x >>mm/hmm.c; git commit -qa -F ../message")
        let series = try await bench.reader.read(git + "main~1..")
        #expect(series.patches.first?.message == message + "\n")
        let applied = try await bench.applier.apply(series, onto: bench.base)
        #expect(try await bench.shell("git log -1 --format=%B \(applied.tip)", in: bench.store) == message + "\n\n")
    }

    @Test func badRangesOfCommits() async throws {
        let bench = try await Workbench()
        _ = try await bench.patches(Workbench.three)
        try await bench.shell(
            "git checkout -q -b side main~2; git commit -q --allow-empty -m s; git merge -q --no-edit main")
        let git = "git:\(bench.work)@"
        let cases = [
            (git + "main", "series-unclear"), (git + "a...b", "series-unclear"), (git + "..main", "series-unclear"),
            ("git:nothing", "series-unclear"), ("", "series-unclear"), ("git:/nowhere@a..b", "series-missing"),
            (git + "nope..main", "series-missing"), (git + "--output=x..main", "series-missing"),
            (git + "main..main", "series-empty"), (git + "main~3..side", "series-unreadable"),
        ]
        for (argument, code) in cases {
            let error = try await labError { _ = try await bench.reader.read(argument) }
            #expect(error.code == code && error.exitCode == .usage && error.nextStep != nil, "\(argument): \(error)")
        }
    }

    @Test func theHomeFolderMayBeATilde() throws {
        let home = NSTemporaryDirectory() + "hmmlab-home-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: home) }
        try FileManager.default.createDirectory(atPath: home + "/me@work", withIntermediateDirectories: true)
        #expect(
            try SeriesSpec("git:~/me@work@v6.12..", home: home)
                == .commits(repository: home + "/me@work", base: "v6.12", tip: "HEAD"))
        #expect(
            try SeriesSpec("git:a~/x@b..c", home: home) == .commits(repository: "a~/x", base: "b", tip: "c"))
    }

    @Test func anotherUsersRepositoryIsRefused() async throws {
        let bench = try await Workbench()
        _ = try await bench.patches(Workbench.three)
        // git's own way to test for owners without root rights.
        let git = try bench.write(
            "git",
            """
            #!/bin/sh
            # Whatever this machine calls safe.
            export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
            GIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec git "$@"

            """)
        try await bench.shell("chmod +x ../git")
        let reader = SeriesReader(git: Git(runner: bench.runner, executable: git), cache: bench.cache)
        let error = try await labError { _ = try await reader.read("git:\(bench.work)@main~3..main") }
        #expect(error.code == "repository-foreign" && error.nextStep?.contains("safe.directory \(bench.work)") == true)
    }

    @Test func aPartialCloneIsNotFetchedInto() async throws {
        let bench = try await Workbench()
        _ = try await bench.patches(Workbench.three)
        try await bench.shell(
            """
            git config uploadpack.allowFilter true; git config uploadpack.allowAnySHA1InWant true
            git clone -q --no-checkout --filter=blob:none "file://$PWD" ../partial
            """)
        let look = "find ../partial -type f -printf '%p %s %T@\n' | sort"
        let before = try await bench.shell(look)
        let error = try await labError { _ = try await bench.reader.read("git:\(bench.root)/partial@main~3..main") }
        #expect(error.code == "series-unreadable" && error.exitCode == .usage)
        #expect(try await bench.shell(look) == before)
    }

    @Test func theUsersRepositoryIsOnlyRead() async throws {
        let bench = try await Workbench()
        // With drift, so that a merge needs blobs of that repository.
        try await bench.shell("sed -i 's/line_8;/line_8 = 8;/' mm/memory.c; git commit -qam mine")
        _ = try await bench.patches(Workbench.three)
        try await bench.shell(
            "git config core.abbrev 4; git config diff.noprefix true; git config format.attach x; echo dirt >>mm/hmm.c")
        let look = "find .git -type f -printf '%p %s %T@\n' | sort; git --no-optional-locks status --porcelain"
        let before = try await bench.shell(look)
        let applied = try await bench.apply("git:\(bench.work)@main~3..main")
        #expect(applied.patches[0].outcome == .threeWay)
        let after = try await bench.shell(look)
        #expect(after == before)
    }

    @Test func uptoStopsEarly() async throws {
        let bench = try await Workbench()
        let folder = try await bench.patches(Workbench.three)
        let none = try await bench.apply(folder, upTo: 0)
        #expect(none.tip == bench.base && none.patches.isEmpty)
        #expect(try await bench.shell("git rev-parse \(bench.base)^{tree}") == none.tree + "\n")
        let two = try await bench.apply(folder, upTo: 2)
        #expect(two.patches.count == 2)
        #expect(try await bench.content("mm/kasan/report.c", at: two.tip) == "int kasan;\n")
        let error = try await labError { _ = try await bench.apply(folder, upTo: 4) }
        #expect(error.code == "upto-out-of-range" && error.exitCode == .usage)
        #expect(error.sentence.contains("3 patches"))
        #expect(try await labError { _ = try await bench.apply(folder, upTo: -1) }.code == "upto-out-of-range")
    }

    @Test func unusableInput() async throws {
        let bench = try await Workbench()
        try await bench.shell(
            "mkdir ../none ../locked; mkfifo ../pipe; truncate -s 65M ../huge.patch; mkdir ../big; mv ../huge.patch ../big"
        )
        try await bench.shell("truncate -s 1G ../huge.mbox")
        try bench.write("garbage", Data((0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 197 ^ $0 >> 3) }))
        try bench.write("empty", "")
        try bench.write("text", "just\nsome text\n")
        try bench.write("hello.mbox", "From x Mon Sep 17 00:00:00 2001\nFrom: a@b\nSubject: hi\n\nno diff here\n")
        try bench.write("folder/0001-x.patch", "From: a@b\nSubject: [PATCH] hi\n\nno diff here\n")
        try bench.write("comments/series", "# nothing\n")
        let cases = [
            ("missing", "series-missing"), ("none", "series-empty"), ("pipe", "series-unreadable"),
            ("garbage", "series-unreadable"), ("empty", "series-unreadable"), ("text", "series-unreadable"),
            ("hello.mbox", "series-empty"), ("folder", "patch-malformed"), ("comments", "series-empty"),
            ("big", "patch-too-large"), ("huge.mbox", "series-too-large"),
        ]
        for (name, code) in cases {
            let error = try await labError { _ = try await bench.reader.read("\(bench.root)/\(name)") }
            #expect(error.code == code && error.exitCode == .usage, "\(name): \(error)")
            #expect(error.nextStep != nil, "\(name): \(error)")
        }
        #expect(try await bench.leftovers().count == 1)
    }
}
