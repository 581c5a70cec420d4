// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

extension EndToEnd {
    /// Mails of a small model for the real 6.12; the patches touch a file of their own, so that a fresh tree is small.
    @Suite(.serialized) struct PatchesGenerateTests {
        let tool: Tool

        init() throws { tool = try Tool() }

        /// A model with two patches.
        private func model(second: String = "lib: say more in the demo") throws {
            func mail(_ subject: String, _ date: String, _ diff: String) -> String {
                """
                From: "Author, Ada" <ada@example.org>
                Date: \(date)
                Subject: [PATCH] \(subject)

                Because it matters.

                Signed-off-by: "Author, Ada" <ada@example.org>
                ---
                diff --git a/lib/hmmlab_demo.c b/lib/hmmlab_demo.c
                \(diff)

                """
            }
            let folder = tool.folder + "/model/demo"
            try Files.write("demo\nempty\n", to: tool.folder + "/model/topics")
            let topic = "bases = [\"6.12\"]\ntext = \"\"\"\nA file that says something.\n\"\"\"\n"
            try Files.write("title = \"Say something\"\n" + topic, to: folder + "/topic.toml")
            try Files.write("title = \"Nothing yet\"\n" + topic, to: tool.folder + "/model/empty/topic.toml")
            try Files.write("one.patch\ntwo.patch\n", to: folder + "/series")
            try Files.write(
                mail(
                    "lib: add a demo", "Sun, 22 Nov 2026 08:00:00 +0000",
                    "new file mode 100644\n--- /dev/null\n+++ b/lib/hmmlab_demo.c\n@@ -0,0 +1,2 @@\n+int one;\n+int two;"
                ),
                to: folder + "/one.patch")
            try Files.write(
                mail(
                    second, "Sun, 22 Nov 2026 09:00:00 +0000",
                    "--- a/lib/hmmlab_demo.c\n+++ b/lib/hmmlab_demo.c\n@@ -1,2 +1,3 @@\n int one;\n int two;\n+int three;"
                ),
                to: folder + "/two.patch")
        }

        private func generate(_ more: String..., environment: [String: String?] = [:]) async throws -> CommandOutput {
            try await tool.run(
                ["patches", "generate", "--base", "debian:6.12", "--model", "model"] + more, environment: environment)
        }

