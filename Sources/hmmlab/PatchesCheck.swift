// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import HarnessCore
import Pipeline

struct PatchesCheck: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check each patch on each base: applies, checkpatch, message, builds by itself, sparse, kernel-doc.",
        discussion: """
            A table patch by check, the findings below it, and what could not be checked and why. What is known from an \
            earlier run is not asked again.

            hmmlab patches check                                     all topics on the bases they are for
            hmmlab patches check --topic fixes --base debian:7.2     one topic on one base
            hmmlab patches check --series my.mbox --only build       somebody's series: does each patch compile?
            b4.review-perpatch-check-cmd = hmmlab patches check --b4
            b4.prep-perpatch-check-cmd = hmmlab patches check --b4-lines

            Exit codes: 0 no check failed (warnings do not count), 1 one did, 64 usage, 69 the host could not do it.
            """)

    @OptionGroup(title: "Patches") var patches: ModelOptionGroup
    @Option(
        name: .customLong("base"),
        help: ArgumentHelp(
            "A base to check on; repeatable. Without it, all that the patches are for; debian:6.12 with --series.",
            valueName: "base"))
    var bases: [String] = []
    @Option(
        help: ArgumentHelp(
            "Patches instead of a model: a folder, a quilt series file, an mbox, or git:PATH@BASE..TIP.",
            valueName: "series"))
    var series: String?
    @Option(
        name: .customLong("only"),
        help: ArgumentHelp(
            "Only this check; repeatable: \(CheckName.allCases.map(\.rawValue).joined(separator: ", ")).",
            valueName: "check"))
    var only: [CheckName] = []
    @Flag(help: "Make slow checks, too: coccicheck.") var slow = false
    @Flag(
        help: """
            Check one mail on standard input, and answer b4 with its JSON array (review-perpatch-check-cmd): applies, \
            checkpatch, message and kernel-doc, or what --only names.
            """)
    var b4 = false
    @Flag(help: "The same, with a line for each finding (b4's prep- and am-perpatch-check-cmd).") var b4Lines = false
    @OptionGroup var common: CommonOptions
    @Option(help: JSONOutput.help) var json: JSONOutput?

    func validate() throws {
        if series != nil, patches.model != nil || !patches.topics.isEmpty {
            throw ValidationError("--series takes the place of --model and --topic.")
        }
        guard b4 || b4Lines else { return }
        if b4 && b4Lines { throw ValidationError("--b4 and --b4-lines are two forms of one answer.") }
        if series != nil || patches.model != nil || !patches.topics.isEmpty || json != nil || bases.count > 1 {
            throw ValidationError("--b4 takes one mail from standard input: no --series, --model, --topic or --json.")
        }
    }

    func run() async throws {
        let selection = CheckSelection(
            bases: bases, model: patches.model, topics: patches.topics, series: series, only: only, isSlow: slow)
        // b4 takes every line on standard error for a failure.
        let terminal = Terminal(quiet: common.quiet || b4 || b4Lines)
        try await withLab(terminal, json: json) { lab in
            if b4 || b4Lines {
                let answer = try await lab.checkMail(FileHandle.standardInput.readDataToEndOfFile(), selection)
                FileHandle.standardOutput.write(Data((b4 ? try answer.json() : answer.lines).utf8))
                return answer.hasPassed ? .passed : .testsFailed
            }
            let report = try await lab.checkPatches(selection)
            terminal.clear()
            if let json { try json.write(Document(report)) }
            if json?.path != "-" { printResult(report.text) }
            return report.hasPassed ? .passed : .testsFailed
        }
    }
}

extension CheckName: ExpressibleByArgument {}
