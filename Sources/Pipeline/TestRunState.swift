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
    /// 64 MiB of compressed memory as a swap area, for the tests that need one.
    private static let swap = [
        "sh", "-c",
        "modprobe zram && echo 64M > /sys/block/zram0/disksize && mkswap /dev/zram0 > /dev/null && swapon /dev/zram0",
    ]

    private let boots: GuestBoots
    private let keepGoing: Bool
    private let attempts: Int
    private let onEvent: @Sendable (TestEvent) -> Void
    private let judge: Judge

    private(set) var records: [TestRecord] = []
    private(set) var problems: [RunProblem] = []

    init(
        boots: GuestBoots, known: KnownOutcomes, keepGoing: Bool, attempts: Int,
        onEvent: @escaping @Sendable (TestEvent) -> Void
    ) {
        self.boots = boots
        self.keepGoing = keepGoing
        self.attempts = attempts
        self.onEvent = onEvent
        judge = Judge(known: known, context: boots.context)
    }

    mutating func work(through tests: [GuestTest]) async throws {
        var left = tests[...]
        var index = 0
        var fruitless = 0
        while !left.isEmpty {
            let session = try await boot(left, index)
            let done = session.observer.outcomes.count
            try await settle(session, index)
            left = session.observer.left
            index += 1
            fruitless = done == 0 ? fruitless + 1 : 0
            if fruitless >= attempts || (!keepGoing && records.contains { $0.outcome == .unexpected }) { break }
        }
        for test in left where fruitless >= attempts {
            let worst = problems.map(\.verdict).max() ?? .boot
            let record = judge.withExpectation(
                TestRecord(
                    suite: test.suite, name: test.name, verdict: max(worst, .boot),
                    reason: "never ran: the guest did not get as far as the tests", boot: index))
            records.append(record)
            onEvent(.ended(record))
        }
    }

    private func boot(_ tests: ArraySlice<GuestTest>, _ index: Int) async throws -> Observed<TestSession> {
        let (onEvent, judge) = (onEvent, judge)
        let plan = SessionPlan(
            modules: boots.modules,
            preparations: tests.contains { $0.requirements.contains("swap") } ? [Self.swap] : [], tests: Array(tests),
            environment: ["HMMLAB_DRIVER": boots.selection.driver.rawValue])
        let session = TestSession(plan) { event in
            switch event {
            case .booted(let milliseconds): onEvent(.booted(index, milliseconds: milliseconds))
            case .began(let test): onEvent(.began(test.id))
            case .report(let report, let test): onEvent(.report(title: report.title, test: test))
            case .ended(let outcome) where outcome.ending != nil:
                let findings = outcome.reports.map { KernelFinding($0, text: $0.text) }
                for record in judge.records(of: outcome, findings, nil, boot: index) { onEvent(.ended(record)) }
            case .output, .ended: break
            }
        }
        return try await boots.observe(session, index: index)
    }

    // MARK: - from a session to records

    private mutating func settle(_ session: Observed<TestSession>, _ index: Int) async throws {
        let observer = session.observer
        for outcome in observer.outcomes {
            let findings = try await findings(outcome.reports)
            let loss = outcome.ending == nil ? GuestLoss(ending: session.ending, expiry: session.expiry) : nil
            let judged = judge.records(of: outcome, findings, loss, boot: index)
            records += judged
            // Those that ended by themselves were told when they ended.
            if loss != nil { for record in judged { onEvent(.ended(record)) } }
        }
        for problem in observer.problems {
            let findings = try await findings(problem.report.map { [$0] } ?? [])
            // A driver that cannot be loaded leaves nothing to test: the guest is up, and still useless.
            let verdict: Verdict = problem.report != nil ? .crash : problem.stage == .load ? .boot : .infra
            add(RunProblem(verdict, problem.stage.sentence(problem.text), boot: index, reports: findings))
        }
        if let sentence = ending(session) {
            add(
                RunProblem(
                    sentence.verdict, sentence.text, boot: index,
                    console: Self.tail(of: try boots.folder.boot(index) + "/" + RunFile.console)))
        }
    }

    /// What went wrong with the boot as a whole, apart from tests.
    private func ending(_ session: Observed<TestSession>) -> (verdict: Verdict, text: String)? {
        if case .failed(let error) = session.ending {
            return (.infra, error.sentence + (error.cause.map { ": \($0)" } ?? ""))
        }
        if session.observer.bootMilliseconds == nil {
            switch session.expiry {
            case .boot, .silence: return (.boot, "the guest did not come up in time")
            default: return (.boot, "the guest ended before it came up")
            }
        }
        if session.expiry == .silence { return (.infra, "the guest fell silent between tests") }
        return nil
    }

    private func findings(_ reports: [KernelReport]) async throws -> [KernelFinding] {
        var findings: [KernelFinding] = []
        for report in reports {
            let text = try await StackDecoder(lab: boots.lab, artifact: boots.kernel.artifact).decode(report.lines)
            findings.append(KernelFinding(report, text: text))
        }
        return findings
    }

    /// A known finding of the base outside any test, such as a warning at module unload, is left in the logs.
    private mutating func add(_ problem: RunProblem) {
        let titles = problem.reports.map(\.title)
        let known = judge.known.expectation(
            for: problem.verdict == .crash ? "boot/report" : "boot/problem", seen: problem.verdict, titles: titles,
            in: judge.context)
        if known?.verdict == problem.verdict { return }
        problems.append(problem)
    }

    private static func tail(of path: String) -> [String] {
        ((try? Files.text(path)) ?? "").split(whereSeparator: \.isNewline).suffix(20).map(String.init)
    }
}

extension SessionProblem.Stage {
    /// A sentence about the stage.
    fileprivate func sentence(_ text: String) -> String {
        switch self {
        case .boot: "while the guest booted: \(text)"
        case .load: "while the driver was loaded: \(text)"
        case .prepare: "while the guest was prepared for its tests: \(text)"
        case .betweenTests: "between two tests: \(text)"
        case .unload: "while the driver was unloaded: \(text)"
        case .any: "the guest says: \(text)"
        }
    }
}
