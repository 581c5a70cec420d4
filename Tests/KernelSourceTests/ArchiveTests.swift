// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import KernelSource

@Suite struct ArchiveTests {
    private func makeArchive() async throws -> (LocalArchive, KernelSources) {
        let archive = try await LocalArchive(Bench())
        for (version, suite) in [
            ("6.12.117-1", "trixie"), ("6.12.115-2", "trixie"), ("6.1.192-2", "bookworm"), ("7.2.13-1", "sid"),
            ("7.3.4-1~bpo13+1", "trixie-backports"), ("7.4~rc1-1~exp1", "experimental"),
        ] { try await archive.add(version, to: suite) }
        return (archive, archive.bench.sources(mirror: archive.address, keyring: archive.keyring))
    }

    @Test func resolvesSeriesLatestAndVersions() async throws {
        let (archive, sources) = try await makeArchive()
        let bench = archive.bench
        for (text, version, kernel, suite) in [
            ("debian:6.12", "6.12.117-1", "6.12.117", "trixie"),
            ("debian:6.1", "6.1.192-2", "6.1.192", "bookworm"),
            ("debian:latest", "7.3.4-1~bpo13+1", "7.3.4", "trixie-backports"),
            ("debian:7.2", "7.2.13-1", "7.2.13", "sid"),
            ("debian:7.4", "7.4~rc1-1~exp1", "7.4.0", "experimental"),
            ("debian:6.12.115-2", "6.12.115-2", "6.12.115", "trixie"),
        ] {
            let base = try await sources.resolve(bench.spec(text))
            #expect(base.version == version && base.kernelVersion == kernel && base.origin == suite)
            #expect(base.identifier == Base.identifier(debianVersion: version))
            try await sources.worktree(for: base).withCheckout(of: base.commit) { path in
                let found = try Files.text(path + "/mm/hmm.c")
                #expect(found == "/* \(version)  */\n")
            }
        }
        let listing = try await sources.list()
        #expect(
            listing.offered.map(\.version) == [
                "7.4~rc1-1~exp1", "7.3.4-1~bpo13+1", "7.2.13-1", "6.12.117-1", "6.12.115-2", "6.1.192-2",
            ])
        #expect(listing.offered.allSatisfy { $0.size > 500 })
        #expect(listing.cached.count == 6 && listing.problem == nil)
        // The store lists 6.12.115 first; 7.1 was never fetched.
        #expect(try await sources.newestStored(ofSeries: "6.12")?.version == "6.12.117-1")
        #expect(try await sources.newestStored(ofSeries: "7.1") == nil)
        #expect(bench.warnings.isEmpty)
        #expect(try FileManager.default.contentsOfDirectory(atPath: bench.cache.root + "/staging").isEmpty)
    }

    @Test func whatIsFetchedNeedsNoArchive() async throws {
        let (archive, sources) = try await makeArchive()
        let bench = archive.bench
        let base = try await sources.resolve(bench.spec("debian:6.12"))
        try await bench.shell("mv mirror/debian gone")
        let steps = bench.events.count
        #expect(try await sources.resolve(bench.spec("debian:6.12")) == base)
        for text in ["debian:6.12.117", "debian:6.12.117-1"] {
            let again = try await sources.resolve(bench.spec(text), refresh: .always)
            #expect(again.commit == base.commit && again.spec.description == text)
        }
        #expect(try await sources.resolve(bench.spec("debian:6.12"), refresh: .never) == base)
        // None of these asked apt for anything.
        #expect(bench.events.count == steps)
        // Asked to look, it says that it could not.
        #expect(try await sources.resolve(bench.spec("debian:6.12"), refresh: .always) == base)
        #expect(bench.warnings.count == 1)
        let error = try await #require(throws: LabError.self) {
            try await sources.resolve(bench.spec("debian:6.1"), refresh: .never)
        }
        #expect(error.code == "base-not-cached" && error.cause?.contains("6.12.117-1") == true)
    }

    @Test func aPointReleaseReplacesTheFormerOne() async throws {
        let (archive, sources) = try await makeArchive()
        let bench = archive.bench
        let old = try await sources.resolve(bench.spec("debian:6.12"))
        try await archive.remove("6.12.117-1", from: "trixie")
        try await archive.add("6.12.118-1", to: "trixie")
        // The index is still fresh, so nobody has noticed.
        #expect(try await sources.resolve(bench.spec("debian:6.12")) == old)
        let new = try await sources.resolve(bench.spec("debian:6.12"), refresh: .always)
        #expect(new.version == "6.12.118-1")
        // The old one is still to be had here, but nowhere else.
        #expect(try await sources.resolve(bench.spec("debian:6.12.117-1")).commit == old.commit)
        let newcomer = try Bench()
        let error = try await #require(throws: LabError.self) {
            try await newcomer.sources(mirror: archive.address, keyring: archive.keyring).resolve(
                bench.spec("debian:6.12.117-1"))
        }
        #expect(error.code == "base-unknown" && error.exitCode == .usage)
        #expect(error.cause?.contains("6.12.118-1, 6.12.115-2") == true)
        #expect(error.nextStep?.contains("debian:6.12") == true)
        // A mirror that fell back does not take a newer base away.
        try await archive.remove("6.12.118-1", from: "trixie")
        #expect(try await sources.resolve(bench.spec("debian:6.12"), refresh: .always) == new)
    }

    @Test func aPackageThatVanishedAfterTheIndexWasRead() async throws {
        let (archive, sources) = try await makeArchive()
        _ = try await sources.list()
        try await archive.remove("6.12.117-1", from: "trixie")
        try await archive.add("6.12.118-1", to: "trixie")
        #expect(try await sources.resolve(archive.bench.spec("debian:6.12")).version == "6.12.118-1")
    }

    @Test func aMirrorThatLacksWhatItLists() async throws {
        let (archive, sources) = try await makeArchive()
        try await archive.remove("6.12.117-1", from: "trixie", index: false)
        let error = try await #require(throws: LabError.self) {
            try await sources.resolve(archive.bench.spec("debian:6.12"))
        }
        #expect(error.code == "archive-refused" && error.exitCode == .unavailable)
    }

    @Test func anUnknownBaseListsWhatThereIs() async throws {
        let (archive, sources) = try await makeArchive()
        _ = try await sources.resolve(archive.bench.spec("debian:6.1"))
        let error = try await #require(throws: LabError.self) {
            try await sources.resolve(archive.bench.spec("debian:6.99"))
        }
        #expect(error.code == "base-unknown" && error.exitCode == .usage)
        #expect(
            error.cause?.contains("7.3 (7.3.4-1~bpo13+1), 7.2 (7.2.13-1), 6.12 (6.12.117-1), 6.1 (6.1.192-2)") == true)
        #expect(error.cause?.contains("The cache holds 6.1.192-2") == true)
    }

    @Test func aPackageThatWasTamperedWithIsRefused() async throws {
        let (archive, sources) = try await makeArchive()
        try await archive.bench.shell(
            "f=$(echo mirror/debian/pool/trixie/*6.12.117-1*); printf X | dd of=\"$f\" bs=1 seek=300 conv=notrunc status=none"
        )
        let error = try await #require(throws: LabError.self) {
            try await sources.resolve(archive.bench.spec("debian:6.12"))
        }
        #expect(error.code == "archive-refused")
        #expect(try await sources.store.bases().isEmpty)
    }

    @Test func anArchiveOfAnotherSignerIsRefused() async throws {
        let (archive, _) = try await makeArchive()
        let stranger = try await LocalArchive(Bench())
        let sources = archive.bench.sources(mirror: archive.address, keyring: stranger.keyring)
        let error = try await #require(throws: LabError.self) {
            try await sources.resolve(archive.bench.spec("debian:6.12"))
        }
        #expect(error.code == "archive-refused")
        #expect(error.cause?.contains("signatures") == true)
    }

    @Test func withoutANetwork() async throws {
        let bench = try Bench()
        // Port 9 of this machine is closed: nobody runs the discard service.
        let sources = bench.sources(mirror: "http://127.0.0.1:9/debian", keyring: "/dev/null")
        let error = try await #require(throws: LabError.self) { try await sources.resolve(bench.spec("debian:6.12")) }
        #expect(error.code == "network-unreachable" && error.exitCode == .unavailable)
        #expect(error.cause?.contains("onnect") == true && error.nextStep?.contains("HMMLAB_MIRROR") == true)
        let listing = try await sources.list(refresh: .never)
        #expect(listing.offered.isEmpty && listing.problem?.code == "archive-unknown")
    }

    @Test(arguments: [
        "", "not an address", "http://a.example/x http://b.example/y http://c.example/z", "http://a.example/[x]",
    ])
    func badMirrors(_ mirror: String) async throws {
        let bench = try Bench()
        let sources = bench.sources(mirror: mirror, keyring: "/dev/null")
        // An empty variable counts as unset.
        if mirror.isEmpty {
            #expect(sources.archive.mirrorOverride == nil)
        } else {
            let error = try await #require(throws: LabError.self) {
                try await sources.resolve(bench.spec("debian:6.12"))
            }
            #expect(error.code == "mirror-invalid" && error.exitCode == .usage)
        }
    }
}