        @Test func theSameBytesEverywhereAndTheyApply() async throws {
            defer { tool.remove() }
            try model()
            let first = try await generate("--topic", "demo", "--out", "one", "--json", "one.json")
            #expect(first.ending == .exited(0), "\(first.standardError)")
            let home = tool.folder + "/home"
            try Files.write(
                "[diff]\n\tnoprefix = true\n\tcontext = 1\n[core]\n\tabbrev = 40\n[format]\n\tsignature = me\n"
                    + "[user]\n\tname = Somebody\n\temail = else@example.org\n", to: home + "/.gitconfig")
            try Files.write("--no-l\n", to: home + "/.get_maintainer.conf")
            let cache = (Cache().root as NSString).deletingLastPathComponent
            let second = try await generate(
                "--topic", "demo", "--out", "two",
                environment: [
                    "HOME": home, "XDG_CACHE_HOME": cache, "TZ": "Asia/Tokyo", "LANG": "de_DE.UTF-8",
                    "LC_ALL": "C.UTF-8", "GIT_AUTHOR_NAME": "Other", "GIT_DIR": "/nowhere", "COLUMNS": "40",
                    "GIT_DIFF_OPTS": "--unified=7",
                ])
            #expect(second.ending == .exited(0), "\(second.standardError)")
            let names = [
                "0000-cover-letter.patch", "0001-lib-add-a-demo.patch", "0002-lib-say-more-in-the-demo.patch", "series",
            ]
            #expect(try FileManager.default.contentsOfDirectory(atPath: tool.folder + "/one").sorted() == names)
            for name in names {
                #expect(try text("one/\(name)") == text("two/\(name)"), "\(name)")
            }
            let cover = try text("one/0000-cover-letter.patch")
            #expect(cover.contains("Subject: [PATCH 0/2] Say something\n"))
            #expect(cover.contains("\nAuthor, Ada (2):\n  lib: add a demo\n  lib: say more in the demo\n"))
            #expect(cover.contains("\n lib/hmmlab_demo.c | 3 +++\n 1 file changed, 3 insertions(+)\n"))
            #expect(cover.contains("(debian): not run\n"))
            #expect(cover.contains("\nbase-tree: "))
            #expect(try text("one/0001-lib-add-a-demo.patch").contains("From: \"Author, Ada\" <ada@example.org>\n"))
            // What the kernel's own MAINTAINERS says of every file.
            #expect(cover.contains("linux-kernel@vger.kernel.org"))
            #expect(try text("one.json").contains("\"schema\" : 1"))

            try await shell(
                """
                git init -q tree && cd tree && git commit -q --allow-empty -m base
                git am -q $(sed 's|^|../one/|' ../one/series)
                test "$(git log --format='%an|%ad|%s' -1)" = \
                    'Author, Ada|Sun Nov 22 09:00:00 2026 +0000|lib: say more in the demo'
                mkdir ../fresh && cd ../fresh && QUILT_PATCHES=../one quilt --quiltrc - push -q -a
                cmp lib/hmmlab_demo.c ../tree/lib/hmmlab_demo.c
                """)

            try model(second: "lib: say it all in the demo")
            let refused = try await generate("--topic", "demo", "--out", "one")
            #expect(refused.ending == .exited(64) && refused.standardError.contains("-v 2"))
            let next = try await generate("--topic", "demo", "--out", "one", "-v", "2", "--quiet")
            #expect(next.ending == .exited(0), "\(next.standardError)")
            let change = "\n---\nChanges since v1: subject changed\n\n"
            #expect(try text("one/v2-0002-lib-say-it-all-in-the-demo.patch").contains(change))
            #expect(try text("one/v2-0000-cover-letter.patch").contains("\nRange-diff against v1:\n1:  "))
            #expect(try text("one/0000-cover-letter.patch") == cover)
        }

        @Test func whatCannotBeWrittenIsSaid() async throws {
            defer { tool.remove() }
            try model()
            let empty = try await generate("--topic", "empty", "--out", "out")
            #expect(empty.ending == .exited(64) && empty.standardError.contains("The topic empty holds no patch"))
            let early = try await generate("--topic", "demo", "--out", "out", "-v", "2")
            #expect(early.ending == .exited(64) && early.standardError.contains("Version 1 of the series is not in"))
            let unsigned = try await generate("--topic", "demo", "--out", "out", "--modules")
            #expect(unsigned.ending == .exited(64) && unsigned.standardError.contains("--author"))
            try Files.write("contained = [\"6.12\"]\n", to: tool.folder + "/model/demo/one.toml")
            try Files.write("contained = [\"6.12\"]\n", to: tool.folder + "/model/demo/two.toml")
            let nothing = try await generate("--topic", "demo", "--out", "out")
            #expect(nothing.ending == .exited(64) && nothing.standardError.contains("no patch to mail"))
            #expect(!Files.exists(tool.folder + "/out"))
        }

        private func text(_ name: String) throws -> String { try Files.text("\(tool.folder)/\(name)") }

        private func shell(_ script: String) async throws {
            try await tool.runner.check(
                Command(
                    "sh", ["-ec", script],
                    environment: [
                        "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_DIR": nil, "GIT_AUTHOR_NAME": "A",
                        "GIT_AUTHOR_EMAIL": "a@localhost", "GIT_COMMITTER_NAME": "C",
                        "GIT_COMMITTER_EMAIL": "c@localhost",
                    ], in: tool.folder))
        }
    }
}
