// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// A private set of apt's folders, so that apt works without root rights and without touching the system.
///
/// The host's configuration still counts where it describes the way to the mirror (proxies, credentials, clocks);
/// places, trust and hooks are ours. See apt.conf(5).
struct AptRoot: Sendable {
    /// The folder that holds everything, absolute.
    let folder: String
    let runner: ProcessRunner

    /// Writes the configuration for a list of suites.
    ///
    /// - Throws: ``LabError`` `cache-unwritable`, `file-unwritable`.
    func prepare(_ mirror: DebianMirror, keyring: String) async throws {
        let architecture = try await runner.check(Command("dpkg", ["--print-architecture"]))
            .trimmingCharacters(in: .whitespacesAndNewlines)
        for place in ["state/lists/partial", "cache/archives/partial"] { try makeFolder("\(folder)/\(place)") }
        try Files.write("", to: folder + "/state/status")
        try Files.write(mirror.sourcesList(keyring: keyring, architecture: architecture), to: folder + "/sources.list")
        try Files.write(configuration, to: folder + "/apt.conf")
    }

    /// Read after the host's own files (`-c`), so that the last word is ours.
    private var configuration: String {
        """
        Dir::State "\(folder)/state/";
        Dir::State::lists "lists/";
        Dir::State::status "\(folder)/state/status";
        Dir::Cache "\(folder)/cache/";
        Dir::Cache::archives "archives/";
        Dir::Cache::pkgcache "pkgcache.bin";
        Dir::Cache::srcpkgcache "";
        Dir::Log "\(folder)/log/";
        Dir::Etc::sourcelist "\(folder)/sources.list";
        Dir::Etc::sourceparts "/dev/null";
        Dir::Etc::preferences "/dev/null";
        Dir::Etc::preferencesparts "/dev/null";
        Dir::Etc::trusted "/dev/null";
        Dir::Etc::trustedparts "/dev/null";
        #clear APT::Update::Pre-Invoke;
        #clear APT::Update::Post-Invoke;
        #clear APT::Update::Post-Invoke-Success;
        #clear DPkg::Post-Invoke;
        // The folders belong to whoever runs this, and so must the downloads.
        APT::Sandbox::User "root";
        // A root user's apt would otherwise accept what a careless host configuration allows.
        APT::Get::AllowUnauthenticated "false";
        Acquire::AllowInsecureRepositories "false";
        Acquire::AllowWeakRepositories "false";
        Acquire::AllowDowngradeToInsecureRepositories "false";
        // "stable" changes its code name with every release of Debian.
        Acquire::AllowReleaseInfoChange "true";
        Acquire::Languages "none";
        Acquire::GzipIndexes "true";
        Acquire::Retries "1";
        Acquire::http::Timeout "30";
        Acquire::https::Timeout "30";

        """
    }

    /// A command of apt's on these folders.
    func command(_ program: String, _ arguments: [String], in workingDirectory: String? = nil) -> Command {
        Command(program, ["-c", folder + "/apt.conf"] + arguments, environment: ["LC_ALL": "C"], in: workingDirectory)
    }

    /// Fetches the suites' indexes; what failed is in the result.
    func update() async throws -> AptOutput.Transfer {
        // The exit status says little: a suite that does not exist is an error, an unreachable mirror is none.
        let output = try await runner.run(command("apt-get", ["-q", "update"]))
        let transfer = AptOutput.transfer(output.standardOutput)
        if transfer.reached.isEmpty && transfer.failures.isEmpty {
            throw ProcessRunner.failure(of: command("apt-get", ["-q", "update"]), output)
        }
        return transfer
    }

    /// Every linux-source package of the suites; the newest series first, in it the newest version first.
    func packages() async throws -> [ArchivePackage] {
        let names = try await runner.check(command("apt-cache", ["pkgnames", ArchivePackage.prefix]))
            .split(separator: "\n").map(String.init)
            .filter { $0.wholeMatch(of: /linux-source-[0-9]+\.[0-9]+/) != nil }
            .sorted { $0.compare($1, options: .numeric) == .orderedDescending }
        if names.isEmpty { return [] }
        let sizes = AptOutput.sizes(try await runner.check(command("apt-cache", ["show"] + names)))
        let targets = AptOutput.indexTargets(
            try await runner.check(
                command("apt-get", ["indextargets", "--format", AptOutput.indexFormat, "Created-By: Packages"])))
        let offers = AptOutput.offers(try await runner.check(command("apt-cache", ["madison"] + names)))
        let own = DebianMirror.hostCodename
        var packages: [ArchivePackage] = []
        for offer in offers {
            // experimental's code name means nothing to people.
            let codename = targets.first { $0.release == offer.release }?.codename ?? ""
            let suite = offer.release == "experimental" || codename.isEmpty ? offer.release : codename
            let package = ArchivePackage(
                package: offer.package, version: offer.version, suite: suite,
                isHostRelease: own.map { suite == $0 || suite.hasPrefix($0 + "-") } ?? false,
                size: sizes[[offer.package, offer.version]] ?? 0)
            // One version may be in several suites.
            if !packages.contains(where: { $0.package == package.package && $0.version == package.version }) {
                packages.append(package)
            }
        }
        return packages
    }

    /// Downloads one package, verified by apt against the signed index.
    ///
    /// - Parameters:
    ///   - package: a package in the index.
    ///   - target: an empty folder.
    ///   - onProgress: receives fractions from 0 to 1.
    /// - Returns: the path of the .deb, or what failed.
    /// - Throws: ``LabError`` `tool-missing`, `tool-failed`.
    func download(
        _ package: ArchivePackage, into target: String, onProgress: @escaping @Sendable (Double) -> Void
    ) async throws -> Result<String, AptOutput.Failure> {
        let command = command(
            "apt-get", ["-q", "-o", "APT::Status-Fd=1", "download", "\(package.package)=\(package.version)"], in: target
        )
        let lines = LockedValue(LineSplitter())
        let output = LockedValue<[String]>([])
        let ending = try await runner.stream(command) { stream, bytes in
            guard stream == .standardOutput else {
                return output.withLock { $0.append(String(decoding: bytes, as: UTF8.self)) }
            }
            for line in lines.withLock({ $0.feed(bytes) }) {
                if let fraction = AptOutput.progress(line) {
                    onProgress(fraction)
                } else {
                    output.withLock { $0.append(line + "\n") }
                }
            }
        }
        let files = (try? FileManager.default.contentsOfDirectory(atPath: target)) ?? []
        if ending.isSuccess, let name = files.first(where: { $0.hasSuffix(".deb") }) {
            return .success(target + "/" + name)
        }
        let text = output.withLock { $0.joined() }
        if let failure = AptOutput.transfer(text).failures.first { return .failure(failure) }
        // The index in use is newer than our copy of it and lacks this version.
        if text.contains("was not found") {
            return .failure(.init(item: package.version, reason: "apt's index does not have it.", kind: .absent))
        }
        throw ProcessRunner.failure(of: command, CommandOutput(ending: ending, standardError: text))
    }
}
