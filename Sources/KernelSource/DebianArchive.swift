// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import ProcessRunner

/// When the package archive is asked anew.
public enum RefreshPolicy: Sendable, Equatable {
    /// Never: only what the cache holds counts, and no network is used.
    case never
    /// When its index is older than a day. A mirror that cannot be reached is left alone for 15 minutes.
    case whenStale
    /// Now.
    case always
}

/// The Debian archive's linux-source packages.
struct DebianArchive: Sendable {
    /// What the archive offers, and why that may be out of date.
    struct State: Sendable {
        var index: DebianIndex
        /// Set if the archive should have been asked and could not be.
        var problem: LabError?
    }

    let cache: Cache
    let runner: ProcessRunner
    let progress: ProgressHandler
    /// `HMMLAB_MIRROR`.
    let mirrorOverride: String?
    /// The keys to trust; nil for the host's own of Debian.
    let keyring: String?

    /// One apt root for each mirror that was ever named.
    private var folder: String {
        cache.root + "/apt/" + (mirrorOverride.map { Digest(of: $0).short } ?? "host")
    }
    private var apt: AptRoot { AptRoot(folder: folder, runner: runner) }
    private var indexFile: String { folder + "/index.json" }

    /// The index that the last refresh left; nil if there is none.
    func storedIndex() -> DebianIndex? {
        guard let data = try? Files.bytes(indexFile) else { return nil }
        return try? JSON.value(DebianIndex.self, from: data)
    }

    /// Finds out what the archive offers.
    ///
    /// An index that cannot be refreshed is used as it is, with the problem beside it.
    ///
    /// - Throws: ``LabError`` `network-unreachable`, `archive-refused`, `mirror-unknown`, `keyring-missing`,
    ///   `tool-missing` if there is no index at all.
    func state(_ policy: RefreshPolicy) async throws -> State {
        let asked = Date()
        if let index = storedIndex(), policy == .never || (policy == .whenStale && !index.isStale(at: asked)) {
            let isOld = policy != .never && index.isOutdated(at: asked)
            return State(index: index, problem: isOld ? Self.recentFailure : nil)
        }
        if policy == .never {
            throw LabError(
                "archive-unknown", "It is not known what the Debian archive offers",
                cause: "It was never asked, and this command does not use the network.",
                next: "Run hmmlab base list once while there is a network.")
        }
        let folder = try cache.folder("apt")
        return try await withFileLock(
            "\(folder)/lock",
            waiting: { progress(.note("Another hmmlab is asking the package archive; waiting for it")) }
        ) {
            // Whoever held the lock before may have done the work.
            if let index = storedIndex(), index.failedAt == nil, index.refreshedAt > asked {
                return State(index: index, problem: nil)
            }
            do {
                return State(index: try await refresh(), problem: nil)
            } catch let error as LabError {
                guard var index = storedIndex() else { throw error }
                index.failedAt = Date()
                try Files.write(JSON.text(index), to: indexFile)
                return State(index: index, problem: error)
            }
        }
    }

    private static let recentFailure = LabError(
        "network-unreachable", "The package archive could not be reached a few minutes ago")

    private func refresh() async throws -> DebianIndex {
        progress(.step("Asking the package archive which kernels there are"))
        let mirror = try await DebianMirror.find(override: mirrorOverride, runner: runner)
        let apt = apt
        try await apt.prepare(mirror, keyring: try keyring ?? Self.hostKeyring())
        let transfer = try await apt.update()
        let faults = transfer.failures.filter { $0.kind != .absent }
        if transfer.reached.isEmpty { throw Self.failure(faults) }
        if !faults.isEmpty {
            progress(
                .warning(
                    "Parts of the package archive could not be read, and their last known state is used: "
                        + faults.map { "\($0.item): \($0.reason)" }.joined(separator: "; ")))
        }
        let index = DebianIndex(packages: try await apt.packages(), refreshedAt: Date())
        try Files.write(JSON.text(index), to: indexFile)
        return index
    }

    /// Downloads a package that is in the index.
    ///
    /// - Returns: the path of the .deb in `target`; nil if the archive no longer has that version.
    /// - Throws: ``LabError`` `network-unreachable`, `archive-refused`, `tool-failed`.
    func download(_ package: ArchivePackage, into target: String) async throws -> String? {
        let title = "Downloading \(package.package) \(package.version) (\(package.size >> 20) MiB)"
        progress(.step(title))
        switch try await apt.download(package, into: target, onProgress: { progress(.update(title, fraction: $0)) }) {
        case .success(let path): return path
        case .failure(let failure) where failure.kind == .absent: return nil
        case .failure(let failure): throw Self.failure([failure])
        }
    }

    /// The error for an archive that gave nothing.
    private static func failure(_ faults: [AptOutput.Failure]) -> LabError {
        let reasons = faults.map(\.reason).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
        let cause = reasons.prefix(4).joined(separator: "\n")
        if faults.contains(where: { $0.kind == .unreachable }) {
            return LabError(
                "network-unreachable", "The package archive cannot be reached", cause: cause,
                next: "Connect to the network, or set HMMLAB_MIRROR to a mirror that can be reached; "
                    + "git:, dir: and tar: bases need no network.")
        }
        return LabError(
            "archive-refused", "The package archive cannot be used",
            cause: faults.isEmpty ? "It has none of Debian's suites." : cause,
            next: "Check the address in HMMLAB_MIRROR, or apt's configuration on this host.")
    }

    /// Debian's own keys as the host has them, of the package debian-archive-keyring.
    private static func hostKeyring() throws -> String {
        let places = ["pgp", "gpg"].map { "/usr/share/keyrings/debian-archive-keyring.\($0)" }
        if let found = places.first(where: Files.exists) { return found }
        throw LabError(
            "keyring-missing", "The keys of the Debian archive are not installed",
            cause: "There is no \(places.joined(separator: " or ")).",
            next: "Install the package debian-archive-keyring.")
    }
}
