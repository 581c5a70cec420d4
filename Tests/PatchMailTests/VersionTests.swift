// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchSeries
import Testing

@testable import PatchMail

@Suite("Versions of a mailed series")
struct VersionTests {
    private func edit(
        _ file: String, _ line: Int, _ subject: String, _ body: String = "Why.", _ value: Int = 1
    ) -> String { MailBench.edit(file, line, subject, body: body, value: value) }

    private func former(_ bench: MailBench, _ version: Int, _ path: String = "/out") async throws -> FormerVersion {
        try await FormerVersion.read(
            version: version, at: bench.root + path, runner: bench.runner, cache: bench.cache)
    }

    @Test("The second version says what is new, dropped, moved, changed and the same, and the first stays as it is")
    func changelog() async throws {
        let bench = try await MailBench()
        let one = [
            edit("memory", 1, "mm: first"),
            edit("memory", 15, "mm: second"),
            edit("hmm", 3, "mm: third"),
            edit("hmm", 15, "mm: fourth"),
            edit("gup", 9, "mm: fifth"),
        ]
        let folder = MailFolder(bench.root + "/out")
        try folder.write(try await bench.mails(try await bench.series(one.joined())))
        let before = try contents(folder.path)
        // Second reworded, third dropped, fourth changed, fifth moved to the front, a new one at the end.
        let two = [
            one[4], one[0],
            edit("memory", 15, "mm: second", "Because."),
            edit("hmm", 15, "mm: fourth", "Why.", 7),
            edit("swap", 2, "mm: sixth", "New."),
        ]
        let series = try await bench.series(two.joined())
        let mails = try await bench.mails(series, version: 2, previous: try await former(bench, 1))
        let cover = try mails.text("v2-0000-cover-letter.patch")
        #expect(cover.contains("Subject: [PATCH v2 0/5] Set some lines\n"))
        #expect(
            cover.contains(
                """
                Changes since v1:
                  moved: 1, was 5: mm: fifth
                  changed: 3: mm: second (message)
                  changed: 4: mm: fourth (diff in mm/hmm.c)
                  new: 5: mm: sixth
                  dropped: 3 of v1: mm: third
                  unchanged: 2

                """))
        #expect(cover.contains("\nRange-diff against v1:\n"))
        #expect(cover.contains("-:  ------------ > 5:"))
        #expect(try mails.text("v2-0001").contains("\n---\nChanges since v1: moved, was patch 5\n\n mm/gup.c | 2 +-\n"))
        #expect(!(try mails.text("v2-0002").contains("Changes since")))
        #expect(try mails.text("v2-0003").contains("\n---\nChanges since v1: message changed\n\n"))
        #expect(try mails.text("v2-0004").contains("\n---\nChanges since v1: diff changed in mm/hmm.c\n\n"))
        #expect(try mails.text("v2-0005").contains("\n---\nChanges since v1: new patch\n\n"))

        try folder.write(mails)
        let after = try contents(folder.path)
        for (name, text) in before where name != "series" { #expect(after[name] == text, "\(name)") }
        #expect(after["series"]?.hasPrefix("v2-0001-mm-fifth.patch\n") == true)
        #expect(try await bench.mails(series, version: 2, previous: try await former(bench, 1)) == mails)
        try await bench.shell("git checkout -q --detach main; git am -q $(sed 's|^|../out/|' ../out/series)")
        #expect(try await bench.shell("git log -1 --format=%B").contains("New."))
        #expect(!(try await bench.shell("git log --format=%B").contains("Changes since")))

        // An mbox with the cover letter in it is the same version.
        try await bench.shell("cat ../out/0*.patch >../v1.mbox")
        let mbox = try await former(bench, 1, "/v1.mbox")
        #expect(mbox.baseTree == bench.base.tree)
        #expect(try await bench.mails(series, version: 2, previous: mbox).changes?.entries == mails.changes?.entries)
    }

    @Test("A version for another base is compared through the base that its cover letter names")
    func otherBase() async throws {
        let bench = try await MailBench()
        let series = try await bench.series(MailBench.two)
        let folder = MailFolder(bench.root + "/out")
        try folder.write(try await bench.mails(series))
        try await bench.shell(
            """
            git checkout -q main
            sed -i 's/int/long/' mm/memory.c mm/hmm.c
            git commit -qam 'other types'; git branch other; git reset -q --hard HEAD~1
            git checkout -q --detach other
            sed -i '10s/;/ = 1;/' mm/memory.c; git commit -qam 'mm: set line 10' -m 'Because it matters.' \
                -m 'Signed-off-by: Ada Author <ada@example.org>'
            """)
        let ported = try await bench.reader.read(.commits(repository: bench.tree, base: "other", tip: "HEAD"))
        let other = try await bench.sources.resolve(.git(repository: bench.tree, revision: "other"))
        let mails = try await bench.mails(
            ported, version: 2, previous: try await former(bench, 1), on: other)
        #expect(mails.changes?.rangeDiff != nil)
        #expect(mails.changes?.entries.map(\.changes) == [["diff in mm/memory.c"], []])
        // Without that base, subjects have to do, and the cover letter says so.
        var lost = try await former(bench, 1)
        lost.baseTree = nil
        let without = try await bench.mails(ported, version: 2, previous: lost, on: other)
        #expect(without.changes?.rangeDiff == nil)
        #expect(without.changes?.entries == mails.changes?.entries)
        #expect(try without.text("0000").contains("(no range-diff: v1 applies to no base that is at hand)"))
    }

    @Test("Other files of the same version are refused; the same ones are left alone; force replaces them")
    func overwriting() async throws {
        let bench = try await MailBench()
        let folder = MailFolder(bench.root + "/out")
        let mails = try await bench.mails(try await bench.series(MailBench.two))
        #expect(try folder.write(mails).count == 4)
        #expect(try folder.write(mails) == [])
        let other = try await bench.mails(
            try await bench.series(MailBench.edit("memory", 10, "mm: set line 10", value: 2)))
        let before = try contents(folder.path)
        let error = try await labError { try folder.write(other) }
        #expect(error.code == "mails-differ")
        #expect(error.cause?.contains("0002-mm-hmm-set-line-5.patch") == true)
        #expect(try contents(folder.path) == before)
        try Files.write("mine", to: folder.path + "/notes.txt")
        #expect(try folder.write(other, force: true).count == 4)
        #expect(
            try contents(folder.path).keys.sorted() == [
                "0000-cover-letter.patch", "0001-mm-set-line-10.patch", "notes.txt", "series",
            ])
        // A list that nobody here wrote is not ours to replace.
        try Files.write("somebody-elses.patch\n", to: folder.path + "/series")
        #expect(try await labError { try folder.write(other) }.code == "mails-differ")
    }

    @Test("A version that is not there is said")
    func missing() async throws {
        let bench = try await MailBench()
        try Files.makeFolder(bench.root + "/out")
        #expect(try await labError { _ = try await former(bench, 1) }.code == "version-missing")
        #expect(try await labError { _ = try await former(bench, 1, "/nowhere.mbox") }.code == "version-missing")
    }

    private func contents(_ folder: String) throws -> [String: String] {
        var found: [String: String] = [:]
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
            found[name] = try Files.text("\(folder)/\(name)")
        }
        return found
    }
}
