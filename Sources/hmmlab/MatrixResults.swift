// SPDX-License-Identifier: Apache-2.0
import HarnessCore
import Pipeline

/// Shows the cells of a matrix as they end: a line for each, the running test on the live line.
final class LiveMatrix: Sendable {
    private let terminal: Terminal
    private let current = LockedValue("")

    init(_ terminal: Terminal) { self.terminal = terminal }

    func show(_ event: MatrixEvent) {
        switch event {
        case .began(let number, let total, let cell):
            let name = "[\(number) of \(total)] \(cell.name)"
            current.withLock { $0 = name }
            terminal.progress(.step(name))
        case .test(.began(let test)):
            guard terminal.isTerminal else { return }
            terminal.progress(.step("\(current.withLock { $0 }): \(test)"))
        // Of a guest that does not come up, one line is enough.
        case .test(.ended(let record)) where record.outcome == .unexpected && record.verdict != .boot:
            terminal.line("\(terminal.colour(record.verdict.rawValue, .red)) \(record.id): \(record.explanation)")
        case .test: break
        case .ended(let cell, let fate):
            let (word, colour, text): (String, Terminal.Colour, String) =
                switch fate {
                case .ran(let result, let isEarlier):
                    (
                        result.exitCode == 0 ? "pass" : "fail", result.exitCode == 0 ? .green : .red,
                        result.sentence + (isEarlier ? " (by an earlier call)" : "")
                    )
                case .skipped(let reason): ("skip", .yellow, reason)
                case .failed(let error): ("error", .red, error.sentence)
                case .open: ("open", .yellow, "")
                }
            terminal.line("\(terminal.colour(word.padded(5), colour)) \(cell.name): \(text)")
        }
    }
}

/// A matrix at its end: a row for each cell, and then what did not pass.
enum MatrixTable {
    private static let verdicts: [(title: String, verdicts: [Verdict])] = [
        ("fail", [.fail]), ("crash", [.crash, .boot, .infra]), ("timeout", [.timeout]), ("skip", [.skip]),
    ]

    static func lines(for report: MatrixReport) -> [String] {
        var rows = [report.axes + ["pass"] + verdicts.map(\.title) + ["expected", "time"]]
        var notes: [String] = []
        for (cell, fate) in report.cells {
            switch fate {
            case .ran(let result, _):
                let counts = verdicts.map { column in column.verdicts.reduce(0) { $0 + (result.surprises[$1] ?? 0) } }
                let time = "\(Int(result.seconds.rounded())) s"
                rows.append(cell.values + ([result.passed] + counts + [result.expected]).map(String.init) + [time])
                if result.exitCode != 0 {
                    notes += ["", "\(cell.name): \(result.sentence)"] + result.lines.prefix(10).map { "  \($0)" }
                    if result.lines.count > 10 { notes.append("  and \(result.lines.count - 10) more") }
                    notes.append("  \(result.folder)")
                }
            case .skipped(let reason): rows.append(cell.values + ["skipped: \(reason)"])
            case .open: rows.append(cell.values + ["not run"])
            case .failed(let error):
                rows.append(cell.values + ["not run: \(error.sentence)"])
                let next = error.nextStep.map { ["  next: \($0)"] } ?? []
                notes += ["", "\(cell.name): \(error.sentence)"] + (error.cause.map { ["  \($0)"] } ?? []) + next
            }
        }
        return aligned(rows, names: report.axes.count) + notes + ["", closing(report)]
    }

    /// Names to the left, numbers to the right; a row's last text may be as long as it wants.
    private static func aligned(_ rows: [[String]], names: Int) -> [String] {
        let width = rows[0].count
        let whole = rows.filter { $0.count == width }
        let widths = (0..<width).map { column in
            (column < names ? rows : whole).map { $0[column].count }.max() ?? 0
        }
        return rows.map { row in
            row.enumerated().map { index, text in
                if index < names { return text.padded(widths[index]) }
                if row.count < width { return text }
                return String(repeating: " ", count: widths[index] - text.count) + text
            }.joined(separator: "  ")
        }
    }

    private static func closing(_ report: MatrixReport) -> String {
        var (passed, failed, skipped, broken, open) = (0, 0, 0, 0, 0)
        for (_, fate) in report.cells {
            switch fate {
            case .ran(let result, _) where result.exitCode == 0: passed += 1
            case .ran: failed += 1
            case .skipped: skipped += 1
            case .failed: broken += 1
            case .open: open += 1
            }
        }
        let parts = [
            (failed, "failed"), (broken, "could not be run"), (skipped, "left out by the matrix"),
            (open, "not run yet"),
        ]
        let rest = parts.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }
        return (["\(passed) of \(report.cells.count.of("cell")) passed"] + rest).joined(separator: ", ") + "."
    }
}

/// The JSON of a matrix.
struct MatrixDocument: Encodable {
    private struct Cell: Encodable {
        var values: [String: String]
        var fate: String
        var isEarlier: Bool?
        var result: CellResult?
        var reason: String?
        var error: LabError?
        var command: [String]
    }

    private let axes: [String]
    private let cells: [Cell]

    init(_ report: MatrixReport) {
        axes = report.axes
        cells = report.cells.map { cell, fate in
            var row = Cell(
                values: Dictionary(uniqueKeysWithValues: zip(report.axes, cell.values)), fate: "open",
                command: cell.selection.arguments)
            switch fate {
            case .ran(let result, let isEarlier):
                (row.fate, row.result, row.isEarlier) = (result.exitCode == 0 ? "passed" : "failed", result, isEarlier)
            case .skipped(let reason): (row.fate, row.reason) = ("skipped", reason)
            case .failed(let error): (row.fate, row.error) = ("error", error)
            case .open: break
            }
            return row
        }
    }
}
