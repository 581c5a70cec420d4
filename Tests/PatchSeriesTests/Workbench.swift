// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

@testable import PatchSeries

/// A temporary folder with a small source tree in git, a bare store that knows its first commit only, and a cache.
///
/// The tree has what makes patches hard: a file with CR LF, one in Latin-1, an executable, a binary file, links to a
/// file and to a folder.
final class Workbench: Sendable {
    let root: String
    let runner = ProcessRunner()
    /// The commit that the store knows.
    let base: String

    var work: String { root + "/tree" }
    var store: String { root + "/store.git" }
    var cache: Cache { Cache(root: root + "/cache") }
    var reader: SeriesReader { SeriesReader(runner: runner, cache: cache) }
    var applier: SeriesApplier { SeriesApplier(gitDirectory: store, runner: runner, cache: cache) }

    init() async throws {
        root = NSTemporaryDirectory() + "hmmlab-series-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
        base = try await Self.shell(
            runner, root,
            #"""
            git init -q -b main --template= tree
            cd tree
            mkdir -p mm/kasan include scripts Documentation
            seq 1 60 | sed 's/^/int line_/; s/$/;/' >mm/memory.c
            seq 1 20 | sed 's/^/int hmm_/; s/$/;/' >mm/hmm.c
            echo 'int kasan;' >mm/kasan/report.c
            printf 'one\r\ntwo\r\nthree\r\nfour\r\n' >mm/crlf.c
            printf 'gr\374n\nblau\nrot\n' >mm/latin1.txt
            printf 'one\ntwo\nthree' >mm/tail.c
            printf '#!/bin/sh\necho run\n' >scripts/run.sh
            chmod +x scripts/run.sh
            printf 'a\0b\1c\377' >logo.bin
            ln -s ../mm/hmm.c Documentation/link
            ln -s mm folder
            git add -A
            git commit -q -m base
            git clone -q --bare --no-hardlinks --template= . ../store.git
            git rev-parse HEAD
            """#
        ).trimmingCharacters(in: .newlines)
    }

    deinit { try? FileManager.default.removeItem(atPath: root) }

    /// Runs a script in the work tree and returns what it prints.
    @discardableResult
    func shell(_ script: String, in folder: String? = nil) async throws -> String {
        try await Self.shell(runner, folder ?? work, script)
    }

    private static func shell(_ runner: ProcessRunner, _ folder: String, _ script: String) async throws -> String {
        try await runner.check(
            Command(
                "sh", ["-ec", script],
                environment: [
                    "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "GIT_DIR": nil, "LC_ALL": "C",
                    "GIT_AUTHOR_NAME": "Ada Author", "GIT_AUTHOR_EMAIL": "ada@example.org",
                    "GIT_AUTHOR_DATE": "Mon, 3 Nov 2025 10:20:30 +0130", "GIT_COMMITTER_NAME": "Carl",
                    "GIT_COMMITTER_EMAIL": "carl@example.org", "GIT_COMMITTER_DATE": "Tue, 4 Nov 2025 01:02:03 +0000",
                ], in: folder))
    }

    /// Writes a file below the root and returns its path.
    @discardableResult
    func write(_ name: String, _ text: String) throws -> String {
        try write(name, Data(text.utf8))
    }

    @discardableResult
    func write(_ name: String, _ data: Data) throws -> String {
        try Files.write(data, to: "\(root)/\(name)")
        return "\(root)/\(name)"
    }

    /// Makes commits on top of the base by a script, and returns them as a folder of mails.
    func patches(_ script: String, options: String = "") async throws -> String {
        try await shell("git checkout -q main\n\(script)\ngit format-patch -q \(options) -o ../out \(base)")
        return root + "/out"
    }

    /// Three commits in three files.
    static let three = """
        sed -i 's/line_10;/line_10 = 1;/' mm/memory.c
        git commit -qam 'mm: set line 10' -m 'Because it matters.'
        sed -i 's/hmm_5;/hmm_5 = 1;/' mm/hmm.c
        git commit -qam 'mm/hmm: set hmm 5'
        echo 'int more;' >>mm/kasan/report.c
        git commit -qam 'kasan: report more'
        """

    func apply(_ argument: String, upTo: Int? = nil) async throws -> AppliedSeries {
        try await applier.apply(try await reader.read(argument), onto: base, upTo: upTo)
    }

    func attempt(_ argument: String) async throws -> SeriesAttempt {
        try await applier.attempt(try await reader.read(argument), onto: base)
    }

    /// A file of a commit in the store.
    func content(_ path: String, at commit: String) async throws -> String {
        try await shell("git cat-file blob \(commit):\(path)", in: store)
    }

    /// Everything in the store and the cache that a failed call must not leave behind.
    func leftovers() async throws -> [String] {
        let refs = try await shell("git for-each-ref; git worktree list --porcelain | grep -c ^worktree", in: store)
        let staging = (try? FileManager.default.contentsOfDirectory(atPath: cache.root + "/staging")) ?? []
        let records =
            FileManager.default.subpaths(atPath: cache.root + "/series")?.filter { $0.hasSuffix(".json") } ?? []
        return [refs] + staging + records
    }

    func objectCount() async throws -> Int {
        let text = try await shell("git cat-file --batch-all-objects --batch-check | wc -l", in: store)
        return Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? -1
    }
}

/// Runs a body that must fail with a ``LabError``, and returns that.
func labError(_ body: () async throws -> Void) async throws -> LabError {
    do {
        try await body()
    } catch let error as LabError {
        return error
    }
    throw LabError("no-error", "The call succeeded although it must not")
}
