// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// Applies patches one after the other in a throw-away repository that borrows the store's objects.
///
/// The index there holds only the paths that the series touches, so that a patch costs milliseconds although the tree
/// has ninety thousand files; git-fast-import(1) then puts the changed paths into the whole trees. There is no work
/// tree: `git apply --cached` changes the index alone, so that nothing can be written to a place that a patch names.
/// The store gets the new objects at the very end, and a session that fails leaves nothing.
struct ApplySession {
    /// A path in the index.
    struct Entry: Equatable {
        var mode: Int
        var blob: String
    }

    /// A patch that went in, and the paths it changed; nil for a path that is gone.
    private struct Pending {
        var patch: Patch
        var outcome: AppliedPatch.Outcome
        var drift: [String]
        var changes: [(path: String, entry: Entry?)]
    }

    let git: Git
    let staging: String
    /// How many patches the whole series has, for messages.
    let total: Int
    /// The tree of the commit that the session began with.
    let startTree: String
    /// The files and links that the series touches, as they are after the last applied patch.
    private(set) var entries: [String: Entry] = [:]
    /// Paths that are folders in the start commit.
    private(set) var folders: Set<String> = []

    private let series: PatchSeries
    private let store: String
    private let start: String
    /// Seconds since 1970.
    private let baseDate: String
    private var pending: [Pending] = []

    var repository: String { staging + "/repository" }

    /// Prepares a session.
    ///
    /// `series` holds the patches to apply behind the ones before `from`, which are the commits from `base` to `start`.
    ///
    /// - Throws: ``LabError`` `base-missing`, `patch-unsafe`.
    init(
        git: Git, store: String, staging: String, base: String, start: String, series: PatchSeries, from: Int,
        total: Int
    ) async throws {
        self.git = git
        self.store = store
        self.staging = staging
        self.start = start
        self.series = series
        self.total = total
        let facts = try await git.runner.run(
            git.script(
                """
                "$git" rev-parse --path-format=absolute --git-path objects
                "$git" log -1 --no-show-signature --no-notes --format=%ct "$1^{commit}"
                "$git" log -1 --no-show-signature --no-notes --format=%T "$2^{commit}"
                """, [base, start], directory: store, in: staging))
        let lines = facts.standardOutput.split(separator: "\n").map(String.init)
        guard facts.ending.isSuccess, lines.count == 3 else {
            throw SeriesApplier.missing(
                base, store, facts.standardError.trimmingCharacters(in: .whitespacesAndNewlines))
        }
        baseDate = lines[1]
        startTree = lines[2]

        let patches = series.patches[from...]
        guard !patches.isEmpty else { return }
        try await prepare(objects: lines[0], patches: patches)
        let links = entries.filter { $0.value.mode == SeriesSafety.linkMode }.keys
        var safety = SeriesSafety(links: Set(links))
        for (index, patch) in zip(patches.indices, patches) { try safety.check(patch, number: index + 1) }
        try await resetIndex()
    }

    // MARK: - Preparing

    /// Makes the repository and looks up every path of the series, and the folders above it, in the start commit.
    private mutating func prepare(objects: String, patches: ArraySlice<Patch>) async throws {
        var paths: Set<String> = []
        for path in patches.flatMap(\.touchedPaths) {
            paths.insert(path)
            paths.formUnion(PathRules.ancestors(of: path))
        }
        let asked = paths.sorted()
        try Files.write(objects + "\n", to: staging + "/alternates")
        try Files.write(asked.map { "ls \(start) \(Self.quoted($0))\n" }.joined(), to: staging + "/ls")
        let answer = try await git.runner.check(
            git.script(
                """
                "$git" init -q --bare --template= repository
                mkdir -p repository/objects/info
                mv alternates repository/objects/info/
                "$git" fast-import --quiet <ls
                """, directory: repository, in: staging), outputLimit: 256 << 20)
        // fast-import answers in the order of the questions: "MODE TYPE ID<tab>PATH", or "missing PATH".
        let lines = answer.split(separator: "\n")
        guard lines.count == asked.count else {
            throw LabError(
                "tool-failed", "git fast-import did not say what the base has", cause: String(answer.suffix(400)))
        }
        for (path, line) in zip(asked, lines) where !line.hasPrefix("missing ") {
            let words = line.prefix { $0 != "\t" }.split(separator: " ")
            guard words.count == 3, let mode = Int(words[0], radix: 8) else { continue }
            if words[1] == "tree" {
                folders.insert(path)
            } else {
                entries[path] = Entry(mode: mode, blob: String(words[2]))
            }
        }
    }

    /// Writes the index anew from the known entries.
    func resetIndex() async throws {
        let lines = entries.sorted { $0.key < $1.key }.map { path, entry in
            "\(String(entry.mode, radix: 8)) \(entry.blob)\t\(path)\0"
        }
        try Files.write(lines.joined(), to: staging + "/entries")
        try await git.runner.check(
            git.script(
                """
                rm -f repository/index
                "$git" update-index -z --index-info <entries
                """, directory: repository, in: staging))
    }

