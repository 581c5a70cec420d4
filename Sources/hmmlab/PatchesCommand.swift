// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import HarnessCore
import Pipeline

struct PatchesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "patches",
        abstract: "Carry a patch series across bases: edit, port, check, mail and import it.",
        discussion: """
            The series lives in a patch model: a folder of topics, each a list of patches, with a variant for a base \
            where the text differs (docs/patch-model.md).
            """,
        subcommands: [
            PatchesImport.self, PatchesEdit.self, PatchesExport.self, PatchesPort.self, PatchesCheck.self,
            PatchesCompare.self, PatchesGenerate.self,
        ])
}

/// Which patches, for the commands that work on a model.
struct ModelOptionGroup: ParsableArguments {
    @Option(
        help: ArgumentHelp("The patch model; hmmlab's own kernel-patches/series if absent.", valueName: "folder"),
        completion: .directory)
    var model: String?

    @Option(name: .customLong("topic"), help: ArgumentHelp("Only this topic; repeatable.", valueName: "name"))
    var topics: [String] = []
}
