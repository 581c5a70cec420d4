// SPDX-License-Identifier: Apache-2.0
import Foundation
import GuestProtocol
import HarnessCore
import KernelLog
import TestResults
import VirtualMachine

/// How a guest went away while a test was running.
struct GuestLoss: Sendable {
    var ending: MachineEnding
    var expiry: Watchdog.Expiry?
}

/// Turns what a session saw of a test into verdicts; pure, so that a result can be shown the moment it is there.
struct Judge: Sendable {
    let known: KnownOutcomes
    let context: RunContext

    /// The records of one outcome; several if a program of the kernel's own reported several results.
    ///
    /// - Parameters:
    ///   - findings: the outcome's kernel reports, decoded or not.
    ///   - loss: how the guest went, if it went before the test's process ended.
    func records(
        of outcome: SessionOutcome, _ findings: [KernelFinding], _ loss: GuestLoss?, boot index: Int
    ) -> [TestRecord] {
        withRemains(outcome.remains, verdicts(outcome, findings, loss, index).map(withExpectation), outcome.test)
    }

    /// Whatever a test says of itself, and is known to do, it did not pass if something is left behind.
    private func withRemains(_ remains: [String], _ records: [TestRecord], _ test: GuestTest) -> [TestRecord] {
        guard !remains.isEmpty, var record = records.first else { return records }
        if records.count > 1 {
            // Nobody knows which of them it was.
            record.name = test.name
            (record.verdict, record.reason, record.duration, record.output) = (.pass, "", 0, [])
        }
        record.output += remains.map { "hmmlab: left behind: \($0)" }
        if record.verdict <= .fail {
            let text = "left behind: " + remains.joined(separator: "; ")
            record.reason = record.verdict == .fail && !record.reason.isEmpty ? "\(record.reason); \(text)" : text
            record.verdict = .fail
            record.expectation = known.expectation(
                for: record.id, seen: .fail, titles: [text], in: context, needsTitle: true)
        }
        return records.count > 1 ? records + [record] : [record]
    }

    /// A record with what is known about its test.
    func withExpectation(_ record: TestRecord) -> TestRecord {
        var record = record
        let reports = record.reports.filter { $0.kind != ReportKind.outOfMemory.rawValue }
        let titles = record.verdict == .skip ? [record.reason] : reports.map(\.title)
        record.expectation =
            known.expectation(
                for: record.id, seen: record.verdict, titles: titles, in: context)
            ?? record.expectation
        return record
    }

    private func verdicts(
        _ outcome: SessionOutcome, _ findings: [KernelFinding], _ loss: GuestLoss?, _ index: Int
    ) -> [TestRecord] {
        let test = outcome.test
        let duration = Double(outcome.milliseconds) / 1000
        var record = TestRecord(
            suite: test.suite, name: test.name, verdict: .pass, output: outcome.output, duration: duration,
            reports: findings, boot: index)
        if outcome.reports.contains(where: \.isFinding) {
            record.verdict = .crash
            record.reason = Self.summary(
                of: findings.filter { $0.kind != ReportKind.outOfMemory.rawValue }.map(\.title))
            return [record]
        }
        guard let ending = outcome.ending else {
            if loss?.expiry == .test {
                let place = outcome.hang?.place.map { "; it hung in \($0)" } ?? ""
                (record.verdict, record.reason) = (
                    .timeout, "the guest did not answer after the test's time was up\(place)"
                )
                // What the kernel said when it was asked where it hangs.
                record.output += outcome.hang?.lines ?? []
            } else {
                switch loss?.ending {
                case .failed(let error): (record.verdict, record.reason) = (.infra, error.sentence)
                case .reset: (record.verdict, record.reason) = (.crash, "the guest reset itself without a report")
                case .poweredOff: (record.verdict, record.reason) = (.crash, "the guest powered off during the test")
                case .stopped, nil: (record.verdict, record.reason) = (.infra, "the guest was stopped during the test")
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

    /// Titles in the order of their first appearance, each once, with how often it came.
    static func summary(of titles: [String]) -> String {
        var seen: Set<String> = []
        return titles.filter { seen.insert($0).inserted }.map { title in
            let count = titles.count { $0 == title }
            return count == 1 ? title : "\(title) (\(count) times)"
        }.joined(separator: "; ")
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
        // There is always a record, if only one that says that nothing was reported.
        if !records.isEmpty { records[0].warnings = document.problems.map(\.description) }
        for index in records.indices {
            // Of a program with many cases, nobody knows how long each of them took.
            records[index].duration = records.count == 1 ? record.duration : 0
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

    static func signalName(_ number: Int32) -> String {
        let names: [Int32: String] = [
            SIGSEGV: "SIGSEGV", SIGBUS: "SIGBUS", SIGABRT: "SIGABRT", SIGKILL: "SIGKILL", SIGILL: "SIGILL",
            SIGFPE: "SIGFPE", SIGTERM: "SIGTERM", SIGPIPE: "SIGPIPE", SIGTRAP: "SIGTRAP",
        ]
        return names[number] ?? "signal \(number)"
    }
}

extension SessionOutcome {
    /// The reports as findings, not decoded.
    var findings: [KernelFinding] { reports.map { KernelFinding($0, text: $0.text) } }
}

extension KernelFinding {
    /// The finding for a report, with its text as it is or decoded.
    init(_ report: KernelReport, text: String) {
        self.init(title: report.title, kind: report.kind.rawValue, text: text, isFatal: report.isFatal)
    }
}
