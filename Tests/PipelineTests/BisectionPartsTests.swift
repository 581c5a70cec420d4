// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelBuild
import Testing

@testable import Pipeline

@Suite("The parts of a bisection")
struct BisectionPartsTests {
    private func lines(_ text: String) throws -> [ConfigLine] { try Fragment(name: "x", text: text).lines }

    @Test("A symbol is switched on before those that depend on it, and off behind them")
    func configurations() throws {
        let change = ConfigChange(
            from: try lines("CONFIG_A=y\nCONFIG_OLD=y\nCONFIG_OLD_CHILD=m\nCONFIG_N=5\n# CONFIG_NEW is not set\n"),
            to: try lines("CONFIG_A=y\n# CONFIG_OLD is not set\nCONFIG_N=6\nCONFIG_NEW=y\nCONFIG_NEW_CHILD=y\n"))
        #expect(
            change.lines.map(change.sentence) == [
                "CONFIG_N: 5 to 6", "CONFIG_NEW: n to y", "CONFIG_NEW_CHILD: n to y", "CONFIG_OLD_CHILD: m to n",
                "CONFIG_OLD: y to n",
            ])
        let first = Fragment.File(path: "x", text: change.text(after: 0))
        #expect(first.isComplete, "nothing is merged over what a flavour has")
        #expect(try lines(first.text).contains(ConfigLine("CONFIG_OLD_CHILD", "m")))
        let middle = try lines(change.text(after: 2))
        #expect(middle.contains(ConfigLine("CONFIG_NEW", "y")) && middle.contains(ConfigLine("CONFIG_OLD", "y")))
        #expect(!middle.contains(ConfigLine("CONFIG_NEW_CHILD", "y")))
        let without = try lines(change.text(without: 2))
        #expect(without.contains(ConfigLine("CONFIG_N", "6")) && without.contains(ConfigLine("CONFIG_NEW", nil)))
        #expect(Set(try lines(change.text(after: 5))) == Set(try lines(change.text(without: 6))))
    }

    @Test("Outputs differ where more than numbers differ")
    func outputs() {
        let good = ["mapped at 0x7f12ab", "read 12 pages", "ok"]
        #expect(BisectionReport.firstDifference(good, good) == (nil, nil))
        #expect(BisectionReport.firstDifference(good, ["mapped at 0x7f9910", "read 13 pages", "ok"]) == (nil, nil))
        #expect(
            BisectionReport.firstDifference(good, ["mapped at 0x1", "FAIL read 7 pages"])
                == ("read 12 pages", "FAIL read 7 pages"))
        #expect(BisectionReport.firstDifference(good, Array(good.prefix(2))) == ("ok", nil))
    }

    @Test("A journal is read up to its last whole line, and continued there")
    func journal() async throws {
        try await withTemporaryFolder { folder in
            let path = folder + "/journal"
            let header = BisectionHeader(
                arguments: ["bisect"], directory: "/", base: nil, space: .listedVersions(["1", "2"]), digest: "d",
                started: Date(timeIntervalSince1970: 5))
            let runs = (0..<3).map { HistoryEntry.ran(StateRun(state: $0, purpose: .search, outcome: .clean)) }
            let journal = try JournalFile(creating: path)
            try journal.append(header)
            for run in runs { try journal.append(run) }
            let whole = try Files.bytes(path)
            #expect(throws: LabError.self) { try JournalFile(creating: path) }

            // Wherever the process was killed while it wrote the last line.
            let lastLine = try JournalFile.lines(at: path)[3].count
            for cut in 1...lastLine + 1 {
                try Files.write(whole.dropLast(cut), to: path)
                let (seen, entries) = try BisectionJournal.read(path)
                #expect(seen == header && entries == Array(runs.prefix(2)))
                try JournalFile(continuing: path).append(runs[2])
                #expect(try Files.bytes(path) == whole)
            }
            try Files.write(whole.prefix(10), to: path)
            #expect(throws: LabError.self) { try BisectionJournal.read(path) }
            try Files.write(whole + Data("nonsense\n".utf8), to: path)
            #expect(throws: LabError.self) { try BisectionJournal.read(path) }
        }
    }

    @Test("A fault that shows now and then takes more passing runs to be believed gone")
    func passes() {
        func passes(bad: Int, good: Int) -> Int {
            var history = History(stepCount: 1)
            for outcome in Array(repeating: StateRun.Outcome.failing, count: bad)
                + Array(repeating: .clean, count: good)
            {
                history.add(.ran(StateRun(state: 1, purpose: .end, outcome: outcome, symptoms: ["x"])))
            }
            return BisectionProgress(history: history, options: BisectorOptions(), parallel: 1).passesToBelieve(
                confidence: 0.99)
        }
        #expect(passes(bad: 6, good: 0) == 2)
        #expect((10...20).contains(passes(bad: 30, good: 70)), "0.7 to the 13th is below 0.01")
        #expect(passes(bad: 1, good: 500) == 44, "nobody wants to wait for ever")
    }

    @Test("Old bisections go, and the newest can be gone on with")
    func folders() async throws {
        try await withTemporaryFolder { root in
            let cache = Cache(root: root)
            #expect(throws: LabError.self) { try BisectionFolder.find(nil, in: cache) }
            var last: BisectionFolder?
            for day in 0..<(BisectionFolder.kept + 2) {
                let folder = try BisectionFolder.make(
                    in: cache, now: Date(timeIntervalSince1970: Double(day) * 86_400))
                try Files.write("x", to: folder.path + "/journal")
                last = folder
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: root + "/bisections").count == 20)
            #expect(try BisectionFolder.find("latest", in: cache) == last)
            #expect(throws: LabError.self) { try BisectionFolder.find("19700101-000000-1", in: cache) }
        }
    }

    private func proposed(_ progress: BisectionProgress) -> [Int]? {
        if case .run(let runs) = progress.next() { return runs.map(\.state) }
        return nil
    }

    @Test("One kernel is built beside the guests, and what comes next is built when that is clear")
    func lanes() {
        var progress = BisectionProgress(
            history: History(stepCount: 16), options: BisectorOptions(), parallel: 2)
        progress.built = [0]
        #expect(proposed(progress) == [16])
        progress.lanes.building = 16
        #expect(proposed(progress) == [0], "the good end is there and needs no builder")
        progress.lanes.testing.append(0)
        #expect(proposed(progress) == [], "a guest is kept for the kernel that is being built")
        progress.lanes.endTest(0)
        progress.history.add(.ran(StateRun(state: 0, purpose: .end, outcome: .clean, testSeconds: 2)))
        progress.lanes.building = nil
        progress.lanes.testing.append(16)
        progress.built.insert(16)
        #expect(proposed(progress) == [7], "the bad end is most likely bad, and the builder has nothing to do")
        progress.lanes.endTest(16)
        progress.history.add(
            .ran(
                StateRun(state: 16, purpose: .end, outcome: .failing, symptoms: ["x"], buildSeconds: 9, testSeconds: 2))
        )
        progress.lanes.testing.append(7)
        progress.built.insert(7)
        #expect(proposed(progress) == [7], "which half is built next is open; one passing run may be chance")
        progress.lanes.testing.append(7)
        #expect(proposed(progress) == [], "a build costs more than the answer")
        progress.history.add(
            .ran(StateRun(state: 16, purpose: .search, outcome: .failing, symptoms: ["x"], testSeconds: 90)))
        #expect(proposed(progress)?.isEmpty == false, "now a build costs less")
    }

    @Test("With one guest, nothing goes on beside anything else")
    func oneLane() {
        var progress = BisectionProgress(
            history: History(stepCount: 16), options: BisectorOptions(), parallel: 1)
        progress.built = [0]
        progress.lanes.building = 16
        #expect(proposed(progress) == [])
        progress.lanes.building = nil
        progress.lanes.testing.append(16)
        #expect(proposed(progress) == [] && !progress.lanes.isBuilderFree)
    }

    @Test("A step that is likely enough to blame is taken out of the tip early")
    func likelyCulprit() {
        var history = History(stepCount: 4)
        for (state, outcome) in [(4, StateRun.Outcome.failing), (0, .clean), (2, .clean), (3, .failing)] {
            let progress = BisectionProgress(history: history, options: BisectorOptions(), parallel: 2)
            #expect(progress.likelyCulprit == nil)
            history.add(
                .ran(
                    StateRun(
                        state: state, purpose: .search, outcome: outcome, symptoms: outcome == .failing ? ["x"] : [])))
        }
        #expect(BisectionProgress(history: history, options: BisectorOptions(), parallel: 2).likelyCulprit == 3)
    }
}
