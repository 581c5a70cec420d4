// SPDX-License-Identifier: Apache-2.0
import Foundation

/// A linux-source package that the archive offers.
public struct ArchivePackage: Sendable, Hashable, Codable {
    /// Such as `linux-source-6.12`.
    public var package: String
    /// Such as `6.12.117-1~deb12u1`.
    public var version: String
    /// The code name of the suite, such as `bookworm-security`.
    public var suite: String
    /// Whether that suite belongs to the Debian release that the host runs.
    public var isHostRelease: Bool
    /// The size of the .deb in bytes.
    public var size: Int64

    /// The kernel series, such as `6.12`.
    public var series: String { String(package.dropFirst(Self.prefix.count)) }

    static let prefix = "linux-source-"
}

/// What the archive offered when it was last asked.
struct DebianIndex: Sendable, Equatable, Codable {
    /// Every package of every suite; the newest series first, in it the newest version first.
    var packages: [ArchivePackage]
    /// When the suites' indexes were last fetched.
    var refreshedAt: Date
    /// When the archive could last not be reached; nil if it could.
    var failedAt: Date?

    /// How long an index is believed: a point release comes every week or two.
    static let lifetime: TimeInterval = 24 * 3600
    /// How long a mirror is left alone that could not be reached, or that was asked for what it does not have.
    static let patience: TimeInterval = 15 * 60

    /// Whether it is time to ask the archive again.
    func isStale(at now: Date) -> Bool {
        if let failedAt, (0..<Self.patience).contains(now.timeIntervalSince(failedAt)) { return false }
        return isOutdated(at: now)
    }

    /// Whether it was fetched too long ago to be believed, or in the future.
    func isOutdated(at now: Date) -> Bool { !(0..<Self.lifetime).contains(age(at: now)) }

    /// Seconds since it was fetched.
    func age(at now: Date) -> TimeInterval { now.timeIntervalSince(refreshedAt) }

    /// The best package for a choice: the newest, and among rebuilds of the same one that for the host's own
    /// release.
    func best(_ choice: BaseSpec.DebianChoice) -> ArchivePackage? {
        let matching = packages.filter { choice.includes($0.version) }
        guard let newest = matching.first else { return nil }
        if case .version = choice { return newest }
        let same = DebianVersions.withoutRebuild(newest.version)
        return matching.first { $0.isHostRelease && DebianVersions.withoutRebuild($0.version) == same } ?? newest
    }

    /// One entry for each series, as in `6.12 (6.12.117-1)`, for error messages.
    var overview: String {
        var seen: Set<String> = []
        return packages.filter { seen.insert($0.series).inserted }
            .map { "\($0.series) (\($0.version))" }.joined(separator: ", ")
    }

    /// The versions of one series, the newest first.
    func versions(ofSeries series: String) -> [String] {
        packages.filter { $0.series == series }.map(\.version)
    }
}
