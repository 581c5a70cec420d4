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
    private let known: KnownOutcomes
    private let keepGoing: Bool
    private let attempts: Int
    private let onEvent: @Sendable (TestEvent) -> Void
    private let context: RunContext

    private(set) var records: [TestRecord] = []
    private(set) var problems: [RunProblem] = []

    init(
        boots: GuestBoots, known: KnownOutcomes, keepGoing: Bool, attempts: Int,
        onEvent: @escaping @Sendable (TestEvent) -> Void
    ) {
        self.boots = boots
        self.known = known
        self.keepGoing = keepGoing
        self.attempts = attempts
        self.onEvent = onEvent
        context = boots.context
    }

    mutating func work(through tests: [GuestTest]) async throws {
        var left = tests[...]
        var index = 0
        var fruitless = 0
        while !left.isEmpty {
            let session = try await boot(left, index)
            let done = session.observer.outcomes.count
            try await settle(session, index)
            left = left.dropFirst(done)
            index += 1
            fruitless = done == 0 ? fruitless + 1 : 0
            if fruitless >= attempts || (!keepGoing && records.contains { $0.outcome == .unexpected }) { break }
        }
        for test in left where fruitless >= attempts {
            let worst = problems.map(\.verdict).max() ?? .boot
            add(
                TestRecord(
                    suite: test.suite, name: test.name, verdict: max(worst, .boot),
                    reason: "never ran: the guest did not get as far as the tests", boot: index))
        }
    }

    private func boot(_ tests: ArraySlice<GuestTest>, _ index: Int) async throws -> Observed<TestSession> {
        let onEvent = onEvent
        let plan = SessionPlan(
            modules: boots.modules,
            preparations: tests.contains { $0.requirements.contains("swap") } ? [Self.swap] : [], tests: Array(tests),
            environment: ["HMMLAB_DRIVER": boots.selection.driver.rawValue])
        let session = TestSession(plan) { event in
            switch event {
            case .booted(let milliseconds): onEvent(.booted(index, milliseconds: milliseconds))
            case .began(let test): onEvent(.began(test.id))
            case .report(let report, let test): onEvent(.report(title: report.title, test: test))
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
            for record in records(of: outcome, findings, session, index) { add(record) }
        }
        for problem in observer.problems {
            let findings = try await findings(problem.report.map { [$0] } ?? [])
            // A driver that cannot be loaded leaves nothing to test: the guest is up, and still useless.
            let verdict: Verdict = problem.report != nil ? .crash : problem.stage == "load" ? .boot : .infra
            add(
                RunProblem(verdict, "while it was to \(problem.stage): \(problem.text)", boot: index, reports: findings)
            )
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

    private func records(
        of outcome: SessionOutcome, _ findings: [KernelFinding], _ session: Observed<TestSession>, _ index: Int
    ) -> [TestRecord] {
        let test = outcome.test
        let duration = Double(outcome.milliseconds) / 1000
        var record = TestRecord(
            suite: test.suite, name: test.name, verdict: .pass, output: outcome.output, duration: duration,
            reports: findings, boot: index)
        if outcome.reports.contains(where: \.isFinding) {
            record.verdict = .crash
            record.reason = findings.map(\.title).joined(separator: "; ")
            return [record]
        }
        guard let ending = outcome.ending else {
            if session.expiry == .test {
                (record.verdict, record.reason) = (.timeout, "the guest did not answer after the test's time was up")
            } else {
                switch session.ending {
                case .failed(let error): (record.verdict, record.reason) = (.infra, error.sentence)
                case .reset: (record.verdict, record.reason) = (.crash, "the guest reset itself without a report")
                case .poweredOff: (record.verdict, record.reason) = (.crash, "the guest powered off during the test")
                case .stopped: (record.verdict, record.reason) = (.infra, "the guest was stopped during the test")
                }
            }
            return [record]
        }
        switch ending {
        case .timedOut:
            (record.verdict, record.reason) = (.timeout, "it did not end within \(test.timeoutMilliseconds / 1000) s")
        case .unkillable:
            (record.verdict, record.reason) = (.timeout, "it hangs in the kernel: SIGKILL did not end it")
        case .signalled(let number):
            (record.verdict, record.reason) = (.fail, "it was ended by \(Self.signalName(number))")
        case .exited(let status):
            if test.form == .ktap { return ktap(record, status) }
            (record.verdict, record.reason) = Self.judge(status: status, output: outcome.output)
        }
        return [record]
    }

    /// Our own tests: 0 pass, 4 skip (kselftest's number), anything else fail; the reason stands in the output.
    static func judge(status: Int32, output: [String]) -> (Verdict, String) {
        func first(_ mark: String) -> String? {
            output.first { $0.hasPrefix(mark) }.map {
                String($0.dropFirst(mark.count)).trimmingCharacters(in: .whitespaces)
            }
        }
        switch status {
        case 0:
            // A test that has said FAIL cannot have passed, whatever its status.
            return first("FAIL").map { (.fail, $0) } ?? (.pass, "")
        case 4: return (.skip, first("SKIP:") ?? "no reason was given")
        default: return (.fail, first("FAIL") ?? "it ended with status \(status) and no word")
        }
    }

    private func ktap(_ record: TestRecord, _ status: Int32) -> [TestRecord] {
        let document = KTAPReader.read(record.output.joined(separator: "\n"))
        var records = document.records(suite: record.suite, boot: record.boot)
        // One case was asked for: it keeps its own name, whatever the program calls it.
        if records.count == 1 { records[0].name = record.name }
        for index in records.indices {
            records[index].duration = record.duration
            if records[index].output.isEmpty { records[index].output = record.output }
            records[index].reports = record.reports
        }
        if status != 0, status != 4, !records.contains(where: { $0.verdict >= .fail }) {
            var failed = record
            (failed.verdict, failed.reason) = (
                .fail, "the program ended with status \(status) although its results are good"
            )
            records.append(failed)
        }
        return records
    }

    private func findings(_ reports: [KernelReport]) async throws -> [KernelFinding] {
        var findings: [KernelFinding] = []
        for report in reports {
            let text = try await StackDecoder(lab: boots.lab, artifact: boots.kernel.artifact).decode(report.lines)
            findings.append(
                KernelFinding(title: report.title, kind: report.kind.rawValue, text: text, isFatal: report.isFatal))
        }
        return findings
    }

    private mutating func add(_ record: TestRecord) {
        var record = record
        record.expectation =
            known.expectation(
                for: record.id, seen: record.verdict, titles: record.reports.map(\.title), in: context)
            ?? record.expectation
        records.append(record)
        onEvent(.ended(record))
    }

    /// A known finding of the base outside any test, such as a warning at module unload, is left in the logs.
    private mutating func add(_ problem: RunProblem) {
        let titles = problem.reports.map(\.title)
        let known = known.expectation(
            for: problem.verdict == .crash ? "boot/report" : "boot/problem", seen: problem.verdict, titles: titles,
            in: context)
        if known?.verdict == problem.verdict { return }
        problems.append(problem)
    }

    static func signalName(_ number: Int32) -> String {
        let names: [Int32: String] = [
            SIGSEGV: "SIGSEGV", SIGBUS: "SIGBUS", SIGABRT: "SIGABRT", SIGKILL: "SIGKILL", SIGILL: "SIGILL",
            SIGFPE: "SIGFPE", SIGTERM: "SIGTERM", SIGPIPE: "SIGPIPE", SIGTRAP: "SIGTRAP",
        ]
        return names[number] ?? "signal \(number)"
    }

    private static func tail(of path: String) -> [String] {
        ((try? Files.text(path)) ?? "").split(whereSeparator: \.isNewline).suffix(20).map(String.init)
    }
}
