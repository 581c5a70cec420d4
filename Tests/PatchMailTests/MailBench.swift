// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchSeries
import ProcessRunner
import Testing

@testable import PatchMail

/// A temporary folder with a small kernel in a git repository, which is a base, and a cache.
final class MailBench: Sendable {
    let root: String
    let runner = ProcessRunner()
    let sources: KernelSources
    let base: Base

    var cache: Cache { Cache(root: root + "/cache") }
    var tree: String { root + "/tree" }
    var reader: SeriesReader { SeriesReader(runner: runner, cache: cache) }
    var mailer: SeriesMailer { SeriesMailer(store: sources.store, runner: runner, cache: cache) }

    init() async throws {
        root = NSTemporaryDirectory() + "hmmlab-mail-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
        try Files.write(Self.maintainers, to: root + "/get_maintainer.pl")
        let script = """
            git init -q -b main --template= tree
            cd tree
            mkdir -p mm scripts drivers/misc
            printf 'VERSION = 6\\nPATCHLEVEL = 12\\nSUBLEVEL = 5\\nEXTRAVERSION =\\n' >Makefile
            printf 'mm/\\tAndrew M. <akpm@example.org> (maintainer:MM (CORE))\\n' >MAINTAINERS
            printf 'mm/\\tlinux-mm@example.org (open list:MM)\\n' >>MAINTAINERS
            printf 'mm/hmm.c\\t"Re, Viewer" <re@example.org> (reviewer:HMM)\\n' >>MAINTAINERS
            cp ../get_maintainer.pl scripts/
            for file in memory hmm gup swap; do
                seq 1 20 | sed "s/.*/int ${file}_&;/" >mm/$file.c
            done
            printf 'menu "Misc"\\n\\nconfig A\\n\\tbool\\n\\nendmenu\\n' >drivers/misc/Kconfig
            printf 'obj-$(CONFIG_A) += a.o\\n' >drivers/misc/Makefile
            git add -A
            git commit -q -m 'Linux 6.12.5'
            """
        try await Self.shell(runner, root, script)
        sources = KernelSources(cache: Cache(root: root + "/cache"), runner: runner, environment: [:])
        base = try await sources.resolve(.git(repository: root + "/tree", revision: "main"))
    }

    deinit { try? FileManager.default.removeItem(atPath: root) }

    /// Answers by the first word of MAINTAINERS' lines, for the paths of a patch.
    private static let maintainers = """
        my $text = do { local (@ARGV, $/) = ($ARGV[-1]); <> };
        open(my $list, "<", "MAINTAINERS") or die;
        while (my $line = <$list>) {
            my ($path, $who) = split(/\\t/, $line);
            print $who if $text =~ m|^\\+\\+\\+ b/\\Q$path\\E|m;
        }
        """

    @discardableResult
    func shell(_ script: String, in folder: String? = nil) async throws -> String {
        try await Self.shell(runner, folder ?? tree, script)
    }

    @discardableResult
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

    /// The commits that a script makes on top of the base, as a series.
    func series(_ script: String) async throws -> PatchSeries {
        try await shell("git checkout -q --detach main\n" + script)
        return try await reader.read(.commits(repository: tree, base: "main", tip: "HEAD"))
    }

    /// A commit that changes one line of a file below mm.
    static func edit(
        _ file: String, _ line: Int, _ subject: String, body: String = "Because it matters.", value: Int = 1,
        author: String = "Ada Author <ada@example.org>"
    ) -> String {
        """
        sed -i '\(line)s/;/ = \(value);/' mm/\(file).c
        git commit -qa --author='\(author)' -m '\(subject)' -m '\(body)'

        """
    }

    static let two =
        edit(
            "memory", 10, "mm: set line 10", body: "Because it matters.\n\nSigned-off-by: Ada Author <ada@example.org>")
        + edit("hmm", 5, "mm/hmm: set line 5")

    func mails(
        _ series: PatchSeries, version: Int = 1, previous: FormerVersion? = nil, tested: [TestedBase] = [],
        on base: Base? = nil
    ) async throws -> MailSeries {
        try await mailer.mails(
            MailRequest(
                base: base ?? self.base, title: "Set some lines", text: "These lines matter.", series: series,
                version: version, previous: previous, tested: tested))
    }
}

extension MailSeries {
    /// The text of a file whose name has some text.
    func text(_ name: String) throws -> String {
        String(decoding: try #require(files.first { $0.name.contains(name) }).bytes, as: UTF8.self)
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
