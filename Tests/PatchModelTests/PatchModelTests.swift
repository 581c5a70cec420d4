// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import PatchSeries
import ProcessRunner
import Testing

@testable import PatchModel

/// A model in a folder of its own.
final class ModelFolder {
    let root: String
    let cache: Cache
    let runner = ProcessRunner()
    var folder: String { root + "/series" }
    var store: PatchModelStore { PatchModelStore(folder: folder, runner: runner, cache: cache) }
    var reader: SeriesReader { SeriesReader(runner: runner, cache: cache) }

    init() throws {
        root = FileManager.default.temporaryDirectory.path + "/patch-model-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: root + "/mails", withIntermediateDirectories: true)
        cache = Cache(environment: ["XDG_CACHE_HOME": root + "/cache"])
    }

    deinit { try? FileManager.default.removeItem(atPath: root) }

    /// A patch read from a mail.
    func patch(
        _ subject: String, file: String = "mm/a.c", from: String = "one", to: String = "two", body: String = "Why.",
        author: String = "A Developer <dev@example.org>"
    ) async throws -> Patch {
        let path = "\(root)/mails/\(UUID().uuidString).patch"
        let text = """
            From: \(author)
            Date: Sun, 22 Nov 2026 08:00:00 +0000
            Subject: [PATCH] \(subject)

            \(body)
            ---
            \(Self.diff(file, from, to))
            """
        try Files.write(text, to: path)
        return try #require(try await reader.read(files: [path]).first)
    }

    static func diff(_ file: String, _ from: String, _ to: String, line: Int = 1) -> String {
        """
        diff --git a/\(file) b/\(file)
        --- a/\(file)
        +++ b/\(file)
        @@ -\(line) +\(line) @@
        -\(from)
        +\(to)

        """
    }

    func text(_ file: String) throws -> String { try Files.text("\(folder)/\(file)") }
}

@Suite("The patch model's files")
struct PatchModelStoreTests {
    private let old = BaseSeries("6.12")
    private let new = BaseSeries("7.2")

    private func model(_ place: ModelFolder) async throws -> PatchModel {
        let (old, new) = (try #require(old), try #require(new))
        let one = ModelPatch(
            topic: "fixes", name: "one", patch: try await place.patch("mm: do one thing"),
            metadata: PatchMetadata(
                bases: [old, new], probes: [.init(file: "mm/a.c", text: "a \"b\"\t\\")],
                reproducers: [.init(test: "mirror/a", suite: "mirror", flavour: "debug")]),
            variants: [new: Data(ModelFolder.diff("mm/a.c", "uno", "due").utf8)])
        let two = ModelPatch(
            topic: "fixes", name: "two", patch: try await place.patch("mm: do another", file: "mm/b.c"),
            metadata: PatchMetadata(bases: [old], contained: [new], depends: ["one"]))
        return PatchModel(
            folder: place.folder,
            topics: [
                Topic(
                    name: "fixes", title: "Some fixes", text: "A\n\"quoted\" \\ text", bases: [old],
                    patches: [one, two])
            ])
    }

    @Test("What is saved is what is loaded, and saving it again writes nothing")
    func roundTrip() async throws {
        let place = try ModelFolder()
        let model = try await model(place)
        let written = try await place.store.save(model, previous: PatchModel(folder: place.folder, topics: []))
        #expect(
            written == [
                "fixes/one.patch", "fixes/one.toml", "fixes/one@7.2.diff", "fixes/series", "fixes/topic.toml",
                "fixes/two.patch", "fixes/two.toml", "topics",
            ])
        let loaded = try await place.store.load()
        #expect(loaded.topics.map(\.title) == ["Some fixes"])
        #expect(loaded.topics[0].text == model.topics[0].text)
        #expect(loaded.patches.map(\.id) == ["fixes/one", "fixes/two"])
        #expect(loaded.patches.map(\.metadata) == model.patches.map(\.metadata))
        #expect(loaded.patches.map(\.variants) == model.patches.map(\.variants))
        #expect(loaded.patches.map(\.patch.digest) == model.patches.map(\.patch.digest))
        #expect(try await place.store.save(loaded, previous: loaded) == [])
    }

