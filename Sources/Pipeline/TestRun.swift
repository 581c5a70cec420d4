// SPDX-License-Identifier: Apache-2.0
import Foundation
import GuestProtocol
import HarnessCore
import KernelBuild
import KernelLog
import KernelSource
import ProcessRunner
import QEMU
import TestResults
import VirtualMachine

/// What to test.
public struct TestSelection: Sendable {
    /// The kernel.
    public var kernel: KernelSelection
    /// The machine and the driver.
    public var guest: GuestSelection
    /// Suites by name; empty for all that the driver can run.
    public var suites: [String]
    /// A regular expression that a test's identifier has to match.
    public var filter: String?
    /// Whether tests go on after one that failed.
    public var keepGoing: Bool
    /// The arguments that hmmlab was called with, for the record.
    public var arguments: [String]
    /// Where the run is kept; nil for a folder of its own below the cache's `runs`.
    var place: String?

    /// Makes a selection.
    public init(
        kernel: KernelSelection, guest: GuestSelection, suites: [String] = [], filter: String? = nil,
        keepGoing: Bool = true, arguments: [String] = []
    ) {
        self.kernel = kernel
        self.guest = guest
        self.suites = suites
        self.filter = filter
        self.keepGoing = keepGoing
        self.arguments = arguments
    }
}

/// What is told while tests run.
public enum TestEvent: Sendable {
    /// The tests are known and the first boot begins.
    case planned(Int)
    /// A guest has greeted; the boot's index and the guest's uptime.
    case booted(Int, milliseconds: Int)
    /// A test began.
    case began(String)
    /// A test has its result.
    case ended(TestRecord)
    /// The kernel complained.
    case report(title: String, test: String?)
    /// Something that a person should know and that decides nothing.
    case note(String)
}

/// A finished run.
public struct TestReport: Sendable {
    /// What happened.
    public var record: RunRecord
    /// Where everything lies.
    public var folder: RunFolder
}

extension Lab {
    /// How often a guest may fail to boot before the rest is given up.
    private static let bootAttempts = 2

    /// Everything that has to be there before the first boot.
    private func arrange(_ selection: TestSelection, isDryRun: Bool = false) async throws -> TestArrangement {
        let catalog = try await catalog()
        let driver = selection.guest.driver
        let isPersistent = try hasPersistentMemory(selection.kernel, selection.guest)
        try catalog.check(suites: selection.suites, for: driver, persistentMemory: isPersistent)
        let wanted =
            selection.suites.isEmpty ? catalog.suites(for: driver, persistentMemory: isPersistent) : selection.suites
        guard !wanted.isEmpty else {
            throw LabError(
                "suite-none", exit: .usage, "No suite can be run without a driver in this guest",
                next: "Leave out --driver none, or add --flavour pmem, whose suite dax needs no driver.")
        }
        var tests = catalog.own.filter { wanted.contains($0.suite) && $0.isPossible(with: driver) }
        if !wanted.contains(SuiteCatalog.kselftest) {
            // A filter that matches nothing is found out before a kernel is built.
            _ = try SuiteCatalog.filter(tests, by: selection.filter)
        }
        let known = try KnownOutcomes(path: installation.expectations)
        let machine = try machine(selection.guest)
        let kernel = try await prepare(selection.kernel, image: machine.imageNeed)
        var kselftest: KselftestProgram?
        if wanted.contains(SuiteCatalog.kselftest) {
            let program = try await KselftestBuilder(builder).build(kernel.input, config: kernel.config)
            tests += SuiteCatalog.kselftests(cases: program.cases)
            kselftest = program
        }
        tests = try SuiteCatalog.filter(tests, by: selection.filter)

        let modules = try await modules(of: driver, for: kernel)
        let tools = GuestTools(for: tests)
        for warning in tools.warnings { progress(.warning(warning)) }
        let image = try await image(
            for: kernel, externalModules: modules, kselftest: kselftest, tools: tools.programs)
        let boots = try await GuestBoots(
            lab: self, kernel: kernel, externalModules: modules, image: image, machine: machine,
            selection: selection.guest,
            folder: selection.place.map { try RunFolder.make(at: $0) }
                ?? RunFolder.make(in: cache, isLatest: !isDryRun),
            host: QEMUHost(runner: runner))
        return TestArrangement(boots: boots, tests: tests, known: known)
    }

    /// The emulator's command line for a test run's first boot, as a shell takes it.
    ///
    /// - Throws: ``LabError`` as ``test(_:onEvent:)`` does before it boots.
    public func commandLine(for selection: TestSelection) async throws -> String {
        let request = try await arrange(selection, isDryRun: true).boots.request(0)
        try request.check()
        return launchCommand(for: request).shellText
    }

