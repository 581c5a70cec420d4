// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import HarnessCore
import Pipeline

struct PatchesPort: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "port", abstract: "Carry patches to another base.",
        discussion: """
            Each patch that is not yet for the new base is picked onto it with a three-way merge, in a folder such as \
            hmmlab patches edit makes. A patch that the base contains is dropped: its probe is there, or merging it \
            changes nothing. Conflicts that were resolved once are resolved the same way again. At any other conflict the \
            command stops with exit code 1: resolve it in the folder, git add the files, and go on with --continue. The \
            model is written when all patches are through, and not before.

            Examples:
              hmmlab patches port --to debian:7.2 ~/work-7.2
              hmmlab patches port --to debian:7.2 --from debian:6.12 --topic fixes ~/work-7.2
              hmmlab patches port --continue ~/work-7.2
              hmmlab patches port --abort ~/work-7.2
            """)

    enum Step: String, EnumerableFlag {
        case `continue`, skip, abort

        static func help(for value: Step) -> ArgumentHelp? {
            switch value {
            case .continue: "The conflict is resolved: commit it, and go on."
            case .skip: "Leave out the patch with the conflict, and go on."
            case .abort: "Remove the folder; the model stays as it is."
            }
        }
    }

    @Option(help: ArgumentHelp("The new base, such as debian:7.2.", valueName: "base")) var to: String?
    @Option(
        help: ArgumentHelp(
            "The base to take the patches from; if absent, Debian's kernel of the series each patch was written for.",
            valueName: "base"))
    var from: String?
    @Flag(exclusivity: .exclusive) var step: Step?
    @Flag(help: "Overwrite patches that somebody else has changed since the port began; with --continue or --skip.")
    var force = false
    @OptionGroup(title: "Patches") var patches: ModelOptionGroup
    @Argument(help: "The folder: to make with --to, made before otherwise.", completion: .directory) var folder: String
    @OptionGroup var common: CommonOptions
    @Option(help: JSONOutput.help) var json: JSONOutput?

    func validate() throws {
        if step == nil && to == nil { throw ValidationError("Give --to BASE, or --continue, --skip or --abort.") }
        if step == nil && force { throw ValidationError("--force goes with --continue or --skip.") }
        if step != nil && (to != nil || from != nil || patches.model != nil || !patches.topics.isEmpty) {
            throw ValidationError("--to, --from, --topic and --model were given when the port began.")
        }
    }

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        try await withLab(terminal, json: json) { lab in
            let port: PortReport
            switch step {
            case .abort:
                try await lab.abortPort(folder)
                if let json { try json.write(Document(["state": "aborted", "folder": folder])) }
                if json?.path != "-" { printResult("\(folder) is gone; the model has not changed.") }
                return .passed
            case .continue: port = try await lab.goOnWithPort(folder, .goOn, isForced: force)
            case .skip: port = try await lab.goOnWithPort(folder, .skip, isForced: force)
            case nil:
                port = try await lab.portPatches(
                    model: patches.model, to: to ?? "", from: from, topics: patches.topics, folder: folder)
            }
            terminal.clear()
            for note in port.notes { terminal.line(note) }
            if let json { try json.write(Document(port)) }
            if json?.path != "-" { show(port) }
            guard let stopped = port.stopped else { return .passed }
            terminal.show(conflict(stopped, port))
            return .testsFailed
        }
    }

    private func show(_ port: PortReport) {
        let width = port.patches.map(\.id.count).max() ?? 0
        for patch in port.patches {
            let word = patch.outcome?.words ?? (patch.id == port.stopped?.id ? "CONFLICT" : "to come")
            printResult("\(patch.id.padded(width)) \(word.padded(17)) \(patch.reason ?? "")".trimmedAtEnd)
        }
        guard port.state == .done else { return }
        showFiles(port.files, in: port.model)
        if !port.rangeDiff.isEmpty {
            printResult("\nOld (\(port.from.map(\.spec).joined(separator: ", "))) and new (\(port.base.spec)):")
            printResult(port.rangeDiff)
        }
        let skipped = port.patches.filter { $0.outcome == .skipped }.map(\.id)
        if !skipped.isEmpty { printResult("\nLeft out on \(port.base.series): \(skipped.joined(separator: ", "))") }
        printResult("\nThe commits are in \(port.folder); hmmlab patches export takes over what you change there.")
    }

    private func conflict(_ stopped: PortReport.Row, _ port: PortReport) -> LabError {
        LabError(
            "port-conflict", exit: .testsFailed, "\(stopped.id) (\(stopped.subject)) conflicts with \(port.base.spec)",
            cause: "In \(port.folder):\n" + stopped.conflicts.joined(separator: "\n"),
            next:
                "Resolve the conflicts there, git add the files, then: hmmlab patches port --continue \(folder) (or --skip, or --abort)."
        )
    }
}

extension String {
    /// The text without spaces at its end.
    fileprivate var trimmedAtEnd: String {
        var text = self
        while text.last == " " { text.removeLast() }
        return text
    }
}
