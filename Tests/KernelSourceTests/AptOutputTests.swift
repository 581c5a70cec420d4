// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import KernelSource

/// The texts have the form of apt 2.6's real output, with other host names.
@Suite struct AptOutputTests {
    @Test func indexTargets() {
        let text = """
            http://mirror.example/debian/\tbookworm\tmain\tDebian\tDebian\toldstable\tbookworm
            http://mirror.example/debian-security/\tbookworm-security\tmain\tDebian\tDebian-Security\toldstable-security\tbookworm-security
            https://node.example/\tnodistro\tmain\tNode\tNode\t$(SUITE)\tnodistro
            http://mirror.example/debian/\tbookworm\tnon-free\tDebian\tDebian\toldstable\tbookworm
            torn line
            """
        let targets = AptOutput.indexTargets(text)
        #expect(targets.map(\.release) == ["bookworm", "bookworm-security", "nodistro", "bookworm"])
        #expect(targets[2].suite.isEmpty)
        let host = DebianMirror.hostSuites(targets)
        #expect(
            host == [
                .init(
                    suite: .init(address: "http://mirror.example/debian/", release: "bookworm"), codename: "bookworm"),
                .init(
                    suite: .init(address: "http://mirror.example/debian-security/", release: "bookworm-security"),
                    codename: "bookworm-security"),
            ])
    }

    @Test func configuredSuitesOfAHostThatNeverRanUpdate() {
        let text = """
            'http://mirror.example/debian/dists/bookworm/InRelease' mirror.example_debian_dists_bookworm_InRelease 0 
            'http://mirror.example/debian-security/dists/bookworm-security/InRelease' x 0 
            'https://vendor.example/apt/dists/vendor-suite/InRelease' y 0 
            'http://mirror.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' z 0 
            """
        let host = DebianMirror.hostSuites(AptOutput.configuredSuites(text), codename: "bookworm")
        #expect(host.map(\.suite.release) == ["bookworm", "bookworm-security"])
        #expect(host.first?.suite.address == "http://mirror.example/debian/")
    }

    @Test func suitesOfTheMirror() {
        let enabled = [
            DebianMirror.HostSuite(
                suite: .init(address: "http://a.example/debian/", release: "oldstable"), codename: "bookworm"),
            .init(
                suite: .init(address: "http://b.example/sec/", release: "bookworm-security"),
                codename: "bookworm-security"),
        ]
        let mirror = DebianMirror(main: "http://a.example/debian/", security: "http://b.example/sec/", host: enabled)
        #expect(mirror.suites.prefix(2).map(\.release) == ["oldstable", "bookworm-security"])
        let others = mirror.suites.dropFirst(2).map(\.release)
        #expect(
            others.contains("trixie-backports") && others.contains("sid") && others.contains("bookworm-backports"))
        // What the host enables by a general name is not fetched again by its code name.
        #expect(!others.contains("bookworm") && !others.contains("bookworm-security"))
        for suite in mirror.suites {
            #expect(
                suite.address
                    == (suite.release.hasSuffix("-security") ? "http://b.example/sec/" : "http://a.example/debian/"))
        }
        #expect(
            mirror.sourcesList(keyring: "/k.gpg", architecture: "amd64").split(separator: "\n").first
                == "deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian/ oldstable main")
        #expect(DebianMirror.securityBeside("http://a.example/debian/") == "http://a.example/debian-security/")
        #expect(DebianMirror.securityBeside("http://a.example/other/") == nil)
        let alone = DebianMirror(main: "http://a.example/x/", security: nil, host: [])
        #expect(!alone.suites.isEmpty && alone.suites.allSatisfy { !$0.release.hasSuffix("-security") })
    }

    @Test func updateWithAMissingSuiteAndAMirrorInMotion() {
        let text = """
            Hit:1 http://mirror.example/debian bookworm InRelease
            Get:2 http://mirror.example/debian sid InRelease [193 kB]
            Ign:11 http://mirror.example/debian nosuch InRelease
            Err:15 http://mirror.example/debian nosuch Release
              404  Not Found [IP: 192.0.2.1 80]
            Ign:20 http://mirror.example/debian trixie-updates/main all Packages
            Get:21 http://mirror.example/debian trixie-backports InRelease [54.0 kB]
            Err:22 http://mirror.example/debian trixie-backports/main all Packages
              File has unexpected size (136420 != 143880). Mirror sync in progress? [IP: 192.0.2.1 80]
              Hashes of expected file:
               - Filesize:143880 [weak]
            Reading package lists...
            """
        let transfer = AptOutput.transfer(text)
        #expect(transfer.reached == ["bookworm", "sid", "trixie-backports"])
        #expect(transfer.failures.map(\.kind) == [.absent, .refused])
        #expect(transfer.failures.last?.item == "trixie-backports/main all Packages")
        #expect(transfer.failures.last?.reason.hasPrefix("File has unexpected size") == true)
    }

    @Test(arguments: [
        "Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)",
        "Unable to connect to 127.0.0.1:9:", "Could not resolve 'mirror.invalid'",
        "Temporary failure resolving 'mirror.example'", "Connection failed [IP: 192.0.2.1 80]",
        "Cannot initiate the connection to mirror.example:80 (2001:db8::1). - connect (101: Network is unreachable)",
        "Connection timed out [IP: 192.0.2.1 80]",
    ])
    func unreachable(_ reason: String) {
        let transfer = AptOutput.transfer(
            "Err:1 http://mirror.example/debian sid InRelease\n  \(reason)\nReading package lists...\n")
        #expect(
            transfer == .init(reached: [], failures: [.init(item: "sid InRelease", reason: reason, kind: .unreachable)])
        )
    }

    @Test func aBadSignatureIsNotReached() {
        let transfer = AptOutput.transfer(
            """
            Get:1 http://mirror.example/debian sid InRelease [193 kB]
            Err:1 http://mirror.example/debian sid InRelease
              The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 0123456789ABCDEF
            """)
        #expect(transfer.reached.isEmpty)
        #expect(transfer.failures.map(\.kind) == [.refused])
    }

    @Test func anAnnouncedFileThatIsNotThere() {
        let transfer = AptOutput.transfer(
            """
            Get:1 file:/nonexistent stable InRelease
            Ign:1 file:/nonexistent stable InRelease
            Get:2 file:/nonexistent stable Release
            Err:2 file:/nonexistent stable Release
              File not found - /nonexistent/dists/stable/Release (2: No such file or directory)
            """)
        #expect(transfer.reached.isEmpty)
        #expect(transfer.failures.map(\.kind) == [.absent])
    }

    @Test func madisonAndShow() {
        let offers = AptOutput.offers(
            """
            linux-source-6.12 | 6.12.117-1 | http://mirror.example/debian-security trixie-security/main amd64 Packages
            linux-source-6.12 |  6.12.94-1 | http://mirror.example/debian trixie/main amd64 Packages
            linux-source-6.12 |  6.12.94-1 | http://mirror.example/debian trixie/main Sources
            N: Unable to locate package x
            """)
        #expect(
            offers == [
                .init(package: "linux-source-6.12", version: "6.12.117-1", release: "trixie-security"),
                .init(package: "linux-source-6.12", version: "6.12.94-1", release: "trixie"),
            ])
        let sizes = AptOutput.sizes(
            """
            Package: linux-source-6.12
            Source: linux
            Version: 6.12.117-1
            Installed-Size: 153000
            Description: Linux source
             Size: 5
            Size: 153474904

            Package: linux-source-6.12
            Version: 6.12.94-1
            Size: 152600404
            """)
        #expect(
            sizes == [
                ["linux-source-6.12", "6.12.117-1"]: 153_474_904, ["linux-source-6.12", "6.12.94-1"]: 152_600_404,
            ])
    }

    @Test func downloadProgress() {
        #expect(AptOutput.progress("dlstatus:1:37.5000:Retrieving file 1 of 1 (8s remaining)") == 0.375)
        #expect(AptOutput.progress("Fetched 153 MB in 1s (231 MB/s)") == nil)
        #expect(AptOutput.progress("pmstatus:dpkg:50:x") == nil)
    }
}
