// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import PatchSeries
import ProcessRunner

/// Reads and writes a ``PatchModel``: text files that people review in a diff.
///
/// ```
/// topics                      the topics in order, one per line; # begins a comment
/// TOPIC/topic.toml            title, text, bases
/// TOPIC/series                the patches in order, as quilt(1) reads it
/// TOPIC/NAME.patch            author, message and diff for the home base: a mail for git-am(1)
/// TOPIC/NAME.toml             the metadata; absent if all of it is the topic's
/// TOPIC/NAME@7.2.diff         the diff for 7.2, where its text differs
/// ```
public struct PatchModelStore: Sendable {
    /// The folder.
    public let folder: String
    let reader: SeriesReader
    let cache: Cache

    /// A store in a folder, which need not exist yet.
    public init(folder: String, runner: ProcessRunner, cache: Cache) {
        self.folder = folder
        self.cache = cache
        reader = SeriesReader(runner: runner, cache: cache)
    }

    /// Whether a folder is a model, or a topic of one.
    public static func isModel(_ path: String) -> Bool { Files.exists(path + "/topics") }

    /// The model's folder and the topic's name if a path is a topic of a model; nil otherwise.
    public static func topic(at path: String) -> (model: String, topic: String)? {
        let path = URL(fileURLWithPath: path).standardizedFileURL.path as NSString
        let model = path.deletingLastPathComponent
        guard Files.exists("\(path)/topic.toml"), isModel(model) else { return nil }
        return (model, path.lastPathComponent)
    }

    // MARK: - Reading