    /// Builds what is missing, boots guests until every test has a verdict, and writes the run's folder.
    ///
    /// - Throws: ``LabError`` for everything that keeps tests from being run at all; a failing test is no error.
    public func test(
        _ selection: TestSelection, onEvent: @escaping @Sendable (TestEvent) -> Void = { _ in }
    ) async throws -> TestReport {
        let arrangement = try await arrange(selection)
        let (boots, kernel) = (arrangement.boots, arrangement.boots.kernel)
        onEvent(.planned(arrangement.tests.count))
        let started = Date()
        let record: @Sendable (TestRunState) -> RunRecord = { run in
            RunRecord(
                base: "\(selection.kernel.base) (\(kernel.base.version))", series: selection.kernel.series,
                flavour: selection.kernel.flavour, kernelSignature: kernel.artifact.signature,
                machine: boots.machine.name,
                accelerator: boots.accelerator.rawValue, started: started, ended: Date(), tests: run.records,
                problems: run.problems, notRun: run.notRun, isInterrupted: run.isInterrupted,
                remarks: run.remarks)
        }
        try writeReproducer(to: boots.folder, selection, kernel)
        var run = TestRunState(
            boots: boots, known: arrangement.known, keepGoing: selection.keepGoing, attempts: Self.bootAttempts,
            onEvent: onEvent
        ) { run in
            // Should hmmlab be killed, the boots until then are there to be read; a failure shows at the end.
            var sofar = record(run)
            sofar.isInterrupted = !run.notRun.isEmpty
            try? Files.write(sofar.json(), to: boots.folder.path + "/record.json")
        }
        try await run.work(through: arrangement.tests)
        let finished = record(run)
        try Files.write(try finished.json(), to: boots.folder.path + "/record.json")
        try Files.write(finished.ktap().text(), to: boots.folder.path + "/results.ktap")
        try Files.write(try finished.junit(), to: boots.folder.path + "/junit.xml")
        remember(finished, of: kernel, selection)
        return TestReport(record: finished, folder: boots.folder)
    }

    /// Variables that change what a run does; a reproducer sets them as they were.
    private static let honoured =
        [
            "ARCH", "CROSS_COMPILE", "LLVM", "CC", "KCFLAGS", "CCACHE_DIR", "XDG_CACHE_HOME", "HMMLAB_MIRROR",
        ] + testVariables

    /// Variables that the tests themselves heed.
    static let testVariables = ["HMMLAB_SEED", "HMMLAB_STORM_SECONDS", "HMMLAB_MODEL_SECONDS"]

    /// Writes the kernel's configuration and a script that runs the same again from any folder.
    private func writeReproducer(
        to folder: RunFolder, _ selection: TestSelection, _ kernel: PreparedKernel
    ) throws {
        try Files.write(try Files.text(kernel.artifact.config), to: folder.path + "/config")
        var words = selection.arguments
        // The same base again, even when its series or branch has moved on.
        if let base = kernel.base.exactSpecification { words += ["--base", base] }
        let command = Command(
            installation.root + "/scripts/hmmlab", words,
            environment: environment.filter { Self.honoured.contains($0.key) }.mapValues { $0 },
            in: FileManager.default.currentDirectoryPath)
        let script = folder.path + "/reproduce.sh"
        try Files.write("#!/bin/sh\n# Runs this again.\n\(command.shellText)\n", to: script)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: script)
    }
}

/// A run that can begin.
private struct TestArrangement {
    var boots: GuestBoots
    var tests: [GuestTest]
    var known: KnownOutcomes
}

/// The boots of one run: everything about them that does not change.
struct GuestBoots: Sendable {
    let lab: Lab
    let kernel: PreparedKernel
    /// The driver's modules as far as the kernel's own tree has none.
    let externalModules: [String]
    let image: String
    let machine: MachineDescription
    let selection: GuestSelection
    let folder: RunFolder
    let accelerator: Accelerator
    let host: any MachineHost

    init(
        lab: Lab, kernel: PreparedKernel, externalModules: [String] = [], image: String, machine: MachineDescription,
        selection: GuestSelection, folder: RunFolder, host: any MachineHost
    ) async throws {
        self.lab = lab
        self.kernel = kernel
        self.externalModules = externalModules
        self.image = image
        self.machine = machine
        self.selection = selection
        self.folder = folder
        self.host = host
        accelerator = try await AcceleratorProbe(host: host, cache: lab.cache).accelerator(
            selection.accelerator, machine: machine, kernel: try Self.image(of: kernel, machine), progress: lab.progress
        )
    }

    static func image(of kernel: PreparedKernel, _ machine: MachineDescription) throws -> String {
        // A configuration of the person's own may lack the entry point.
        if machine.bootMethod == .pvh && kernel.artifact.hasPVHEntry { return kernel.artifact.vmlinux }
        guard let image = kernel.artifact.image else {
            throw LabError("artifact-incomplete", "The kernel in \(kernel.artifact.folder) has no bzImage")
        }
        return image
    }

    func request(_ index: Int, hasShell: Bool = false) throws -> BootRequest {
        BootRequest(
            machine: machine, kernel: try Self.image(of: kernel, machine), initrd: image,
            append: kernel.append + selection.append, cpus: selection.cpus, memoryMiB: selection.memoryMiB,
            nodes: selection.nodes,
            accelerator: accelerator, runFolder: try folder.boot(index), hasShell: hasShell)
    }

    /// The driver with the memory that the machine sets aside for it.
    var modules: [ModuleRequest] {
        guard selection.driver != .noDriver else { return [] }
        let parameters = machine.coherentModuleParameters.joined(separator: " ")
        return [ModuleRequest(selection.driver.rawValue, parameters: parameters)]
    }

    /// What the person wants to be done in the guest before the tests.
    var preparations: [Preparation] {
        selection.preparations.map { Preparation(command: ["sh", "-c", $0], isRequired: true) }
    }

    /// Variables for every test: the driver, and the seed of random requests and the length of storms and explorations where they
    /// are given.
    var testEnvironment: [String: String] {
        var variables = ["HMMLAB_DRIVER": selection.driver.rawValue]
        for name in Lab.testVariables { variables[name] = lab.environment[name] }
        if let seed = selection.seed { variables["HMMLAB_SEED"] = String(seed) }
        return variables
    }

    var context: RunContext {
        let line = (try? request(0).kernelCommandLine) ?? ""
        return RunContext(
            kernelVersion: kernel.base.kernelVersion, driver: selection.driver.rawValue, flavour: kernel.config.flavour,
            commandLine: line, patches: RunContext.names(of: kernel.series),
            cpus: selection.cpus ?? machine.cpus)
    }
}
