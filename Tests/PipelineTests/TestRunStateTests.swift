// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import TestResults
import Testing
import VirtualMachine

@testable import KernelBuild
@testable import KernelSource
@testable import Pipeline

@Suite("A run of tests")
struct TestRunStateTests {
    private static let tests = ["a/1", "a/2", "a/3", "a/4"]

    /// What a run leaves behind.
    private struct Run {
        var record: RunRecord
        /// The tests that each boot was asked for.
        var boots: [[String]]
        /// The results in the order in which they were told.
        var told: [String]

        var verdicts: [Verdict] { record.tests.map(\.verdict) }
    }

    /// Runs the four tests on guests that follow scripts.
    private func run(
        keepGoing: Bool = true, cancelAfter last: String? = nil,
        _ script: @escaping @Sendable (_ boot: Int) -> GuestScript
    ) async throws -> Run {
        try await withTemporaryFolder { folder in
            let lab = try Lab(
                environment: ["XDG_CACHE_HOME": folder, "HMMLAB_ROOT": repository.path], progress: { _ in })
            let host = FakeHost(script)
            let boots = try await GuestBoots(
                lab: lab, kernel: kernel(in: folder), image: folder + "/image", machine: Self.machine,
                selection: GuestSelection(accelerator: .tcg), folder: RunFolder.make(in: lab.cache), host: host)
            let told = LockedValue([String]())
            let (ended, endings) = AsyncStream.makeStream(of: String.self)
            let work = Task {
                var state = TestRunState(boots: boots, known: KnownOutcomes(), keepGoing: keepGoing, attempts: 2) {
                    guard case .ended(let record) = $0 else { return }
                    told.withLock { $0.append(record.id) }
                    endings.yield(record.id)
                }
                defer { endings.finish() }
                try await state.work(through: Self.tests.map { .of($0) })
                return state
            }
            for await id in ended where id == last { work.cancel() }
            let state = try await work.value
            let record = RunRecord(
                base: "debian:6.12", flavour: "fast", kernelSignature: "", machine: "q35", accelerator: "tcg",
                started: Date(), ended: Date(), tests: state.records, problems: state.problems,
                notRun: state.notRun, isInterrupted: state.isInterrupted, remarks: state.remarks)
            return Run(record: record, boots: host.boots, told: told.withLock { $0 })
        }
    }

    private static let machine = MachineDescription(
        name: "q35", summary: "", emulator: "none", type: "q35", bootMethod: .bzImage, cpus: 1, memoryMiB: 1024,
        accelerators: [.tcg: AcceleratorSettings(options: "tcg", cpu: "max")])

    /// A kernel that is only files enough to be asked for.
    private func kernel(in folder: String) throws -> PreparedKernel {
        for name in ["bzImage", "image"] { try Files.write("x", to: "\(folder)/\(name)") }
        let base = Base(
            spec: try BaseSpec(parsing: "debian:6.12"), identifier: "debian-6.12", workspace: "debian-6.12",
            version: "6.12.117-1", kernelVersion: "6.12.117", commit: "", tree: "", origin: nil, importedAt: Date())
        var artifact = KernelArtifact(
            signature: "", release: "6.12.117", folder: folder, objectsCompiled: 0, inputs: [:])
        artifact.relocate(to: folder)
        return PreparedKernel(
            base: base, series: nil, artifact: artifact, input: KernelInput(base: base, commit: "", tree: ""),
            config: ConfigRequest(flavour: "fast", fragments: []))
    }

    @Test("in which nothing goes wrong takes one boot")
    func allPass() async throws {
        let run = try await run { _ in GuestScript() }
        #expect(run.record.tests.map(\.id) == Self.tests && run.told == Self.tests)
        #expect(run.verdicts == [.pass, .pass, .pass, .pass])
        #expect(run.boots == [Self.tests])
        #expect(run.record.problems.isEmpty)
        #expect(run.record.exitCode == .passed)
    }