    // MARK: - One patch

    /// Applies the next patch.
    ///
    /// - Returns: nil if it went in, else why not.
    /// - Throws: ``LabError`` `patch-unsafe`.
    mutating func apply(_ patch: Patch, number: Int) async throws -> PatchRejection? {
        try Files.write(patch.diff, to: staging + "/patch")
        let drift = self.drift(of: patch)
        var merged: [String] = []
        var output = CommandOutput(ending: .exited(1))
        let finder = RejectionFinder(session: self, patch: patch, number: number, drift: drift)
        if let obstacle = finder.obstacleThatGitCannotSee() { return obstacle }
        if !drift.isEmpty {
            try await borrowBlobs(of: patch, drift)
            output = try await gitApply(patch, ["--3way"])
            if output.ending.isSuccess {
                merged = drift.filter { output.standardError.contains("Applied patch to '\($0)' cleanly.") }
            } else {
                try await resetIndex()
            }
        }
        if !output.ending.isSuccess { output = try await gitApply(patch) }
        guard output.ending.isSuccess else { return try await finder.rejection(said: output.standardError) }

        let now = try readIndex()
        let changes = Set(entries.keys).union(now.keys).sorted().filter { entries[$0] != now[$0] }
            .map { (path: $0, entry: now[$0]) }
        try await checkResult(changes, patch, number)
        entries = now
        let outcome: AppliedPatch.Outcome = changes.isEmpty ? .alreadyApplied : merged.isEmpty ? .clean : .threeWay
        pending.append(Pending(patch: patch, outcome: outcome, drift: drift, changes: changes))
        return nil
    }

    /// The files whose content is not what the patch's `index` lines say it was made for.
    private func drift(of patch: Patch) -> [String] {
        var seen: Set<String> = []
        return patch.files.compactMap { file in
            guard let path = file.oldPath, seen.insert(path).inserted, let blob = file.oldBlob,
                let entry = entries[path]
            else { return nil }
            return entry.blob.hasPrefix(blob) ? nil : path
        }
    }

    /// Copies the blobs that a merge starts from out of the repository that the patches came from.
    ///
    /// Borrowing them like the store's would let git touch the times of that repository's objects.
    private func borrowBlobs(of patch: Patch, _ drift: [String]) async throws {
        guard let repository = series.repository else { return }
        let blobs = patch.files.filter { $0.oldPath.map(drift.contains) ?? false }.compactMap(\.oldBlob)
        try await git.runner.check(
            git.script(
                """
                from=$1
                shift
                for blob; do
                    if ! "$git" cat-file -e "$blob" 2>/dev/null; then
                        GIT_DIR=$from "$git" cat-file blob "$blob" >blob
                        "$git" hash-object -w --no-filters blob >/dev/null
                    fi
                done
                """, [repository] + blobs, directory: self.repository, in: staging))
    }

    /// Applies the current patch to the index, and lists the index into a file.
    func gitApply(_ patch: Patch, _ options: [String] = [], backwards: Bool = false) async throws -> CommandOutput {
        var options = ["--cached", "--whitespace=nowarn", "-p\(patch.strip)"] + options
        if patch.isReversed != backwards { options.append("-R") }
        return try await git.runner.run(
            git.script(
                """
                "$git" apply "$@" patch
                "$git" ls-files -s -z >listing
                """, options, directory: repository, in: staging))
    }

    /// Whether git applies all patches one after the other without a merge; the index is spent then.
    func appliesAtOnce(_ patches: [Patch]) async throws -> Bool {
        try Files.makeFolder(staging + "/all")
        for (index, patch) in patches.enumerated() {
            try Files.write(patch.diff, to: "\(staging)/all/\(100_000 + index)")
        }
        return try await git.runner.run(
            git.script(
                "\"$git\" apply --cached --whitespace=nowarn all/*", directory: repository, in: staging)
        ).ending.isSuccess
    }

    private func readIndex() throws -> [String: Entry] {
        var entries: [String: Entry] = [:]
        for line in try Files.bytes(staging + "/listing").split(separator: 0) {
            let text = String(decoding: line, as: UTF8.self)
            guard let tab = text.firstIndex(of: "\t") else { continue }
            let words = text[..<tab].split(separator: " ")
            guard words.count == 3, words[2] == "0", let mode = Int(words[0], radix: 8) else { continue }
            entries[String(text[text.index(after: tab)...])] = Entry(mode: mode, blob: String(words[1]))
        }
        return entries
    }

