// SPDX-License-Identifier: Apache-2.0
import Foundation
import ProcessRunner

@testable import KernelSource

/// A small Debian archive in a folder, signed with a key of its own: real apt, real signatures, no network.
final class LocalArchive: Sendable {
    let bench: Bench
    var address: String { "file:\(bench.folder)/mirror/debian" }
    var keyring: String { bench.folder + "/mirror/keyring.gpg" }

    init(_ bench: Bench) async throws {
        self.bench = bench
        try await bench.shell(
            """
            mkdir -p mirror/gpg mirror/debian; chmod 700 mirror/gpg; export GNUPGHOME=$PWD/mirror/gpg
            gpg -q --batch --passphrase '' --quick-generate-key 'Archive <archive@localhost>' ed25519 sign never
            gpg -q --export > mirror/keyring.gpg
            gpgconf --kill all
            """)
    }

    /// Puts a linux-source package with the given Makefile version into a suite.
    func add(_ version: String, to suite: String, mark: String = "") async throws {
        let upstream = DebianVersions.upstream(version).split(separator: "~")[0].split(separator: ".").map(String.init)
        let series = upstream.prefix(2).joined(separator: ".")
        try await bench.shell(
            """
            suite=$1 version=$2 series=$3 sublevel=$4 mark=$5 name=linux-source-$3; cd mirror; rm -rf build; mkdir -p build/pkg/usr/src build/pkg/DEBIAN build/$name/mm
            printf 'VERSION = %s\\nPATCHLEVEL = %s\\nSUBLEVEL = %s\\nEXTRAVERSION =\\n' "${series%.*}" "${series#*.}" "$sublevel" > build/$name/Makefile
            echo "/* $version $mark */" > build/$name/mm/hmm.c
            tar -C build -cJf build/pkg/usr/src/$name.tar.xz $name
            printf 'Package: %s\\nVersion: %s\\nArchitecture: all\\nMaintainer: Test <t@localhost>\\nDescription: source\\n' "$name" "$version" > build/pkg/DEBIAN/control
            mkdir -p debian/pool/$suite
            deb=pool/$suite/${name}_${version}_all.deb
            dpkg-deb -b build/pkg "debian/$deb" >/dev/null
            mkdir -p debian/dists/$suite/main/stanzas
            { cat build/pkg/DEBIAN/control; printf 'Filename: %s\\nSize: %s\\nSHA256: %s\\n\\n' "$deb" "$(stat -c %s "debian/$deb")" "$(sha256sum < "debian/$deb" | cut -d' ' -f1)"; } > "debian/dists/$suite/main/stanzas/$version"
            """, suite, version, series, upstream.count > 2 ? upstream[2] : "0", mark)
        try await publish(suite)
    }

    /// Takes a version out of a suite's index; its file too, if asked.
    func remove(_ version: String, from suite: String, index: Bool = true) async throws {
        try await bench.shell(
            """
            cd mirror/debian; rm -f pool/$1/*_$2_all.deb; if [ "$3" = true ]; then rm dists/$1/main/stanzas/$2; fi
            """, suite, version, "\(index)")
        if index { try await publish(suite) }
    }

    private func publish(_ suite: String) async throws {
        try await bench.shell(
            """
            export GNUPGHOME=$PWD/mirror/gpg; cd mirror/debian/dists/$1; arch=$(dpkg --print-architecture); mkdir -p main/binary-$arch
            cat main/stanzas/* > main/binary-$arch/Packages 2>/dev/null || : > main/binary-$arch/Packages
            { printf 'Origin: Debian\\nLabel: Debian\\nSuite: %s\\nCodename: %s\\nDate: %s\\nArchitectures: %s\\nComponents: main\\nSHA256:\\n' "$1" "$1" "$(date -Ru)" "$arch"
              printf ' %s %s main/binary-%s/Packages\\n' "$(sha256sum < main/binary-$arch/Packages | cut -d' ' -f1)" "$(stat -c %s main/binary-$arch/Packages)" "$arch"; } > Release
            gpg -q --batch --yes --clearsign -o InRelease Release; gpgconf --kill all
            """, suite)
    }
}
