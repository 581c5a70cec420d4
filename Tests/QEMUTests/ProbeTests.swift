// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing
import VirtualMachine

@testable import QEMU

/// Whether KVM works, with hosts of every kind.
@Suite struct ProbeTests {
    private static let rootMissing =
        "[    0.9] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"

    /// How guests fare under an accelerator.
    enum Fate: Sendable {
        case fine
        case mute
        case broken
        case aborted
        case refused
        case unresponsive
        case never

        @Sendable func play(_ machine: FakeMachine) async throws {
            switch self {
            case .fine: machine.say(ProbeTests.rootMissing)
            case .mute: break
            case .broken: machine.say("[    0.1] Kernel panic - not syncing: stack-protector")
            case .refused:
                throw LabError("qemu-failed", "ended", cause: "warning: dull\nqemu: error: failed to set MSR 0x10a")
            case .unresponsive: throw LabError("qemu-unresponsive", "QEMU did not answer within 20 seconds")
            case .never: try await Task.sleep(for: .seconds(3600))
            case .aborted:
                machine.end(.failed(LabError("qemu-failed", "was ended", cause: "qemu: Assertion failed")))
                return
            }
            machine.end(.reset)
        }
    }

    private static let facts = ProbeFacts(
        kernelRelease: "6.1", cpuModel: "a CPU", emulator: "/usr/bin/qemu 1 2", settings: nil, mayUseDevice: true)

    private func withProbe(
        kvm: Fate, tcg: Fate, mayUseDevice: Bool = true,
        _ body: (AcceleratorProbe, FakeHost, Cache) async throws -> Void
    ) async throws {
        try await withFolder { folder in
            let host = FakeHost { request, machine in
                try await (request.accelerator == .kvm ? kvm : tcg).play(machine)
            }
            let cache = Cache(root: folder)
            let probe = AcceleratorProbe(host: host, cache: cache) { machine in
                var facts = Self.facts
                facts.settings = machine.accelerators[.kvm]
                facts.mayUseDevice = mayUseDevice
                return facts
            }
            try await body(probe, host, cache)
            let left = (try? FileManager.default.contentsOfDirectory(atPath: folder + "/staging")) ?? []
            #expect(left.isEmpty)
        }
    }

    private func expect(
        _ accelerator: Accelerator, from probe: AcceleratorProbe, _ choice: AcceleratorChoice,
        sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let answer = try await probe.accelerator(choice, machine: plainMachine, kernel: "/k")
        #expect(answer == accelerator, sourceLocation: sourceLocation)
    }

    private func boots(_ host: FakeHost) -> [Accelerator] { host.requests.withLock { $0.map(\.accelerator) } }

    @Test func workingKVMIsFoundOnceAndRemembered() async throws {
        try await withProbe(kvm: .fine, tcg: .fine) { probe, host, _ in
            for choice in [AcceleratorChoice.auto, .auto, .kvm] {
                try await expect(.kvm, from: probe, choice)
            }
            #expect(boots(host) == [.kvm])
            let request = host.requests.withLock { $0[0] }
            #expect(request.initrd == nil)
            #expect(request.memoryMiB == BootRequest.leastKernelMemoryMiB)
        }
    }

    @Test(arguments: [
        (Fate.refused, [Accelerator.kvm]), (.aborted, [.kvm]), (.mute, [.kvm, .tcg]), (.unresponsive, [.kvm, .tcg]),
        (.never, [.kvm, .tcg]),
    ])
    func uselessKVMLeadsToTCGAndIsRemembered(fate: Fate, boots expected: [Accelerator]) async throws {
        try await withProbe(kvm: fate, tcg: .fine) { probe, host, _ in
            try await expect(.tcg, from: probe, .auto)
            #expect(boots(host) == expected)
            try await expect(.tcg, from: probe, .auto)
            #expect(boots(host) == expected)
        }
    }

    @Test(arguments: [Fate.broken, .unresponsive]) func kernelThatBootsNowhereProvesNothing(_ fate: Fate) async throws {
        try await withProbe(kvm: fate, tcg: fate) { probe, host, _ in
            try await expect(.tcg, from: probe, .auto)
            try await expect(.tcg, from: probe, .auto)
            #expect(boots(host) == [.kvm, .tcg, .kvm, .tcg])
        }
    }

