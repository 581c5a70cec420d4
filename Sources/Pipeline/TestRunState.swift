// SPDX-License-Identifier: Apache-2.0
import Foundation
import GuestProtocol
import HarnessCore
import KernelLog
import QEMU
import TestResults
import VirtualMachine

/// Boots guests one after the other until every test has a verdict.
struct TestRunState {
    /// How many boots of a run the emulator may spoil; a kernel that leaves breakpoints behind itself does so every time.
    private static let spoiledBoots = 5

    /// 64 MiB of compressed memory as a swap area, for the tests that need one.
    private static let swap = Preparation(
        command: [
            "sh", "-c",
            "modprobe zram && echo 64M > /sys/block/zram0/disksize && mkswap /dev/zram0 > /dev/null && swapon /dev/zram0",
        ], isRequired: false)

    private let boots: GuestBoots
    private let keepGoing: Bool
    private let attempts: Int
    private let onEvent: @Sendable (TestEvent) -> Void
    private let onBoot: @Sendable (TestRunState) -> Void
    private let judge: Judge

    private(set) var records: [TestRecord] = []
    private(set) var problems: [RunProblem] = []
    /// The tests that have no record, because the run was ended before them.
    private(set) var notRun: [String] = []
    /// Whether a person ended the run.
    private(set) var isInterrupted = false
    /// What a person should know and that decides nothing, such as a boot that the emulator spoiled.
    private(set) var remarks: [String] = []
    private var spoiled = 0
    /// What was told of the boot that is going on; kept if the boot cannot be followed to its end.
    private let told = LockedValue((tests: 0, records: [TestRecord]()))

    init(
        boots: GuestBoots, known: KnownOutcomes, keepGoing: Bool, attempts: Int,
        onEvent: @escaping @Sendable (TestEvent) -> Void,
        onBoot: @escaping @Sendable (TestRunState) -> Void = { _ in }
    ) {
        self.boots = boots
        self.keepGoing = keepGoing
        self.attempts = attempts
        self.onEvent = onEvent
        self.onBoot = onBoot
        judge = Judge(known: known, context: boots.context)
    }

    /// Boots until every test has its record, or nothing more can be had; what was found until then is always kept.
    ///
    /// - Parameter tests: what is to run, in this order.
    mutating func work(through tests: [GuestTest]) async throws {
        var left = tests[...]
        var index = 0
        var fruitless = 0
        while !left.isEmpty {
            told.withLock { $0 = (0, []) }
            do {
                let session = try await boot(left, index)
                let spoiledBefore = spoiled
                left = try await settle(session, index) + session.observer.left
                if spoiled == spoiledBefore { fruitless = session.observer.outcomes.isEmpty ? fruitless + 1 : 0 }
            } catch {
                left = left.dropFirst(keepWhatWasTold())
                // Without a single result the error itself is the answer.
                if records.isEmpty, !(error is CancellationError) { throw error }
                isInterrupted = error is CancellationError
                if let error = error as? LabError { problems.append(RunProblem(.infra, error.sentence, boot: index)) }
                break
            }
            index += 1
            notRun = left.map(\.id)
            onBoot(self)
            if fruitless >= attempts || (!keepGoing && records.contains { $0.outcome == .unexpected }) { break }
        }
        notRun = left.map(\.id)
        for test in left where fruitless >= attempts {
            let worst = problems.map(\.verdict).max() ?? .boot
            let record = judge.withExpectation(
                TestRecord(
                    suite: test.suite, name: test.name, verdict: max(worst, .boot),
                    reason: "never ran: the guest did not get as far as the tests", boot: index))
            records.append(record)
            notRun = []
            onEvent(.ended(record))
        }
    }

    /// Takes over the records of a boot that was cut off; returns how many of its tests have one.
    private mutating func keepWhatWasTold() -> Int {
        let (tests, latest) = told.withLock { $0 }
        records += latest
        return tests
    }

    private func boot(_ tests: ArraySlice<GuestTest>, _ index: Int) async throws -> Observed<TestSession> {
        let (onEvent, judge, told) = (onEvent, judge, told)
        let endsRun: @Sendable (SessionOutcome) -> Bool = { [keepGoing] outcome in
            let records = judge.records(of: outcome, outcome.findings, nil, boot: index)
            return !keepGoing && records.contains { $0.outcome == .unexpected }
        }
        let plan = SessionPlan(
            modules: boots.modules,
            preparations: boots.preparations
                + (tests.contains { $0.requirements.contains("swap") } ? [Self.swap] : []), tests: Array(tests),
            environment: boots.testEnvironment,
            stopsAfter: endsRun)
        let session = TestSession(plan) { event in
            switch event {
            case .booted(let milliseconds): onEvent(.booted(index, milliseconds: milliseconds))
            case .began(let test): onEvent(.began(test.id))
            case .report(let report, let test): onEvent(.report(title: report.title, test: test))
            case .ended(let outcome) where outcome.ending != nil:
                let records = judge.records(of: outcome, outcome.findings, nil, boot: index)
                told.withLock { $0 = ($0.tests + 1, $0.records + records) }
                for record in records { onEvent(.ended(record)) }
            case .note(let text): onEvent(.note(text))
            case .output, .ended: break
            }
        }
        return try await boots.observe(session, index: index)
    }

