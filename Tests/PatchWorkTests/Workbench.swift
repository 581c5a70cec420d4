// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchModel
import PatchSeries
import ProcessRunner
import Testing

@testable import PatchWork

/// A cache with two small bases, 6.12 and 7.2, and a model of patches for the former.
///
/// Both ignore every file that is new, as Debian's sources do. On 7.2 mm/memory.c has grown at its top and differs near line 10 and in line 30, hmm 5 is set already, and mm/old.c
/// has another name.
final class Workbench: Sendable {
    let root: String
    let runner = ProcessRunner()
    let old: WorkBase
    let new: WorkBase
    let sources: KernelSources

    var cache: Cache { Cache(root: root + "/cache") }
    var modelFolder: String { root + "/series" }
    var modelStore: PatchModelStore { PatchModelStore(folder: modelFolder, runner: runner, cache: cache) }
    var workshop: PatchWorkshop { PatchWorkshop(store: sources.store, runner: runner, cache: cache) }
    /// Where tests edit.
    var work: String { root + "/work" }

    init() async throws {
        root = FileManager.default.temporaryDirectory.path + "/hmmlab-work-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
        try await Self.shell(
            runner, root,
            #"""
            git init -q -b main --template= tree
            cd tree
            mkdir mm
            printf 'VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 1\nEXTRAVERSION =\n' >Makefile
            seq 1 60 | sed 's/^/int line_/; s/$/;/' >mm/memory.c
            seq 1 40 | sed 's/^/int hmm_/; s/$/;/' >mm/hmm.c
            seq 1 40 | sed 's/^/int old_/; s/$/;/' >mm/old.c
            printf '*.o\n/*\n!/debian/\n' >.gitignore
            git add -A -f
            git commit -q -m 6.12
            git tag v6.12
            sed -i 's/VERSION = 6/VERSION = 7/; s/PATCHLEVEL = 12/PATCHLEVEL = 2/' Makefile
            sed -i 's/line_13;/line_13 = 72;/; s/line_30;/line_30 = 72;/; 1i int a;\nint b;' mm/memory.c
            sed -i 's/hmm_5;/hmm_5 = 1;/' mm/hmm.c
            git mv mm/old.c mm/new.c
            git commit -qa -m 7.2
            git tag v7.2
            """#)
        let cache = Cache(root: root + "/cache")
        let (root, sources) = (root, KernelSources(cache: cache, runner: runner, environment: [:]))
        self.sources = sources
        func base(_ tag: String, _ series: String) async throws -> WorkBase {
            let made = try await sources.resolve(BaseSpec(parsing: "git:\(root)/tree@\(tag)", currentDirectory: root))
            return WorkBase(spec: tag, commit: made.commit, series: try #require(BaseSeries(series)))
        }
        (old, new) = (try await base("v6.12", "6.12"), try await base("v7.2", "7.2"))
    }

    deinit { try? FileManager.default.removeItem(atPath: root) }

    /// Runs a script and returns what it prints.
    @discardableResult
    func shell(_ script: String, in folder: String? = nil) async throws -> String {
        try await Self.shell(runner, folder ?? work, script)
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
                    "GIT_COMMITTER_EMAIL": "carl@example.org", "GIT_EDITOR": "true",
                ], in: folder)
        ).trimmingCharacters(in: .newlines)
    }

    /// A patch of the model: its name, and the change to 6.12 as a sed(1) script and a file.
    struct Sketch {
        var name: String
        var edit: String
        var file: String
        var bases = ["6.12"]
        var probe: String?

        static let line10 = Sketch(name: "line-10", edit: "s/line_10;/line_10 = 1;/", file: "mm/memory.c")
        static let line30 = Sketch(name: "line-30", edit: "s/line_30;/line_30 = 1;/", file: "mm/memory.c")
        static let line50 = Sketch(name: "line-50", edit: "s/line_50;/line_50 = 1;/", file: "mm/memory.c")
        static let hmm5 = Sketch(name: "hmm-5", edit: "s/hmm_5;/hmm_5 = 1;/", file: "mm/hmm.c")
        static let hmm30 = Sketch(name: "hmm-30", edit: "s/hmm_30;/hmm_30 = 1;/", file: "mm/hmm.c")
        static let moved = Sketch(name: "moved", edit: "s/old_20;/old_20 = 1;/", file: "mm/old.c")
    }

    /// Writes a model with one topic, whose patches are commits on 6.12, and returns it as it is read.
    @discardableResult
    func writeModel(_ sketches: [Sketch]) async throws -> PatchModel {
        for sketch in sketches {
            try await shell(
                """
                git checkout -q "$(git rev-parse -q --verify work || echo v6.12)"
                sed -i '\(sketch.edit)' \(sketch.file)
                git commit -qam 'mm: \(sketch.name)' -m 'Why \(sketch.name).' -m 'Signed-off-by: Ada <ada@example.org>'
                git branch -qf work HEAD
                """, in: root + "/tree")
        }
        let reader = SeriesReader(runner: runner, cache: cache)
        let patches = try await reader.read("git:\(root)/tree@v6.12..work").patches
        let topic = Topic(
            name: "fixes", title: "Fixes", text: "Text.", bases: [old.series],
            patches: zip(sketches, patches).map { sketch, patch in
                ModelPatch(
                    topic: "fixes", name: sketch.name, patch: patch,
                    metadata: PatchMetadata(
                        bases: sketch.bases.compactMap { BaseSeries($0) },
                        probes: sketch.probe.map { [.init(file: sketch.file, text: $0)] } ?? []))
            })
        let model = PatchModel(folder: modelFolder, topics: [topic])
        try await modelStore.save(model, previous: PatchModel(folder: modelFolder, topics: []))
        return try await modelStore.load()
    }

    /// Every file of the model with its bytes.
    func modelFiles() throws -> [String: Data] {
        var files: [String: Data] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: modelFolder).sorted() {
            let path = "\(modelFolder)/\(name)"
            if !Files.isFolder(path) { files[name] = try Files.bytes(path) }
        }
        return files
    }

    func names() async throws -> [String] { try await modelStore.load().patches.map(\.name) }

    func patch(_ name: String) async throws -> ModelPatch {
        try #require(try await modelStore.load().patches.first { $0.name == name })
    }

    @discardableResult
    func edit(_ base: WorkBase, in folder: String? = nil) async throws -> EditReport {
        try await workshop.edit(try await modelStore.load(), base: base, topics: [], folder: folder ?? work)
    }

    func port(in folder: String? = nil, from: BaseSeries? = nil) async throws -> PortReport {
        let model = try await modelStore.load()
        return try await workshop.port(
            model, to: new, from: from, bases: [old], topics: [], folder: folder ?? work)
    }

    /// What a killed or failed command must not leave.
    func leftovers() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: cache.root + "/staging")
            + FileManager.default.contentsOfDirectory(atPath: root).filter { $0.hasPrefix(".") }
    }
}

/// The code of the error that a body throws.
func errorCode(_ body: () async throws -> Void) async -> String? {
    do {
        try await body()
        return nil
    } catch {
        return (error as? LabError)?.code ?? "\(error)"
    }
}