    @Test("A file written by hand keeps its bytes and its comments as long as its patch does not change")
    func handWritten() async throws {
        let place = try ModelFolder()
        try await place.store.save(try await model(place), previous: PatchModel(folder: place.folder, topics: []))
        let path = place.folder + "/fixes/one.patch"
        let byHand = try Files.text(path).replacing("[PATCH] ", with: "[PATCH RFC 1/2] ").replacing(
            "---\n", with: "---\n note\n\n", maxReplacements: 1)
        try Files.write(byHand, to: path)
        try Files.write("# mine\n" + (try place.text("fixes/series")), to: place.folder + "/fixes/series")
        let loaded = try await place.store.load()
        var turned = loaded
        turned.topics[0].patches.reverse()
        turned.topics[0].patches[0].metadata.depends = []
        #expect(try await place.store.save(turned, previous: loaded) == ["fixes/series", "fixes/two.toml"])
        #expect(try Files.text(path) == byHand)
        #expect(try place.text("fixes/series") == "# mine\n# SPDX-License-Identifier: GPL-2.0\ntwo.patch\none.patch\n")
    }

    @Test("Files of a patch that is gone are removed, others stay")
    func removal() async throws {
        let place = try ModelFolder()
        try await place.store.save(try await model(place), previous: PatchModel(folder: place.folder, topics: []))
        try Files.write("x", to: place.folder + "/fixes/notes.txt")
        let loaded = try await place.store.load()
        var less = loaded
        less.topics[0].patches.removeFirst()
        less.topics[0].patches[0].metadata.depends = []
        let changed = try await place.store.save(less, previous: loaded)
        #expect(
            changed == ["fixes/one.patch", "fixes/one.toml", "fixes/one@7.2.diff", "fixes/series", "fixes/two.toml"])
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: place.folder + "/fixes").sorted()
                == ["notes.txt", "series", "topic.toml", "two.patch", "two.toml"])
    }

    @Test(
        "Authors, subjects and messages come back as they were",
        arguments: [
            ("mm: grüße", "Zeile mit ü\n\nSigned-off-by: Ä <a@example.org>", "Ärmel Ö <a@example.org>"),
            (
                "mm: a: b [c] d", "A line\n  --- indented\n\nFixes: 0123456789ab (\"mm: x\")",
                "\"Doe, J. (x)\" <j@example.org>"
            ),
            ("mm: " + String(repeating: "long ", count: 60) + "end", "", "x <x@example.org>"),
        ])
    func exactText(subject: String, body: String, author: String) async throws {
        let place = try ModelFolder()
        let patch = try await place.patch("placeholder").replacingMessage(
            subject: subject, body: body,
            author: Patch.Author(
                name: String(author.split(separator: " <")[0]).replacing("\"", with: ""),
                email: String(author.split(separator: "<")[1].dropLast()), date: "Sun, 22 Nov 2026 08:00:00 +0000"))
        let old = try #require(old)
        let model = PatchModel(
            folder: place.folder,
            topics: [
                Topic(
                    name: "t", title: "t", text: "", bases: [old],
                    patches: [ModelPatch(topic: "t", name: "p", patch: patch, metadata: PatchMetadata(bases: [old]))])
            ])
        try await place.store.save(model, previous: PatchModel(folder: place.folder, topics: []))
        let loaded = try #require(try await place.store.load().patches.first)
        #expect(loaded.patch.subject == subject)
        #expect(loaded.patch.body == body)
        #expect(loaded.patch.author == patch.author)
    }

    @Test(
        "A message that no mail can carry is refused, and nothing is written",
        arguments: ["a\n---\nb", "diff --git a/x b/x"])
    func notStorable(body: String) async throws {
        let place = try ModelFolder()
        let before = try await model(place)
        try await place.store.save(before, previous: PatchModel(folder: place.folder, topics: []))
        let loaded = try await place.store.load()
        var changed = loaded
        changed.topics[0].patches.reverse()
        changed.topics[0].patches[0].patch = try loaded.patches[1].patch.replacingMessage(
            subject: "mm: x", body: body, author: loaded.patches[1].patch.author)
        await #expect(throws: LabError.self) { try await place.store.save(changed, previous: loaded) }
        #expect(try place.text("fixes/series").contains("one.patch\ntwo.patch"))
    }

    @Test(
        "A file that cannot be used is named",
        arguments: [
            ("topics", "../fixes\n"), ("topics", "fixes\nfixes\n"), ("fixes/series", "one.patch\nmissing.patch\n"),
            ("fixes/series", "one.patch\n"), ("fixes/series", "one.patch\none.patch\ntwo.patch\n"),
            ("fixes/topic.toml", "title = \"x\"\ntext = \"\"\nbases = []\n"),
            ("fixes/topic.toml", "title = \"x\"\ntext = \"\"\nbases = [\"six\"]\n"),
            ("fixes/one.toml", "colour = \"red\"\n"), ("fixes/one@7.2.diff", "no diff\n"),
            ("fixes/one@next.diff", "no diff\n"), ("fixes/two.patch", "no patch\n"),
        ])
    func unusable(file: String, text: String) async throws {
        let place = try ModelFolder()
        try await place.store.save(try await model(place), previous: PatchModel(folder: place.folder, topics: []))
        if file == "fixes/series", text == "one.patch\n" {  // two.patch is then a stray patch with no other diffs: fine
            try Files.write(text, to: "\(place.folder)/\(file)")
            #expect(try await place.store.load().patches.map(\.name) == ["one"])
            return
        }
        try Files.write(text, to: "\(place.folder)/\(file)")
        let error = await #expect(throws: LabError.self) { _ = try await place.store.load() }
        #expect(error?.exitCode == .usage)
    }
}

