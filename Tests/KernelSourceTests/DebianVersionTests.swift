// SPDX-License-Identifier: Apache-2.0
import Foundation
import ProcessRunner
import Testing

@testable import KernelSource

@Suite struct DebianVersionTests {
    @Test(arguments: [
        ("6.12", "6.12.117-1~deb12u1", true), ("6.1", "6.12.117-1", false), ("6.12", "6.1.192-2", false),
        ("7.3", "7.3~rc7-1~exp1", true), ("7.3", "7.3-1", true), ("6.12.117", "6.12.117-1", true),
        ("6.12.117", "6.12.117-1~bpo12+1", true), ("6.12.11", "6.12.117-1", false),
        ("6.12.117-1", "6.12.117-1", true), ("6.12.117-1", "6.12.117-1~deb12u1", true),
        ("6.12.117-1", "6.12.117-1~deb13u10", true), ("6.12.117-1", "6.12.117-1~bpo12+1", true),
        ("6.12.117-1", "6.12.117-10", false), ("6.12.117-1", "6.12.117-1~exp1", false),
        ("6.12.117-1~deb12u1", "6.12.117-1~deb12u1", true), ("6.12.117-1~deb12u1", "6.12.117-1", false),
        ("6.12.117-1~deb12u1", "6.12.117-1~deb12u10", false), ("latest", "7.3.4-1~bpo13+1", true),
        ("latest", "7.4~rc1-1~exp1", false),
    ])
    func choice(_ choice: String, _ version: String, _ included: Bool) throws {
        #expect(try #require(BaseSpec.DebianChoice(choice)).includes(version) == included)
    }

    @Test func dpkgOrdersVersions() async throws {
        let versions = DebianVersions(runner: ProcessRunner())
        let shuffled = [
            "6.12.95-1", "6.12.117-1~deb12u1", "7.3~rc7-1", "6.12.117-1", "6.12.117-1~bpo12+1", "7.3-1", "6.2-1",
        ]
        var sorted: [String] = []
        var left = shuffled
        while let next = try await versions.latest(of: left, by: \.self) {
            sorted.append(next)
            left.removeAll { $0 == next }
        }
        #expect(
            sorted == [
                "7.3-1", "7.3~rc7-1", "6.12.117-1", "6.12.117-1~deb12u1", "6.12.117-1~bpo12+1", "6.12.95-1", "6.2-1",
            ])
        #expect(try await !versions.isLater("6.12.117-1", than: "6.12.117-1"))
    }
}

@Suite struct DebianIndexTests {
    private func package(_ version: String, _ suite: String, own: Bool = false) -> ArchivePackage {
        let series = version.prefix { $0 != "-" && $0 != "~" }.split(separator: ".").prefix(2).joined(separator: ".")
        return ArchivePackage(
            package: "linux-source-" + series, version: version, suite: suite, isHostRelease: own, size: 1)
    }

    private var index: DebianIndex {
        DebianIndex(
            packages: [
                package("7.4~rc1-1~exp1", "experimental"), package("7.3.4-1~bpo13+1", "trixie-backports"),
                package("7.3~rc7-1~exp1", "experimental"), package("6.12.117-1", "trixie-security"),
                package("6.12.117-1~deb12u1", "bookworm-security", own: true),
                package("6.12.115-2", "trixie-security"), package("6.1.192-2", "bookworm-security", own: true),
            ], refreshedAt: Date(timeIntervalSince1970: 1_000_000))
    }

    @Test(arguments: [
        ("latest", "7.3.4-1~bpo13+1"), ("7.4", "7.4~rc1-1~exp1"), ("7.3", "7.3.4-1~bpo13+1"),
        // The same release is taken for the release that the host runs.
        ("6.12", "6.12.117-1~deb12u1"), ("6.12.117-1", "6.12.117-1"), ("6.12.115-2", "6.12.115-2"),
        ("6.1", "6.1.192-2"),
        ("6.99", nil), ("6.12.110-1", nil),
    ])
    func best(_ choice: String, _ version: String?) throws {
        #expect(try index.best(#require(BaseSpec.DebianChoice(choice)))?.version == version)
    }

    @Test func aNewerReleaseElsewhereIsTakenFromThere() {
        var index = index
        index.packages.insert(package("6.12.118-1", "sid"), at: 3)
        #expect(index.best(.series("6.12"))?.version == "6.12.118-1")
    }

    @Test func overviewNamesEachSeriesOnce() {
        #expect(
            index.overview == "7.4 (7.4~rc1-1~exp1), 7.3 (7.3.4-1~bpo13+1), 6.12 (6.12.117-1), 6.1 (6.1.192-2)")
        #expect(index.versions(ofSeries: "6.12") == ["6.12.117-1", "6.12.117-1~deb12u1", "6.12.115-2"])
    }

    @Test func staleness() {
        var index = index
        let fetched = index.refreshedAt
        #expect(!index.isStale(at: fetched + 60))
        #expect(index.isStale(at: fetched + DebianIndex.lifetime))
        // A clock that was set back must not make an index fresh for ever.
        #expect(index.isStale(at: fetched - 60))
        index.failedAt = fetched + DebianIndex.lifetime
        #expect(!index.isStale(at: fetched + DebianIndex.lifetime + 60))
        #expect(index.isStale(at: fetched + DebianIndex.lifetime + DebianIndex.patience))
    }
}
