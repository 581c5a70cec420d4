// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import HarnessCore
import Pipeline

struct BisectCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bisect",
        abstract: "Find the patch, commit, version or symbol that broke something, and say how sure that is.",
        discussion: """
            Which patch of a series makes a test fail:
              hmmlab bisect --series patches/ --test migrate/round-trip-private
            Which commit brought a warning in, although the test fails only now and then:
              hmmlab bisect --range ~/linux@v6.12..HEAD --crash "WARNING in migrate_vma" --suite migrate
            Which version of Debian's kernel made a command slower, with the number that it prints last:
              hmmlab bisect --versions 6.12.94-1..6.12.117-1 --command 'measure-it' --above 20
            Both ends are tried first. A kernel that does not build or boot, and a failure that the bad end never shows, \
            count neither as good nor as bad. Tests that fail now and then are run as often as the confidence asks for. \
            In the end the culprit is taken out of the tip, where that is possible, and the tip has to pass.
            Exit codes: 0 found, 1 not found (the report says why), 2 the series does not apply, 64 usage, 69 host, \
            130 interrupted: go on with --resume.
            """)

    @OptionGroup(title: "Range") var ranges: BisectionRangeOptions
    @OptionGroup(title: "What is bad") var predicates: BisectionPredicateOptions
    @OptionGroup(title: "Kernel") var kernel: KernelOptionGroup
    @OptionGroup(title: "Guest") var guest: GuestOptionGroup
    @OptionGroup var common: CommonOptions

    @Option(help: ArgumentHelp("How sure it has to be.", valueName: "probability")) var confidence = 0.99
    @Option(
        help: ArgumentHelp(
            "How often the test fails where the fault is, if that is known; estimated without it.", valueName: "rate"))
    var rate: Double?
    @Option(
        help: ArgumentHelp(
            "How many guests run at the same time, and beside the next kernel's build. With 1, nothing goes on beside "
                + "anything else. (default: 2; 1 with --above and --below)", valueName: "n"))
    var parallel: Int?
    @Option(help: ArgumentHelp("Give up after so many runs.", valueName: "n")) var runs: Int?
    @Option(help: ArgumentHelp("Give up after so many minutes.", valueName: "n")) var minutes: Int?
    @Option(
        help: ArgumentHelp(
            "Go on with a bisection that was interrupted, by its name or latest, for as long as --runs and --minutes "
                + "say now.", valueName: "name"))
    var resume: String?
    @Option(help: JSONOutput.help) var json: JSONOutput?

    func validate() throws {
        if resume != nil {
            guard predicates.isEmpty, ranges.isEmpty, kernel.series == nil else {
                throw ValidationError("--resume goes on with what was asked for then; give it no range and no test.")
            }
            return try validateBudget()
        }
        guard confidence > 0.5, confidence < 1 else {
            throw ValidationError("--confidence takes a probability above 0.5 and below 1, not \(confidence).")
        }
        if let rate, rate <= 0 || rate > 1 {
            throw ValidationError("--rate takes a number above 0 and up to 1, not \(rate).")
        }
        try validateBudget()
        _ = try selection(arguments: [])
    }

    private func validateBudget() throws {
        for (name, value) in [("parallel", parallel ?? 1), ("runs", runs ?? 1), ("minutes", minutes ?? 1)]
        where value < 1 {
            throw ValidationError("--\(name) takes a number from 1, not \(value).")
        }
        // What each further guest could show multiplies what has to be thought of.
        if let parallel, parallel > 8 { throw ValidationError("--parallel takes at most 8, not \(parallel).") }
    }

    /// Two guests keep two cores busy, but would disturb a measurement.
    private var guests: Int {
        parallel ?? (predicates.isMeasured || ProcessInfo.processInfo.activeProcessorCount < 2 ? 1 : 2)
    }

    private func selection(arguments: [String]) throws -> BisectionSelection {
        let series = try kernel.selection()
        var options = BisectorOptions(confidence: confidence)
        if let rate { options.model.faulty = .known(rate) }
        return BisectionSelection(
            space: try ranges.space(hasSeries: series.series != nil), kernel: series, guest: try guest.selection(),
            predicate: try predicates.predicate(), options: options, takesAnyFailure: predicates.anyFailure,
            parallel: guests, mostRuns: runs, mostMinutes: minutes, arguments: arguments)
    }

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        // Going on may change the folder; the file is meant to lie in this one.
        let json = json.map { $0.path == "-" ? $0 : $0.absolute }
        try await withLab(terminal, json: json) { lab in
            guard let resume else {
                return try await bisect(
                    lab, terminal, json, selection(arguments: Array(CommandLine.arguments.dropFirst())), nil)
            }
            let allowed = ["--resume", "--json", "--quiet", "--runs", "--minutes", "--parallel"]
            for word in CommandLine.arguments where word.hasPrefix("--") {
                let name = word.prefix { $0 != "=" }
                if !allowed.contains(String(name)) {
                    throw LabError(
                        "options-contradict", exit: .usage,
                        "--resume goes on with what was asked for then, without \(name)",
                        next: "Leave \(name) out, or begin a new bisection.")
                }
            }
            let earlier = try lab.interruptedBisection(resume)
            let command: BisectCommand
            do {
                command = try Self.parse(Array(earlier.arguments.dropFirst()))
            } catch {
                throw LabError(
                    "bisection-changed", exit: .usage,
                    "The bisection \(earlier.folder.id) was begun by another hmmlab", cause: "\(error)",
                    next: "Begin it anew; kernels that were built are in the cache.")
            }
            guard FileManager.default.changeCurrentDirectoryPath(earlier.directory) else {
                throw LabError(
                    "folder-missing", exit: .usage, "The folder \(earlier.directory) that it was begun in is gone",
                    next: "Begin it anew; kernels that were built are in the cache.")
            }
            var selection = try command.selection(arguments: earlier.arguments)
            // A budget, and the guests at a time, are for one part.
            (selection.mostRuns, selection.mostMinutes, selection.parallel) =
                (runs, minutes, parallel ?? selection.parallel)
            return try await bisect(lab, terminal, json, selection, earlier)
        }
    }

    private func bisect(
        _ lab: Lab, _ terminal: Terminal, _ json: JSONOutput?, _ selection: BisectionSelection,
        _ earlier: InterruptedBisection?
    ) async throws -> HarnessCore.ExitCode {
        let live = LiveBisection(terminal)
        let report: BisectionReport
        do {
            report = try await interruptible(terminal) {
                try await lab.bisect(selection, continuing: earlier) { live.show($0) }
            }
        } catch {
            // What was run until now is in the journal.
            if let name = live.name {
                terminal.line("Go on with: scripts/hmmlab bisect --resume \(name)", always: true)
            }
            throw error
        }
        terminal.clear()
        if json?.path != "-" { for line in report.lines { printResult(line) } }
        if let json { try json.write(Document(report)) }
        return report.exitCode
    }
}