    @Test("goes on in a second boot after the test that crashed the kernel")
    func crash() async throws {
        let crash = try Console.crash("null-dereference")
        let run = try await run { _ in GuestScript(during: ["a/2": crash]) }
        #expect(run.record.tests.map(\.id) == Self.tests && run.told == Self.tests)
        #expect(run.verdicts == [.pass, .crash, .pass, .pass])
        #expect(run.record.tests.map(\.boot) == [0, 0, 1, 1])
        #expect(run.boots == [["a/1", "a/2"], ["a/3", "a/4"]])
        let title = "BUG: kernel NULL pointer dereference in crash_null"
        #expect(run.record.tests[1].reason == title)
        #expect(run.record.tests[1].reports.map(\.title) == [title])
        #expect(run.record.problems.isEmpty)
        #expect(run.record.exitCode == .testsFailed)
    }

    @Test("ends after that test, if it is not to go on")
    func stopAtFirst() async throws {
        let crash = try Console.crash("null-dereference")
        let run = try await run(keepGoing: false) { _ in GuestScript(during: ["a/2": crash]) }
        #expect(run.verdicts == [.pass, .crash])
        #expect(run.boots == [["a/1", "a/2"]])
    }

    @Test("ends after a test that failed, if it is not to go on, and unloads the driver")
    func stopAtFailure() async throws {
        let run = try await run(keepGoing: false) { _ in GuestScript(statuses: ["a/2": 1]) }
        #expect(run.verdicts == [.pass, .fail])
        #expect(run.boots == [["a/1", "a/2"]])
        #expect(run.record.notRun == ["a/3", "a/4"])
        #expect(run.record.problems.isEmpty)
    }

    @Test("keeps its results when a later boot cannot be started")
    func hostGivesOut() async throws {
        let crash = try Console.crash("null-dereference")
        let run = try await run { boot in
            boot == 0
                ? GuestScript(during: ["a/2": crash]) : GuestScript(failure: LabError("no-memory", "No memory is left"))
        }
        #expect(run.verdicts == [.pass, .crash])
        #expect(run.record.notRun == ["a/3", "a/4"])
        #expect(run.record.problems.map(\.sentence) == ["No memory is left"])
        #expect(run.record.exitCode == .unavailable)
    }

