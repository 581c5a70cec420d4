// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelSource
import PatchMail
import PatchModel
import PatchSeries
import TestResults

@_exported import struct PatchMail.Changelog
@_exported import struct PatchMail.MailFile
@_exported import struct PatchMail.MailSeries

/// What to write as mails.
public struct GenerateSelection: Sendable {
    /// The base as typed.
    public var base: String
    /// The folder that gets the mails.
    public var folder: String
    /// The patch model; nil for hmmlab's own.
    public var model: String?
    /// Topics by name; empty for all.
    public var topics: [String]
    /// The version, from 1.
    public var version: Int
    /// Where the version before is, if not in the same folder: a folder or an mbox.
    public var previous: String?
    /// Whether hmmlab's modules are added as patches.
    public var hasModules: Bool
    /// Who signs the patches that add the modules: `Name <address>`.
    public var author: String?
    /// Whether other files of the same version are replaced.
    public var isForced: Bool

    /// Makes a selection.
    public init(
        base: String, folder: String, model: String? = nil, topics: [String] = [], version: Int = 1,
        previous: String? = nil, hasModules: Bool = false, author: String? = nil, isForced: Bool = false
    ) {
        self.base = base
        self.folder = folder
        self.model = model
        self.topics = topics
        self.version = version
        self.previous = previous
        self.hasModules = hasModules
        self.author = author
        self.isForced = isForced
    }
}

/// What was written.
public struct GenerateReport: Sendable {
    /// The base.
    public var base: Base
    /// The tree after the last patch of the topics, without modules.
    public var tree: String
    /// The mails.
    public var series: MailSeries
    /// The names of the files that were written or removed; the others had these bytes before.
    public var written: [String]
}

extension Lab {
    /// Writes a model's patches for a base as mails.
    ///
    /// - Throws: ``LabError`` `topic-empty`, `nothing-to-mail`, `author-missing`, `version-missing`, `mails-differ`,
    ///   `patch-does-not-apply`, and others.
    public func generate(_ selection: GenerateSelection) async throws -> GenerateReport {
        let spec = try BaseSpec(parsing: selection.base)
        let author = try Self.author(of: selection)
        let store = modelStore(selection.model)
        let model = try await selection.hasModules ? store.loadIfPresent() : store.load()
        let topics = try model.topics(named: selection.topics)
        if topics.allSatisfy(\.patches.isEmpty), !selection.hasModules {
            throw LabError(
                "topic-empty", exit: .usage,
                topics.count == 1
                    ? "The topic \(topics[0].name) holds no patch" : "The model \(model.folder) holds no patch",
                next: "Import patches first: hmmlab patches import.")
        }
        // What is cheap to refuse is refused before a base is fetched.
        var previous: FormerVersion?
        if selection.version > 1 {
            previous = try await FormerVersion.read(
                version: selection.version - 1, at: selection.previous ?? selection.folder, runner: runner,
                cache: cache)
        }
        let base = try await sources.resolve(spec)
        var series = try patches(of: model, selection, on: base)
        progress(.step("Writing \(series.patches.count.of("patch", plural: "patches")) for \(base.version)"))
        let applier = SeriesApplier(gitDirectory: sources.store.gitDirectory, runner: runner, cache: cache)
        let applied = try await applier.apply(series, onto: base.commit)
        let tested = try await tested(model, topics, on: base, tree: applied.tree)
        if let author {
            let modules = ModulePatches(store: sources.store, runner: runner, cache: cache)
            let added = try await modules.patches(
                from: installation.root + "/kernel-patches", onto: applied.tip, kernelVersion: base.kernelVersion,
                author: author, date: series.patches.last?.author?.date)
            series = PatchSeries(source: series.source, patches: series.patches + added, notes: series.notes)
        }
        let letter = Self.letter(of: applied.patches.isEmpty ? [] : topics)
        let mailer = SeriesMailer(store: sources.store, runner: runner, cache: cache, progress: progress)
        let mails = try await mailer.mails(
            MailRequest(
                base: base, title: letter.title, text: letter.text, series: series, version: selection.version,
                previous: previous, tested: tested))
        for note in mails.notes { progress(.note(note)) }
        let written = try MailFolder(selection.folder).write(mails, force: selection.isForced)
        return GenerateReport(base: base, tree: applied.tree, series: mails, written: written)
    }

