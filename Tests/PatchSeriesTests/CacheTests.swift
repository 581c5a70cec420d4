// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import PatchSeries

@Suite struct CacheTests {
    /// An applier whose git is a script: it logs each call, and then runs `then` instead of the real one if that is given.
    func applier(_ bench: Workbench, then: String = "") throws -> SeriesApplier {
        let script = try bench.write(
            "bin/git", "#!/bin/sh\necho \"$1\" >>\(bench.root)/calls\n\(then)\nexec git \"$@\"\n")
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: script)
        return SeriesApplier(
            gitDirectory: bench.store, git: Git(runner: bench.runner, executable: script), cache: bench.cache)
    }

    func calls(_ bench: Workbench) -> [Substring] {
        let text = (try? Files.text(bench.root + "/calls")) ?? ""
        try? FileManager.default.removeItem(atPath: bench.root + "/calls")
        return text.split(separator: "\n")
    }

    @Test func anUnchangedSeriesIsNotAppliedAgain() async throws {
        let bench = try await Workbench()
        let series = try await bench.reader.read(try await bench.patches(Workbench.three))
        let applier = try applier(bench)
        let first = try await applier.apply(series, onto: bench.base)
        #expect(first.cachedCount == 0 && calls(bench).contains("apply"))
        let second = try await applier.apply(series, onto: bench.base)
        #expect(calls(bench) == ["cat-file"])
        #expect(
            second.cachedCount == 3 && second.tip == first.tip && second.tree == first.tree
                && second.patches == first.patches)
        // A part of it is known as well.
        let part = try await applier.apply(series, onto: bench.base, upTo: 2)
        #expect(calls(bench) == ["cat-file"])
        #expect(part.tip == first.patches[1].commit)
        #expect(try await bench.shell("git rev-parse \(part.tip)^{tree}", in: bench.store) == part.tree + "\n")
        #expect(try await bench.leftovers().filter { $0.hasSuffix(".json") }.count == 3)
        #expect(try await bench.shell("git for-each-ref", in: bench.store).split(separator: "\n").count == 1)
    }

    @Test func onlyWhatChangedIsApplied() async throws {
        let bench = try await Workbench()
        let folder = try await bench.patches(Workbench.three)
        let applier = try applier(bench)
        let first = try await applier.apply(try await bench.reader.read(folder), onto: bench.base)
        try await bench.shell("sed -i 's/^Subject.*/Subject: [PATCH] other/' ../out/0003*")
        _ = calls(bench)
        let second = try await applier.apply(try await bench.reader.read(folder), onto: bench.base)
        #expect(calls(bench).filter { $0 == "apply" }.count == 1)
        #expect(second.cachedCount == 2)
        #expect(second.patches[1] == first.patches[1] && second.tip != first.tip && second.tree == first.tree)
        #expect(
            try await bench.shell("git rev-parse \(second.tip)^", in: bench.store) == first.patches[1].commit + "\n")
    }

    @Test func lostObjectsAreMadeAgain() async throws {
        let bench = try await Workbench()
        let folder = try await bench.patches(Workbench.three)
        let series = try await bench.reader.read(folder)
        let applier = try applier(bench)
        let first = try await applier.apply(series, onto: bench.base)
        let blob = try await bench.shell("git rev-parse \(first.tip):mm/hmm.c", in: bench.store)
        try await bench.shell("rm -f objects/\(blob.prefix(2))/\(blob.dropFirst(2))", in: bench.store)
        let second = try await applier.apply(series, onto: bench.base)
        #expect(second.cachedCount == 1 && second.patches == first.patches)
        try await bench.shell("git fsck --no-dangling \(second.tip)", in: bench.store)
        // git may collect what no ref holds.
        try await bench.shell("git -c gc.pruneExpire=now gc -q", in: bench.store)
        let third = try await applier.apply(series, onto: bench.base)
        #expect(third.cachedCount == 0 && third.patches == first.patches)
    }

    @Test func damagedRecordsAreMadeAgain() async throws {
        let bench = try await Workbench()
        let series = try await bench.reader.read(try await bench.patches(Workbench.three))
        let first = try await bench.applier.apply(series, onto: bench.base)
        let folder = bench.cache.root + "/series"
        for (index, name) in (FileManager.default.subpaths(atPath: folder) ?? []).filter({ $0.hasSuffix(".json") })
            .enumerated()
        {
            let text = try Files.text("\(folder)/\(name)")
            try Files.write(index == 0 ? "" : String(text.prefix(40)), to: "\(folder)/\(name)")
        }
        let second = try await bench.applier.apply(series, onto: bench.base)
        #expect(second == first)
    }

    @Test func anotherBaseIsAnotherEntry() async throws {
        let bench = try await Workbench()
        let series = try await bench.reader.read(try await bench.patches(Workbench.three))
        let first = try await bench.apply(bench.root + "/out")
        let other = try await bench.shell(
            "git commit-tree -p \(bench.base) -m other \(bench.base)^{tree}", in: bench.store)
        let second = try await bench.applier.apply(series, onto: String(other.prefix(40)))
        #expect(second.cachedCount == 0 && second.tip != first.tip && second.tree == first.tree)
    }

    /// Ends git at each of its calls in turn, once before and once after it did its work.
    @Test(arguments: ["kill -9 $$", "git \"$@\"; kill -9 $$"])
    func interruptedAnywhere(_ end: String) async throws {
        let bench = try await Workbench()
        let series = try await bench.reader.read(try await bench.patches(Workbench.three))
        let probe = try applier(bench)
        let whole = try await probe.apply(series, onto: bench.base, upTo: 1)
        let count = calls(bench).count
        #expect(count > 10)
        for number in 1...count {
            try await bench.shell("rm -rf ../cache/series; git --git-dir ../store.git prune --expire=now")
            let broken = try applier(bench, then: "[ $(wc -l <\(bench.root)/calls) -ne \(number) ] || { \(end); }")
            let error = try await labError { _ = try await broken.apply(series, onto: bench.base, upTo: 1) }
            #expect(error.exitCode != .passed)
            #expect(try await bench.leftovers().count == 1, "call \(number)")
            _ = calls(bench)
            let again = try await bench.applier.apply(series, onto: bench.base, upTo: 1)
            #expect(again == whole, "call \(number)")
            try await bench.shell("git fsck --strict --no-dangling \(again.tip)", in: bench.store)
        }
    }

    /// What kill -9 during the last step leaves: some of the objects, in no useful order.
    @Test func halfOfTheObjectsInTheStore() async throws {
        let bench = try await Workbench()
        let series = try await bench.reader.read(try await bench.patches(Workbench.three))
        let whole = try await bench.apply(bench.root + "/out")
        for part in 0..<4 {
            try await bench.shell(
                """
                rm -rf ../cache/series
                cd ../store.git
                git rev-list --objects \(whole.tip) ^\(bench.base) | cut -c1-40 | awk 'NR % 4 == \(part)' |
                    sed 's|^..|&/|' | (cd objects; xargs rm -f)
                """)
            let again = try await bench.applier.apply(series, onto: bench.base)
            #expect(again == whole)
            try await bench.shell("git fsck --strict --no-dangling \(again.tip)", in: bench.store)
        }
    }

    @Test func stagingOfTheDeadIsSwept() async throws {
        let bench = try await Workbench()
        // No process has this number: it is larger than any that Linux hands out.
        let dead = bench.cache.root + "/staging/4194305-0badcafe"
        try Files.write("x", to: dead + "/repository/HEAD")
        let folder = try await bench.patches(Workbench.three)
        _ = try await bench.apply(folder)
        #expect(!Files.exists(dead))
    }
}
