// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import TestResults
import Testing

@testable import Pipeline

@Suite("What a run says to a bisection")
struct BisectionPredicateTests {
    private func record(
        _ tests: [(String, Verdict)] = [], _ problems: [RunProblem] = [], titles: [String] = [], known: Bool = false
    ) -> RunRecord {
        RunRecord(
            base: "b", flavour: "fast", kernelSignature: "s", machine: "q35", accelerator: "tcg",
            started: Date(timeIntervalSince1970: 0), ended: Date(timeIntervalSince1970: 1),
            tests: tests.map { name, verdict in
                TestRecord(
                    suite: "migrate", name: name, verdict: verdict,
                    expectation: known ? ExpectedResult(verdict, reason: "known") : nil,
                    reason: "why",
                    reports: verdict == .crash
                        ? titles.map { KernelFinding(title: $0, kind: "warning", text: "", isFatal: false) } : [])
            }, problems: problems)
    }

    private func judge(_ predicate: BisectionPredicate, _ record: RunRecord) -> (StateRun.Outcome, [String]) {
        let judgement = predicate.judge(record)
        return (judgement.outcome, judgement.symptoms)
    }

    private let test = BisectionPredicate(.test("migrate/a"))

    @Test(
        "A test's own verdict decides, known or not",
        arguments: [
            (.pass, .clean, []), (.fail, .failing, ["migrate/a: fail"]), (.timeout, .failing, ["migrate/a: timeout"]),
            (.crash, .failing, ["migrate/a: crash: WARNING in foo"]), (.skip, .nothing, []), (.boot, .nothing, []),
            (.infra, .nothing, []),
        ] as [(Verdict, StateRun.Outcome, [String])], [false, true])
    func ownVerdict(expected: (verdict: Verdict, outcome: StateRun.Outcome, symptoms: [String]), isKnown: Bool) {
        let record = record([("a", expected.verdict)], titles: ["WARNING in foo"], known: isKnown)
        #expect(judge(test, record) == (expected.outcome, expected.symptoms))
    }

    @Test("What goes wrong beside a test that has its result is another matter")
    func besideTheTest() {
        let unload = RunProblem(.fail, "while the driver was unloaded: module test_hmm: busy")
        #expect(judge(test, record([("a", .pass)], [unload])).0 == .clean)
        #expect(judge(test, record([], [RunProblem(.boot, "the guest did not come up in time")])).0 == .nothing)
        #expect(judge(test, record()).0 == .nothing)
    }

