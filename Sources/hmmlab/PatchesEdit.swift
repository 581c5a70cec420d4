// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import HarnessCore
import Pipeline

struct PatchesEdit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "edit", abstract: "Put a base's patches as commits into a git folder, to work on them.",
        discussion: """
            The folder is a git repository of its own, with the base's sources checked out and one commit per patch on \
            the branch hmmlab/SERIES. Work on it as you like, with git rebase -i, an editor, make. The trailer Patch-Name \
            of a commit says which patch it is: leave it in the message. hmmlab patches export takes the commits back.

            Examples:
              hmmlab patches edit --base debian:6.12 ~/work
              hmmlab patches edit --base debian:7.2 --topic fixes ~/work-7.2
            """)

    @Option(help: ArgumentHelp("The base: debian:6.12, git:PATH@REV, dir:PATH or tar:FILE.", valueName: "base"))
    var base: String
    @OptionGroup(title: "Patches") var patches: ModelOptionGroup
    @Argument(help: "The folder to make; it must not exist, or be empty.", completion: .directory) var folder: String
    @OptionGroup var common: CommonOptions
    @Option(help: JSONOutput.help) var json: JSONOutput?

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        try await withLab(terminal, json: json) { lab in
            let made = try await lab.editPatches(
                model: patches.model, base: base, topics: patches.topics, folder: folder)
            terminal.clear()
            for note in made.notes { terminal.line(note) }
            if let json { try json.write(Document(made)) }
            if json?.path != "-" { show(made) }
            return .passed
        }
    }

    private func show(_ made: EditReport) {
        let width = made.patches.map(\.id.count).max() ?? 0
        for (index, patch) in made.patches.enumerated() {
            let commit = patch.commit?.prefix(12) ?? "in the base"
            printResult("\("\(index + 1)".padded(3)) \(commit) \(patch.id.padded(width)) \(patch.subject)")
        }
        for patch in made.left { printResult("not here: \(patch.id) (\(patch.state.rawValue))") }
        printResult(
            """
            \(made.patches.count.of("patch", plural: "patches")) on \(made.base.spec) in \(made.folder), branch \(made.branch)
            next: git -C \(folder) rebase -i \(made.base.commit.prefix(12))
                  hmmlab patches export \(folder)
            """)
    }
}

struct PatchesExport: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "export", abstract: "Take the commits of a folder back into the patches they came from.",
        discussion: """
            Reordered, reworded, split, squashed, new and removed commits become just that in the model. The file of a \
            patch that did not change is not touched. A changed diff goes to the .patch file on the patch's home base, to \
            the base's own diff elsewhere; a changed message goes to the .patch file.

            Examples:
              hmmlab patches export ~/work --dry-run
              hmmlab patches export ~/work
            """)

    @Argument(help: "A folder made by hmmlab patches edit or port.", completion: .directory) var folder: String
    @Flag(help: "Only say what would be written.") var dryRun = false
    @Flag(help: "Overwrite patches that somebody else has changed since the folder was made.") var force = false
    @OptionGroup var common: CommonOptions
    @Option(help: JSONOutput.help) var json: JSONOutput?

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        try await withLab(terminal, json: json) { lab in
            let done = try await lab.exportPatches(folder, isDryRun: dryRun, isForced: force)
            terminal.clear()
            for note in done.notes { terminal.line(note) }
            if let json { try json.write(Document(done)) }
            if json?.path != "-" {
                showChanges(done.changes, reordered: done.reordered)
                showFiles(done.files, in: done.model, isDryRun: dryRun)
                if !done.rangeDiff.isEmpty { printResult("\nBefore and now:\n" + done.rangeDiff) }
            }
            return .passed
        }
    }
}

/// Lists what became of patches.
func showChanges(_ changes: [PatchChange], reordered: [String] = []) {
    let width = changes.map(\.id.count).max() ?? 0
    for change in changes {
        printResult("\(change.id.padded(width)) \(change.kinds.map(\.rawValue).joined(separator: ", "))")
    }
    for topic in reordered { printResult("\(topic.padded(width)) order") }
}

/// Lists files of a model.
func showFiles(_ files: [String], in model: String, isDryRun: Bool = false) {
    guard !files.isEmpty else {
        printResult("Nothing changed in \(model).")
        return
    }
    printResult("\(isDryRun ? "Would write or remove" : "Wrote or removed") in \(model):")
    for file in files { printResult("  " + file) }
}
