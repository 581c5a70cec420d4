// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import KernelBuild
import KernelSource
import PatchSeries

/// What a person wants to bisect.
public enum BisectionSpace: Sendable, Equatable, Codable {
    /// Versions of a Debian base, one after the other, as an earlier part of the bisection has listed them.
    case listedVersions([String])
    /// The patches of a series on a base.
    case series
    /// The commits of a repository on this machine from a good one to a bad one, along first parents.
    case commits(repository: String, good: String, bad: String)
    /// The versions of a Debian base from a good one to a bad one, as far as they can be had.
    case versions(good: String, bad: String)
    /// The symbols in which two complete .config files differ, by their paths.
    case configs(good: String, bad: String)
}

/// What the steps of a range are, for sentences.
public enum BisectionNoun: String, Sendable, Codable, CustomStringConvertible {
    /// A patch of a series.
    case patch
    /// A commit of a repository.
    case commit
    /// A version of a base.
    case version
    /// A configuration symbol.
    case symbol

    /// The word itself.
    public var description: String { rawValue }

    /// A number of them, such as `16 patches`.
    public func counted(_ number: Int) -> String { number.of(rawValue, plural: self == .patch ? "patches" : nil) }
}

/// A step of a range: what leads from one kernel to the next.
public struct BisectionStep: Sendable, Equatable, Codable {
    /// The place, from 1.
    public var index: Int
    /// The patch's or commit's subject, the version, or the symbol with its values.
    public var subject: String
    /// The patch's file, or the commit; nil for others.
    public var file: String?
    /// Who wrote it, as `Name <address>`; nil where that is not known.
    public var author: String?
}

/// Kernels in a row, from one that is said to be good to one that is said to be bad.
struct BisectionRange: Sendable {
    /// The kernels: one more than there are steps.
    var states: [KernelSelection]
    var steps: [BisectionStep]
    /// Steps that change no source at all.
    var inert: Set<Int> = []
    /// Names the content of the whole range: a journal belongs to one.
    var digest: String
    /// The base by its exact version, where all states have the same one.
    var base: String?
    /// The space by names that mean the same tomorrow; nil where the base says it.
    var space: BisectionSpace?
    /// What a step is.
    var noun: BisectionNoun
    /// The diff of a step; nil where there is none.
    var diff: @Sendable (Int) async throws -> String?
    /// The bad end without a step; throws what says why that cannot be.
    var withoutStep: @Sendable (Int) async throws -> KernelSelection
}

extension Lab {
    /// The kernels of a space.
    ///
    /// - Parameters:
    ///   - kernel: the base, the series and the configuration, as far as the space does not say.
    ///   - folder: a folder of the bisection's own, for files that states are made of.
    /// - Throws: ``LabError`` `range-empty`, and what reading series, repositories and the archive throws.
    func range(
        _ space: BisectionSpace, _ kernel: KernelSelection, folder: String
    ) async throws -> BisectionRange {
        let range =
            switch space {
            case .series: try await seriesRange(kernel, folder)
            case .commits(let repository, let good, let bad):
                try await commitRange(kernel, repository, good, bad, folder)
            case .versions(let good, let bad):
                versionRange(
                    kernel,
                    try await sources.versions(
                        from: good, to: bad, refresh: kernel.refresh ? .always : .whenStale))
            case .listedVersions(let versions): versionRange(kernel, versions)
            case .configs(let good, let bad): try await configRange(kernel, good, bad, folder)
            }
        guard !range.steps.isEmpty else {
            throw LabError(
                "range-empty", exit: .usage, "There is nothing to bisect: the good end is the bad end",
                next: "Give a range with at least one step.")
        }
        return range
    }

    // MARK: - A series

    private func seriesRange(_ kernel: KernelSelection, _ folder: String) async throws -> BisectionRange {
        guard let source = try await seriesSource(kernel) else {
            throw LabError(
                "range-empty", exit: .usage, "There is nothing to bisect: no series was given",
                next: "Give --series, --range, --versions or --good-config.")
        }
        let base = try await sources.resolve(
            try BaseSpec(parsing: kernel.base), refresh: kernel.refresh ? .always : .whenStale)
        let series = try source(base).prefix(kernel.upTo)
        progress(.step("Applying \(series.patches.count.of("patch", plural: "patches"))"))
        let applied = try await apply(series, onto: base)
        for note in applied.notes { progress(.note(note)) }
        var inputs = [KernelInput(base: base, commit: base.commit, tree: base.tree)]
        for patch in applied.patches { inputs.append(try await input(base, patch.commit)) }
        var named = kernel
        named.base = base.exactSpecification ?? kernel.base
        let states = inputs.enumerated().map { [named] index, input in
            var state = named
            (state.upTo, state.pinned) = (index, input)
            return state
        }
        return BisectionRange(
            states: states,
            steps: series.patches.enumerated().map { index, patch in
                BisectionStep(
                    index: index + 1, subject: patch.subject, file: patch.origin,
                    author: patch.author.map { "\($0.name) <\($0.email)>" })
            },
            inert: Set(inputs.indices.dropFirst().filter { inputs[$0].tree == inputs[$0 - 1].tree }),
            digest: Digest(of: inputs.map(\.commit).joined(separator: "\n")).hexadecimal,
            base: base.exactSpecification, noun: .patch,
            diff: { String(decoding: series.patches[$0 - 1].diff, as: UTF8.self) },
            withoutStep: { [named] step in
                var patches = series.patches
                patches.remove(at: step - 1)
                let rest = PatchSeries(source: series.source, patches: patches)
                let tip = try await self.apply(rest, onto: base)
                var state = named
                // For those who want to run it again; what is built are the commits.
                state.series = "\(folder)/without-\(step)"
                try Files.makeFolder("\(folder)/without-\(step)")
                for (index, patch) in patches.enumerated() {
                    try Files.write(patch.raw, to: "\(folder)/without-\(step)/\(10_001 + index).patch")
                }
                (state.upTo, state.pinned) = (nil, KernelInput(base: base, commit: tip.tip, tree: tip.tree))
                return state
            })
    }