    @Test func kvmByNameIsTriedAgainAndExplained() async throws {
        try await withProbe(kvm: .refused, tcg: .fine) { probe, host, _ in
            _ = try await probe.accelerator(.auto, machine: plainMachine, kernel: "/k")
            let error = await #expect(throws: LabError.self) {
                try await probe.accelerator(.kvm, machine: plainMachine, kernel: "/k")
            }
            #expect(error?.code == "kvm-unusable")
            #expect(error?.cause == "qemu: error: failed to set MSR 0x10a")
            #expect(error?.nextStep?.contains("tcg") == true)
            #expect(boots(host) == [.kvm, .kvm])
        }
    }

    @Test func missingDeviceIsNotProbed() async throws {
        try await withProbe(kvm: .fine, tcg: .fine, mayUseDevice: false) { probe, host, _ in
            try await expect(.tcg, from: probe, .auto)
            let error = await #expect(throws: LabError.self) {
                try await probe.accelerator(.kvm, machine: plainMachine, kernel: "/k")
            }
            #expect(error?.cause?.contains("/dev/kvm") == true)
            #expect(boots(host) == [])
        }
    }

    @Test func tcgByNameIsNotProbed() async throws {
        try await withProbe(kvm: .fine, tcg: .fine) { probe, host, _ in
            try await expect(.tcg, from: probe, .tcg)
            #expect(boots(host) == [])
        }
    }

    @Test func changedFactsAskAgain() async throws {
        try await withProbe(kvm: .refused, tcg: .fine) { probe, host, _ in
            _ = try await probe.accelerator(.auto, machine: plainMachine, kernel: "/k")
            var other = plainMachine
            other.accelerators[.kvm]?.cpu = "qemu64"
            _ = try await probe.accelerator(.auto, machine: other, kernel: "/k")
            #expect(boots(host) == [.kvm, .kvm])
        }
    }

    @Test func damagedRecordAsksAgain() async throws {
        try await withProbe(kvm: .fine, tcg: .fine) { probe, host, cache in
            _ = try await probe.accelerator(.auto, machine: plainMachine, kernel: "/k")
            try Files.write("{", to: cache.root + "/accelerator/plain.json")
            try await expect(.kvm, from: probe, .auto)
            #expect(boots(host) == [.kvm, .kvm])
        }
    }

    @Test func factsOfThisHostAreKnown() throws {
        let facts = ProbeFacts(for: plainMachine)
        #expect(!facts.kernelRelease.isEmpty)
        #expect(facts.cpuModel.contains("model name"))
        #expect(facts == ProbeFacts(for: plainMachine))
    }

    @Test func onlyTheMissingRootProvesUserspace() {
        #expect(ProbeOutcome.provesUserspace(Self.rootMissing))
        #expect(
            ProbeOutcome.provesUserspace(
                "[ 1.0] Kernel panic - not syncing: No working init found.  Try passing init= option to kernel."))
        #expect(!ProbeOutcome.provesUserspace("[ 0.0] Linux version 6.12"))
        #expect(!ProbeOutcome.provesUserspace("[ 0.1] Kernel panic - not syncing: IO-APIC + timer doesn't work!"))
    }

    /// A real probe; whatever the host is, `auto` ends in an accelerator under which guests boot.
    @Test func probeOfThisHost() async throws {
        try await withFolder { folder in
            let request = try tinyRequest(Self.rootMissing + "\r\n", then: .tripleFault, in: folder)
            let probe = AcceleratorProbe(cache: Cache(root: folder + "/cache"))
            let choice = try await probe.accelerator(.auto, machine: request.machine, kernel: request.kernel)
            var again = request
            again.accelerator = choice
            let lines = try await QEMUHost().withMachine(again) { await allLines(of: $0) }
            #expect(lines.contains(Self.rootMissing))
            #expect(processes(in: folder).isEmpty)
        }
    }
}
