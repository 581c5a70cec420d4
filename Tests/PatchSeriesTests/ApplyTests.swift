// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import PatchSeries

@Suite struct ApplyTests {
    @Test func kindsOfChanges() async throws {
        let bench = try await Workbench()
        let folder = try await bench.patches(
            #"""
            git mv mm/memory.c mm/moved.c; sed -i 's/line_7;/line_7 = 7;/' mm/moved.c; git commit -qam rename
            cp mm/hmm.c 'mm/copy ü "q".c'; git add -A; git commit -qm copy
            chmod +x mm/hmm.c; git commit -qam mode
            mkdir -p new/deep; echo hi >new/deep/file; git add -A; git commit -qm new
            git rm -q -r mm/kasan scripts; git commit -qm removed
            printf 'one\r\nTWO\r\nthree\r\nfour\r\n' >mm/crlf.c; git commit -qam crlf
            printf 'gr\374n\nbl\344u\nrot\n' >mm/latin1.txt; git commit -qam latin1
            printf 'one\ntwo\nthree\n' >mm/tail.c; git commit -qam newline
            printf 'a\0b\2c\376' >logo.bin; git commit -qam binary
            ln -sfn ../mm/crlf.c Documentation/link; git commit -qam link
            git rm -q folder; mkdir folder; echo x >folder/x; git add -A; git commit -qm 'link to folder'
            git rm -q -r new; echo file >new; git add -A; git commit -qm 'folder to file'
            touch empty; git add -A; git commit -qm empty
            """#, options: "-C --find-copies-harder")
        for source in [folder, "git:\(bench.work)@\(bench.base)..main"] {
            let applied = try await bench.apply(source)
            #expect(applied.patches.allSatisfy { $0.outcome == .clean && $0.drift.isEmpty })
            #expect(try await bench.shell("git rev-parse main^{tree}") == applied.tree + "\n")
            try await bench.shell("git fsck --strict --no-dangling \(applied.tip)", in: bench.store)
        }
    }

    @Test func offsets() async throws {
        let bench = try await Workbench()
        try await bench.shell(
            "git checkout -q -b other; sed -i '1i int new_1;\\nint new_2;' mm/memory.c; git commit -qam x")
        let other = try await bench.shell("git push -q ../store.git other; git rev-parse other")
        let folder = try await bench.patches(Workbench.three)
        try await bench.shell("sed -i /^index/d ../out/*")
        let series = try await bench.reader.read(folder)
        let applied = try await bench.applier.apply(series, onto: String(other.prefix(40)))
        #expect(applied.patches.map(\.outcome) == [.clean, .clean, .clean])
        #expect(try await bench.content("mm/memory.c", at: applied.tip).contains("line_9;\nint line_10 = 1;\n"))
    }

    /// A base whose context around line 10 differs, in which only a three-way merge finds the place.
    func drifted(_ bench: Workbench) async throws -> String {
        let id = try await bench.shell(
            """
            git checkout -q -b other
            sed -i 's/line_8;/line_8; \\/* point release *\\//' mm/memory.c
            git commit -qam x
            git push -q ../store.git other
            git rev-parse other
            """)
        return String(id.prefix(40))
    }

    @Test func driftIsMergedThreeWay() async throws {
        let bench = try await Workbench()
        let other = try await drifted(bench)
        let series = try await bench.reader.read(try await bench.patches(Workbench.three))
        let applied = try await bench.applier.apply(series, onto: other)
        #expect(applied.patches.map(\.outcome) == [.threeWay, .clean, .clean])
        #expect(applied.patches.map(\.drift) == [["mm/memory.c"], [], []])
        let text = try await bench.content("mm/memory.c", at: applied.tip)
        #expect(text.contains("point release") && text.contains("line_10 = 1;"))
        #expect(applied.notes.count == 1 && applied.notes[0].contains("mm/memory.c"))
    }

    @Test func theUsersRepositoryLendsTheBlobsOfAMerge() async throws {
        let bench = try await Workbench()
        // A file version that the store has never seen, and the base of the series.
        try await bench.shell(
            "sed -i 's/line_8;/line_8; \\/* mine *\\//' mm/memory.c; git commit -qam mine; git tag mine")
        let before = try await bench.objectCount()
        _ = try await bench.patches(Workbench.three)
        let applied = try await bench.apply("git:\(bench.work)@mine..main")
        #expect(applied.patches.map(\.outcome) == [.threeWay, .clean, .clean])
        #expect(try await bench.content("mm/memory.c", at: applied.tip).contains("int line_8;\n"))
        #expect(try await bench.objectCount() > before)
        try await bench.shell("git fsck --connectivity-only --no-dangling \(applied.tip)", in: bench.store)
        // The same patches as mails name a blob that nobody has.
        try await bench.shell("rm ../out/*-mine.patch")
        guard case .rejected(let rejection) = try await bench.attempt(bench.root + "/out") else {
            Issue.record("not rejected")
            return
        }
        #expect(rejection.number == 1 && rejection.drift == ["mm/memory.c"])
    }

    @Test func aPatchThatTheBaseHasChangesNothing() async throws {
        let bench = try await Workbench()
        let folder = try await bench.patches(Workbench.three)
        try await bench.shell("git checkout -q -b other main~2; git push -q ../store.git other")
        let other = String(try await bench.shell("git rev-parse other").prefix(40))
        let applied = try await bench.applier.apply(try await bench.reader.read(folder), onto: other)
        #expect(applied.patches.map(\.outcome) == [.alreadyApplied, .clean, .clean])
        #expect(applied.patches[0].commit == other)
        #expect(applied.notes.count == 1)
        #expect(try await bench.shell("git rev-parse main^{tree}") == applied.tree + "\n")
        // Twice the same patch in one series.
        try await bench.shell("cp ../out/0001* ../out/0009-again.patch")
        let twice = try await bench.apply(folder)
        #expect(twice.patches.map(\.outcome) == [.clean, .clean, .clean, .alreadyApplied])
        #expect(twice.patches[3].commit == twice.patches[2].commit && twice.tip == twice.patches[2].commit)
    }

    @Test func sameInputSameCommits() async throws {
        let one = try await Workbench()
        let two = try await Workbench()
        #expect(one.base == two.base)
        let first = try await one.apply(try await one.patches(Workbench.three))
        let second = try await two.apply(try await two.patches(Workbench.three))
        #expect(first == second)
    }

    @Test func aBaseThatIsNotThere() async throws {
        let bench = try await Workbench()
        let series = try await bench.reader.read(try await bench.patches(Workbench.three))
        for commit in [String(repeating: "1", count: 40), "main", "", "--all", bench.base + "; true"] {
            let error = try await labError { _ = try await bench.applier.apply(series, onto: commit) }
            #expect(error.code == "base-missing" && error.exitCode == .unavailable)
        }
    }

    @Test func twoAtOnce() async throws {
        let bench = try await Workbench()
        let folder = try await bench.patches(Workbench.three)
        let tips = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<6 { group.addTask { try await bench.apply(folder).tip } }
            return try await group.reduce(into: Set()) { $0.insert($1) }
        }
        #expect(tips.count == 1)
        try await bench.shell("git fsck --strict --no-dangling \(tips.first ?? "")", in: bench.store)
    }
}
