// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import PatchModel
import PatchSeries
import Testing

@testable import PatchWork

@Suite("Carrying patches to another base")
struct PortTests {
    private let resolution = "sed -i '/^<<<<<<</,/^>>>>>>>/c int line_30 = 73;' mm/memory.c; git add mm/memory.c"

    @Test("Each patch goes its way: same text, merged, renamed file, contained by probe and by emptiness")
    func everyKind() async throws {
        let bench = try await Workbench()
        try await bench.writeModel([
            .line10, .hmm5, .line50, .moved,
            .init(name: "known", edit: "s/hmm_20;/hmm_20 = 1;/", file: "mm/hmm.c", probe: "hmm_5 = 1"),
            .init(name: "vague", edit: "s/hmm_30;/hmm_30 = 1;/", file: "mm/hmm.c", probe: "hmm_1;"),
        ])
        let report = try await bench.port()
        #expect(report.state == .done && report.stopped == nil)
        #expect(report.patches.map(\.outcome) == [.merged, .contained, .clean, .merged, .contained, .clean])
        #expect(report.patches[1].reason == "Merging it changes nothing.")
        #expect(report.patches[4].reason == "Its probe is there: mm/hmm.c has \"hmm_5 = 1\".")
        #expect(report.rangeDiff.contains("mm: line-50") && report.rangeDiff.contains("mm: hmm-5"))
        #expect(
            report.files == [
                "fixes/hmm-5.toml", "fixes/known.toml", "fixes/line-10.toml", "fixes/line-10@7.2.diff",
                "fixes/line-50.toml", "fixes/moved.toml", "fixes/moved@7.2.diff", "fixes/vague.toml",
            ])
        let model = try await bench.modelStore.load()
        #expect(
            model.patches.map { $0.state(on: bench.new.series) } == [
                .variant, .contained, .ours, .variant, .contained, .ours,
            ])
        #expect(model.patches.allSatisfy { $0.home == bench.old.series })
        #expect(
            try await bench.patch("moved").variants[bench.new.series].map { String(decoding: $0, as: UTF8.self) }?
                .contains("mm/new.c") == true)
        // The folder is one to edit in, and the model says the same as its commits.
        let files = try bench.modelFiles()
        #expect(try await bench.workshop.export(bench.work).files == [])
        try await bench.edit(bench.new, in: bench.root + "/again")
        #expect(try await bench.workshop.export(bench.root + "/again").files == [])
        #expect(try bench.modelFiles() == files)
        #expect(
            try await bench.shell("git diff hmmlab/7.2 $(git -C ../again rev-parse HEAD^{tree})").isEmpty)
        #expect(await errorCode { _ = try await bench.port(in: bench.root + "/third") } == "port-nothing")
        #expect(try bench.leftovers() == [])
    }

    @Test("A conflict waits; what is not resolved is not committed; the same conflict is resolved once")
    func conflict() async throws {
        let bench = try await Workbench()
        let model = try await bench.writeModel([.line30, .line50])
        let before = try bench.modelFiles()
        let stopped = try await bench.port()
        #expect(stopped.state == .conflict && stopped.stopped?.id == "fixes/line-30")
        #expect(stopped.stopped?.conflicts == ["mm/memory.c"])
        #expect(stopped.patches.map(\.outcome) == [nil, nil])
        #expect(try bench.modelFiles() == before)
        #expect(await errorCode { _ = try await bench.workshop.export(bench.work) } == "session-busy")
        #expect(await errorCode { _ = try await bench.workshop.goOn(in: bench.work, .goOn) } == "port-unresolved")
        try await bench.shell("git add mm/memory.c")
        #expect(await errorCode { _ = try await bench.workshop.goOn(in: bench.work, .goOn) } == "port-unresolved")
        try await bench.shell(resolution)
        let done = try await bench.workshop.goOn(in: bench.work, .goOn)
        #expect(done.state == .done && done.patches.map(\.outcome) == [.byHand, .clean])
        #expect(
            try await bench.shell("git log -1 --format='%an, %cn, %s%n%b' HEAD^")
                == "Ada Author, hmmlab, mm: line-30\nWhy line-30.\n\nSigned-off-by: Ada <ada@example.org>\nPatch-Name: fixes/line-30\n"
                .trimmingCharacters(in: .newlines))
        let after = try bench.modelFiles()
        #expect(after["fixes/line-30@7.2.diff"].map { String(decoding: $0, as: UTF8.self) }?.contains("= 73") == true)
        #expect(after["fixes/line-30.patch"] == before["fixes/line-30.patch"])
        #expect(await errorCode { try await bench.workshop.abort(in: bench.work) } == "port-not-running")
        // The same again, from the beginning.
        try await bench.modelStore.save(model, previous: try await bench.modelStore.load())
        let again = try await bench.port(in: bench.root + "/again")
        #expect(again.state == .done && again.patches.map(\.outcome) == [.reused, .clean])
        #expect(try bench.modelFiles() == after)
    }

    @Test("A skipped patch leaves no trace in the model")
    func skip() async throws {
        let bench = try await Workbench()
        try await bench.writeModel([.line30, .line50])
        _ = try await bench.port()
        let done = try await bench.workshop.goOn(in: bench.work, .skip)
        #expect(done.state == .done && done.patches.map(\.outcome) == [.skipped, .clean])
        #expect(done.files == ["fixes/line-50.toml"])
        #expect(try await bench.patch("line-30").state(on: bench.new.series) == .notApplicable)
        #expect(try await bench.shell("git status --porcelain") == "")
    }

    @Test("Giving up removes the folder and nothing else; a folder to edit in is not removed")
    func abort() async throws {
        let bench = try await Workbench()
        try await bench.writeModel([.line30])
        let before = try bench.modelFiles()
        _ = try await bench.port()
        try await bench.workshop.abort(in: bench.work)
        #expect(!Files.exists(bench.work))
        #expect(try bench.modelFiles() == before)
        try await bench.edit(bench.old)
        #expect(await errorCode { try await bench.workshop.abort(in: bench.work) } == "port-not-running")
        #expect(await errorCode { try await bench.workshop.abort(in: bench.modelFolder) } == "session-missing")
        #expect(Files.exists(bench.work + "/Makefile"))
    }

    @Test("Patches that the new base has keep their place and their files")
    func order() async throws {
        let bench = try await Workbench()
        var (first, last) = (Workbench.Sketch.line50, Workbench.Sketch.hmm30)
        (first.bases, last.bases) = (["6.12", "7.2"], ["7.2", "6.12"])
        try await bench.writeModel([first, .line30, last])
        _ = try await bench.port(from: bench.old.series)
        try await bench.shell(resolution)
        let done = try await bench.workshop.goOn(in: bench.work, .goOn)
        #expect(done.patches.map(\.outcome) == [.kept, .byHand, .kept])
        #expect(done.files == ["fixes/line-30.toml", "fixes/line-30@7.2.diff"])
        let log = try await bench.shell("git log --reverse --format=%s \(bench.new.commit)..")
        #expect(log == "mm: line-50\nmm: line-30\nmm: hmm-30")
    }

    @Test("How much context a patch was written with, and that it names no author, makes no difference")
    func byHand() async throws {
        let bench = try await Workbench()
        var kept = Workbench.Sketch.hmm30
        kept.bases = ["6.12", "7.2"]
        try await bench.writeModel([.line50, kept])
        for (name, commit) in [("line-50", "work^"), ("hmm-30", "work")] {
            let path = "\(bench.modelFolder)/fixes/\(name).patch"
            let diff = try await bench.shell("git show --format= -U1 \(commit)", in: bench.root + "/tree")
            try Files.write("Subject: [PATCH] mm: \(name)\n\nWhy.\n---\n\(diff)\n", to: path)
        }
        let before = try bench.modelFiles()
        let report = try await bench.port()
        #expect(report.patches.map(\.outcome) == [.clean, .kept])
        #expect(report.files == ["fixes/line-50.toml"])
        #expect(try bench.modelFiles().filter { $0.key != "fixes/line-50.toml" } == before)
        #expect(try await bench.workshop.export(bench.work).files == [])
    }

    @Test("What a person has committed counts; a pick that was ended, or killed, is tried again")
    func byThemselves() async throws {
        let bench = try await Workbench()
        try await bench.writeModel([.line30])
        _ = try await bench.port()
        try await bench.shell("git cherry-pick --abort")
        #expect(try await bench.workshop.goOn(in: bench.work, .goOn).state == .conflict)
        var session = try WorkSession.load(from: bench.work)
        session.port?.isStopped = false
        try session.save(in: bench.work)
        #expect(try await bench.workshop.goOn(in: bench.work, .goOn).state == .conflict)
        try await bench.shell("\(resolution); git commit -qm 'mm: mine' -m 'Patch-Name: fixes/line-30'")
        let done = try await bench.workshop.goOn(in: bench.work, .goOn)
        #expect(done.patches.map(\.outcome) == [.byHand])
        #expect(done.changes == [PatchChange(id: "fixes/line-30", kinds: [.message, .baseAdded, .variantAdded])])
        #expect(try await bench.patch("line-30").patch.subject == "mm: mine")
    }

    @Test("A resolution that leaves nothing says that the base has the patch")
    func emptied() async throws {
        let bench = try await Workbench()
        let model = try await bench.writeModel([.line30, .line50])
        _ = try await bench.port()
        try await bench.shell("git checkout -q --ours mm/memory.c; git add mm/memory.c")
        let done = try await bench.workshop.goOn(in: bench.work, .goOn)
        #expect(done.patches.map(\.outcome) == [.contained, .clean])
        #expect(try await bench.patch("line-30").metadata.contained == [bench.new.series])
        // Nor does the same port ask again.
        try await bench.modelStore.save(model, previous: try await bench.modelStore.load())
        let again = try await bench.port(in: bench.root + "/again")
        #expect(again.patches.map(\.outcome) == [.contained, .clean])
        #expect(again.patches[0].reason?.hasSuffix("as they were before.") == true)
    }

    @Test(
        "Two side by side: each has a folder of its own, and the second does not overwrite what the first has written")
    func sideBySide() async throws {
        let bench = try await Workbench()
        try await bench.writeModel([.line30, .line50])
        let (one, two) = (bench.root + "/one", bench.root + "/two")
        async let first = bench.port(in: one)
        async let second = bench.port(in: two)
        #expect(try await [first.state, second.state] == [.conflict, .conflict])
        try await bench.shell(resolution, in: one)
        try await bench.shell(resolution.replacing("73", with: "74"), in: two)
        #expect(try await bench.workshop.goOn(in: one, .goOn).state == .done)
        let files = try bench.modelFiles()
        #expect(await errorCode { _ = try await bench.workshop.goOn(in: two, .goOn) } == "model-changed")
        #expect(try bench.modelFiles() == files)
        let forced = try await bench.workshop.goOn(in: two, .goOn, isForced: true)
        #expect(forced.state == .done && forced.files == ["fixes/line-30@7.2.diff"])
    }
}
