// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import VirtualMachine

/// Finds out whether KVM works here, by booting a kernel with it, and remembers the answer.
///
/// The device node proves nothing: there are hosts where it exists and every guest hangs or QEMU aborts.
public struct AcceleratorProbe: Sendable {
    /// How long QEMU's start and the guest may take under KVM; a working one needs about a second.
    static let kvmPatience = Duration.seconds(4)
    /// How long the same kernel may take under TCG to prove that it is not to blame.
    static let controlPatience = Duration.seconds(15)

    private let host: any MachineHost
    private let cache: Cache
    private let facts: @Sendable (MachineDescription) -> ProbeFacts

    /// A probe that boots with a host and remembers in a cache.
    public init(host: any MachineHost = QEMUHost(), cache: Cache = Cache()) {
        self.init(host: host, cache: cache, facts: ProbeFacts.init(for:))
    }

    init(host: any MachineHost, cache: Cache, facts: @escaping @Sendable (MachineDescription) -> ProbeFacts) {
        self.host = host
        self.cache = cache
        self.facts = facts
    }

    /// The accelerator to use on a machine.
    ///
    /// A remembered answer costs a few reads of small files; a probe takes a few seconds where KVM is at fault, and
    /// some more where the kernel is. Asked for KVM by name, a remembered "no" is not believed.
    ///
    /// - Parameters:
    ///   - choice: what the person asked for.
    ///   - machine: the machine that guests will run on.
    ///   - kernel: a kernel that the machine can boot, as an absolute path.
    ///   - progress: told of a probe and of its outcome.
    /// - Returns: the accelerator; with `auto` always one that works.
    /// - Throws: ``LabError`` `kvm-unusable` if KVM was asked for by name; `tool-missing` and others if QEMU cannot be
    ///   started at all; `cache-unwritable`; `CancellationError`.
    public func accelerator(
        _ choice: AcceleratorChoice, machine: MachineDescription, kernel: String, progress: ProgressHandler = { _ in }
    ) async throws -> Accelerator {
        guard choice != .tcg, machine.accelerators[.kvm] != nil || choice == .kvm else { return .tcg }
        switch try await verdict(on: machine, kernel: kernel, isDoubtful: choice == .kvm, progress) {
        case .usable: return .kvm
        case .unusable(let reason), .unclear(let reason):
            guard choice == .kvm else { return .tcg }
            throw LabError(
                "kvm-unusable", "KVM does not work on this host", cause: reason,
                next: "Use --accelerator tcg, or auto, which chooses by itself.")
        }
    }

    private func verdict(
        on machine: MachineDescription, kernel: String, isDoubtful: Bool, _ progress: ProgressHandler
    ) async throws -> ProbeVerdict {
        let facts = facts(machine)
        guard facts.mayUseDevice else { return .unusable("/dev/kvm is missing, or may not be used by this user.") }
        guard facts.settings != nil else { return .unusable("The machine \(machine.name) has no settings for KVM.") }
        let place = try cache.path("accelerator", "\(machine.name).json")
        if let record = Self.remembered(at: place), record.facts == facts, record.isUsable || !isDoubtful {
            return record.isUsable ? .usable : .unusable(record.reason ?? "a probe boot failed")
        }
        progress(.step("Trying KVM with a short boot"))
        let verdict = try await ProbeVerdict.judge(
            kvm: boot(machine, kernel, .kvm, patience: Self.kvmPatience),
            control: { try await boot(machine, kernel, .tcg, patience: Self.controlPatience) })
        switch verdict {
        case .usable:
            try Files.write(JSON.text(ProbeRecord(facts: facts, isUsable: true)), to: place)
        case .unusable(let reason):
            progress(.note("KVM does not work here, so guests run under TCG: \(reason)"))
            try Files.write(JSON.text(ProbeRecord(facts: facts, isUsable: false, reason: reason)), to: place)
        case .unclear(let reason):
            progress(.warning("Whether KVM works could not be told, since the kernel boots nowhere: \(reason)"))
        }
        return verdict
    }

