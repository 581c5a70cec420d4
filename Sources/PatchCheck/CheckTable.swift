// SPDX-License-Identifier: Apache-2.0
import HarnessCore

extension CheckReport {
    /// The report as people read it: a table patch by check for each base, the findings, what was not checked and why,
    /// and a sentence.
    public var text: String {
        var lines: [String] = []
        var bases: [String] = []
        for patch in patches where !bases.contains(patch.base) { bases.append(patch.base) }
        for base in bases {
            let rows = patches.filter { $0.base == base }
            lines += Self.table(base, rows) + [""]
            lines += rows.flatMap(Self.findings)
            let reasons = Self.reasons(rows)
            if !reasons.isEmpty { lines += reasons }
            if lines.last != "" { lines.append("") }
        }
        return (lines + [sentence]).joined(separator: "\n") + "\n"
    }

    /// The report in one sentence.
    public var sentence: String {
        let bases = Set(patches.map(\.base)).count
        let patches = Set(patches.map(\.patch)).count
        var parts = ["\(summary.ok) ok", summary.warn.of("with warnings", plural: "with warnings")]
        parts += ["\(summary.fail) failed", "\(summary.notChecked) not checked"]
        return "\(patches.of("patch", plural: "patches")) on \(bases.of("base")): \(parts.joined(separator: ", "))"
            + " (\(summary.cached) known from an earlier run)."
    }

    private static func table(_ base: String, _ rows: [PatchReport]) -> [String] {
        let checks = CheckName.allCases.filter { name in rows.contains { $0.checks.contains { $0.check == name } } }
        var cells = [["\(base) (\(rows.first?.kernelVersion ?? ""))"] + checks.map(\.rawValue)]
        for row in rows {
            cells.append([row.patch] + checks.map { name in row.checks.first { $0.check == name }?.word ?? "-" })
        }
        let widths = cells[0].indices.map { column in cells.map { $0[column].count }.max() ?? 0 }
        return cells.map { row in
            var line = ""
            for (cell, width) in zip(row, widths) {
                line += cell + String(repeating: " ", count: width - cell.count + 2)
            }
            while line.last == " " { line.removeLast() }
            return line
        }
    }

    private static func findings(_ row: PatchReport) -> [String] {
        row.checks.flatMap { check in
            check.findings.map { finding in
                let place = finding.configuration.map { ", \($0)" } ?? ""
                let type = finding.type.map { " [\($0)]" } ?? ""
                return "\(finding.isFailure ? "FAIL" : "warn") \(row.patch), \(check.check.rawValue)\(place): "
                    + finding.text + type
            }
        }
    }

    /// Why something was not checked, and what was left out, once for all patches that it concerns.
    private static func reasons(_ rows: [PatchReport]) -> [String] {
        var order: [String] = []
        var patches: [String: [String]] = [:]
        func add(_ line: String, _ patch: String) {
            if patches[line] == nil { order.append(line) }
            patches[line, default: []].append(patch)
        }
        for row in rows {
            for check in row.checks {
                if let reason = check.notChecked { add("NOT CHECKED \(check.check.rawValue): \(reason)", row.patch) }
                for note in check.notes { add("left out of \(check.check.rawValue): \(note)", row.patch) }
            }
        }
        return order.map { line in
            let names = patches[line] ?? []
            return names.count == rows.count && rows.count > 1
                ? "\(line) (all patches)"
                : "\(line) (\(names.count > 3 ? names.count.of("patch", plural: "patches") : names.joined(separator: ", ")))"
        }
    }
}
