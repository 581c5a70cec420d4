// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import HarnessCore
import Pipeline

struct PatchesImport: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "import",
        abstract: "Take somebody's series into the patch model.",
        discussion: """
            The series is applied to its base first; one that does not apply, is damaged, or reaches outside of the tree \
            is refused, and nothing is written. Authors, dates and messages stay as they are.
            Examples:
              hmmlab patches import --topic migrate --base debian:6.12 series.mbox
              hmmlab patches import --topic fixes git:~/linux@v6.12..my-branch
              b4 am -o - MESSAGE-ID | hmmlab patches import --topic theirs -
            """)

    @Argument(
        help: ArgumentHelp(
            "A folder of patches, a quilt series file, an mbox, a patch, git:PATH@BASE..TIP, or - for standard input.",
            valueName: "series"), completion: .file())
    var source: String
    @Option(help: ArgumentHelp("The topic to put the patches at the end of; made if new.", valueName: "name"))
    var topic: String
    @Option(help: ArgumentHelp("The base that the patches are for.", valueName: "base"))
    var base = "debian:6.12"
    @Option(
        help: ArgumentHelp("Who wrote the patches that do not say so: \"Name <address>\".", valueName: "author"))
    var author: String?
    @Option(
        help: ArgumentHelp("The patch model; hmmlab's own kernel-patches/series if absent.", valueName: "folder"),
        completion: .directory)
    var model: String?
    @OptionGroup var common: CommonOptions
    @Option(help: JSONOutput.help) var json: JSONOutput?

    private func writer() throws -> PatchAuthor? {
        guard let author else { return nil }
        guard let writer = PatchAuthor(parsing: author) else {
            throw ValidationError("--author takes \"Name <address>\", not \"\(author)\".")
        }
        return writer
    }

    func validate() throws { _ = try writer() }

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        try await withLab(terminal, json: json) { lab in
            let result = try await lab.importPatches(
                source, into: model, topic: topic, base: base, author: try writer())
            terminal.clear()
            if let json { try json.write(Document(result)) }
            if json?.path != "-" {
                for note in result.notes { printResult("note: \(note)") }
                for subject in result.present { printResult("had already: \(subject)") }
                for id in result.added { printResult("new: \(id)") }
                printResult(
                    "\(result.added.count.of("patch", plural: "patches")) for \(result.base) went into \(result.model)/\(result.topic)."
                )
            }
            return .passed
        }
    }
}
