// SPDX-License-Identifier: Apache-2.0
import HarnessCore

extension BisectionReport {
    /// The report as people read it.
    public var lines: [String] {
        var lines = table
        lines.append("")
        if let culprit {
            lines.append("culprit: \(noun) \(culprit.index): \(culprit.subject)")
            if let file = culprit.file { lines.append("    \(file)" + (culprit.author.map { ", \($0)" } ?? "")) }
            lines += Self.excerpt(culprit.diff, of: 40)
        }
        if let difference {
            if let good = difference.good { lines.append("good output: \(good)") }
            if let bad = difference.bad { lines.append("bad output:  \(bad)") }
            lines += Self.excerpt(difference.report, of: 40)
        }
        for failure in otherFailures { lines.append("not counted: \(failure)") }
        if let reverted { lines.append(sentence(reverted)) }
        for name in ["good", "bad"] { if let command = commands[name] { lines.append("\(name): \(command)") } }
        lines.append("Everything about this bisection: \(folder)")
        lines.append("")
        let spent = "\(Self.time(buildSeconds)) building, \(Self.time(testSeconds)) booting and testing"
        let sure = isAnswer ? "Confidence \(Self.percent(confidence)), " : ""
        lines.append("\(sentence) \(sure)\(runs.of("run")), \(spent).")
        return lines
    }

    /// Whether the confidence is that of an answer.
    private var isAnswer: Bool {
        switch outcome {
        case .found, .ambiguous, .notMonotone, .goodEndIsBad: true
        case .notReproduced, .endUntestable, .budget: false
        }
    }

    private func sentence(_ reverted: Reversal) -> String {
        switch reverted.verdict {
        case "good": "without it: the tip passes (\(reverted.runs.of("run")))"
        case "bad": "without it: the tip still fails: \(reverted.sentence); something else in the range breaks it, too"
        case "impossible": "without it: cannot be tried: \(reverted.sentence)"
        default: "without it: nothing can be said: \(reverted.sentence)"
        }
    }

    /// One line for each step that was looked at.
    private var table: [String] {
        func row(_ cells: [String], _ subject: String) -> String {
            zip(cells, [8, 8, 5, 5, 4, 8, 8]).map { $0.padded($1) }.joined(separator: " ") + " " + subject
        }
        let header = row([noun.rawValue, "verdict", "good", "bad", "?", "P", "seconds"], "subject")
        let rows = steps.map { step in
            let share = step.index == 0 ? "" : step.probability < 5e-5 ? "0" : Self.short(step.probability)
            let counts = [step.good, step.bad, step.unknown].map { String($0) }
            return row(
                [String(step.index), step.verdict] + counts + [share, Self.tenths(step.seconds)], step.subject)
        }
        return [header] + rows
    }

    private static func short(_ probability: Double) -> String {
        String((probability * 10_000).rounded() / 10_000)
    }

    private static func tenths(_ seconds: Double) -> String { String((seconds * 10).rounded() / 10) }

    private static func time(_ seconds: Double) -> String {
        seconds < 60 ? "\(tenths(seconds)) s" : "\(Int(seconds) / 60) min \(Int(seconds) % 60) s"
    }

    private static func excerpt(_ text: String?, of count: Int) -> [String] {
        guard let text, !text.isEmpty else { return [] }
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        let rest = lines.count > count ? ["    ... \(lines.count - count) lines more"] : []
        return lines.prefix(count).map { "    \($0)" } + rest
    }
}
