// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

@testable import KernelSource

/// A temporary folder with a cache in it; removed at the end of the test.
final class Bench: Sendable {
    let folder: String
    let cache: Cache
    let runner = ProcessRunner()
    private let told = LockedValue<[ProgressEvent]>([])

    init() throws {
        folder = FileManager.default.temporaryDirectory.path + "/hmmlab-source-\(UUID().uuidString)"
        cache = Cache(root: folder + "/cache")
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    static let anyRunner = ProcessRunner()

    /// What the sources under test reported.
    var events: [ProgressEvent] { told.withLock { $0 } }

    var warnings: [String] {
        events.compactMap { if case .warning(let text) = $0 { text } else { nil } }
    }

    func sources(mirror: String? = nil, keyring: String? = nil) -> KernelSources {
        let told = told
        return KernelSources(
            cache: cache, runner: runner, progress: { event in told.withLock { $0.append(event) } },
            environment: mirror.map { ["HMMLAB_MIRROR": $0] } ?? [:], keyring: keyring)
    }

    func spec(_ text: String) throws -> BaseSpec { try BaseSpec(parsing: text, currentDirectory: folder) }

    /// Runs a shell script in the bench's folder and returns what it prints.
    @discardableResult
    func shell(_ script: String, _ arguments: String...) async throws -> String {
        var environment = GitEnvironment.isolated()
        for who in ["GIT_AUTHOR", "GIT_COMMITTER"] {
            environment["\(who)_NAME"] = "Test"
            environment["\(who)_EMAIL"] = "test@localhost"
            environment["\(who)_DATE"] = "1700000000 +0000"
        }
        return try await runner.check(
            Command(
                "bash", ["-euo", "pipefail", "-c", script, "bash"] + arguments, environment: environment, in: folder))
    }

    /// Every path below a folder with its kind, permissions, content and times; paths may be any bytes.
    func fingerprint(_ path: String, times: Bool = false) async throws -> String {
        try await shell(
            """
            cd "$1"
            find . -printf '%P %y %m %l'"$2"'\\n' | LC_ALL=C sort
            find . -type f -print0 | LC_ALL=C sort -z | xargs -0r sha256sum
            """, path, times ? " %T@ %C@" : "")
    }

    /// Makes a small kernel source folder with content of every kind that a careless import changes.
    func makeTree(_ name: String = "linux") async throws -> String {
        try await shell(
            """
            mkdir -p "$1"/{mm,scripts,empty,.hidden,sub/.git/objects}; cd "$1"
            printf 'VERSION = 6\\nPATCHLEVEL = 12\\nSUBLEVEL = 117\\nEXTRAVERSION =\\nNAME = Test\\n' > Makefile
            printf 'int a;\\n' > mm/hmm.c
            printf 'int b;\\n' > mm/migrate.c
            printf '#!/bin/sh\\n' > scripts/run.sh; chmod 755 scripts/run.sh
            printf '*.o\\nignored*\\n.hidden\\n' > .gitignore
            printf 'x' > ignored-file; printf 'obj' > mm/left.o; printf 'h' > .hidden/file
            printf '* text=auto eol=lf\\n*.crlf text\\n*.c ident export-subst\\n*.lfs filter=lfs\\n*.u working-tree-encoding=UTF-16\\n' > .gitattributes
            printf 'a\\r\\nb\\r\\n' > dos.crlf
            printf '/* $Id$ $Format:%%H$ */\\n' > mm/ident.c
            printf 'large' > data.lfs; printf 'utf8' > text.u
            printf 'latin' > "$(printf 'na\\xefve')"
            printf 'nl' > "$(printf 'new\\nline')"; printf 'sp' > ' lead and trail '; printf 'q' > 'quo"te\\back'
            printf 'dash' > -dash; : > empty-file
            ln -s hmm.c mm/link.c; ln -s ../../../etc/passwd outside; ln -s nowhere dangling; ln -s mm linked-dir
            printf 'in sub' > sub/file; printf 'ref' > sub/.git/HEAD; printf 'gitfile' > scripts/.git
            mkfifo pipe
            """, name)
        return "\(folder)/\(name)"
    }
}
