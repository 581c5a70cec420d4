// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import HarnessCore
import Pipeline

@main
struct Hmmlab: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hmmlab",
        abstract: "Build a Linux kernel from a base and a patch series, boot it, and test HMM and ZONE_DEVICE in it.",
        discussion: """
            Start with: hmmlab test
            Exit codes: 0 passed, 1 a test failed or the kernel crashed, 2 the kernel did not build, \
            3 it did not boot, 64 usage, 69 the host could not do it, 130 interrupted.
            """,
        version: "0.1",
        subcommands: [
            TestCommand.self, BisectCommand.self, MutateCommand.self, BuildCommand.self, RunCommand.self,
            ShellCommand.self, BaseCommand.self,
            ListCommand.self,
            PatchesCommand.self, CacheCommand.self, CheckModulesCommand.self, DoctorCommand.self,
        ])

    static func main() async {
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            // git bisect run would take the usage error's 64 for a bad commit; 128 ends the bisection.
            if CommandLine.arguments.contains("--bisect-exit"), exitCode(for: error) == .validationFailure {
                FileHandle.standardError.write(Data((fullMessage(for: error) + "\n").utf8))
                Foundation.exit(128)
            }
            exit(withError: error)
        }
    }
}

/// Runs a command's work and turns its error into sentences and an exit code.
func report(_ terminal: Terminal, json: JSONOutput? = nil, _ work: () async throws -> HarnessCore.ExitCode) async throws
{
    let code: HarnessCore.ExitCode
    do {
        code = try await work()
    } catch let error as ArgumentParser.ExitCode {
        throw error
    } catch is CancellationError {
        terminal.line("Interrupted.", always: true)
        code = .interrupted
    } catch {
        let known =
            error as? LabError
            ?? LabError(
                "unexpected", "hmmlab could not go on", cause: error.localizedDescription,
                next: "If the machine is well (disk space, memory), please report this as a bug of hmmlab.")
        terminal.show(known)
        do {
            try json?.write(Document(["error": known]))
        } catch let unwritable as LabError {
            terminal.show(unwritable)
        }
        code = known.exitCode
    }
    terminal.clear()
    if code != .passed { throw ArgumentParser.ExitCode(code.rawValue) }
}

/// Runs the work of a command that uses the cache.
func withLab(
    _ terminal: Terminal, json: JSONOutput? = nil, _ work: (Lab) async throws -> HarnessCore.ExitCode
) async throws {
    try await report(terminal, json: json) { try await Lab.using(progress: terminal.progress, work) }
}

/// The target of `--json`: a file, or `-` for standard output.
struct JSONOutput: ExpressibleByArgument {
    let path: String
    init?(argument: String) {
        guard !argument.isEmpty else { return nil }
        path = argument
    }

    /// The same file, whatever the current folder is later.
    var absolute: JSONOutput { JSONOutput(argument: URL(fileURLWithPath: path).path) ?? self }

    static let help = ArgumentHelp(
        "Write the result as JSON to a file, or to standard output with -.", valueName: "file")

    func write(_ value: some Encodable) throws { try writeResult(try JSON.text(value), to: path) }
}

struct DoctorCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Show what hmmlab needs from this machine and what is missing.")
    @OptionGroup var common: CommonOptions
    @Option(help: JSONOutput.help) var json: JSONOutput?

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        try await report(terminal, json: json) {
            let installation = try Installation(environment: ProcessInfo.processInfo.environment)
            let findings = try Doctor(installation: installation, cache: Cache()).examine()
            let missing = findings.filter { !$0.isPresent && !$0.isOptional }
            if let json { try json.write(Document(["findings": findings])) }
            if json?.path != "-" {
                for finding in findings {
                    let mark = finding.isPresent ? "ok     " : finding.isOptional ? "without" : "MISSING"
                    printResult("\(mark) \(finding.package ?? finding.name): \(finding.detail)")
                }
                let packages = missing.compactMap(\.package)
                if missing.isEmpty {
                    printResult("Everything that hmmlab needs is here.")
                } else {
                    printResult("\(missing.count.of("thing")) missing.")
                }
                if !packages.isEmpty { printResult("next: apt-get install \(packages.joined(separator: " "))") }
            }
            return missing.isEmpty ? .passed : .unavailable
        }
    }
}

