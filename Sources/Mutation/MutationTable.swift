// SPDX-License-Identifier: Apache-2.0
import TestResults

extension MutationReport {
    /// The tables as Markdown: scores by kind and category, each mutant, then who is left.
    ///
    /// - Parameter title: what was tested, for the heading.
    public func markdown(title: String) -> String {
        var lines = ["## \(title)", ""]
        lines += row(["killed"] + columns)
        lines += ["|---|" + columns.map { _ in "---|" }.joined()]
        lines += row(["all"] + columns.map { score($0, of: live).text })
        for kind in Mutant.Kind.allCases {
            let some = live.filter { $0.kind == kind }
            if !some.isEmpty { lines += row([kind.rawValue] + columns.map { score($0, of: some).text }) }
        }
        for (name, some) in categories { lines += row([name] + columns.map { score($0, of: some).text }) }
        lines += ["", "| mutant | where | class |" + columns.map { " \($0) |" }.joined()]
        lines += ["|---|---|---|" + columns.map { _ in "---|" }.joined()]
        for mutant in mutants.sorted(by: { $0.id < $1.id }) {
            let name = mutant.inert == nil ? mutant.id : "\(mutant.id) (inert)"
            lines += row([name, mutant.place, mutant.category] + columns.map { cell(mutant, $0) })
        }
        let left: [(String, [String])] = [
            ("Alive", survivors.map { "\($0.id): \($0.defect)" }),
            ("Not judged", unjudged.map { "\($0.mutant.id): \($0.reason)" }),
            ("Said to be inert, and killed", surprises.map { "\($0.id): \($0.inert ?? "")" }),
            ("Inert", mutants.filter { $0.inert != nil }.map { "\($0.id): \($0.inert ?? "")" }),
        ]
        for (word, entries) in left where !entries.isEmpty {
            lines += ["", "\(word):", ""] + entries.map { "- \(Self.escaped($0))" }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func cell(_ mutant: Mutant, _ column: String) -> String {
        guard let trial = trial(mutant, column) else { return "-" }
        switch trial.fate {
        case .killed(let test, let how):
            return "\(how.rawValue): \(test), \(Int(trial.seconds.rounded())) s"
        case .survived: return "**alive**"
        case .unjudged: return "not judged"
        }
    }

    private func row(_ cells: [String]) -> [String] {
        ["| " + cells.map(Self.escaped).joined(separator: " | ") + " |"]
    }

    /// A bar would begin another cell.
    private static func escaped(_ text: String) -> String { text.replacing("|", with: "\\|") }
}
