// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchSeries
import ProcessRunner

/// What to mail.
public struct MailRequest: Sendable {
    /// The base that the mails are for.
    public var base: Base
    /// What the cover letter's subject says.
    public var title: String
    /// What the cover letter says.
    public var text: String
    /// The patches; what the base has already is left out.
    public var series: PatchSeries
    /// The series' version, from 1.
    public var version: Int
    /// The version before; nil for the first.
    public var previous: FormerVersion?
    /// What was tested.
    public var tested: [TestedBase]

    /// Makes a request.
    public init(
        base: Base, title: String, text: String, series: PatchSeries, version: Int = 1,
        previous: FormerVersion? = nil, tested: [TestedBase] = []
    ) {
        self.base = base
        self.title = title
        self.text = text
        self.series = series
        self.version = version
        self.previous = previous
        self.tested = tested
    }
}

/// Makes mails from a series: the diffs anew from its commits on the base, recipients, cover letter and changelog.
///
/// The bytes follow from the series, the base and the records of tests; no clock, host name, configuration or version
/// of git has a say, but for the wording of git-range-diff(1).
public struct SeriesMailer: Sendable {
    /// Every option of git-diff-tree(1) that a configuration or another version of git could decide otherwise.
    private static let diffOptions = [
        "-r", "--no-commit-id", "--no-color", "--no-ext-diff", "--no-textconv", "--no-relative",
        "--diff-algorithm=myers", "--indent-heuristic", "--find-renames=50%", "-l1000",
        "--abbrev=12", "--src-prefix=a/", "--dst-prefix=b/", "--stat=72", "--summary",
    ]

    let store: ObjectStore
    let runner: ProcessRunner
    let cache: Cache
    let progress: ProgressHandler

    /// A mailer for bases in a store.
    public init(
        store: ObjectStore, runner: ProcessRunner, cache: Cache, progress: @escaping ProgressHandler = { _ in }
    ) {
        self.store = store
        self.runner = runner
        self.cache = cache
        self.progress = progress
    }

    var git: Git { Git(runner: runner) }
    var applier: SeriesApplier { SeriesApplier(gitDirectory: store.gitDirectory, runner: runner, cache: cache) }

    /// Makes the mails; nothing is written but to the cache.
    ///
    /// - Throws: ``LabError`` `patch-does-not-apply`, `nothing-to-mail`, `patch-without-author`, `patch-not-mailable`;
    ///   failures of the host.
    public func mails(_ request: MailRequest) async throws -> MailSeries {
        let applied = try await applier.apply(request.series, onto: request.base.commit)
        var notes = applied.notes
        let pairs = zip(request.series.patches, applied.patches).filter { $0.1.outcome != .alreadyApplied }
        guard !pairs.isEmpty else {
            throw LabError(
                "nothing-to-mail", exit: .usage, "There is no patch to mail for \(request.base.spec)",
                cause: request.series.patches.isEmpty
                    ? "The base has all of them, or there is none." : "The base has all of them already.",
                next: "Choose another base or topic; hmmlab list series shows which patch is for which base.")
        }
        let diffs = try await self.diffs(of: pairs.map(\.1.commit), base: request.base.commit, tip: applied.tip)
        var patches: [MailPatch] = []
        for (pair, diff) in zip(pairs, diffs.patches) {
            guard let author = pair.0.author else {
                throw LabError(
                    "patch-without-author", exit: .usage, "\"\(pair.0.subject)\" says not who wrote it",
                    next: "Put a From: line into \(pair.0.origin).")
            }
            patches.append(
                MailPatch(patch: pair.0, commit: pair.1.commit, diff: diff.diff, stat: diff.stat, author: author))
        }
        let withReturns = patches.filter { $0.diff.range(of: Data("\r\n".utf8)) != nil }.map(\.patch.subject)
        if !withReturns.isEmpty {
            notes.append("Lines end with CR LF in: \(withReturns.joined(separator: "; ")). Use git am --keep-cr.")
        }
        try await address(&patches, on: request.base.tree, &notes)

        var changes: Changelog?
        if let former = request.previous {
            changes = try await changelog(
                since: former, patches, request: request, tip: applied.tip, notes: &notes)
            for index in patches.indices { patches[index].note = changes?.note(number: index + 1) }
        }
        let writer = MailWriter(version: request.version, total: patches.count)
        let everybody = Recipients(
            to: patches.flatMap(\.recipients.to), cc: patches.flatMap(\.recipients.cc) + patches.map(\.sender))
        let letter = CoverLetter(
            text: request.text, tested: request.tested, changes: changes, patches: patches,
            stat: String(decoding: diffs.whole, as: UTF8.self), base: request.base)
        var files = [
            writer.cover(
                title: request.title, content: letter.content, first: patches[0],
                date: patches.last?.author.date, recipients: everybody.cleaned(sender: patches[0].sender))
        ]
        files += patches.enumerated().map { writer.file($1, number: $0 + 1) }
        files.append(MailWriter.list(files))
        try await checkReadable(files, patches)
        return MailSeries(version: request.version, files: files, changes: changes, notes: notes)
    }