/// Which kernels, where it is not the patches of `--series`.
struct BisectionRangeOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The commits of a repository on this machine, along first parents.", valueName: "path@good..bad"))
    var range: String?
    @Option(
        help: ArgumentHelp(
            "The versions of Debian's linux-source that can be had, such as 6.12.94-1..6.12.117-1.",
            valueName: "good..bad"))
    var versions: String?
    @Option(
        help: ArgumentHelp("A complete .config that is good; with --bad-config.", valueName: "file"),
        completion: .file())
    var goodConfig: String?
    @Option(
        help: ArgumentHelp("One that is bad: which symbol is to blame.", valueName: "file"), completion: .file())
    var badConfig: String?

    var isEmpty: Bool { range == nil && versions == nil && goodConfig == nil && badConfig == nil }

    func space(hasSeries: Bool) throws -> BisectionSpace {
        guard (goodConfig == nil) == (badConfig == nil) else {
            throw ValidationError("--good-config and --bad-config go together.")
        }
        var spaces: [BisectionSpace] = []
        if let range {
            // A path may hold an @, and so may a revision, such as HEAD@{1}.
            let places = range.indices.filter { range[$0] == "@" && $0 > range.startIndex }
            let folder = places.first { Files.isFolder(Files.expandingHome(in: String(range[..<$0]))) }
            guard let at = folder ?? places.first else {
                throw ValidationError("--range takes PATH@GOOD..BAD, not \(range).")
            }
            let (good, bad) = try Self.ends(String(range[range.index(after: at)...]), "--range", "PATH@GOOD..BAD")
            spaces.append(.commits(repository: String(range[..<at]), good: good, bad: bad))
        }
        if let versions {
            let text = versions.hasPrefix("debian:") ? String(versions.dropFirst("debian:".count)) : versions
            let (good, bad) = try Self.ends(text, "--versions", "GOOD..BAD")
            spaces.append(.versions(good: good, bad: bad))
        }
        if let goodConfig, let badConfig { spaces.append(.configs(good: goodConfig, bad: badConfig)) }
        switch (spaces.count, hasSeries) {
        case (0, true): return .series
        case (1, _): return spaces[0]
        case (0, false): throw ValidationError("Give a range: --series, --range, --versions or --good-config.")
        default: throw ValidationError("Give one of --range, --versions and --good-config.")
        }
    }

    private static func ends(_ text: String, _ option: String, _ form: String) throws -> (String, String) {
        guard let dots = text.range(of: ".."), dots.lowerBound > text.startIndex, dots.upperBound < text.endIndex else {
            throw ValidationError("\(option) takes \(form), not \(text).")
        }
        return (String(text[..<dots.lowerBound]), String(text[dots.upperBound...]))
    }
}

