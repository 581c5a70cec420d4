// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchModel
import PatchSeries
import ProcessRunner

/// What `hmmlab patches import` did.
public struct ImportResult: Sendable, Encodable {
    /// The model's folder.
    public var model: String
    /// The topic.
    public var topic: String
    /// The base that the patches were applied to.
    public var base: String
    /// The ids of the new patches.
    public var added: [String]
    /// The subjects of the patches that were there already.
    public var present: [String]
    /// What was left out while reading, and what the person should know.
    public var notes: [String]
    /// The files that were written, relative to the model's folder.
    public var files: [String]
}

extension Lab {
    /// Takes a series into a model, once it has been applied to its base.
    ///
    /// - Parameters:
    ///   - argument: what `--series` takes, or `-` for a mail or an mbox on standard input.
    ///   - folder: the model; nil for hmmlab's own.
    ///   - topic: the topic to put it at the end of.
    ///   - base: the base it is for.
    ///   - author: who wrote the patches that do not say so.
    /// - Throws: ``LabError`` if the series cannot be read, does not apply, or cannot be stored; nothing is written then.
    public func importPatches(
        _ argument: String, into folder: String?, topic: String, base specification: String, author: Patch.Author?
    ) async throws -> ImportResult {
        let spec = try BaseSpec(parsing: specification)
        let staging = try cache.stagingFolder()
        defer { try? FileManager.default.removeItem(atPath: staging) }
        var source = argument
        if argument == "-" {
            source = staging + "/standard-input"
            try StandardInput.save(to: source, limit: SeriesReader.largestSeries)
        }
        progress(.step("Reading the patches"))
        var series = try await SeriesReader(runner: runner, cache: cache).read(source)
        let store = modelStore(folder)
        let before = try await store.loadIfPresent()
        let base = try await sources.resolve(spec)
        progress(.step("Applying \(series.patches.count.of("patch", plural: "patches")) to \(base.version)"))
        let applier = SeriesApplier(gitDirectory: sources.store.gitDirectory, runner: runner, cache: cache)
        var notes = series.notes
        if try await !applier.appliesAtOnce(series, onto: base.commit) {
            let applied = try await applier.apply(series, onto: base.commit)
            notes += applied.notes
            series = try await rewritten(series, applied, staging)
        }
        let result = try PatchImport(of: series, into: before, topic: topic, base: try base.series, author: author)
        progress(.step("Writing \(store.folder)"))
        let files = try await store.save(result.model, previous: before)
        return ImportResult(
            model: store.folder, topic: topic, base: base.version, added: result.added, present: result.present,
            notes: notes, files: files)
    }

    /// What is stored is applied with `-p1` and forwards: the patches with the diffs that they made, where theirs are not applied with `-p1` and forwards.
    private func rewritten(_ series: PatchSeries, _ applied: AppliedSeries, _ staging: String) async throws
        -> PatchSeries
    {
        var previous = applied.base
        var patches: [Patch] = []
        for (patch, step) in zip(series.patches, applied.patches) {
            if patch.strip == 1 && !patch.isReversed {
                patches.append(patch)
            } else {
                // Into a file: the bytes of a diff need not be UTF-8.
                let script = """
                    "$git" diff-tree -p -M --full-index --binary --no-ext-diff --no-textconv "$1" "$2" >diff
                    """
                try await runner.check(
                    Git(runner: runner).script(
                        script, [previous, step.commit], directory: sources.store.gitDirectory, in: staging))
                patches.append(try patch.replacingDiff(try Files.bytes(staging + "/diff"), origin: patch.origin))
            }
            previous = step.commit
        }
        return PatchSeries(source: series.source, patches: patches, notes: series.notes, cover: series.cover)
    }
}

/// Standard input as a file.
enum StandardInput {
    /// Saves it.
    ///
    /// - Throws: ``LabError`` `series-too-large`, `file-unwritable`.
    static func save(to path: String, limit: Int) throws {
        var bytes = Data()
        while let piece = try? FileHandle.standardInput.read(upToCount: 1 << 20), !piece.isEmpty {
            bytes.append(piece)
            guard bytes.count <= limit else {
                throw LabError(
                    "series-too-large", exit: .usage, "Standard input is too large to be a patch series",
                    cause: "At most \(limit >> 20) MiB are read.")
            }
        }
        try Files.write(bytes, to: path)
    }
}