    @Test("that cannot start its first boot is the host's error")
    func hostIsOut() async throws {
        await #expect(throws: LabError.self) {
            try await run { _ in GuestScript(failure: LabError("no-memory", "No memory is left")) }
        }
    }

    @Test("that is interrupted keeps the results of tests that had ended")
    func interrupted() async throws {
        let run = try await run(cancelAfter: "a/2") { _ in GuestScript(endless: "a/3") }
        #expect(run.verdicts == [.pass, .pass])
        #expect(run.record.notRun == ["a/3", "a/4"])
        #expect(run.record.isInterrupted && run.record.exitCode == .interrupted)
        #expect(SummaryTable.closingLine(for: run.record).hasPrefix("Interrupted. All 2 tests passed"))
        #expect(SummaryTable.closingLine(for: run.record).hasSuffix("2 did not run."))
    }

    @Test("whose guests never come up gives every test the verdict boot")
    func neverBoots() async throws {
        let run = try await run { _ in GuestScript(boots: false, atBoot: ["[    0.5] nothing to start"]) }
        #expect(run.record.tests.map(\.id) == Self.tests && run.told == Self.tests)
        #expect(run.verdicts == [.boot, .boot, .boot, .boot])
        #expect(run.boots == [[], []])
        #expect(run.record.problems.map(\.verdict) == [.boot, .boot])
        #expect(run.record.problems.map(\.sentence) == Array(repeating: "the guest ended before it came up", count: 2))
        #expect(run.record.exitCode == .bootFailed)
    }

    @Test("survives a boot that crashes when the driver is loaded")
    func crashAtLoad() async throws {
        let crash = try Console.crash("null-dereference")
        let run = try await run { boot in
            switch boot {
            case 0: GuestScript(during: ["a/1": crash])
            case 1: GuestScript(atLoad: crash)
            default: GuestScript()
            }
        }
        #expect(run.verdicts == [.crash, .pass, .pass, .pass])
        #expect(run.boots == [["a/1"], [], ["a/2", "a/3", "a/4"]])
        #expect(run.record.tests.map(\.boot) == [0, 2, 2, 2])
        let problem = try #require(run.record.problems.first)
        #expect(run.record.problems.count == 1)
        #expect(problem.verdict == .crash && problem.boot == 1)
        #expect(
            problem.sentence
                == "while the driver was loaded: BUG: kernel NULL pointer dereference in crash_null")
        #expect(run.record.exitCode == .testsFailed)
    }

    @Test("whose boots all crash there is given up")
    func crashAtEveryLoad() async throws {
        let crash = try Console.crash("null-dereference")
        let run = try await run { _ in GuestScript(atLoad: crash) }
        #expect(run.verdicts == [.boot, .boot, .boot, .boot])
        #expect(run.boots == [[], []])
        #expect(run.record.problems.map(\.verdict) == [.crash, .crash])
        #expect(run.record.exitCode == .bootFailed)
    }

    @Test("whose kernel warns while it boots runs its tests and does not pass")
    func warningAtBoot() async throws {
        let warning = try Console.crash("warning")
        let run = try await run { _ in GuestScript(atBoot: warning) }
        #expect(run.verdicts == [.pass, .pass, .pass, .pass])
        #expect(run.boots == [Self.tests])
        #expect(run.record.problems.map(\.verdict) == [.crash])
        #expect(run.record.problems.map(\.sentence) == ["while the guest booted: WARNING in lkdtm_WARNING"])
        #expect(run.record.exitCode == .testsFailed)
    }

    /// The last words of a kernel that met a breakpoint of its own, which the emulator had kept.
    private static func oops(_ text: String = "int3") -> [String] {
        [
            "[    0.512452] sched_clock: Marking stable (520062453, -11351613)->(516079815, -7368975)",
            "[    0.514761] Oops: \(text): 0000 [#1] SMP",
            "[    0.515124] CPU: 1 UID: 0 PID: 1 Comm: swapper/0 Not tainted",
            "[    0.515415] RIP: 0010:sched_clock_cpu+0xa/0x1a0", "[    0.517674] Call Trace:",
            "[    0.518075]  update_rq_clock+0x31/0x100",
            "[    0.520399] Kernel panic - not syncing: Fatal exception in interrupt",
            "[    0.520500] ---[ end Kernel panic - not syncing: Fatal exception in interrupt ]---",
        ]
    }

    @Test("is not held against a kernel that the emulator tripped up while it booted")
    func spoiledBoot() async throws {
        for (text, exitCode) in [("int3", ExitCode.passed), ("stack guard page", .bootFailed)] {
            let run = try await run { boot in
                boot == 0 ? GuestScript(boots: false, atBoot: Self.oops(text)) : GuestScript()
            }
            #expect(run.verdicts == [.pass, .pass, .pass, .pass])
            #expect(run.boots == [[], Self.tests])
            #expect(run.record.problems.isEmpty == (exitCode == .passed))
            #expect(run.record.remarks.count == (exitCode == .passed ? 1 : 0))
            #expect(run.record.exitCode == exitCode)
        }
    }

    @Test("repeats the test during which the emulator tripped the kernel up, and says so")
    func spoiledTest() async throws {
        let run = try await run { boot in boot == 0 ? GuestScript(during: ["a/2": Self.oops()]) : GuestScript() }
        #expect(run.record.tests.map(\.id) == Self.tests && run.told == Self.tests)
        #expect(run.verdicts == [.pass, .pass, .pass, .pass])
        #expect(run.record.tests.map(\.boot) == [0, 1, 1, 1])
        #expect(run.boots == [["a/1", "a/2"], ["a/2", "a/3", "a/4"]])
        let remark = try #require(run.record.remarks.first)
        #expect(remark.contains("boot 0") && remark.contains("sched_clock_cpu") && remark.hasSuffix("a/2 runs again"))
    }

    @Test("repeats a boot that the emulator spoiled when the driver was loaded")
    func spoiledLoad() async throws {
        let run = try await run { boot in boot < 3 ? GuestScript(atLoad: Self.oops()) : GuestScript() }
        #expect(run.verdicts == [.pass, .pass, .pass, .pass])
        #expect(run.boots == [[], [], [], Self.tests])
        #expect(run.record.problems.isEmpty && run.record.remarks.count == 3)
    }

    @Test("blames a kernel that dies of a breakpoint every time")
    func spoiledTooOften() async throws {
        let run = try await run { _ in GuestScript(during: ["a/2": Self.oops()]) }
        #expect(run.verdicts == [.pass, .crash, .pass, .pass])
        #expect(run.record.tests[1].reason == "int3 in sched_clock_cpu")
        #expect(run.boots.count { $0.contains("a/2") } == 6)
        #expect(run.record.remarks.count == 5 && run.record.exitCode == .testsFailed)
    }
}
