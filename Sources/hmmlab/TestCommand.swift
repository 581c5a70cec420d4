// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import HarnessCore
import Pipeline

struct TestCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test",
        abstract: "Fetch, patch, build and boot a kernel, run test suites in it, and say per test what happened.",
        discussion: """
            Without options: the newest debian:6.12, all suites that the driver and the flavour allow. What is cached is not made again.
            With --matrix, every combination of what a file describes, and a table: hmmlab test --matrix qemu/matrices/variants.toml
            Exit codes: 0 passed, 1 a test failed or the kernel crashed, 2 it did not build, 3 it did not boot.
            """)

    @OptionGroup(title: "Kernel") var kernel: KernelOptionGroup
    @OptionGroup(title: "Guest") var guest: GuestOptionGroup
    @OptionGroup var common: CommonOptions

    @Option(
        name: .customLong("suite"),
        help: ArgumentHelp(
            "Run this suite (see hmmlab list suites); repeatable; without it all that driver and flavour allow.",
            valueName: "suite"))
    var suites: [String] = []
    @Option(help: ArgumentHelp("Run only tests whose name matches this regular expression.", valueName: "regex"))
    var filter: String?
    @Flag(inversion: .prefixedNo, help: "Go on after a test that failed.") var keepGoing = true
    @Option(
        help: ArgumentHelp(
            "Make the random requests and steps that a test of an earlier run made: the number it printed.",
            valueName: "number"))
    var seed: UInt64?
    @Option(
        help: ArgumentHelp(
            "Run a shell line in the guest before the tests, which has to succeed; repeatable.", valueName: "line"))
    var prepare: [String] = []
    @Option(
        help: ArgumentHelp(
            "Run every combination that this file describes (docs/matrix.md), with the other options for all of them.",
            valueName: "file"), completion: .file())
    var matrix: String?
    @Flag(help: "With --matrix: run what is known from an earlier call again.") var again = false
    @Flag(help: "Build everything, print the whole QEMU command of the first boot, and run no test.") var dryRun = false
    @Flag(
        help: "Exit as git bisect run wants it: 0 good, 1 bad, 125 cannot be tested, 128 wrong usage or interrupted.")
    var bisectExit = false
    @Option(help: ArgumentHelp("Write the results as KTAP to a file, or to standard output with -.", valueName: "file"))
    var ktap: String?
    @Option(
        help: ArgumentHelp("Write the results as JUnit XML to a file, or to standard output with -.", valueName: "file")
    )
    var junit: String?
    @Option(help: JSONOutput.help) var json: JSONOutput?

    func validate() throws {
        _ = try kernel.selection()
        _ = try guest.selection()
        if again && matrix == nil { throw ValidationError("--again needs --matrix.") }
        if matrix != nil && (ktap != nil || junit != nil) {
            throw ValidationError(
                "--matrix has no --ktap and no --junit: each cell's run has a folder of its own with both.")
        }
        if outputs.count(where: { $0 == "-" }) > 1 {
            throw ValidationError("Only one of --json, --ktap and --junit can go to standard output.")
        }
    }

    private var outputs: [String] { [json?.path, ktap, junit].compactMap { $0 } }

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        if !bisectExit { return try await withLab(terminal, json: json) { try await test(in: $0, terminal) } }
        do {
            try await withLab(terminal, json: json) { try await test(in: $0, terminal) }
        } catch let code as ArgumentParser.ExitCode {
            switch HarnessCore.ExitCode(rawValue: code.rawValue) {
            case .testsFailed: throw code
            // No other commit would do better: 128 and more end the bisection.
            case .usage, .interrupted: throw ArgumentParser.ExitCode(128)
            // What could not be tested is neither good nor bad: git bisect skips it.
            default: throw ArgumentParser.ExitCode(125)
            }
        }
    }

    private func test(
        in lab: Lab, _ matrix: TestMatrix, _ selection: TestSelection, _ terminal: Terminal
    ) async throws -> HarnessCore.ExitCode {
        let cells = matrix.cells(of: selection)
        if dryRun {
            for cell in cells {
                printResult(cell.skip.map { "# \(cell.name) is left out: \($0)" } ?? cell.command)
            }
            return .passed
        }
        let live = LiveMatrix(terminal)
        let report = try await interruptible(terminal) {
            try await lab.test(cells, of: matrix, again: again) { live.show($0) }
        }
        terminal.clear()
        if !outputs.contains("-") { for line in MatrixTable.lines(for: report) { printResult(line) } }
        if let json { try json.write(Document(MatrixDocument(report))) }
        return report.exitCode
    }

    private func test(in lab: Lab, _ terminal: Terminal) async throws -> HarnessCore.ExitCode {
        var machine = try guest.selection()
        (machine.seed, machine.preparations) = (seed, prepare)
        let selection = TestSelection(
            kernel: try kernel.selection(), guest: machine, suites: suites, filter: filter,
            keepGoing: keepGoing, arguments: Array(CommandLine.arguments.dropFirst()))
        if let matrix { return try await test(in: lab, try TestMatrix(path: matrix), selection, terminal) }
        if dryRun {
            printResult(try await lab.commandLine(for: selection))
            return .passed
        }
        let live = LiveResults(terminal)
        let outcome = try await interruptible(terminal) { try await lab.test(selection) { live.show($0) } }
        terminal.clear()
        // The summary first: a file that cannot be written must not hide the verdict.
        if !outputs.contains("-") {
            for line in SummaryTable.lines(for: outcome.record) { printResult(live.coloured(line)) }
            printResult("Everything about this run: \(outcome.folder.path)")
        }
        if let json { try json.write(Document(TestDocument(outcome))) }
        if let ktap { try writeResult(outcome.record.ktap().text(), to: ktap) }
        if let junit { try writeResult(outcome.record.junit(), to: junit) }
        return outcome.record.exitCode
    }
}