struct ListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List tests, suites, flavours, machines or the patch series.",
        discussion: """
            list series shows what each patch of the model is on each base: ours (the text of its home base), variant (a \
            text of its own), in base (the base has it), or - (not for it). Probes verify that on the bases in the cache.
            """)

    enum Subject: String, ExpressibleByArgument, CaseIterable { case tests, suites, flavours, machines, series }

    @Argument(help: "What to list: tests, suites, flavours, machines or series.") var subject: Subject
    @Option(name: .customLong("suite"), help: "Only tests of this suite; repeatable.") var suites: [String] = []
    @Option(help: ArgumentHelp("Only tests that match this regular expression.", valueName: "regex")) var filter:
        String?
    @OptionGroup(title: "list series") var patches: ModelOptionGroup
    @Option(help: JSONOutput.help) var json: JSONOutput?

    func run() async throws {
        let terminal = Terminal()
        try await report(terminal, json: json) {
            let lab = try Lab(progress: terminal.progress)
            switch subject {
            case .flavours:
                let flavours = try lab.flavours()
                try show(flavours, key: "flavours") {
                    "\($0.name.padded(8)) \($0.summary) [\($0.fragments.joined(separator: " "))]"
                        + ($0.append.isEmpty ? "" : " boots with \($0.append.joined(separator: " "))")
                }
            case .machines:
                let machines = try lab.machines()
                try show(machines, key: "machines") { "\($0.name.padded(8)) \($0.summary)" }
            case .suites:
                let suites = try await lab.catalog().suites
                try show(suites, key: "suites") {
                    "\($0.name.padded(18)) \(($0.count.map { "\($0)" } ?? "-").padded(5)) \($0.summary)"
                        + ($0.driver.map { " (--driver \($0.rawValue))" } ?? "")
                        + ($0.needsPersistentMemory ? " (--flavour pmem)" : "")
                }
            case .series: return try showSeries(try await lab.patchMatrix(model: patches.model, topics: patches.topics))
            case .tests:
                if let suite = suites.first(where: { $0 == SuiteCatalog.kselftest }) {
                    throw LabError(
                        "suite-not-listable", exit: .usage, "The tests of \(suite) are not known before it is built",
                        cause: "they are those of the base's own tree",
                        next: "Run hmmlab test --suite \(suite); it names each of them.")
                }
                let tests = try await lab.catalog().tests(suites: suites, filter: filter)
                try show(tests, key: "tests") { "\($0.id.padded(44)) \($0.summary)" }
            }
            return .passed
        }
    }

    private func showSeries(_ matrix: PatchMatrix) throws -> HarnessCore.ExitCode {
        if let json { try json.write(Document(matrix)) }
        if json?.path != "-" {
            let width = (matrix.patches.map(\.id.count).max() ?? 0) + 2
            let head = matrix.bases.map { "\($0.series)".padded(10) }.joined()
            printResult("patch".padded(width) + head + "subject")
            for row in matrix.patches {
                let cells = row.cells.map { ($0.word + ($0.isContradicted ? " ?" : "")).padded(10) }.joined()
                printResult(row.id.padded(width) + cells + row.subject)
            }
            let verified = matrix.bases.compactMap { base in base.version.map { "\(base.series) (\($0))" } }
            printResult(
                verified.isEmpty
                    ? "Nothing was verified: none of these bases is in the cache."
                    : "Verified by probes on \(verified.joined(separator: ", ")).")
            for sentence in matrix.contradictions { printResult("? " + sentence) }
        }
        return matrix.contradictions.isEmpty ? .passed : .testsFailed
    }

    private func show<T: Encodable>(_ items: [T], key: String, line: (T) -> String) throws {
        if let json { try json.write(Document([key: items])) }
        if json?.path != "-" { for item in items { printResult(line(item)) } }
    }
}