    /// What each commit changes, and all of them together.
    private func diffs(
        of commits: [String], base: String, tip: String
    ) async throws -> (patches: [(diff: Data, stat: Data)], whole: Data) {
        let staging = try cache.stagingFolder()
        defer { try? FileManager.default.removeItem(atPath: staging) }
        let list = commits.enumerated().map { "\($0) \($1)\n" }.joined()
        try Files.write(list + "whole \(base) \(tip)\n", to: staging + "/commits")
        try await runner.check(
            git.script(
                """
                while read -r name one other; do
                    case $name in
                    whole) "$git" diff-tree "$@" "$one" "$other" >"$name" ;;
                    *) "$git" diff-tree --patch --unified=3 --inter-hunk-context=0 --binary "$@" "$one" >"$name" ;;
                    esac
                done <commits
                """, Self.diffOptions, directory: store.gitDirectory, in: staging))
        let patches = try commits.indices.map { index -> (diff: Data, stat: Data) in
            let bytes = try Files.bytes("\(staging)/\(index)")
            // The lines of the statistics begin with a space.
            guard let start = bytes.range(of: Data("\ndiff --git ".utf8))?.lowerBound else { return (bytes, Data()) }
            return (Data(bytes[(start + 1)...]), Data(bytes[..<start]))
        }
        return (patches, try Files.bytes(staging + "/whole"))
    }

    /// Finds out who gets which patch.
    private func address(_ patches: inout [MailPatch], on tree: String, _ notes: inout [String]) async throws {
        let maintainers = Maintainers(store: store, runner: runner, cache: cache, progress: progress)
        let answers = try await maintainers.recipients(of: patches.map(\.diff), on: tree)
        if answers == nil {
            notes.append("The base has no scripts/get_maintainer.pl; only the people in the trailers get the mails.")
        }
        for index in patches.indices {
            var recipients = answers?[index] ?? Recipients()
            recipients.cc += Trailers.people(in: patches[index].patch.body)
            patches[index].recipients = recipients.cleaned(sender: patches[index].sender)
        }
    }

    /// Every mail reads back as what it was made from: no message breaks its form.
    private func checkReadable(_ files: [MailFile], _ patches: [MailPatch]) async throws {
        let staging = try cache.stagingFolder()
        defer { try? FileManager.default.removeItem(atPath: staging) }
        var paths: [String] = []
        for file in files where file.kind == .patch {
            paths.append("\(staging)/\(file.name)")
            try Files.write(file.bytes, to: "\(staging)/\(file.name)")
        }
        let read = try await SeriesReader(runner: runner, cache: cache).read(files: paths)
        for (patch, back) in zip(patches, read)
        where back.message != patch.patch.message || back.author != patch.author || back.diff != patch.diff {
            throw LabError(
                "patch-not-mailable", exit: .usage, "\"\(patch.patch.subject)\" cannot be mailed as it is",
                cause: back.message != patch.patch.message
                    ? "Its message would come back changed." : "Its author or its diff would come back changed.",
                next:
                    "Reword it: no line may be --- or begin like a diff, and no subject begin with a bracket."
            )
        }
    }
}
