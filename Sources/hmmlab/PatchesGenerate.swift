// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import HarnessCore
import Pipeline

struct PatchesGenerate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate",
        abstract: "Write the series for a base as mails: cover letter, patches, quilt series file.",
        discussion: """
            The same patches give the same bytes, whatever the time and the machine. To and Cc come from the base's own \
            get_maintainer and the trailers; the cover letter says what was tested, from the runs of hmmlab test with \
            --series; -v 2 and later adds a changelog against the version before.

              hmmlab patches generate --base debian:6.12 --topic fixes --out mails
              hmmlab patches generate --base debian:6.12 --topic fixes --out mails -v 2
              hmmlab patches generate --base debian:7.2 --out mails --modules --author 'Me <me@example.org>'

            Apply them with: git am $(sed 's|^|mails/|' mails/series), or: QUILT_PATCHES=mails quilt push -a
            Exit codes: 0 written, 2 a patch does not apply, 64 usage, 69 the host could not do it.
            """)

    @Option(
        help: ArgumentHelp(
            "The base: debian:6.12, debian:latest, debian:6.12.117-1, git:PATH@REV, dir:PATH or tar:FILE.",
            valueName: "base"))
    var base = "debian:6.12"
    @Option(help: ArgumentHelp("The folder that gets the mails.", valueName: "folder"), completion: .directory)
    var out: String
    @OptionGroup var model: ModelOptionGroup
    @Option(
        name: [.customShort("v"), .customLong("reroll-count")],
        help: ArgumentHelp("The version of the series.", valueName: "n"))
    var version = 1
    @Option(
        help: ArgumentHelp(
            "Where the version before is, if not in the same folder: a folder or an mbox.", valueName: "path"),
        completion: .file())
    var previous: String?
    @Flag(help: "Add patches at the end that put hmmlab's own modules into the kernel's tree.") var modules = false
    @Option(
        help: ArgumentHelp("Who signs off the modules' patches: 'Name <address>'.", valueName: "person"))
    var author: String?
    @Flag(help: "Replace other files of the same version.") var force = false
    @OptionGroup var common: CommonOptions
    @Option(help: JSONOutput.help) var json: JSONOutput?

    func validate() throws {
        guard (1...999).contains(version) else { throw ValidationError("-v takes a number from 1 to 999.") }
        if previous != nil && version == 1 { throw ValidationError("--previous needs -v 2 or more.") }
        if author != nil && !modules { throw ValidationError("--author needs --modules.") }
    }

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        try await withLab(terminal, json: json) { lab in
            let report = try await lab.generate(
                GenerateSelection(
                    base: base, folder: out, model: model.model, topics: model.topics, version: version,
                    previous: previous, hasModules: modules, author: author, isForced: force))
            terminal.clear()
            if let json { try json.write(Document(MailsDocument(report, folder: out))) }
            if json?.path != "-" {
                for file in report.series.files {
                    let state = report.written.contains(file.name) ? "wrote" : "same "
                    printResult("\(state) \(file.name)\(file.kind == .cover ? recipients(file) : "")")
                }
            }
            return .passed
        }
    }

    private func recipients(_ file: MailFile) -> String {
        " (to \(file.recipients.to.count), cc \(file.recipients.cc.count))"
    }
}

/// The JSON of the written mails.
private struct MailsDocument: Encodable {
    struct File: Encodable {
        var name: String
        var kind: String
        var subject: String?
        var to: [String]
        var cc: [String]
        var size: Int
        var written: Bool
    }

    var base: Base
    var tree: String
    var version: Int
    var folder: String
    var files: [File]
    var changes: [Changelog.Entry]?
    var rangeDiff: String?
    var notes: [String]

    init(_ report: GenerateReport, folder: String) {
        base = report.base
        tree = report.tree
        version = report.series.version
        self.folder = folder
        changes = report.series.changes?.entries
        rangeDiff = report.series.changes?.rangeDiff
        notes = report.series.notes
        files = report.series.files.map { file in
            File(
                name: file.name, kind: file.kind.rawValue, subject: file.subject,
                to: file.recipients.to.map(\.text), cc: file.recipients.cc.map(\.text), size: file.bytes.count,
                written: report.written.contains(file.name))
        }
    }
}
