// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// One suite of an archive.
struct DebianSuite: Sendable, Hashable {
    /// The archive's address, ending in a slash.
    var address: String
    /// The name below `dists/`.
    var release: String
}

/// Where Debian's packages come from on this host: which archive, which security archive, which suites.
struct DebianMirror: Sendable, Equatable {
    /// The suites to ask, those that the host uses first.
    let suites: [DebianSuite]

    /// Debian's releases from 12 on; one that does not exist (yet) is skipped without a word.
    private static let releases = ["bookworm", "trixie", "forky", "duke"]

    /// Finds the mirror.
    ///
    /// - Parameters:
    ///   - override: the value of `HMMLAB_MIRROR`: the archive's address, then optionally the security archive's,
    ///     separated by a space.
    ///   - runner: starts apt.
    /// - Returns: the mirror.
    /// - Throws: ``LabError`` `mirror-unknown`, `mirror-invalid`, `tool-missing`.
    static func find(override: String?, runner: ProcessRunner) async throws -> DebianMirror {
        if let override, !override.isEmpty {
            let addresses = try override.split(separator: " ").map { try validated(String($0)) }
            guard let main = addresses.first, addresses.count <= 2 else { throw invalid(override) }
            let security = addresses.dropFirst().first ?? securityBeside(main)
            return DebianMirror(main: main, security: security, host: [])
        }
        let host = try await hostSuites(runner)
        let isSecurity = { (suite: HostSuite) in suite.suite.release.hasSuffix("-security") }
        guard let main = host.first(where: { !isSecurity($0) })?.suite.address ?? host.first?.suite.address else {
            throw LabError(
                "mirror-unknown", "No Debian mirror is known",
                cause: "apt's configuration on this host names no archive of Debian's own.",
                next: "Set HMMLAB_MIRROR to the address of a Debian mirror, up to and with its /debian.")
        }
        return DebianMirror(
            main: main, security: host.first(where: isSecurity)?.suite.address ?? securityBeside(main), host: host)
    }

    /// A suite in the host's configuration, which may call it `stable`, with its code name where apt knows that.
    struct HostSuite: Equatable {
        var suite: DebianSuite
        var codename: String?
    }

    /// The host's suites, then all others that this mirror might have.
    init(main: String, security: String?, host: [HostSuite]) {
        var suites: [DebianSuite] = []
        for entry in host where !suites.contains(entry.suite) { suites.append(entry.suite) }
        let known = Set(host.flatMap { [$0.suite.release, $0.codename ?? $0.suite.release] })
        let wanted =
            Self.releases.flatMap { [$0, "\($0)-updates", "\($0)-backports", "\($0)-security"] }
            + ["sid", "experimental"]
        for release in wanted where !known.contains(release) {
            guard let address = release.hasSuffix("-security") ? security : main else { continue }
            suites.append(DebianSuite(address: address, release: release))
        }
        self.suites = suites
    }

    /// What apt is configured for, as far as it is Debian's own.
    ///
    /// The origin is in the release files that `apt-get update` fetched; a host that never ran it only has addresses,
    /// and the names of the suites must do. A wrong guess is found out by the signature.
    private static func hostSuites(_ runner: ProcessRunner) async throws -> [HostSuite] {
        let environment: [String: String?] = ["LC_ALL": "C"]
        let targets = try await runner.run(
            Command(
                "apt-get", ["indextargets", "--format", AptOutput.indexFormat, "Created-By: Packages"],
                environment: environment))
        let debian = hostSuites(AptOutput.indexTargets(targets.standardOutput))
        if !debian.isEmpty { return debian }
        let configured = try await runner.run(
            Command("apt-get", ["--print-uris", "update"], environment: environment))
        return hostSuites(AptOutput.configuredSuites(configured.standardOutput), codename: hostCodename)
    }

    /// The code name of the host's release, such as `bookworm`, by os-release(5).
    static var hostCodename: String? {
        (try? Files.text("/etc/os-release"))?.firstMatch(of: /(?m)^VERSION_CODENAME="?([a-z]+)"?$/).map { String($0.1) }
    }

    /// The host's suites by origin; backports say "Debian Backports".
    static func hostSuites(_ targets: [AptOutput.IndexTarget]) -> [HostSuite] {
        targets.filter { $0.component == "main" && ($0.origin == "Debian" || $0.origin == "Debian Backports") }
            .filter { !$0.address.hasPrefix("cdrom:") }
            .map {
                HostSuite(
                    suite: DebianSuite(address: $0.address, release: $0.release),
                    codename: $0.codename.isEmpty ? nil : $0.codename)
            }
    }

    /// The host's suites by name.
    static func hostSuites(_ configured: [DebianSuite], codename: String?) -> [HostSuite] {
        let names =
            ["unstable", "sid", "experimental"]
            + (releases + [codename].compactMap(\.self)).flatMap {
                [$0, "\($0)-updates", "\($0)-backports", "\($0)-security"]
            }
        return configured.filter { names.contains($0.release) && !$0.address.hasPrefix("cdrom:") }
            .map { HostSuite(suite: $0, codename: nil) }
    }

    /// Mirrors that carry the security archive at all have it beside `debian` as `debian-security`.
    static func securityBeside(_ main: String) -> String? {
        main.hasSuffix("/debian/") ? main.dropLast() + "-security/" : nil
    }

    /// An address fit for sources.list(5), with a slash at its end.
    private static func validated(_ address: String) throws -> String {
        guard address.wholeMatch(of: /[a-z0-9+]+:\/[^\s\[\]"'#]+/) != nil else { throw invalid(address) }
        return address.hasSuffix("/") ? address : address + "/"
    }

    private static func invalid(_ text: String) -> LabError {
        LabError(
            "mirror-invalid", exit: .usage, "HMMLAB_MIRROR is not the address of a mirror", cause: text,
            next: "Set it to an address such as those in /etc/apt/sources.list, up to and with /debian.")
    }

    /// The mirror as a sources.list(5).
    ///
    /// - Parameters:
    ///   - keyring: the keys that every suite must be signed with.
    ///   - architecture: whose index to fetch; linux-source itself is in all of them.
    /// - Returns: one line for each suite.
    func sourcesList(keyring: String, architecture: String) -> String {
        suites.map { "deb [arch=\(architecture) signed-by=\(keyring)] \($0.address) \($0.release) main\n" }.joined()
    }
}