    /// An answer that cannot be read was never given.
    private static func remembered(at place: String) -> ProbeRecord? {
        guard let data = try? Files.bytes(place) else { return nil }
        return try? JSON.value(ProbeRecord.self, from: data)
    }

    private func boot(
        _ machine: MachineDescription, _ kernel: String, _ accelerator: Accelerator, patience: Duration
    ) async throws -> ProbeOutcome {
        guard machine.accelerators[accelerator] != nil else { return .stuck(lastLine: nil) }
        var small = machine
        small.reservedMemory = []
        let folder = try cache.stagingFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let request = BootRequest(
            machine: small, kernel: kernel, initrd: nil, memoryMiB: BootRequest.leastKernelMemoryMiB,
            accelerator: accelerator, runFolder: folder)
        do {
            return try await Self.within(patience) { hasStarted in
                // QEMU's start counts: one that hangs on KVM may never get as far as the guest.
                let watchdog = Watchdog(
                    .init(boot: patience, silence: patience, reportPause: .zero, report: .zero), start: .now)
                return try await host.withMachine(request) { machine in
                    hasStarted.withLock { $0 = true }
                    let seen = try await machine.observe(with: ProbeObserver(), watchdog: watchdog)
                    if seen.observer.hasReachedUserspace { return .reachedUserspace }
                    if case .failed(let error) = seen.ending { return .emulatorFailed(Self.words(error)) }
                    return .stuck(lastLine: seen.observer.lastLine)
                }
            }
        } catch let error as LabError where error.code == "qemu-failed" || error.code == "machine-channel" {
            return .emulatorFailed(Self.words(error))
        } catch let error as LabError where error.code == "qemu-unresponsive" {
            return .stuck(lastLine: nil)
        }
    }

    /// Runs a boot that is stuck if its machine has not started after some time; from then on the watchdog counts.
    private static func within(
        _ patience: Duration, _ boot: @escaping @Sendable (LockedValue<Bool>) async throws -> ProbeOutcome
    ) async throws -> ProbeOutcome {
        let hasStarted = LockedValue(false)
        return try await withThrowingTaskGroup(of: ProbeOutcome?.self) { group in
            group.addTask { try await boot(hasStarted) }
            group.addTask {
                try await Task.sleep(for: patience, clock: .suspending)
                return hasStarted.withLock { $0 } ? nil : .stuck(lastLine: nil)
            }
            defer { group.cancelAll() }
            while let outcome = try await group.next() {
                if let outcome { return outcome }
            }
            throw CancellationError()
        }
    }

    /// The line of QEMU's that says most: its first error, or its last line.
    private static func words(_ error: LabError) -> String {
        let lines = (error.cause ?? error.sentence).split(separator: "\n").map(String.init)
        return lines.first { $0.contains("error:") } ?? lines.last ?? error.sentence
    }
}

/// Watches a probe boot.
private struct ProbeObserver: MachineObserver {
    var hasReachedUserspace = false
    var lastLine: String?

    mutating func observe(_ event: MachineEvent, watchdog: inout Watchdog) -> [MachineAction] {
        guard case .console(let line) = event, !line.text.isEmpty else { return [] }
        lastLine = line.text
        guard ProbeOutcome.provesUserspace(line.text) else { return [] }
        hasReachedUserspace = true
        return [.stop]
    }
}

extension ProbeFacts {
    /// The facts of this host.
    init(for machine: MachineDescription) {
        var system = utsname()
        uname(&system)
        kernelRelease = withUnsafeBytes(of: &system.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let cpu = (try? Files.text("/proc/cpuinfo"))?.split(separator: "\n").first { $0.hasPrefix("model name") }
        cpuModel = cpu.map(String.init) ?? ""
        emulator = machine.emulator
        if let program = ProcessRunner.find(machine.emulator) {
            var status = stat()
            if stat(program, &status) == 0 {
                emulator = "\(program) \(status.st_size) \(status.st_mtim.tv_sec)"
            }
        }
        settings = machine.accelerators[.kvm]
        mayUseDevice = access("/dev/kvm", R_OK | W_OK) == 0
    }
}
