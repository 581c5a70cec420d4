// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import HarnessCore
import Pipeline

struct PatchesCompare: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Show by tests that a patch means the same on several bases: fails before it, passes after it.",
        discussion: """
            Each patch's reproducers run in a guest on each base, on the kernel with all patches before it and on the one \
            with it. A base that contains the patch has to pass without any. With --suite, whole suites run on both kernels, too: a \
            test that ends worse with the patch, twice, is a doubt.
            Exit codes: 0 every reproducer shows what it should, 1 not so, 2 a kernel did not build, 64 usage, 69 host.
            Examples:
              hmmlab patches compare --bases 6.12,7.2 --topic fixes
              hmmlab patches compare --bases 7.2 --patch file/no-copy --suite kselftest:mm/hmm
            """)

    @Option(help: ArgumentHelp("The bases, with commas between them.", valueName: "bases"))
    var bases: String
    @OptionGroup var patches: ModelOptionGroup
    @Option(
        name: .customLong("patch"), help: ArgumentHelp("Only this patch, by id or name; repeatable.", valueName: "id"))
    var names: [String] = []
    @Option(
        name: .customLong("suite"),
        help: ArgumentHelp("Compare this suite as well, such as kselftest:mm/hmm; repeatable.", valueName: "suite"))
    var suites: [String] = []
    @Option(help: ArgumentHelp("The driver behind the device nodes for those suites.", valueName: "name"))
    var driver: GuestSelection.Driver = .testHmm
    @OptionGroup var common: CommonOptions
    @Option(help: JSONOutput.help) var json: JSONOutput?

    func validate() throws {
        guard bases.split(separator: ",").count > 0 else { throw ValidationError("--bases needs a base such as 6.12.") }
    }

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        try await withLab(terminal, json: json) { lab in
            let comparison = try await lab.comparePatches(
                model: patches.model, topics: patches.topics, patches: names,
                bases: bases.split(separator: ",").map(String.init), suites: suites, driver: driver)
            terminal.clear()
            if let json { try json.write(Document(comparison)) }
            if json?.path != "-" { show(comparison) }
            return comparison.doubts.isEmpty ? .passed : .testsFailed
        }
    }

    private func show(_ comparison: PatchComparison) {
        let width = (comparison.rows.map(\.patch.count).max() ?? 0) + 2
        let testWidth = (comparison.rows.compactMap(\.test?.count).max() ?? 0) + 2
        let columns = comparison.rows.first { !$0.cells.isEmpty }?.cells.map(\.base) ?? []
        printResult(
            "patch".padded(width) + "test".padded(testWidth)
                + columns.map { "\($0) before".padded(14) + "after".padded(9) }.joined())
        for row in comparison.rows {
            let cells = row.cells.map { cell in
                let first = cell.note != nil || cell.before == nil ? cell.stateWord : cell.word(\.before)
                return first.padded(14) + cell.word(\.after).padded(9)
            }
            printResult(row.patch.padded(width) + (row.test ?? "-").padded(testWidth) + cells.joined())
        }
        for row in comparison.rows {
            for cell in row.cells {
                if let note = cell.note { printResult("note: \(row.patch) on \(cell.base): \(note)") }
            }
        }
        for cell in comparison.suites {
            let same = cell.tests - cell.unsteady.count - cell.changes.count
            let unsteady = cell.unsteady.isEmpty ? "" : ", unsteady: \(cell.unsteady.joined(separator: ", "))"
            printResult(
                "\(cell.patch) on \(cell.base): \(cell.suite) ends as before in \(same) of \(cell.tests.of("test"))\(unsteady)"
            )
            for change in cell.changes where !change.isWorse {
                printResult("  \(change.test): \(change.word(\.before)) before, \(change.word(\.after)) with it")
            }
        }
        let doubts = comparison.doubts
        for doubt in doubts { printResult("? " + doubt) }
        let proved = comparison.rows.flatMap(\.cells).count { $0.isProved == true }
        printResult("\(proved.of("proof")) by test, \(doubts.count.of("doubt")).")
    }
}