    private func input(_ base: Base, _ commit: String) async throws -> KernelInput {
        guard let tree = try await sources.store.objectID(of: commit + "^{tree}") else {
            throw LabError("base-missing", "The commit \(commit) is not in the store any more", next: "Try again.")
        }
        return KernelInput(base: base, commit: commit, tree: tree)
    }

    // MARK: - Commits

    private func commitRange(
        _ kernel: KernelSelection, _ repository: String, _ good: String, _ bad: String, _ folder: String
    ) async throws -> BisectionRange {
        let list = try await sources.commits(of: repository, from: good, to: bad)
        @Sendable func state(_ commit: String) -> KernelSelection {
            var state = kernel
            state.base = "git:\(list.repository)@\(commit)"
            return state
        }
        return BisectionRange(
            states: ([list.good] + list.commits.map(\.id)).map(state),
            steps: list.commits.enumerated().map {
                BisectionStep(
                    index: $0.offset + 1, subject: $0.element.subject, file: $0.element.id, author: $0.element.author)
            },
            digest: Digest(of: ([list.good] + list.commits.map(\.id)).joined(separator: "\n")).hexadecimal,
            space: .commits(
                repository: list.repository, good: list.good, bad: list.commits.last?.id ?? list.good),
            noun: .commit,
            diff: { try await self.sources.diff(of: list.commits[$0 - 1].id, in: list.repository) },
            withoutStep: { step in
                let commit = list.commits[step - 1].id
                let path = "\(folder)/without-\(commit).patch"
                try Files.write(
                    try await self.sources.diff(of: commit, in: list.repository, reversed: true), to: path)
                var state = state(list.commits[list.commits.count - 1].id)
                guard kernel.series == nil else {
                    throw LabError("no-revert", exit: .buildFailed, "a series lies on top of the commits")
                }
                state.series = path
                return state
            })
    }

    // MARK: - Versions

    private func versionRange(
        _ kernel: KernelSelection, _ versions: [String]
    ) -> BisectionRange {
        let states = versions.map { version in
            var state = kernel
            state.base = "debian:\(version)"
            return state
        }
        return BisectionRange(
            states: states,
            steps: versions.indices.dropFirst().map {
                BisectionStep(index: $0, subject: "\(versions[$0 - 1]) to \(versions[$0])")
            }, digest: Digest(of: versions.joined(separator: "\n")).hexadecimal, space: .listedVersions(versions),
            noun: .version,
            diff: { _ in nil },
            withoutStep: { _ in
                throw LabError("no-revert", exit: .buildFailed, "a version cannot be taken out of the next one")
            })
    }

    // MARK: - Configurations

    /// Each symbol is a complete .config in the bisection's folder.
    private static let mostSymbols = 500

    private func configRange(
        _ kernel: KernelSelection, _ good: String, _ bad: String, _ folder: String
    ) async throws -> BisectionRange {
        guard kernel.configFiles.isEmpty else {
            throw LabError(
                "options-contradict", exit: .usage, "--good-config and --config cannot be given together",
                next: "Put what --config adds into both files.")
        }
        let change = ConfigChange(
            from: try Fragment(name: good, text: try Files.text(good, exit: .usage)).lines,
            to: try Fragment(name: bad, text: try Files.text(bad, exit: .usage)).lines)
        guard change.lines.count <= Self.mostSymbols else {
            throw LabError(
                "range-large", exit: .usage,
                "The configurations differ in \(change.lines.count) symbols, of which \(Self.mostSymbols) can be bisected",
                next: "Bring them closer to each other, such as by olddefconfig with one kernel.")
        }
        // What is resolved now holds for every step, whatever the archive offers meanwhile.
        let base = try await sources.resolve(
            try BaseSpec(parsing: kernel.base), refresh: kernel.refresh ? .always : .whenStale)
        @Sendable func state(_ text: String, _ name: String) throws -> KernelSelection {
            let path = "\(folder)/\(name).config"
            try Files.write(text, to: path)
            var state = kernel
            state.base = base.exactSpecification ?? kernel.base
            state.configFiles = [path]
            return state
        }
        let texts = (0...change.lines.count).map(change.text(after:))
        return BisectionRange(
            states: try texts.enumerated().map { try state($0.element, "state-\($0.offset)") },
            steps: change.lines.enumerated().map {
                BisectionStep(index: $0.offset + 1, subject: change.sentence($0.element))
            }, digest: Digest(of: ([base.tree] + texts).joined(separator: "\n\n")).hexadecimal,
            base: base.exactSpecification, noun: .symbol,
            diff: { _ in nil },
            withoutStep: { try state(change.text(without: $0), "without-\($0)") })
    }
}

extension Base {
    /// The specification that means this very base again; nil where there is none, as for a folder.
    var exactSpecification: String? {
        switch spec {
        case .debian: "debian:\(version)"
        case .git(let repository, _): "git:\(repository)@\(commit)"
        case .directory, .tar: nil
        }
    }
}
