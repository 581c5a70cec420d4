// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import HarnessCore
import Pipeline

struct MutateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mutate",
        abstract: "Plant known bugs and mutations into a kernel, one by one, and see which suites notice them.",
        discussion: """
            The kernel without a fault has to pass first; then each mutant is built, and tests run until one fails. What is \
            known from an earlier call is not found out again, so the same call goes on where it was interrupted. The more \
            a kernel checks, the more is noticed: --flavour debug.
            Our suites beside upstream's, all mutants of the base:
              hmmlab mutate --flavour debug
            Does this suite notice that mutant:
              hmmlab mutate --flavour debug --mutant H01 --suite migrate
            Your own mutants, and a table for a document:
              hmmlab mutate --corpus mutants/ --suite mirror,migrate --suite kselftest:mm/hmm --markdown table.md
            A mutant is a diff below a header of Mutant, Kind, Where, Class, Defect and Symptom (docs/detection.md).
            Exit codes: 0 all were killed, 1 one was not, or could not be judged, or the kernel fails without any, \
            64 usage, 69 host, 130 interrupted.
            """)

    @Option(
        help: ArgumentHelp(
            "The folder of mutants; hmmlab's own for the base if absent.", valueName: "folder"), completion: .directory)
    var corpus: String?
    @Option(name: .customLong("mutant"), help: ArgumentHelp("Only this mutant; repeatable.", valueName: "name"))
    var only: [String] = []
    @Option(
        name: .customLong("suite"),
        help: ArgumentHelp(
            "A suite, or some with commas between them that run together; repeatable, each has a column of its own. "
                + "(default: all of hmmlab's own together, and kselftest:mm/hmm)", valueName: "suite"))
    var suites: [String] = []
    @Option(help: ArgumentHelp("Run only tests whose name matches this regular expression.", valueName: "regex"))
    var filter: String?
    @Flag(help: "Find everything out again.") var again = false
    @OptionGroup(title: "Kernel") var kernel: KernelOptionGroup
    @OptionGroup(title: "Guest") var guest: GuestOptionGroup
    @OptionGroup var common: CommonOptions
    @Option(help: ArgumentHelp("Write tables to a file, or to standard output with -.", valueName: "file"))
    var markdown: String?
    @Option(help: JSONOutput.help) var json: JSONOutput?

    private var title: String {
        "\(kernel.base), \(kernel.flavour)" + (filter.map { ", tests that match `\($0)`" } ?? "")
    }

    func validate() throws {
        _ = try kernel.selection()
        _ = try guest.selection()
        if json?.path == "-", markdown == "-" {
            throw ValidationError("Only one of --json and --markdown can go to standard output.")
        }
        if suites.contains(where: { $0.split(separator: ",").isEmpty }) {
            throw ValidationError("--suite needs a suite, such as migrate.")
        }
        if Set(suites).count < suites.count { throw ValidationError("A --suite is there twice.") }
    }

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        try await withLab(terminal, json: json) { lab in
            var columns = suites.map { text in
                let suites = text.split(separator: ",").map(String.init)
                return MutationSelection.Column(suites: suites, driver: .usual(for: suites))
            }
            if columns.isEmpty {
                columns = try await lab.mutationColumns(try kernel.selection(), try guest.selection())
            }
            if let driver = guest.driver { for index in columns.indices { columns[index].driver = driver } }
            let selection = MutationSelection(
                corpus: corpus, only: only, kernel: try kernel.selection(), guest: try guest.selection(),
                columns: columns, filter: filter, again: again)
            let live = LiveMutation(terminal)
            let report = try await interruptible(terminal) { try await lab.mutate(selection) { live.show($0) } }
            terminal.clear()
            if json?.path != "-", markdown != "-" { show(report) }
            if let json { try json.write(Document(MutationDocument(report))) }
            if let markdown {
                try writeResult(report.markdown(title: title), to: markdown)
            }
            let isClean = report.survivors.isEmpty && report.unjudged.isEmpty && report.surprises.isEmpty
            return isClean ? .passed : .testsFailed
        }
    }

    private func show(_ report: MutationReport) {
        for column in report.columns {
            printResult("\(column): killed \(report.score(column, of: report.live).text)")
        }
        for mutant in report.survivors { printResult("alive: \(mutant.id), \(mutant.place): \(mutant.defect)") }
        for (mutant, reason) in report.unjudged { printResult("not judged: \(mutant.id): \(reason)") }
        for mutant in report.surprises {
            printResult("killed, although it is said to be inert: \(mutant.id): \(mutant.inert ?? "")")
        }
    }
}

/// Shows trials as they end: a line for each, the running one on the live line.
private final class LiveMutation: Sendable {
    private let terminal: Terminal
    private let total = LockedValue(0)

    init(_ terminal: Terminal) { self.terminal = terminal }

    func show(_ event: MutationEvent) {
        switch event {
        case .planned(let mutants, let trials, let known):
            let earlier = known > 0 ? ", \(known) of \(trials.of("trial")) known from an earlier run" : ""
            total.withLock { $0 = mutants }
            terminal.line("\(mutants.of("mutant"))\(earlier)")
        case .control(let column): terminal.progress(.step("without a fault: \(column)"))
        case .began(let number, let mutant, let what):
            terminal.progress(.step("[\(number) of \(total.withLock { $0 })] \(mutant.id), \(mutant.place): \(what)"))
        case .ended(let mutant, let trial):
            let seconds = "\(Int(trial.seconds.rounded())) s"
            switch trial.fate {
            case .killed(let test, let how):
                terminal.line(
                    terminal.colour("killed", .green) + " \(mutant.id) by \(test) (\(how.rawValue)), \(seconds)")
            case .survived:
                terminal.line(terminal.colour("alive ", .red) + " \(mutant.id) after \(trial.suites), \(seconds)")
            case .unjudged(let reason):
                terminal.line(terminal.colour("?     ", .yellow) + " \(mutant.id): \(reason)")
            }
        }
    }
}

/// The JSON of a report.
private struct MutationDocument: Encodable {
    struct Score: Encodable {
        var killed: Int
        var judged: Int
    }

    struct Entry: Encodable {
        var killed: Bool?
        var by: String?
        var how: String?
        var reason: String?
        var seconds: Double
        var buildSeconds: Double

        init(_ trial: Trial) {
            killed = trial.isKilled
            seconds = trial.seconds
            buildSeconds = trial.buildSeconds
            switch trial.fate {
            case .killed(let test, let verdict): (by, how) = (test, verdict.rawValue)
            case .survived: break
            case .unjudged(let text): reason = text
            }
        }
    }

    struct Line: Encodable {
        var id: String
        var kind: Mutant.Kind
        var category: String
        var place: String
        var inert: String?
        var suites: [String: Entry]
    }

    var scores: [String: Score]
    var mutants: [Line]

    init(_ report: MutationReport) {
        scores = Dictionary(
            uniqueKeysWithValues: report.columns.map { column in
                let score = report.score(column, of: report.live)
                return (column, Score(killed: score.killed, judged: score.judged))
            })
        mutants = report.mutants.sorted { $0.id < $1.id }.map { mutant in
            var suites: [String: Entry] = [:]
            for column in report.columns { suites[column] = report.trial(mutant, column).map(Entry.init) }
            return Line(
                id: mutant.id, kind: mutant.kind, category: mutant.category, place: mutant.place, inert: mutant.inert,
                suites: suites)
        }
    }
}