@Suite("The patches for a base")
struct ResolutionTests {
    private func patch(_ place: ModelFolder, _ name: String, _ metadata: PatchMetadata) async throws -> ModelPatch {
        ModelPatch(topic: "t", name: name, patch: try await place.patch("mm: \(name)"), metadata: metadata)
    }

    @Test("Each base gets its own patches, variants and reasons")
    func bases() async throws {
        let place = try ModelFolder()
        let old = try #require(BaseSeries("6.12"))
        let new = try #require(BaseSeries("7.2"))
        var both = try await patch(place, "both", PatchMetadata(bases: [old, new]))
        both.variants[new] = Data(ModelFolder.diff("mm/a.c", "uno", "due").utf8)
        let merged = try await patch(place, "merged", PatchMetadata(bases: [old], contained: [new]))
        let oldOnly = try await patch(place, "old", PatchMetadata(bases: [old], depends: ["merged"]))
        let model = PatchModel(
            folder: "f",
            topics: [Topic(name: "t", title: "", text: "", bases: [old], patches: [both, merged, oldOnly])])
        #expect(model.bases == [old, new])
        let here = try model.resolve(for: old)
        #expect(here.patches.map(\.name) == ["both", "merged", "old"])
        #expect(here.left.isEmpty)
        let there = try model.resolve(for: new)
        #expect(there.patches.map { $0.state(on: new) } == [.variant])
        #expect(there.left.map { $0.state(on: new) } == [.contained, .notApplicable])
        #expect(there.series.patches[0].diff == both.variants[new])
        #expect(there.series.patches[0].message == both.patch.message)
        let error = #expect(throws: LabError.self) { try model.resolve(for: try #require(BaseSeries("6.1"))) }
        #expect(error?.code == "topic-not-for-base")
    }

    @Test("A dependency that comes later, or is not for the base, is named")
    func dependencies() async throws {
        let place = try ModelFolder()
        let old = try #require(BaseSeries("6.12"))
        let first = try await patch(place, "first", PatchMetadata(bases: [old], depends: ["second"]))
        let second = try await patch(place, "second", PatchMetadata(bases: [old]))
        let model = PatchModel(
            folder: "f", topics: [Topic(name: "t", title: "", text: "", bases: [old], patches: [first, second])])
        let error = #expect(throws: LabError.self) { try model.resolve(for: old) }
        #expect(error?.code == "depends-unmet")
        #expect(error?.sentence.contains("t/second") == true)
    }

    @Test("Two diffs are the same when only line numbers, functions and blob ids differ")
    func sameText() {
        let one = Data("diff --git a/a b/a\nindex 1..2 100644\n--- a/a\n+++ b/a\n@@ -1 +1 @@ f()\n-index x\n+y\n".utf8)
        let moved = Data(
            "diff --git a/a b/a\nindex 3..4 100644\n--- a/a\n+++ b/a\n@@ -9 +9 @@ g()\n-index x\n+y\n".utf8)
        let other = Data(
            "diff --git a/a b/a\nindex 3..4 100644\n--- a/a\n+++ b/a\n@@ -9 +9 @@ g()\n-index z\n+y\n".utf8)
        #expect(PatchText.isSame(one, moved))
        #expect(!PatchText.isSame(one, other))
    }

    @Test("Names are made of the subject, and never twice")
    func names() {
        #expect(
            PatchText.name(for: "mm/migrate_device: Lock it, then wait", taken: [])
                == "mm-migrate_device-lock-it-then-wait")
        #expect(PatchText.name(for: "mm: x", taken: ["mm-x", "mm-x-2"]) == "mm-x-3")
        #expect(PatchText.name(for: "???", taken: []) == "patch")
        #expect(PatchText.name(for: String(repeating: "word ", count: 40), taken: []).count <= 60)
    }
}