    /// The patches for a base; none if only the modules are to be mailed.
    private func patches(of model: PatchModel, _ selection: GenerateSelection, on base: Base) throws -> PatchSeries {
        do {
            return try model.resolve(for: base, topics: selection.topics).series
        } catch let error as LabError where error.code == "topic-not-for-base" && selection.hasModules {
            return PatchSeries(source: model.folder, patches: [])
        }
    }

    /// The cover letter's subject and text; those of the modules if there is nothing else.
    private static func letter(of topics: [Topic]) -> (title: String, text: String) {
        switch topics.count {
        case 0: (ModulePatches.title, ModulePatches.text)
        case 1: (topics[0].title, topics[0].text)
        default:
            (
                topics.map(\.title).joined(separator: "; "),
                topics.map { "\($0.title)\n\n\($0.text)" }.joined(separator: "\n\n")
            )
        }
    }

    /// The person who signs the modules' patches; nil if there are none to sign.
    private static func author(of selection: GenerateSelection) throws -> Address? {
        guard selection.hasModules else { return nil }
        guard let text = selection.author, let author = Address(parsing: text), !author.name.isEmpty else {
            throw LabError(
                "author-missing", exit: .usage, "The modules' patches need somebody who signs them off",
                cause: selection.author.map { "\"\($0)\" is no name with an address." },
                next: "Say --author 'Your Name <you@example.org>'; that adds your Signed-off-by.")
        }
        return author
    }

    /// What was tested on which of the topics' bases: runs of the same patches, found by the tree that they give.
    private func tested(
        _ model: PatchModel, _ topics: [Topic], on base: Base, tree: String
    ) async throws -> [TestedBase] {
        let records = TestedRuns(cache: cache)
        let own = try base.series
        let wanted = Set(topics.flatMap { $0.bases + $0.patches.flatMap(\.metadata.bases) } + [own]).sorted()
        let stored = try await sources.store.bases()
        let applier = SeriesApplier(gitDirectory: sources.store.gitDirectory, runner: runner, cache: cache)
        var tested: [TestedBase] = []
        for series in wanted {
            if series == own {
                tested.append(base.tested(records.runs(of: tree)))
                continue
            }
            // No base is fetched for this: what was tested here is here.
            let bases = stored.filter { (try? $0.series) == series }
            var entries: [TestedBase] = []
            for other in bases {
                guard let patches = try? model.resolve(for: other, topics: topics.map(\.name)).series,
                    !patches.patches.isEmpty,
                    case .applied(let applied) = try await applier.attempt(patches, onto: other.commit)
                else { continue }
                entries.append(other.tested(records.runs(of: applied.tree)))
            }
            tested.append(
                entries.first { !$0.runs.isEmpty } ?? entries.first
                    ?? TestedBase(version: series.description, source: nil, runs: []))
        }
        return tested
    }

    /// Remembers a finished run on a series, for the cover letter; a run that was cut short says too little.
    func remember(_ record: RunRecord, of kernel: PreparedKernel, _ selection: TestSelection) {
        guard let tree = kernel.series?.tree, !record.isInterrupted, record.notRun.isEmpty, !record.tests.isEmpty
        else { return }
        var counts: [String: Int] = [:]
        var known: [String: Int] = [:]
        for test in record.tests {
            if test.outcome == .expected {
                known[test.verdict.rawValue, default: 0] += 1
            } else {
                counts[test.verdict.rawValue, default: 0] += 1
            }
        }
        var restrictions = selection.filter.map { ["--filter \($0)"] } ?? []
        restrictions += selection.kernel.settings.map { "--set \($0)" }
        restrictions += selection.kernel.configFiles.map { "--config \(($0 as NSString).lastPathComponent)" }
        restrictions += selection.guest.append.map { "--append \($0)" }
        do {
            try TestedRuns(cache: cache).keep(
                TestedRun(
                    tree: tree, base: kernel.base.identifier, kernelVersion: kernel.base.kernelVersion,
                    flavour: selection.kernel.flavour, driver: selection.guest.driver.rawValue, suites: record.suites,
                    restrictions: restrictions, counts: counts, known: known, problems: record.problems.count,
                    date: record.ended))
        } catch {
            // The run itself stands; only a cover letter will not speak of it.
            progress(.warning("This run could not be noted for cover letters: \(error)"))
        }
    }
}

extension Base {
    /// What the cover letter says about it.
    fileprivate func tested(_ runs: [TestedRun]) -> TestedBase {
        let source =
            switch spec {
            case .debian: "debian"
            case .git: "git"
            case .directory: "folder"
            case .tar: "archive"
            }
        return TestedBase(version: kernelVersion, source: source, runs: runs)
    }
}
