// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// A run as plain text for people; colours are the caller's business.
public enum SummaryTable {
    /// A table with one row for each suite, then everything that did not just pass, then one closing sentence.
    public static func lines(for run: RunRecord) -> [String] {
        var lines = table(for: run)
        let notable =
            run.problems.map(line) + run.remarks.map { pad("note") + oneLine($0) }
            + run.tests.filter { $0.outcome != .passed }.sorted(by: severity).map(line)
        if !notable.isEmpty { lines += [""] + notable }
        return lines + ["", closingLine(for: run)]
    }

    /// The run in one sentence.
    public static func closingLine(for run: RunRecord) -> String {
        let summary = run.summary
        let seconds = SummaryTable.seconds(run.ended.timeIntervalSince(run.started))
        if let problem = run.problems.filter({ $0.verdict >= .boot }).max(by: { $0.verdict < $1.verdict }) {
            var ran = summary.total == 0 ? "no test ran" : "\(summary.total.of("test")) ran"
            if !run.notRun.isEmpty && summary.total > 0 { ran += ", \(run.notRun.count) did not" }
            return
                "\(problem.verdict == .infra ? "The host failed" : "The guest did not boot"): \(problem.sentence); \(ran)."
        }
        if summary.total == 0 {
            return run.isInterrupted ? "Interrupted before a test ended." : "No test ran, so nothing is known."
        }
        var parts: [String] = []
        let bad = run.tests.filter { $0.outcome == .unexpected }
        for (verdict, phrase): (Verdict, String) in [
            (.infra, "not carried out by the host"), (.boot, "without a guest"), (.crash, "crashed the kernel"),
            (.timeout, "timed out"), (.fail, "failed"), (.skip, "skipped without permission"),
        ] {
            let number = bad.count { $0.verdict == verdict }
            if number > 0 { parts.append("\(number) \(phrase)") }
        }
        if !run.problems.isEmpty {
            parts.append("the kernel misbehaved \(run.problems.count.of("time")) while no test ran")
        }
        if summary.expected > 0 { parts.append("\(summary.expected) did not pass, as is known") }
        if !summary.unexpectedPasses.isEmpty {
            parts.append("\(summary.unexpectedPasses.count) passed although known to fail")
        }
        let passed = run.tests.count { $0.verdict == .pass }
        let all =
            passed == summary.total
            ? "All \(passed.of("test")) passed" : "\(passed) of \(summary.total.of("test")) passed"
        if !run.notRun.isEmpty { parts.append("\(run.notRun.count) did not run") }
        return (run.isInterrupted ? "Interrupted. " : "") + ([all + " in \(seconds)"] + parts).joined(separator: ", ")
            + "."
    }

    // MARK: The table

    private static let columns: [(title: String, belongs: @Sendable (TestRecord) -> Bool)] = [
        ("pass", { $0.verdict == .pass }),
        ("fail", { $0.outcome == .unexpected && $0.verdict == .fail }),
        ("crash", { $0.outcome == .unexpected && $0.verdict >= .crash }),
        ("timeout", { $0.outcome == .unexpected && $0.verdict == .timeout }),
        ("skip", { $0.outcome == .unexpected && $0.verdict == .skip }),
        ("expected", { $0.outcome == .expected }),
    ]

    private static func table(for run: RunRecord) -> [String] {
        guard !run.tests.isEmpty else { return [] }
        var rows = [["suite"] + columns.map(\.title)]
        for suite in run.suites { rows.append(row(suite, run.tests.filter { $0.suite == suite })) }
        if run.suites.count > 1 { rows.append(row("total", run.tests)) }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = zip(row, widths).enumerated().map { index, cell in
                let padding = String(repeating: " ", count: cell.1 - cell.0.count)
                return index == 0 ? cell.0 + padding : padding + cell.0
            }
            return cells.joined(separator: "  ")
        }
    }

    private static func row(_ name: String, _ tests: [TestRecord]) -> [String] {
        [name] + columns.map { column in String(tests.count(where: column.belongs)) }
    }

    // MARK: Single results

    private static func severity(_ left: TestRecord, _ right: TestRecord) -> Bool {
        // Swift's sort is not documented to be stable, so the order within a class is by name.
        (left.outcome == .unexpected ? 0 : 1, right.verdict, left.id) < (
            right.outcome == .unexpected ? 0 : 1, left.verdict, right.id
        )
    }

    private static func line(_ test: TestRecord) -> String {
        let word: String
        switch test.outcome {
        case .expected: word = "known"
        case .unexpectedPass: word = "xpass"
        case .passed, .unexpected: word = test.verdict.rawValue
        }
        var why = test.explanation
        if let first = test.reports.first, !why.contains(first.title) { why += (why.isEmpty ? "" : "; ") + first.title }
        return pad(word) + test.id + (why.isEmpty ? "" : ": \(oneLine(why))") + " (\(seconds(test.duration)))"
    }

    private static func line(_ problem: RunProblem) -> String {
        let titles = problem.reports.map(\.title).filter { !problem.sentence.contains($0) }
        return pad(problem.verdict.rawValue) + ([problem.sentence] + titles).map(oneLine).joined(separator: "; ")
    }

    private static func pad(_ word: String) -> String {
        word.uppercased() + String(repeating: " ", count: max(1, 9 - word.count))
    }

    private static func oneLine(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).joined(separator: " ")
    }

    /// Seconds with one decimal; minutes from two minutes on.
    private static func seconds(_ value: Double) -> String {
        guard value.isFinite, value < 1e9 else { return "an unknown time" }
        if value >= 120 { return "\(Int(value) / 60) min \(Int(value) % 60) s" }
        let tenths = Int((max(0, value) * 10).rounded())
        return "\(tenths / 10).\(tenths % 10) s"
    }
}
