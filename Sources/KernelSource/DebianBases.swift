// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// Bases from the Debian archive.
extension KernelSources {
    private var versions: DebianVersions { DebianVersions(runner: runner) }

    func resolve(_ choice: BaseSpec.DebianChoice, _ spec: BaseSpec, _ refresh: RefreshPolicy) async throws -> Base {
        let stored = try await newestStored(choice)
        // What has this version never changes, so the archive has nothing to add.
        if case .version = choice, let stored { return stored }
        if refresh == .never {
            if let stored { return stored }
            throw LabError(
                "base-not-cached", "\(spec) is not in the cache", cause: try await cachedVersions(),
                next: "Fetch it with: hmmlab base fetch \(spec)")
        }
        do {
            return try await resolveFromArchive(choice, spec, refresh, stored)
        } catch let error as LabError where ["network-unreachable", "archive-refused"].contains(error.code) {
            guard let stored else { throw error }
            return warned(stored, instead: spec, error.sentence)
        }
    }

    private func resolveFromArchive(
        _ choice: BaseSpec.DebianChoice, _ spec: BaseSpec, _ refresh: RefreshPolicy, _ stored: Base?
    ) async throws -> Base {
        var state = try await archive.state(refresh)
        if let stored, let problem = state.problem { return warned(stored, instead: spec, problem.sentence) }
        if state.index.best(choice) == nil, state.index.age(at: Date()) > DebianIndex.patience {
            state = try await archive.state(.always)
        }
        for _ in 1...2 {
            guard let package = state.index.best(choice) else {
                guard let stored else { throw try await unknown(choice, spec, state) }
                return warned(stored, instead: spec, "The archive no longer offers it")
            }
            if let stored, try await covers(stored, package) { return stored }
            if let base = try await importPackage(package, spec) { return base }
            // A new point release has pushed this one out since the index was read.
            state = try await archive.state(.always)
        }
        throw LabError(
            "archive-refused", "The package archive does not deliver what it lists for \(spec)",
            cause: "The file is not there, although the archive's index is new.",
            next: "Try again in an hour, when the mirror may be complete, or set HMMLAB_MIRROR to another one.")
    }

    private func warned(_ base: Base, instead spec: BaseSpec, _ reason: String) -> Base {
        progress(.warning("\(spec) is \(base.version) from the cache, which may not be the newest: \(reason)"))
        return base
    }

    /// Whether a stored base is the archive's best, or later than it.
    private func covers(_ stored: Base, _ package: ArchivePackage) async throws -> Bool {
        guard stored.version != package.version else { return true }
        return try await versions.isLater(
            DebianVersions.withoutRebuild(stored.version), than: DebianVersions.withoutRebuild(package.version))
    }

    /// Downloads, unpacks and imports a package; nil if the archive no longer has it.
    private func importPackage(_ package: ArchivePackage, _ spec: BaseSpec) async throws -> Base? {
        struct Gone: Error {}
        do {
            return try await importUnpacked(
                Base.identifier(debianVersion: package.version), spec, origin: package.suite,
                version: { _ in package.version }, message: { _ in "\(package.package) \(package.version)" }
            ) { place in
                try Files.requireSpace(
                    2 * package.size + Unpacker.space, at: place, for: "\(package.package) \(package.version)")
                guard let file = try await archive.download(package, into: place) else { throw Gone() }
                progress(.step("Unpacking \(package.package) \(package.version)"))
                defer { try? FileManager.default.removeItem(atPath: file) }
                return try await Unpacker(runner: runner).linuxSource(package: file, into: place)
            }
        } catch is Gone {
            return nil
        }
    }

    /// The newest stored base of Debian's of a kernel series such as `6.12`.
    ///
    /// - Throws: ``LabError`` of reading the store, `tool-missing`.
    public func newestStored(ofSeries series: String) async throws -> Base? {
        try await newestStored(.series(series))
    }

    /// The newest stored base that a choice may mean.
    private func newestStored(_ choice: BaseSpec.DebianChoice) async throws -> Base? {
        let matching = try await store.bases().filter { $0.debianVersion.map(choice.includes) ?? false }
        return try await versions.latest(of: matching, by: \.version)
    }

    private func unknown(
        _ choice: BaseSpec.DebianChoice, _ spec: BaseSpec, _ state: DebianArchive.State
    ) async throws -> LabError {
        var cause = state.index.packages.isEmpty ? "The archive offers no linux-source." : ""
        var example = state.index.best(.latest).map { "debian:\($0.series)" } ?? "git:PATH@REV"
        if case .version(let version) = choice {
            let series = version.split(separator: ".").prefix(2).map { $0.prefix { $0.isNumber } }.joined(
                separator: ".")
            let versions = state.index.versions(ofSeries: series)
            if !versions.isEmpty {
                cause =
                    "Of \(series) the archive offers \(versions.joined(separator: ", ")). "
                    + "Old point releases leave it when new ones come."
                example = "debian:\(series)"
            }
        }
        if cause.isEmpty { cause = "The archive offers \(state.index.overview)." }
        if let problem = state.problem { cause += "\n\(problem.sentence), so this may be out of date." }
        return LabError(
            "base-unknown", exit: .usage, "There is no \(spec)", cause: cause + "\n" + (try await cachedVersions()),
            next: "Use one of these, such as \(example).")
    }

    private func cachedVersions() async throws -> String {
        let cached = try await store.bases().compactMap(\.debianVersion)
        return cached.isEmpty
            ? "The cache holds no Debian base." : "The cache holds \(cached.joined(separator: ", "))."
    }
}