    // MARK: - from a session to records

    /// - Returns: the tests of this boot that have to run again.
    private mutating func settle(_ session: Observed<TestSession>, _ index: Int) async throws -> [GuestTest] {
        // Nothing is added before everything is there: what was told is kept only if this fails.
        var records: [TestRecord] = []
        var problems: [RunProblem] = []
        let observer = session.observer
        let stray = boots.accelerator == .tcg && spoiled < Self.spoiledBoots ? observer.strayBreakpoint : nil
        func isStray(_ report: KernelReport) -> Bool { report.index == stray?.index }
        let again = observer.outcomes.filter { $0.reports.contains(where: isStray) }.map(\.test)
        for outcome in observer.outcomes where !outcome.reports.contains(where: isStray) {
            let findings = await findings(outcome.reports)
            let loss = outcome.ending == nil ? GuestLoss(ending: session.ending, expiry: session.expiry) : nil
            let judged = judge.records(of: outcome, findings, loss, boot: index)
            records += judged
            // Those that ended by themselves were told when they ended.
            if loss != nil { for record in judged { onEvent(.ended(record)) } }
        }
        for problem in observer.problems where problem.report.map(isStray) != true {
            let findings = await findings(problem.report.map { [$0] } ?? [])
            problems.append(
                RunProblem(
                    Self.verdict(of: problem), "\(problem.stage.phrase): \(problem.text)", boot: index,
                    reports: findings))
        }
        if let stray {
            spoiled += 1
            let sequel =
                again.isEmpty && observer.left.isEmpty
                ? "nothing was left to test" : "the guest is booted again"
            remark(
                "the emulator spoiled boot \(index) (\(stray.title), \(observer.stage.phrase)): it kept a breakpoint "
                    + "that the kernel had set for a moment; \(sequel)"
                    + again.map { ", \($0.id) runs again" }.joined())
        } else if let (verdict, text) = ending(session) {
            problems.append(
                RunProblem(
                    verdict, text, boot: index,
                    console: Self.tail(of: try boots.folder.boot(index) + "/" + RunFile.console)))
        }
        self.records += records
        self.problems += problems
        return again
    }

    private mutating func remark(_ text: String) {
        remarks.append(text)
        onEvent(.note(text))
    }

    private static func verdict(of problem: SessionProblem) -> Verdict {
        if problem.report != nil { return .crash }
        return switch problem.stage {
        // A driver that cannot be loaded leaves nothing to test: the guest is up, and still useless.
        case .loading, .preparing: .boot
        // One that cannot be unloaded has lost a reference somewhere.
        case .unloading: .fail
        case .booting, .testing, .poweringOff: .infra
        }
    }

    /// What went wrong with the boot as a whole, apart from tests.
    private func ending(_ session: Observed<TestSession>) -> (verdict: Verdict, text: String)? {
        if case .failed(let error) = session.ending {
            return (.infra, error.sentence + (error.cause.map { ": \($0)" } ?? ""))
        }
        let place = session.observer.hang?.place.map { "; it hung in \($0)" } ?? ""
        switch (session.expiry, session.observer.stage) {
        case (.boot, .booting), (.silence, .booting): return (.boot, "the guest did not come up in time\(place)")
        case (_, .booting): return (.boot, "the guest ended before it came up")
        case (.silence, .loading): return (.boot, "the guest hung while the driver was loaded\(place)")
        // A test that hangs has a record of its own.
        case (.silence, let stage): return (.timeout, "the guest hung \(stage.phrase)\(place)")
        case (.test, let stage) where stage != .testing: return (.timeout, "the guest hung \(stage.phrase)\(place)")
        default: return nil
        }
    }

    private func findings(_ reports: [KernelReport]) async -> [KernelFinding] {
        let decoder = StackDecoder(
            lab: boots.lab, artifact: boots.kernel.artifact, externalModules: boots.externalModules)
        var decoded: Set<String> = []
        var findings: [KernelFinding] = []
        for report in reports {
            // Decoding takes seconds, so of reports with one title only the first is decoded; and a report without
            // line numbers is better than none.
            let isFirst = decoded.insert(report.title).inserted
            let text = isFirst ? try? await decoder.decode(report.lines) : nil
            findings.append(KernelFinding(report, text: text ?? report.text))
        }
        return findings
    }

    private static func tail(of path: String) -> [String] {
        ((try? Files.text(path)) ?? "").split(whereSeparator: \.isNewline).suffix(20).map(String.init)
    }
}