    @Test("A suite is bad with what nobody knows of, or with a driver that stays")
    func suite() {
        let suite = BisectionPredicate(.suite("migrate"))
        #expect(judge(suite, record([("a", .pass), ("b", .fail)])) == (.failing, ["migrate/b: fail"]))
        #expect(judge(suite, record([("a", .pass), ("b", .fail)], known: true)).0 == .clean)
        let unload = RunProblem(.fail, "the guest hung for 12 s")
        #expect(
            judge(suite, record([("a", .pass)], [unload])) == (.failing, ["problem: the guest hung for N s"]),
            "numbers differ from run to run")
        #expect(judge(suite, record([("a", .pass)], [RunProblem(.infra, "QEMU ended")])).0 == .nothing)
        #expect(judge(suite, record([("a", .pass), ("new", .skip)])).0 == .clean, "the kernel has nothing for it yet")
        #expect(
            judge(suite, record([("a", .crash)], titles: ["KASAN in x", "BUG in y"])).1
                == ["migrate/a: crash: KASAN in x", "migrate/a: crash: BUG in y"], "each title may be the one")
    }

    @Test("Of two reports only the one that is looked for counts")
    func crash() {
        let crash = BisectionPredicate(.crash("WARNING in foo"))
        let bad = record([("a", .crash)], titles: ["BUG in bar", "WARNING in foo_bar"])
        #expect(judge(crash, bad) == (.failing, ["crash: WARNING in foo"]))
        #expect(judge(crash, record([("a", .crash)], titles: ["BUG in bar"])).0 == .nothing)
        #expect(judge(crash, record([("a", .fail)])).0 == .clean, "a test that merely fails makes no report")
        #expect(judge(crash, record([("a", .timeout)])).0 == .nothing, "it may have hung before")
        #expect(judge(crash, record([("a", .infra)])).0 == .nothing)
        #expect(judge(crash, record()).0 == .nothing)
        let known = record([("a", .crash)], titles: ["BUG in bar"], known: true)
        #expect(judge(crash, known).0 == .clean, "what is known to come is in nobody's way")
        let triggered = BisectionPredicate(.crash("WARNING in foo"), trigger: "migrate/a")
        #expect(judge(triggered, record([("a", .pass)])).0 == .clean)
        #expect(judge(triggered, record([("a", .skip)])).0 == .nothing)
        #expect(judge(triggered, record([("b", .pass)])).0 == .nothing)
        let finding = KernelFinding(title: "WARNING in foo", kind: "warning", text: "", isFatal: false)
        #expect(
            judge(crash, record([], [RunProblem(.boot, "it did not boot", reports: [finding])])).0 == .failing,
            "it may come while the guest boots")
    }

    /// What became of a command: its own status if it ended, else what hmmlab makes of it.
    private func result(
        _ folder: String, _ status: Int32, isEnded: Bool = true, own: [String] = [], others: [String] = []
    ) throws -> CommandResult {
        CommandResult(
            status: status == 0 && !(own + others).isEmpty ? 1 : status, reports: own + others, ownReports: own,
            commandStatus: status, isEnded: isEnded, folder: try .make(at: folder + "/run"))
    }

    @Test(
        "A command's status is read as git bisect run reads it",
        arguments: [(0, .clean), (1, .failing), (124, .failing), (125, .nothing), (127, .failing)]
            as [(Int32, StateRun.Outcome)])
    func status(status: Int32, outcome: StateRun.Outcome) async throws {
        try await withTemporaryFolder { folder in
            let command = BisectionPredicate(.command("x"))
            let (plain, warned) = (try result(folder, status), try result(folder, status, others: ["WARNING in y"]))
            #expect(command.judge(plain, output: "").outcome == outcome)
            // A warning at boot is on every kernel.
            #expect(command.judge(warned, output: "").outcome == outcome)
            let crashed = command.judge(try result(folder, status, own: ["BUG in x"]), output: "")
            #expect(crashed.symptoms == (status == 125 ? [] : ["crash: BUG in x"]))
            let hung = command.judge(try result(folder, 124, isEnded: false), output: "")
            #expect(hung.symptoms == ["timeout"])
            let gone = try result(folder, 1, isEnded: false)
            #expect(command.judge(gone, output: "").outcome == .nothing)
        }
    }

    @Test("A guest that comes up is good, whatever it warns about; every other way is one fault")
    func boot() async throws {
        try await withTemporaryFolder { folder in
            let boot = BisectionPredicate(.boot)
            let warned = try result(folder, 0, others: ["WARNING in y"])
            #expect(boot.judge(warned, output: "").outcome == .clean)
            for bad in [
                try result(folder, 1, isEnded: false, own: ["BUG"]), try result(folder, 124, isEnded: false),
            ] {
                #expect(boot.judge(bad, output: "").symptoms == ["boot"])
            }
            let lost = LabError("guest-lost", exit: .testsFailed, "The guest went away")
            #expect(boot.judge(lost)?.symptoms == ["boot"])
        }
    }

    @Test(
        "A measure is the last number",
        arguments: [
            ("took 5 s, 12.5 MiB/s\n", .failing), ("12.4", .clean), ("12.45", .clean), ("-3e2", .clean),
            ("1e2 ", .failing), ("x .5", .clean), ("nothing", .nothing), ("", .nothing),
        ] as [(String, StateRun.Outcome)])
    func measure(output: String, outcome: StateRun.Outcome) async throws {
        try await withTemporaryFolder { folder in
            let above = BisectionPredicate(.command("x"), threshold: .init(.above, 12.45))
            let (done, failed) = (try result(folder, 0), try result(folder, 3))
            #expect(above.judge(done, output: output).outcome == outcome)
            #expect(above.judge(failed, output: output).outcome == .nothing)
            let below = BisectionPredicate(.command("x"), threshold: .init(.below, 0.6))
            #expect(below.judge(done, output: "x .5").outcome == .failing)
        }
    }

    @Test("A kernel that does not build or boot says nothing, unless that is what is looked for")
    func errors() {
        let build = LabError(
            "kernel-build-failed", exit: .buildFailed, "it does not compile", cause: "mm/x.c:12:3: error: foo\nmore")
        let boot = LabError("guest-lost", exit: .bootFailed, "it does not boot")
        #expect(test.judge(build)?.outcome == .untestable)
        #expect(test.judge(boot)?.outcome == .nothing)
        #expect(BisectionPredicate(.build).judge(build)?.symptoms == ["build: mm/x.c:N:N: error: foo"])
        let rejected = LabError("patch-does-not-apply", exit: .buildFailed, "it does not apply")
        #expect(BisectionPredicate(.build).judge(rejected)?.outcome == .untestable)
        #expect(test.judge(LabError("filter-empty", exit: .usage, "no test"))?.outcome == .untestable)
        #expect(BisectionPredicate(.boot).judge(boot)?.outcome == .failing)
        #expect(test.judge(LabError("disk-full", "no space")) == nil, "the host's troubles end the bisection")
        #expect(test.judge(LabError("x", exit: .usage, "x")) == nil)
    }
}