/// What tells a bad kernel from a good one.
struct BisectionPredicateOptions: ParsableArguments {
    @Option(help: ArgumentHelp("This test fails; with --crash, what is run.", valueName: "id")) var test: String?
    @Option(
        name: .customLong("suite"),
        help: ArgumentHelp(
            "A test of this suite fails that is not known to; with --crash, what is run (repeatable).",
            valueName: "suite"))
    var suites: [String] = []
    @Option(
        help: ArgumentHelp("The kernel makes a report whose title contains this, in any test.", valueName: "title"))
    var crash: String?
    @Flag(help: "The kernel does not build.") var build = false
    @Flag(help: "The guest does not come up with its driver.") var boot = false
    @Option(
        help: ArgumentHelp(
            "This shell command fails in the guest; 125 says nothing, as for git bisect run.", valueName: "command"))
    var command: String?
    @Option(help: ArgumentHelp("The last number that the command prints is above this.", valueName: "number"))
    var above: Double?
    @Option(help: ArgumentHelp("The last number that the command prints is below this.", valueName: "number"))
    var below: Double?
    @Option(help: ArgumentHelp("With --suite and --crash: only tests that match this.", valueName: "regex"))
    var filter: String?
    @Option(help: ArgumentHelp("With --command: seconds after which it is killed, which is bad.", valueName: "seconds"))
    var timeout: Int?
    @Flag(help: "Count every failure, also one that the bad end never shows.") var anyFailure = false

    var isEmpty: Bool {
        test == nil && suites.isEmpty && crash == nil && !build && !boot && command == nil
    }

    /// Whether a number decides, which other guests may disturb.
    var isMeasured: Bool { above != nil || below != nil }

    func predicate() throws -> BisectionPredicate {
        var subjects: [BisectionPredicate.Subject] = []
        if let test, crash == nil { subjects.append(.test(test)) }
        if let crash { subjects.append(.crash(crash)) }
        if build { subjects.append(.build) }
        if boot { subjects.append(.boot) }
        if let command { subjects.append(.command(command)) }
        if crash == nil {
            if suites.count > 1 { throw ValidationError("--suite can be given several times only with --crash.") }
            subjects += suites.map { .suite($0) }
        }
        guard subjects.count == 1 else {
            throw ValidationError(
                "Say what is bad by one of --test, --suite, --crash, --build, --boot and --command.")
        }
        if (above != nil || below != nil || timeout != nil) && command == nil {
            throw ValidationError("--above, --below and --timeout need --command.")
        }
        if above != nil && below != nil { throw ValidationError("Give one of --above and --below.") }
        if crash != nil, test != nil, !suites.isEmpty || filter != nil {
            throw ValidationError("With --crash, give either --test or --suite and --filter.")
        }
        if filter != nil && suites.isEmpty && crash == nil {
            throw ValidationError("--filter needs --suite or --crash.")
        }
        if let timeout, timeout < 1 || timeout > Lab.longestCommand {
            throw ValidationError("--timeout takes a number from 1 to \(Lab.longestCommand), not \(timeout).")
        }
        let threshold = above.map { BisectionPredicate.Threshold(.above, $0) }
        return BisectionPredicate(
            subjects[0], suites: crash == nil ? [] : suites, trigger: crash == nil ? nil : test, filter: filter,
            threshold: threshold ?? below.map { .init(.below, $0) }, timeoutSeconds: timeout)
    }
}
