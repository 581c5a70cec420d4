// SPDX-License-Identifier: Apache-2.0
import GuestProtocol
import HarnessCore
import KernelBuild
import KernelLog
import ProcessRunner
import QEMU
import VirtualMachine

@_exported import enum GuestProtocol.RunStream

/// What became of a command in a guest.
public struct CommandResult: Sendable {
    /// The exit status to pass on: the command's own, 128 and the signal, 124 after its time limit, 1 after a crash.
    public var status: Int32
    /// Titles of what the kernel complained about.
    public var reports: [String]
    /// Those of them that came while the command ran.
    var ownReports: [String] = []
    /// The command's own status, as a shell tells it; ``status`` where it did not end by itself.
    var commandStatus: Int32
    /// Whether the command ended by itself.
    var isEnded: Bool
    /// Where everything lies.
    public var folder: RunFolder
}

extension Lab {
    /// The most seconds that a command may run, and what it gets without a limit of its own: a week, so that every
    /// limit downstream stays an ordinary number.
    public static let longestCommand = 7 * 24 * 3600

    /// Runs one command in a fresh guest with the driver loaded.
    ///
    /// - Parameters:
    ///   - timeoutSeconds: after which the command is killed; nil for no limit.
    ///   - onOutput: gets the command's output as it comes.
    /// - Throws: ``LabError`` `command-too-long`; `guest-lost` if the guest does not come up or goes away without a
    ///   report; others.
    public func run(
        _ command: [String], kernel: KernelSelection, guest: GuestSelection, timeoutSeconds: Int?,
        onOutput: @escaping @Sendable (RunStream, [UInt8]) -> Void
    ) async throws -> CommandResult {
        try await run(
            command, kernel: kernel, guest: guest, timeoutSeconds: timeoutSeconds, place: nil, onOutput: onOutput)
    }

    /// As ``run(_:kernel:guest:timeoutSeconds:onOutput:)``, kept in a folder that is named.
    func run(
        _ command: [String], kernel: KernelSelection, guest: GuestSelection, timeoutSeconds: Int?, place: String?,
        onOutput: @escaping @Sendable (RunStream, [UInt8]) -> Void
    ) async throws -> CommandResult {
        let test = GuestTest(
            id: "run/command", suite: "run", summary: "", requirements: [],
            timeoutMilliseconds: (timeoutSeconds ?? Self.longestCommand) * 1000, arguments: command, form: .status,
            outputLimit: nil)
        do {
            _ = try HostMessage.run(test.request(environment: [:])).encoded()
        } catch {
            throw LabError(
                "command-too-long", exit: .usage, "The command is too long for the guest", cause: "\(error)",
                next: "Split it into several commands.")
        }
        let boots = try await boots(kernel, guest, place: place)
        let plan = SessionPlan(modules: boots.modules, tests: [test], environment: [:])
        progress(.step("Booting the guest"))
        let session = TestSession(plan) { if case .output(let stream, let bytes) = $0 { onOutput(stream, bytes) } }
        let observed = try await boots.observe(session)
        let observer = observed.observer
        let own = observer.outcomes.flatMap(\.reports).filter(\.isFinding).map(\.title)
        let titles = own + observer.problems.compactMap(\.report).filter(\.isFinding).map(\.title)
        let status: Int32
        var isEnded = false
        switch observer.outcomes.first?.ending {
        case .exited(let code): (status, isEnded) = (code, true)
        case .signalled(let number): (status, isEnded) = (128 + number, true)
        case .timedOut, .unkillable: status = 124
        case nil where observed.expiry == .test && titles.isEmpty:
            progress(.warning("the guest hung" + (observer.hang?.place.map { " in \($0)" } ?? "")))
            status = 124
        case nil:
            guard !titles.isEmpty else { throw boots.lost(observed) }
            status = 1
        }
        return CommandResult(
            status: status == 0 && !titles.isEmpty ? 1 : status, reports: titles, ownReports: own,
            commandStatus: status, isEnded: isEnded, folder: boots.folder)
    }

    /// Prepares everything for guests that run no suite of the kernel's own.
    func boots(
        _ kernel: KernelSelection, _ guest: GuestSelection, place: String? = nil
    ) async throws -> GuestBoots {
        let machine = try machine(guest)
        let kernel = try await prepare(kernel, image: machine.imageNeed)
        let modules = try await modules(of: guest.driver, for: kernel)
        let image = try await image(for: kernel, externalModules: modules, kselftest: nil)
        return try await GuestBoots(
            lab: self, kernel: kernel, externalModules: modules, image: image, machine: machine, selection: guest,
            folder: place.map { try RunFolder.make(at: $0) } ?? RunFolder.make(in: cache),
            host: QEMUHost(runner: runner))
    }

    /// The machine to boot; a missing emulator is found out before a kernel is built for it.
    func machine(_ guest: GuestSelection) throws -> MachineDescription {
        let machine = try MachineFolder(installation.machines).machine(guest.machine)
        try ProcessRunner.require(machine.emulator)
        return machine
    }
}

extension MachineDescription {
    /// Whether the machine can do without the compressed image.
    var imageNeed: ImageNeed { bootMethod == .pvh ? .unlessPVH : .always }
}

extension GuestBoots {
    /// Boots once and follows the guest to its end.
    func observe(_ session: TestSession, index: Int = 0) async throws -> Observed<TestSession> {
        let request = try request(index)
        try request.check()
        return try await host.withMachine(request) { machine in
            var observed = try await machine.observe(with: session, watchdog: Watchdog(start: .now))
            observed.observer.finish()
            return observed
        }
    }

    /// The error for a guest that went away without a word.
    func lost(_ observed: Observed<TestSession>) -> LabError {
        if case .failed(let error) = observed.ending { return error }
        let problem = observed.observer.problems.first?.text
        guard observed.observer.bootMilliseconds == nil || problem != nil else {
            return LabError(
                "guest-lost", exit: .testsFailed, "The guest went away while the command ran",
                next: "See \(folder.path).")
        }
        return LabError(
            "guest-lost", exit: .bootFailed, "The guest did not come up", cause: problem,
            next: "See the console in \(folder.path).")
    }
}
