// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import PatchModel
import PatchSeries
import Testing

@testable import PatchWork

@Suite("Patches as commits, and back")
struct EditTests {
    @Test("Edit and export changes nothing, byte for byte")
    func roundTrip() async throws {
        let bench = try await Workbench()
        // On 7.2 line-10 needs a merge, for its context differs there; line-50 only an offset.
        var sketches: [Workbench.Sketch] = [.line10, .hmm30, .line50]
        for index in sketches.indices { sketches[index].bases = ["6.12", "7.2"] }
        try await bench.writeModel(sketches)
        // Written by hand, in a form that hmmlab would not write.
        let path = bench.modelFolder + "/fixes/line-10.patch"
        try Files.write(try Files.text(path).replacing("---\n", with: "---\n a note\n\n", maxReplacements: 1), to: path)
        let before = try bench.modelFiles()
        for base in [bench.old, bench.new] {
            let folder = "\(bench.root)/\(base.series)"
            let made = try await bench.edit(base, in: folder)
            #expect(made.patches.map(\.id) == ["fixes/line-10", "fixes/hmm-30", "fixes/line-50"])
            let log = try await bench.shell(
                "git log --reverse --format='%an %ad %cn %(trailers:key=Patch-Name,separator=)' \(base.commit)..",
                in: folder)
            #expect(
                log.split(separator: "\n").first
                    == "Ada Author Mon Nov 3 10:20:30 2025 +0130 hmmlab Patch-Name: fixes/line-10")
            for _ in 0..<2 {
                let report = try await bench.workshop.export(folder)
                #expect(report.files == [] && report.changes == [] && report.rangeDiff.isEmpty)
                #expect(try bench.modelFiles() == before)
            }
        }
        #expect(try bench.leftovers() == [])
    }

    @Test("The folder needs nothing of the cache and has no remote; the store has not changed")
    func independence() async throws {
        let bench = try await Workbench()
        try await bench.writeModel([.line10])
        try await bench.edit(bench.old)
        try FileManager.default.removeItem(atPath: bench.cache.root)
        #expect(try await bench.shell("git remote; git status --porcelain; git branch --show-current") == "hmmlab/6.12")
        try await bench.shell("git fsck --strict; git gc -q --prune=now; git checkout -q HEAD^; git checkout -q -")
        #expect(try await bench.workshop.export(bench.work).files == [])
    }

    @Test("A folder that is in use is refused, an empty one is taken")
    func folders() async throws {
        let bench = try await Workbench()
        try await bench.writeModel([.line10])
        try FileManager.default.createDirectory(atPath: bench.work, withIntermediateDirectories: true)
        try await bench.edit(bench.old)
        #expect(await errorCode { try await bench.edit(bench.old) } == "folder-exists")
        #expect(await errorCode { _ = try await bench.workshop.export(bench.root) } == "session-missing")
        #expect(try bench.leftovers() == [])
    }

    @Test("Reorder, reword and fixup")
    func rebase() async throws {
        let bench = try await Workbench()
        try await bench.writeModel([.line10, .hmm30, .line50])
        try await bench.edit(bench.old)
        try await bench.shell(
            """
            sed -i 's/line_50 = 1/line_50 = 2/' mm/memory.c
            git commit -qa --fixup HEAD
            """)
        #expect(await errorCode { _ = try await bench.workshop.export(bench.work) } == "fixup-left")
        try await bench.shell(
            """
            cat >../todo <<'END'
            #!/bin/sh
            sed -n '3,4p' "$1" >../new; sed -n '1p' "$1" >>../new; sed -n '2s/pick/reword/p' "$1" >>../new
            cat ../new >"$1"
            END
            printf '#!/bin/sh\\nsed -i "1s/.*/mm: hmm 30 in other words/" "$1"\\n' >../editor
            chmod +x ../todo ../editor
            GIT_SEQUENCE_EDITOR="$PWD/../todo" GIT_EDITOR="$PWD/../editor" git rebase -q -i --autosquash \(bench.old.commit)
            """)
        let before = try bench.modelFiles()
        let rehearsal = try await bench.workshop.export(bench.work, isDryRun: true)
        #expect(try bench.modelFiles() == before)
        let report = try await bench.workshop.export(bench.work)
        #expect(report.files == ["fixes/hmm-30.patch", "fixes/line-50.patch", "fixes/series"])
        #expect(rehearsal.files == report.files && rehearsal.changes == report.changes)
        #expect(
            report.changes == [
                PatchChange(id: "fixes/line-50", kinds: [.diff]), PatchChange(id: "fixes/hmm-30", kinds: [.message]),
            ])
        #expect(report.reordered == ["fixes"])
        #expect(report.rangeDiff.contains("mm: hmm 30 in other words"))
        #expect(try await bench.names() == ["line-50", "line-10", "hmm-30"])
        let patch = try await bench.patch("hmm-30").patch
        #expect(patch.subject == "mm: hmm 30 in other words")
        #expect(patch.body == "Why hmm-30.\n\nSigned-off-by: Ada <ada@example.org>")
        #expect(try await bench.workshop.export(bench.work).files == [])
    }

    @Test("A split keeps the name on the nearest half; the other half goes wherever the patch went")
    func split() async throws {
        let bench = try await Workbench()
        try await bench.writeModel([
            .line10,
            .init(
                name: "both", edit: "s/hmm_20;/hmm_20 = 1;/; s/hmm_30;/hmm_30 = 1;/; s/hmm_35;/hmm_35 = 1;/",
                file: "mm/hmm.c", bases: ["6.12", "7.2"]),
        ])
        try await bench.edit(bench.old)
        try await bench.shell(
            """
            git log -1 --format=%B >../message
            git reset -q --hard HEAD^
            sed -i 's/hmm_20;/hmm_20 = 1;/' mm/hmm.c
            sed '1s/.*/mm: first half/' ../message | git commit -qaF -
            sed -i 's/hmm_30;/hmm_30 = 1;/; s/hmm_35;/hmm_35 = 1;/' mm/hmm.c
            sed '1s/.*/mm: second half/' ../message | git commit -qaF -
            """)
        let report = try await bench.workshop.export(bench.work)
        #expect(
            report.changes == [
                PatchChange(id: "fixes/mm-first-half", kinds: [.added]),
                PatchChange(id: "fixes/both", kinds: [.message, .diff]),
            ])
        #expect(try await bench.names() == ["line-10", "mm-first-half", "both"])
        #expect(try await bench.patch("mm-first-half").metadata.bases == [bench.old.series, bench.new.series])
        #expect(report.notes.contains { $0.contains("fixes/both changed for 7.2 as well") })
        // The new commit has its own name now, so that rewording it keeps the patch.
        try await bench.shell(
            "git rebase -q --exec 'git commit -q --amend -m \"$(git log -1 --format=%B | sed 1s/$/!/)\"' HEAD~2")
        let again = try await bench.workshop.export(bench.work)
        #expect(again.changes.map(\.kinds) == [[.message], [.message]])
        #expect(try await bench.names() == ["line-10", "mm-first-half", "both"])
    }

    @Test("New commits join the topic of their neighbour; squashed ones leave it")
    func newAndSquashed() async throws {
        let bench = try await Workbench()
        try await bench.writeModel([.line10, .hmm30, .line50])
        try await bench.edit(bench.old)
        try await bench.shell(
            """
            git reset -q --soft HEAD~2
            git commit -q -m 'mm: hmm-30' -m 'Why.' -m 'Patch-Name: fixes/hmm-30' -m 'Patch-Name: fixes/line-50'
            echo 'int new;' >mm/more.c
            git add mm/more.c
            git commit -qm 'mm: Something, new' -s
            echo 'int mine;' >>mm/old.c
            """)
        let report = try await bench.workshop.export(bench.work)
        #expect(try await bench.names() == ["line-10", "hmm-30", "mm-something-new"])
        #expect(report.changes.contains(PatchChange(id: "fixes/line-50", kinds: [.removed])))
        #expect(report.notes.contains { $0.contains("mm/old.c") && $0.contains("not exported") })
        let tip = try await bench.shell("git log -1 --format=%B")
        #expect(tip.hasSuffix("Signed-off-by: Carl <carl@example.org>\nPatch-Name: fixes/mm-something-new"))
        #expect(try await bench.shell("git status --porcelain") == " M mm/old.c")
        #expect(try await bench.patch("mm-something-new").patch.touchedPaths == ["mm/more.c"])
        #expect(try await bench.workshop.export(bench.work).files == [])
    }

    @Test("A removed commit takes the patch away from this base only; the next base becomes the home of its text")
    func removed() async throws {
        let bench = try await Workbench()
        let model = try await bench.writeModel([
            .line10,
            .init(name: "line-50", edit: "s/line_50;/line_50 = 1;/", file: "mm/memory.c", bases: ["6.12", "7.2"]),
        ])
        var varied = model
        let variant = Data(
            String(decoding: model.patches[1].patch.diff, as: UTF8.self).replacing(
                "+int line_50 = 1", with: "+int line_50 = 7"
            )
            .utf8)
        varied.topics[0].patches[1].variants[bench.new.series] = variant
        try await bench.modelStore.save(varied, previous: model)
        try await bench.edit(bench.old)
        try await bench.shell("git reset -q --hard \(bench.old.commit)")
        let report = try await bench.workshop.export(bench.work)
        #expect(
            report.changes == [
                PatchChange(id: "fixes/line-10", kinds: [.removed]),
                PatchChange(id: "fixes/line-50", kinds: [.baseRemoved]),
            ])
        #expect(report.rangeDiff.contains("< -:  ------------ mm: line-10"))
        let left = try await bench.patch("line-50")
        #expect(left.metadata.bases == [bench.new.series])
        #expect(left.variants.isEmpty && left.patch.diff == variant)
        #expect(try await bench.names() == ["line-50"])
    }

    @Test("On another base than the home a changed diff becomes a variant, a changed message the patch's")
    func variants() async throws {
        let bench = try await Workbench()
        var sketch = Workbench.Sketch.hmm30
        sketch.bases = ["6.12", "7.2"]
        try await bench.writeModel([sketch])
        let home = try await bench.patch("hmm-30").patch
        try await bench.edit(bench.new)
        try await bench.shell(
            """
            sed -i 's/hmm_30 = 1/hmm_30 = 72/' mm/hmm.c
            git commit -qa --amend --no-edit --author='B Author <b@example.org>'
            """)
        let report = try await bench.workshop.export(bench.work)
        #expect(report.files == ["fixes/hmm-30.patch", "fixes/hmm-30@7.2.diff"])
        #expect(report.changes == [PatchChange(id: "fixes/hmm-30", kinds: [.author, .diff, .variantAdded])])
        let changed = try await bench.patch("hmm-30")
        #expect(changed.patch.diff == home.diff && changed.patch.author?.name == "B Author")
        // Back to the same text.
        try await bench.shell("sed -i 's/hmm_30 = 72/hmm_30 = 1/' mm/hmm.c; git commit -qa --amend --no-edit")
        #expect(try await bench.workshop.export(bench.work).files == ["fixes/hmm-30@7.2.diff"])
        #expect(try await bench.patch("hmm-30").variants.isEmpty)
    }

    @Test("Patches of other bases keep their neighbours")
    func neighbours() async throws {
        let bench = try await Workbench()
        var other = Workbench.Sketch.hmm30
        other.bases = ["7.2"]
        try await bench.writeModel([.line10, other, .line30, .line50])
        try await bench.edit(bench.old)
        try await bench.shell(
            """
            printf '#!/bin/sh\\n(sed -n 3p "$1"; sed -n 1,2p "$1") >../new; cat ../new >"$1"\\n' >../todo; chmod +x ../todo
            GIT_SEQUENCE_EDITOR="$PWD/../todo" git rebase -q -i \(bench.old.commit)
            """)
        #expect(try await bench.workshop.export(bench.work).files == ["fixes/series"])
        #expect(try await bench.names() == ["line-50", "line-10", "hmm-30", "line-30"])
    }

    @Test("What somebody else has changed meanwhile is not overwritten; what they left alone is")
    func foreignChanges() async throws {
        let bench = try await Workbench()
        try await bench.writeModel([.line10, .hmm30])
        let (one, two) = (bench.root + "/one", bench.root + "/two")
        try await bench.edit(bench.old, in: one)
        try await bench.edit(bench.old, in: two)
        let amend = { (text: String) in "git commit -q --amend -m 'mm: \(text)' -m 'Patch-Name: fixes/hmm-30'" }
        try await bench.shell(amend("from one"), in: one)
        #expect(try await bench.workshop.export(one).changes.map(\.kinds) == [[.message]])
        // The second has not touched that patch.
        #expect(try await bench.workshop.export(two).files == [])
        try await bench.shell(amend("from two"), in: two)
        let before = try bench.modelFiles()
        // The export above has noted the model's new state for an unchanged commit, which still says the old thing.
        #expect(await errorCode { _ = try await bench.workshop.export(two) } == "model-changed")
        #expect(try bench.modelFiles() == before)
        #expect(try await bench.workshop.export(two, isForced: true).files == ["fixes/hmm-30.patch"])
        #expect(try await bench.patch("hmm-30").patch.subject == "mm: from two")
    }

    @Test("A port elsewhere is no change of the base that is worked on")
    func portElsewhere() async throws {
        let bench = try await Workbench()
        try await bench.writeModel([.line10, .hmm30])
        try await bench.edit(bench.old)
        _ = try await bench.port(in: bench.root + "/ported")
        try await bench.shell("git commit -q --amend -m 'mm: other words' -m 'Patch-Name: fixes/hmm-30'")
        #expect(try await bench.workshop.export(bench.work).files == ["fixes/hmm-30.patch"])
        let patch = try await bench.patch("hmm-30")
        #expect(patch.patch.subject == "mm: other words" && patch.metadata.bases.contains(bench.new.series))
        // A patch that goes here stays there.
        try await bench.shell("git reset -q --hard HEAD^")
        let report = try await bench.workshop.export(bench.work)
        #expect(report.changes.map(\.kinds) == [[.baseRemoved]])
        #expect(try await bench.patch("hmm-30").metadata.bases == [bench.new.series])
    }

    @Test("Merges, rebases in progress and a lost base are refused")
    func refusals() async throws {
        let bench = try await Workbench()
        try await bench.writeModel([.line10, .hmm30])
        try await bench.edit(bench.old)
        try await bench.shell(
            "git checkout -q -b side HEAD^; git commit -q --allow-empty -m side; git merge -q hmmlab/6.12")
        #expect(await errorCode { _ = try await bench.workshop.export(bench.work) } == "series-unreadable")
        try await bench.shell("git checkout -q hmmlab/6.12; ! git rebase -q --exec false HEAD^ 2>/dev/null")
        #expect(await errorCode { _ = try await bench.workshop.export(bench.work) } == "session-busy")
        try await bench.shell("git rebase --abort; git checkout -q --orphan lost; git commit -q -m lost")
        #expect(await errorCode { _ = try await bench.workshop.export(bench.work) } == "session-base-lost")
        try await bench.shell("git checkout -q hmmlab/6.12; git commit -q --amend -m x -m 'Patch-Name: ../etc'")
        #expect(await errorCode { _ = try await bench.workshop.export(bench.work) } == "patch-name-bad")
        try await bench.shell("git commit -q --amend -m x -m 'Patch-Name: other/x'")
        #expect(await errorCode { _ = try await bench.workshop.export(bench.work) } == "topic-unknown")
    }
}