/// Lets Ctrl-C and SIGTERM cancel some work, so that it can keep what it has; a second signal ends hmmlab at once.
func interruptible<Result: Sendable>(
    _ terminal: Terminal, _ work: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    let task = Task { try await work() }
    let seen = LockedValue(0)
    let sources = [SIGINT, SIGTERM].map { number in
        signal(number, SIG_IGN)
        let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
        source.setEventHandler {
            // The guest, or the build, goes with this process.
            let isFirst = seen.withLock { seen in
                seen += 1
                return seen == 1
            }
            if !isFirst { _exit(128 + number) }
            terminal.line("Interrupted; once more ends hmmlab at once", always: true)
            task.cancel()
        }
        source.resume()
        return source
    }
    defer {
        for source in sources { source.cancel() }
        for number in [SIGINT, SIGTERM] { signal(number, SIG_DFL) }
    }
    return try await task.value
}

/// The JSON of a test run: the record, and where its folder is.
private struct TestDocument: Encodable {
    let outcome: TestReport

    init(_ outcome: TestReport) { self.outcome = outcome }

    private enum Key: String, CodingKey { case folder, run }

    func encode(to encoder: any Encoder) throws {
        try outcome.record.encode(to: encoder)
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(outcome.folder.path, forKey: .folder)
        try container.encode(outcome.folder.id, forKey: .run)
    }
}

/// Shows results as they come: a line for each test, the running one on the live line.
private final class LiveResults: Sendable {
    private let terminal: Terminal
    private let count = LockedValue((done: 0, total: 0))
    /// Tests and titles of reports that were shown.
    private let complaints = LockedValue(Set<String>())

    init(_ terminal: Terminal) { self.terminal = terminal }

    func show(_ event: TestEvent) {
        switch event {
        case .planned(let total):
            count.withLock { $0.total = total }
            terminal.progress(.step("Booting the guest"))
        case .booted(let boot, let milliseconds):
            terminal.line("guest \(boot) is up, \(Double(milliseconds) / 1000) s after its kernel started")
        case .began(let id):
            guard terminal.isTerminal else { return }
            let (done, total) = count.withLock { ($0.done, $0.total) }
            terminal.progress(.step("[\(done + 1)/\(total)] \(id)"))
        case .ended(let record):
            count.withLock { $0.done += 1 }
            terminal.line(line(record))
            for warning in record.warnings { terminal.progress(.warning("\(record.id): \(warning)")) }
        case .note(let text): terminal.progress(.note(text))
        case .report(let title, let test):
            // A warning in a loop says nothing new.
            let isNew = complaints.withLock { $0.insert("\(test ?? "") \(title)").inserted }
            guard isNew else { return }
            terminal.line(terminal.colour("kernel: ", .red) + title + (test.map { " (during \($0))" } ?? ""))
        }
    }

    private func line(_ record: TestRecord) -> String {
        let (word, colour): (String, Terminal.Colour) =
            switch record.outcome {
            case .passed: ("pass", .green)
            case .expected: ("known", .yellow)
            case .unexpectedPass: ("xpass", .yellow)
            case .unexpected: (record.verdict.rawValue, .red)
            }
        let seconds = String(format: "%.1f s", record.duration)
        let why = record.explanation.isEmpty ? "" : ": \(record.explanation)"
        return terminal.colour(word.padded(7), colour) + " \(record.id) (\(seconds))\(why)"
    }

    func coloured(_ line: String) -> String {
        for (word, colour) in [("FAIL", Terminal.Colour.red), ("CRASH", .red), ("TIMEOUT", .red), ("KNOWN", .yellow)]
        where line.hasPrefix(word) {
            return terminal.colour(word, colour) + line.dropFirst(word.count)
        }
        return line
    }
}