    /// Reads the whole model; every patch has been checked to stay inside of a tree.
    ///
    /// - Throws: ``LabError`` `model-bad` and those of ``SeriesReader/read(_:)-(SeriesSpec)``, all with ``ExitCode/usage``.
    public func load() async throws -> PatchModel {
        guard Self.isModel(folder) else {
            throw LabError(
                "model-missing", exit: .usage, "\(folder) holds no patch model",
                cause: Files.isFolder(folder) ? "It has no file named topics." : "There is no such folder.",
                next: "Make one with hmmlab patches import --topic NAME SERIES.")
        }
        let names = try ListFile.entries(folder + "/topics")
        var topics: [Topic] = []
        for name in names {
            guard Self.isName(name) else { throw bad("topics", "\"\(name)\" is no name of a topic.") }
            topics.append(try await loadTopic(name))
        }
        if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
            throw bad("topics", "\(twice) is there twice.")
        }
        return PatchModel(folder: folder, topics: topics)
    }

    /// The model, or an empty one if the folder does not exist or is empty.
    ///
    /// - Throws: as ``load()``.
    public func loadIfPresent() async throws -> PatchModel {
        guard Self.isModel(folder) || Files.isFolder(folder) else { return PatchModel(folder: folder, topics: []) }
        if let held = try? FileManager.default.contentsOfDirectory(atPath: folder), held.isEmpty {
            return PatchModel(folder: folder, topics: [])
        }
        return try await load()
    }

    private func loadTopic(_ name: String) async throws -> Topic {
        let place = "\(folder)/\(name)"
        let document: TopicFile = try TOMLFile.read("\(place)/topic.toml")
        guard !document.bases.isEmpty else { throw bad("\(name)/topic.toml", "bases is empty.") }
        var topic = Topic(
            name: name, title: document.title, text: document.text.trimmingCharacters(in: .newlines),
            bases: document.bases)
        let entries = try ListFile.entries(place + "/series")
        let names = try entries.map { entry -> String in
            guard entry.hasSuffix(".patch"), Self.isName(String(entry.dropLast(6))) else {
                throw bad("\(name)/series", "\"\(entry)\" is no name of a patch of this topic.")
            }
            return String(entry.dropLast(6))
        }
        if let twice = names.first(where: { name in names.count { $0 == name } > 1 }) {
            throw bad("\(name)/series", "\(twice).patch is there twice.")
        }
        guard !names.isEmpty else { return topic }
        let patches = try await reader.read(files: names.map { "\(place)/\($0).patch" })
        let diffs = try variants(in: place)
        if let stray = diffs.keys.sorted().first(where: { !names.contains($0) }) {
            throw bad("\(name)/series", "\(stray).patch is not listed, but there are other diffs of it.")
        }
        for (patchName, patch) in zip(names, patches) {
            let path = "\(place)/\(patchName).toml"
            let metadata =
                try Files.exists(path)
                ? (TOMLFile.read(path) as MetadataFile).metadata(topic: topic) : PatchMetadata(bases: topic.bases)
            let made = ModelPatch(
                topic: name, name: patchName, patch: patch, metadata: metadata, variants: diffs[patchName] ?? [:])
            for base in made.variants.keys { _ = try made.patch(on: base) }
            topic.patches.append(made)
        }
        return topic
    }

    private func variants(in place: String) throws -> [String: [BaseSeries: Data]] {
        var found: [String: [BaseSeries: Data]] = [:]
        for file in try Self.names(in: place) where file.hasSuffix(".diff") {
            guard let at = file.lastIndex(of: "@"), let base = BaseSeries(file[file.index(after: at)...].dropLast(5))
            else { throw bad("\((place as NSString).lastPathComponent)/\(file)", "A diff is named NAME@6.12.diff.") }
            found[String(file[..<at]), default: [:]][base] = try VariantFile.read("\(place)/\(file)")
        }
        return found
    }

    static func isName(_ text: String) -> Bool { text.wholeMatch(of: /[A-Za-z0-9][A-Za-z0-9._\-]*/) != nil }

    static func names(in folder: String) throws -> [String] {
        guard Files.exists(folder) else { return [] }
        do {
            return try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
        } catch {
            throw Files.unreadable(folder, exit: .usage, cause: error.localizedDescription)
        }
    }

    private func bad(_ file: String, _ cause: String) -> LabError {
        LabError(
            "model-bad", exit: .usage, "\(folder)/\(file) cannot be used", cause: Printable.text(cause),
            next: "Correct it by hand or with git.")
    }

    // MARK: - Writing

    /// Writes what has changed; a file whose content stays is not touched.
    ///
    /// Everything is made, read back and compared before the first file is replaced, so that a message which no mail can
    /// carry changes nothing. A patch that is equal to the one in the folder keeps its file byte for byte, whoever wrote
    /// it. Files of patches that are gone are removed; other files are left alone.
    ///
    /// - Parameters:
    ///   - model: what the folder shall hold.
    ///   - previous: what ``load()`` has returned before.
    /// - Returns: the files that were written or removed, relative to the folder, sorted.
    /// - Throws: ``LabError`` `patch-not-storable`, `file-unwritable`.
    @discardableResult
    public func save(_ model: PatchModel, previous: PatchModel) async throws -> [String] {
        var wanted: [String: Data] = [:]
        var expected: [(file: String, patch: Patch)] = []
        wanted["topics"] = try ListFile.text(model.topics.map(\.name), keeping: folder + "/topics")
        for topic in model.topics {
            let place = "\(folder)/\(topic.name)"
            wanted["\(topic.name)/series"] = try ListFile.text(
                topic.patches.map { $0.name + ".patch" }, keeping: place + "/series")
            let before = previous.topics.first { $0.name == topic.name }
            if before.map({ TopicFile($0) != TopicFile(topic) }) ?? true {
                wanted["\(topic.name)/topic.toml"] = try TopicFile(topic).text(keeping: place + "/topic.toml")
            }
            for patch in topic.patches {
                let old = before?.patches.first { $0.name == patch.name }
                let file = "\(topic.name)/\(patch.name)"
                if old?.patch.digest != patch.patch.digest {
                    wanted[file + ".patch"] = PatchText.mail(patch.patch)
                    expected.append((file + ".patch", patch.patch))
                }
                let isPlain = patch.metadata == PatchMetadata(bases: topic.bases)
                if old?.metadata != patch.metadata, !isPlain || Files.exists("\(place)/\(patch.name).toml") {
                    wanted[file + ".toml"] = try MetadataFile(patch.metadata, topic: topic).text(
                        keeping: "\(place)/\(patch.name).toml")
                }
                for (base, diff) in patch.variants where old?.variants[base] != diff {
                    wanted["\(file)@\(base).diff"] = VariantFile.text(diff)
                }
            }
        }
        try await checkReadable(expected, wanted)
        var changed: [String] = []
        for (file, bytes) in wanted.sorted(by: { $0.key < $1.key }) {
            let path = "\(folder)/\(file)"
            if Files.exists(path), try Files.bytes(path) == bytes { continue }
            try Files.makeFolder((path as NSString).deletingLastPathComponent)
            try Files.write(bytes, to: path)
            changed.append(file)
        }
        return (changed + (try removeStale(model, previous))).sorted()
    }

    /// Every patch reads back as it was.
    private func checkReadable(_ made: [(file: String, patch: Patch)], _ wanted: [String: Data]) async throws {
        let expected = made.filter { !PatchText.isPlain($0.patch) }
        guard !expected.isEmpty else { return }
        let staging = try cache.stagingFolder()
        defer { try? FileManager.default.removeItem(atPath: staging) }
        var paths: [String] = []
        for (index, item) in expected.enumerated() {
            paths.append("\(staging)/\(index).patch")
            try Files.write(wanted[item.file] ?? Data(), to: paths[index])
        }
        let read: [Patch]
        do {
            read = try await reader.read(files: paths)
        } catch let error as LabError {
            throw Self.notStorable(expected.map { $0.patch.subject }.joined(separator: "; "), error.sentence)
        }
        for (item, patch) in zip(expected, read) where item.patch.digest != patch.digest {
            throw Self.notStorable(
                item.patch.subject,
                item.patch.message == patch.message
                    ? "Its author or its diff would come back changed."
                    : "Its message would come back changed: no mail can carry it.")
        }
    }

    private static func notStorable(_ subject: String, _ cause: String) -> LabError {
        LabError(
            "patch-not-storable", exit: .usage, "\"\(Printable.text(subject))\" cannot be stored as a mail",
            cause: cause,
            next: "Reword it: no line of the message may be --- or begin like a diff, no subject begin with a bracket.")
    }

    private func removeStale(_ model: PatchModel, _ previous: PatchModel) throws -> [String] {
        func files(_ model: PatchModel) -> Set<String> {
            var files: Set<String> = []
            for topic in model.topics {
                files.formUnion(["\(topic.name)/series", "\(topic.name)/topic.toml"])
                for patch in topic.patches {
                    files.formUnion(["\(topic.name)/\(patch.name).patch", "\(topic.name)/\(patch.name).toml"])
                    for base in patch.variants.keys { files.insert("\(topic.name)/\(patch.name)@\(base).diff") }
                }
            }
            return files
        }
        var removed: [String] = []
        for file in files(previous).subtracting(files(model)).sorted() where Files.exists("\(folder)/\(file)") {
            try FileManager.default.removeItem(atPath: "\(folder)/\(file)")
            removed.append(file)
        }
        return removed
    }
}