    /// The second check of safety, on what git did with the patch instead of on what the diff says.
    private func checkResult(_ changes: [(path: String, entry: Entry?)], _ patch: Patch, _ number: Int) async throws {
        let expected = Set(patch.touchedPaths)
        for (path, entry) in changes {
            if let objection = PathRules.objection(to: path) {
                throw SeriesSafety.refusal(patch, number, path, objection)
            }
            guard expected.contains(path) else {
                throw SeriesSafety.refusal(patch, number, path, "its headers do not name that file")
            }
            guard let entry, entry.mode & 0o170000 != 0o100000 else { continue }
            guard entry.mode == SeriesSafety.linkMode else {
                throw SeriesSafety.refusal(patch, number, path, "it is not a file")
            }
            let target = try await git.runner.check(
                git.command(["cat-file", "blob", entry.blob], directory: repository))
            if let objection = PathRules.objection(toLink: path, target: target) {
                throw SeriesSafety.refusal(patch, number, path, objection)
            }
        }
    }

    // MARK: - The end

    /// Makes the commits and hands their objects to the store.
    ///
    /// - Throws: ``LabError`` `tool-failed`, such as for a full disk.
    func finish() async throws -> [AppliedStep] {
        guard !pending.isEmpty else { return [] }
        var (commit, tree) = (start, startTree)
        var commits: [CommitObjects] = []
        if pending.contains(where: { !$0.changes.isEmpty }) {
            try Files.write(importStream(), to: staging + "/stream")
            let answer = try await git.runner.check(
                git.script(
                    """
                    "$git" fast-import --quiet --date-format=rfc2822 --export-marks=marks <stream
                    sort -t: -k2n marks | cut -d' ' -f2 >commits
                    "$git" log --stdin --no-walk=unsorted --no-show-signature --no-notes --raw -r -t --no-abbrev \
                        --no-renames --format='commit %H %T' <commits
                    """, directory: repository, in: staging), outputLimit: 256 << 20)
            commits = CommitObjects.parse(answer)
            try await store(objects: commits.flatMap(\.objects))
        }
        var next = commits.makeIterator()
        return try pending.map { patch in
            var objects: [String] = []
            if !patch.changes.isEmpty {
                guard let made = next.next() else {
                    throw LabError("tool-failed", "git fast-import made fewer commits than there are patches")
                }
                (commit, tree, objects) = (made.commit, made.tree, made.objects)
            }
            return AppliedStep(
                commit: commit, tree: tree, outcome: patch.outcome, drift: patch.drift, objects: objects)
        }
    }

    /// The commits in the language of git-fast-import(1).
    private func importStream() -> Data {
        var stream = Data()
        for (index, patch) in pending.filter({ !$0.changes.isEmpty }).enumerated() {
            let author = patch.patch.author
            let who = author.map { "\($0.name) <\($0.email)>" } ?? Self.committer
            let message = Data(patch.patch.message.utf8)
            stream.append(
                Data(
                    """
                    commit refs/heads/series
                    mark :\(index + 1)
                    author \(who) \(author?.date ?? "@\(baseDate) +0000")
                    committer \(Self.committer) @\(baseDate) +0000
                    data \(message.count)\n
                    """.utf8))
            stream.append(message)
            stream.append(Data("from \(index == 0 ? start : ":\(index)")\n".utf8))
            // Removals first: a file may take the place of a folder.
            for (path, entry) in patch.changes where entry == nil {
                stream.append(Data("D \(Self.quoted(path))\n".utf8))
            }
            for (path, entry) in patch.changes {
                guard let entry else { continue }
                stream.append(Data("M \(String(entry.mode, radix: 8)) \(entry.blob) \(Self.quoted(path))\n".utf8))
            }
        }
        return stream
    }

    private static let committer = "hmmlab <hmmlab@localhost>"

    /// A path in the quoted form of git-fast-import(1).
    private static func quoted(_ path: String) -> String {
        "\"" + path.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }

    /// Copies objects into the store; each becomes visible there at once or not at all.
    private func store(objects: [String]) async throws {
        try Files.write(Set(objects).sorted().map { $0 + "\n" }.joined(), to: staging + "/objects")
        try await git.runner.check(
            git.script(
                """
                "$git" pack-objects -q --window=0 --stdout <objects >pack
                GIT_DIR=$1 "$git" unpack-objects -q <pack
                """, [store], directory: repository, in: staging))
    }
}

/// A commit and what it has that its parent lacks.
private struct CommitObjects {
    var commit: String
    var tree: String
    var objects: [String]

    /// Reads `commit ID TREE` lines and the raw lines below each (git-diff(1), "Raw output format").
    static func parse(_ text: String) -> [CommitObjects] {
        var commits: [CommitObjects] = []
        for line in text.split(separator: "\n") {
            let words = line.prefix { $0 != "\t" }.split(separator: " ")
            if words.count == 3, words[0] == "commit" {
                let (commit, tree) = (String(words[1]), String(words[2]))
                commits.append(CommitObjects(commit: commit, tree: tree, objects: [commit, tree]))
            } else if words.count == 5, line.hasPrefix(":"), words[3].contains(where: { $0 != "0" }), !commits.isEmpty {
                commits[commits.count - 1].objects.append(String(words[3]))
            }
        }
        return commits
    }
}
