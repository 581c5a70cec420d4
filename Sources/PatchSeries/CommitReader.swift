// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// Reads the commits BASE..TIP of somebody's repository, which is only read.
///
/// The commits are asked for their parts instead of going through mails, which cannot carry every message unchanged.
struct CommitReader {
    let git: Git
    let staging: String

    /// Writes the text and the diff of each commit into files.
    ///
    /// diff-tree is plumbing, so that the repository's configuration has no say in the form of the diff. The body comes
    /// last in the text, because it may hold anything.
    private static let work = """
        n=0
        while read -r commit; do
            n=$((n + 1))
            "$git" log -1 --no-show-signature --encoding=UTF-8 --date=default \
                --format=tformat:'%an%n%ae%n%aD%n%s%n%b' --no-patch --no-notes "$commit" >"$n.text"
            "$git" diff-tree -p -M --root --no-commit-id --binary --full-index --no-ext-diff --no-textconv --no-color \
                -U3 --inter-hunk-context=0 --submodule=short --src-prefix=a/ --dst-prefix=b/ "$commit" >"$n.diff"
        done <commits
        """

    /// The series, oldest commit first.
    ///
    /// - Throws: ``LabError`` `series-missing`, `series-unreadable`, `series-too-large`, `repository-foreign`.
    func read(_ path: String, _ base: String, _ tip: String) async throws -> PatchSeries {
        guard Files.isFolder(path), let repository = try await git.repository(at: path) else {
            throw LabError(
                "series-missing", exit: .usage, "\(path) is not a git repository",
                next: "Give the series as git:PATH@BASE..TIP with the path of a repository.")
        }
        let from = try await commit(base, path, repository)
        let to = try await commit(tip, path, repository)
        let source = "git:\(path)@\(base)..\(tip)"
        let listed = try await list(
            ["--topo-order", "--reverse", "--max-count=\(SeriesReader.mostPatches + 1)", "\(from)..\(to)"], repository)
        guard listed.count <= SeriesReader.mostPatches else { throw SeriesReader.tooMany(source) }
        if let merge = try await list(["--min-parents=2", "--max-count=1", "\(from)..\(to)"], repository).first {
            throw LabError(
                "series-unreadable", exit: .usage, "\(source) is not a series of patches",
                cause: "The commit \(merge) is a merge.", next: "Rebase the branch onto \(base), which removes merges.")
        }
        try Files.write(listed.map { $0 + "\n" }.joined(), to: staging + "/commits")
        if !listed.isEmpty { try await readCommits(source, repository) }
        var found = FoundPatches()
        for (index, commit) in listed.enumerated() { try add(commit, at: "\(staging)/\(index + 1)", to: &found) }
        return PatchSeries(source: source, patches: found.patches, notes: found.notes, repository: repository)
    }

    private func readCommits(_ source: String, _ repository: String) async throws {
        let command = git.script(Self.work, directory: repository, in: staging)
        let output = try await git.runner.run(command)
        if output.ending.isSuccess { return }
        guard output.standardError.contains("promisor") || output.standardError.contains("lazy fetch") else {
            throw ProcessRunner.failure(of: command, output)
        }
        throw LabError(
            "series-unreadable", exit: .usage, "\(source) lies in a partial clone, which lacks files of these commits",
            cause: output.standardError.trimmingCharacters(in: .newlines),
            next: "Run git log -p over the range there, which fetches them; hmmlab changes no repository but its own.")
    }

    private func commit(_ name: String, _ path: String, _ repository: String) async throws -> String {
        let output = try await git.runner.run(
            git.command(
                ["rev-parse", "--verify", "--quiet", "--end-of-options", name + "^{commit}"], directory: repository))
        let id = output.standardOutput.trimmingCharacters(in: .whitespacesAndNewlines)
        guard output.ending.isSuccess, !id.isEmpty else {
            throw LabError(
                "series-missing", exit: .usage, "\(path) has no commit \(Printable.text(name))",
                next: "git -C \(Command.quote(path)) log shows what there is.")
        }
        return id
    }

    private func list(_ arguments: [String], _ repository: String) async throws -> [String] {
        try await git.runner.check(git.command(["rev-list"] + arguments, directory: repository))
            .split(separator: "\n").map(String.init)
    }

    private func add(_ commit: String, at path: String, to found: inout FoundPatches) throws {
        let text = String(
            decoding: try BoundedFile.read(path + ".text", limit: SeriesReader.largestPatch, code: "patch-too-large"),
            as: UTF8.self)
        let lines = text.split(separator: "\n", maxSplits: 4, omittingEmptySubsequences: false).map(String.init)
        let diff = try BoundedFile.read(path + ".diff", limit: SeriesReader.largestPatch, code: "patch-too-large")
        let origin = String(commit.prefix(12))
        guard lines.count == 5 else {
            throw LabError(
                "series-unreadable", exit: .usage, "The commit \(origin) cannot be read",
                cause: "git log printed \(lines.count) lines for it.")
        }
        let patch = try Patch(
            subject: CommitText.line(lines[3]), body: CommitText.body(lines[4]),
            author: Patch.Author(
                name: CommitText.identity(lines[0]), email: CommitText.identity(lines[1]),
                date: CommitText.date(lines[2])),
            origin: origin, raw: diff, decoded: diff)
        if patch.files.isEmpty {
            found.notes.append(
                "The commit \(origin) (\(Printable.text(patch.subject))) changes nothing and was left out.")
        } else {
            found.patches.append(patch)
        }
    }
}
