// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import Foundation
import HarnessCore
import Pipeline

struct BuildCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "build", abstract: "Fetch, patch, configure and build a kernel; what is cached is not made again.")

    @OptionGroup(title: "Kernel") var kernel: KernelOptionGroup
    @OptionGroup var common: CommonOptions
    @Option(help: JSONOutput.help) var json: JSONOutput?

    func validate() throws { _ = try kernel.selection() }

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        try await withLab(terminal, json: json) { lab in
            let prepared = try await lab.prepare(try kernel.selection())
            terminal.clear()
            let built = BuildDocument(base: prepared.base, series: prepared.series, kernel: prepared.artifact)
            if let json { try json.write(Document(built)) }
            if json?.path != "-" {
                let kernel = prepared.artifact
                printResult(
                    """
                    kernel    \(kernel.release), \(prepared.base.version)
                    signature \(kernel.signature)
                    image     \(kernel.image ?? "not made")
                    vmlinux   \(kernel.vmlinux)
                    modules   \(kernel.modules)
                    config    \(kernel.config)
                    """)
            }
            return .passed
        }
    }
}

struct CheckModulesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check-modules",
        abstract: "Look at hmmlab's own kernel modules with a base's gcc W=1, sparse, checkpatch and kernel-doc.",
        discussion: "Exit codes: 0 nothing found, 1 findings. What could not be checked is said, and is no finding.")

    @OptionGroup(title: "Kernel") var kernel: KernelOptionGroup
    @OptionGroup var common: CommonOptions
    @Option(help: JSONOutput.help) var json: JSONOutput?

    func validate() throws { _ = try kernel.selection() }

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        try await withLab(terminal, json: json) { lab in
            let prepared = try await lab.prepare(try kernel.selection(), image: .unlessPVH)
            let checks = try await lab.checkModules(on: prepared)
            terminal.clear()
            if let json { try json.write(Document(checks)) }
            if json?.path != "-" {
                for check in checks {
                    let word = check.notChecked != nil ? "NOT CHECKED" : check.findings.isEmpty ? "ok  " : "FAIL"
                    let why = check.notChecked.map { ": " + $0 } ?? ""
                    printResult("\(word) \(check.name), \(prepared.base.kernelVersion)\(why)")
                    for finding in check.findings { printResult("  " + finding) }
                }
            }
            return checks.allSatisfy(\.findings.isEmpty) ? .passed : .testsFailed
        }
    }
}

private struct BuildDocument: Encodable {
    let base: Base
    let series: AppliedSeries?
    let kernel: KernelArtifact
}

struct BaseCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "base", abstract: "Show and fetch base kernels.", subcommands: [BaseList.self, BaseFetch.self])
}

struct BaseList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Show what the archive offers now and what the cache holds.")

    @OptionGroup var common: CommonOptions
    @Flag(help: "Ask the archive now, whatever the age of the index.") var refresh = false
    @Option(help: JSONOutput.help) var json: JSONOutput?

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        try await withLab(terminal, json: json) { lab in
            let listing = try await lab.sources.list(refresh: refresh ? .always : .whenStale)
            terminal.clear()
            if let json { try json.write(Document(listing)) }
            if json?.path != "-" {
                printResult("The archive offers:")
                if listing.offered.isEmpty { printResult("  nothing that is known here") }
                for package in listing.offered {
                    printResult(
                        "  debian:\(package.version.padded(24)) \(package.suite.padded(20)) \(package.size >> 20) MiB")
                }
                printResult("The cache holds:")
                if listing.cached.isEmpty { printResult("  nothing yet") }
                for base in listing.cached {
                    printResult(
                        "  \(base.spec.description.padded(31)) \(base.version.padded(24)) commit \(base.commit.prefix(12))"
                    )
                }
                if let problem = listing.problem { terminal.show(problem) }
            }
            return .passed
        }
    }
}

struct BaseFetch: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fetch", abstract: "Bring a base into the cache, so that it can be used without a network.")

    @Argument(help: "The base, such as debian:6.12.") var base: String
    @OptionGroup var common: CommonOptions
    @Option(help: JSONOutput.help) var json: JSONOutput?

    func run() async throws {
        let terminal = Terminal(quiet: common.quiet)
        try await withLab(terminal, json: json) { lab in
            let fetched = try await lab.sources.resolve(try BaseSpec(parsing: base), refresh: .always)
            terminal.clear()
            if let json { try json.write(Document(fetched)) }
            if json?.path != "-" { printResult("\(base) is \(fetched.version), commit \(fetched.commit)") }
            return .passed
        }
    }
}
