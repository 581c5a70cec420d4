// SPDX-License-Identifier: Apache-2.0
import GuestProtocol
import HarnessCore
import KernelLog
import ProcessRunner
import VirtualMachine

/// What one boot of a guest is to do.
struct SessionPlan: Sendable {
    /// Loaded in this order before the first test, unloaded in the opposite order after the last.
    var modules: [ModuleRequest]
    /// Run after the modules are loaded.
    var preparations: [Preparation] = []
    /// Run in this order.
    var tests: [GuestTest]
    /// Variables for every test.
    var environment: [String: String]
    /// Whether no further test is to run after this outcome.
    var stopsAfter: @Sendable (SessionOutcome) -> Bool = { _ in false }
}

/// A command that prepares the guest for its tests.
struct Preparation: Sendable, Equatable {
    var command: [String]
    /// Whether nothing is tested without it; otherwise the tests that need it say so themselves.
    var isRequired: Bool
}

/// What is told while a session runs.
enum SessionEvent: Sendable {
    case booted(milliseconds: Int)
    case began(GuestTest)
    case output(RunStream, [UInt8])
    case ended(SessionOutcome)
    case report(KernelReport, duringTest: String?)
    /// Something that a person should know and that decides nothing.
    case note(String)
}

/// What a boot was busy with.
enum SessionStage: Sendable, Equatable {
    case booting, loading, preparing, testing, unloading, poweringOff

    /// The stage as part of a sentence.
    var phrase: String {
        switch self {
        case .booting: "while the guest booted"
        case .loading: "while the driver was loaded"
        case .preparing: "while the guest was prepared"
        case .testing: "between tests"
        case .unloading: "while the driver was unloaded"
        case .poweringOff: "while the guest powered off"
        }
    }
}

/// What became of one test in a session, before expectations are looked at.
struct SessionOutcome: Sendable {
    var test: GuestTest
    /// How its process ended; nil if the guest went first.
    var ending: RunEnding?
    var output: [String]
    var milliseconds: Int
    /// What it left behind in the kernel, in words.
    var remains: [String] = []
    /// Reports that the kernel made while it ran.
    var reports: [KernelReport] = []
    /// The kernel's answer to the host's interrupt after a limit had passed: where it hung; no complaint of its own.
    var hang: KernelReport?
}

/// Something wrong outside of any test.
struct SessionProblem: Sendable, Equatable {
    /// What the boot was busy with.
    var stage: SessionStage
    /// A sentence.
    var text: String
    var report: KernelReport?
}

/// One boot of a guest as a state machine: the protocol and the console drive it, it says what to do next.
///
/// Reports belong to the test between whose begin and end marks they stand on the console, which PID 1 writes through
/// /dev/kmsg: the console is the only order that the kernel itself keeps. Any other report is a problem of the stage that
/// the guest was in. A guest that has made a report since its first test began is not trusted with a further one (lockdep
/// is off after its first finding, a WARN_ON_ONCE speaks once), so the session ends with the running test and the caller
/// boots the rest anew. A report from before the first test, unless it is fatal, does not end the session: it would come
/// again with every boot, and no test would ever run.
struct TestSession: MachineObserver {
    /// The most lines kept of one test's output.
    static let outputLimit = 2000
    /// How long the guest's own limit may be passed before the host stops waiting for the guest.
    static let grace = Duration.seconds(15)

    private enum Phase: Equatable {
        case booting
        case loading(left: Int)
        /// One of the preparations runs.
        case preparing(left: Int)
        /// A test runs.
        case running
        /// It has ended; its end mark is not on the console yet.
        case settling
        case unloading(left: Int)
        case poweringOff
        /// The machine is to be stopped; only the console still matters.
        case over
    }

    private let plan: SessionPlan
    private let onEvent: @Sendable (SessionEvent) -> Void
    private var phase = Phase.booting { didSet { stage = Self.stage(phase) ?? stage } }
    /// What the boot is, or last was, busy with.
    private(set) var stage = SessionStage.booting
    /// Whether a limit has passed: the host has asked by interrupt where the guest hangs.
    private var hasExpired = false
    /// Whether the tests that are left are for another boot, or for none.
    private var isStopping = false
    private var decoder = MessageDecoder<GuestMessage>()
    private var parser = ConsoleParser()
    private var splitters = [RunStream.standardOutput: LineSplitter(), .standardError: LineSplitter()]
    private var position = 0
    private var current: SessionOutcome?
    /// Whether the console has shown that PID 1 loads the first module; what it shows before belongs to the boot.
    private var sawLoadMark: Bool
    /// Whether the console has shown the running test's begin mark; what it shows before is not the test's doing.
    private var sawBeginMark = false
    /// Whether the console has shown the running test's end mark; the two channels may bring their news in either order.
    private var sawEndMark = false
    /// Whether the kernel has complained between two tests.
    private var isSuspect = false
    /// Output that is not part of KTAP; kept apart so that a remark cannot break a result line.
    private var remarks: [String] = []

    private(set) var outcomes: [SessionOutcome] = []
    private(set) var problems: [SessionProblem] = []
    /// The kernel's answer to the host's interrupt after a limit had passed.
    private(set) var hang: KernelReport?
    /// When the greeting came, in milliseconds of the guest's uptime.
    private(set) var bootMilliseconds: Int?

    init(_ plan: SessionPlan, onEvent: @escaping @Sendable (SessionEvent) -> Void = { _ in }) {
        self.plan = plan
        self.onEvent = onEvent
        sawLoadMark = plan.modules.isEmpty
    }

    /// The report that ended the guest, if that is a breakpoint nobody owned to.
    ///
    /// The kernel sets breakpoints for a moment when it patches a static branch. QEMU's TCG may keep one for good, if
    /// another CPU translates the place just then (docs/findings.md): under TCG such a report says nothing of the kernel.
    var strayBreakpoint: KernelReport? {
        let reports = outcomes.filter { $0.ending == nil }.flatMap(\.reports) + problems.compactMap(\.report)
        return reports.first(where: \.isFatal).flatMap { $0.title.hasPrefix("int3 in ") ? $0 : nil }
    }

    /// The tests that were not begun.
    var left: ArraySlice<GuestTest> { plan.tests[min(position, plan.tests.count)...] }

    mutating func observe(_ event: MachineEvent, watchdog: inout Watchdog) -> [MachineAction] {
        switch event {
        case .console(let line): console(line, &watchdog)
        case .bytes(let chunk):
            decoder.feed(chunk.bytes).flatMap { event -> [MachineAction] in
                switch event {
                case .message(let message): take(message, at: chunk.arrival, &watchdog)
                case .invalid(let invalid): problem(invalid.description)
                case .otherVersion(let version): problem("The guest speaks version \(version) of the protocol")
                // A torn frame from before the connection; whatever mattered in it makes a limit expire.
                case .garbage: []
                }
            }
        case .expired: expired()
        }
    }

    private mutating func expired() -> [MachineAction] {
        hasExpired = true
        return []
    }

    private static func stage(_ phase: Phase) -> SessionStage? {
        switch phase {
        case .booting: .booting
        case .loading: .loading
        case .preparing: .preparing
        case .running, .settling: .testing
        case .unloading: .unloading
        case .poweringOff: .poweringOff
        case .over: nil
        }
    }

    /// Ends the session when the machine is gone: what the console still held back is a report, the running test is over.
    mutating func finish() {
        for event in parser.finish() { take(event) }
        flushOutput()
        if let outcome = current {
            if sawBeginMark {
                close(outcome)
            } else {
                // The guest was gone before the test began: it is still to be run.
                current = nil
                position -= 1
            }
        }
        phase = .over
    }

    // MARK: - protocol

    private mutating func take(
        _ message: GuestMessage, at instant: MachineClock.Instant, _ watchdog: inout Watchdog
    ) -> [MachineAction] {
        switch message {
        case .hello(_, _, let uptime):
            guard phase == .booting else { return [] }
            watchdog.booted(at: instant)
            bootMilliseconds = uptime
            onEvent(.booted(milliseconds: uptime))
            var actions = [send(.welcome)]
            if plan.modules.isEmpty {
                actions += prepare(left: plan.preparations.count, at: instant, &watchdog)
            } else {
                phase = .loading(left: plan.modules.count)
                actions.append(send(.loadModules(plan.modules)))
            }
            return actions
        case .module(let name, let change, let error):
            if let error {
                let stage: SessionStage = change == .load ? .loading : .unloading
                problems.append(SessionProblem(stage: stage, text: "module \(name): \(error)"))
            }
            return moduleDone(failed: error != nil, at: instant, &watchdog)
        case .output(_, let stream, let bytes):
            onEvent(.output(stream, bytes))
            take(lines: splitters[stream]?.feed(bytes) ?? [], from: stream)
            return []
        case .remains(_, let text):
            if !isPreparing { current?.remains.append(text) }
            return []
        case .ended(_, let ending, _) where isPreparing:
            return prepared(ending, at: instant, &watchdog)
        case .ended(_, let ending, let milliseconds):
            guard phase == .running, current != nil else { return [] }
            flushOutput()
            current?.ending = ending
            current?.milliseconds = milliseconds
            phase = .settling
            if ending == .unkillable { return stop() }
            watchdog.testBegan(limit: .seconds(10), at: instant)
            return settle(at: instant, &watchdog)
        case .problem(let text): return problem(text)
        case .bye, .started, .file, .written, .fileFailed, .unknown: return []
        }
    }

    private mutating func moduleDone(
        failed: Bool, at instant: MachineClock.Instant, _ watchdog: inout Watchdog
    ) -> [MachineAction] {
        switch phase {
        case .loading(let left):
            // Without its driver no test means anything.
            if failed { return powerOff() }
            if left > 1 {
                phase = .loading(left: left - 1)
                return []
            }
            return prepare(left: plan.preparations.count, at: instant, &watchdog)
        case .unloading(let left):
            if left > 1 {
                phase = .unloading(left: left - 1)
                return []
            }
            return powerOff()
        default: return []
        }
    }

    private var isPreparing: Bool {
        if case .preparing = phase { true } else { false }
    }

    private mutating func prepare(
        left: Int, at instant: MachineClock.Instant, _ watchdog: inout Watchdog
    ) -> [MachineAction] {
        guard left > 0 else { return next(at: instant, &watchdog) }
        let command = plan.preparations[plan.preparations.count - left].command
        phase = .preparing(left: left)
        watchdog.testBegan(limit: Self.grace * 2, at: instant)
        return [send(.run(RunRequest(id: "prepare", command, timeoutMilliseconds: 20_000)))]
    }

    private mutating func prepared(
        _ ending: RunEnding, at instant: MachineClock.Instant, _ watchdog: inout Watchdog
    ) -> [MachineAction] {
        guard case .preparing(let left) = phase else { return [] }
        if ending != .exited(0) {
            let preparation = plan.preparations[plan.preparations.count - left]
            let text = "`\(preparation.command.joined(separator: " "))` did not succeed in the guest (\(ending))"
            if preparation.isRequired {
                problems.append(SessionProblem(stage: .preparing, text: text))
                return ending == .unkillable ? stop() : powerOff()
            }
            onEvent(.note(text))
        }
        // PID 1 starts nothing any more.
        if ending == .unkillable { return stop() }
        return prepare(left: left - 1, at: instant, &watchdog)
    }

    private mutating func next(at instant: MachineClock.Instant, _ watchdog: inout Watchdog) -> [MachineAction] {
        guard position < plan.tests.count, !isStopping else {
            watchdog.testEnded(at: instant)
            if plan.modules.isEmpty { return powerOff() }
            phase = .unloading(left: plan.modules.count)
            return plan.modules.reversed().map { send(.unloadModule($0.name)) }
        }
        let test = plan.tests[position]
        position += 1
        current = SessionOutcome(test: test, output: [], milliseconds: 0)
        remarks = []
        sawBeginMark = false
        sawEndMark = false
        phase = .running
        onEvent(.began(test))
        watchdog.testBegan(limit: .milliseconds(test.timeoutMilliseconds) + Self.grace, at: instant)
        return [send(.run(test.request(environment: plan.environment)))]
    }

    /// Takes in what the test printed without a newline at the end.
    private mutating func flushOutput() {
        for stream in [RunStream.standardOutput, .standardError] {
            if let rest = splitters[stream]?.finish() { take(lines: [rest], from: stream) }
        }
    }

    private mutating func take(lines: [String], from stream: RunStream) {
        guard var outcome = current else { return }
        for line in lines {
            if stream == .standardError, outcome.test.form == .ktap {
                remarks.append(line)
            } else if outcome.output.count < Self.outputLimit {
                outcome.output.append(line)
            }
        }
        current = outcome
    }

    // MARK: - console

    private mutating func console(_ line: ConsoleLine, _ watchdog: inout Watchdog) -> [MachineAction] {
        var actions: [MachineAction] = []
        for event in parser.feed(line: line.text) {
            if case .began(let start) = event, start.isFatal {
                phase = .over
                actions.append(.stopAfterReport)
            }
            if case .fact(.panicked) = event {
                phase = .over
                actions.append(.stopAfterReport)
            }
            take(event)
        }
        if !sawLoadMark, let first = plan.modules.first, Self.isMark(line.text, "begin load:\(first.name)") {
            for event in parser.finish() { take(event) }
            sawLoadMark = true
        }
        if let id = current?.test.id, Self.isMark(line.text, "begin \(id)") {
            for event in parser.finish() { take(event) }
            sawBeginMark = true
        } else if let id = current?.test.id, Self.isMark(line.text, "end \(id)") {
            sawEndMark = true
            actions += settle(at: line.arrival, &watchdog)
        }
        return actions
    }

    /// Goes on to the next test once both channels agree that the last one is over.
    private mutating func settle(at instant: MachineClock.Instant, _ watchdog: inout Watchdog) -> [MachineAction] {
        guard phase == .settling, sawEndMark else { return [] }
        // A report may still be open: nothing follows it that would close it.
        for event in parser.finish() { take(event) }
        guard let outcome = current else { return [] }
        close(outcome)
        if plan.stopsAfter(outcome) { isStopping = true }
        return isSuspect || outcome.reports.contains(where: \.isFinding) ? stop() : next(at: instant, &watchdog)
    }

    /// Whether a line is a mark that PID 1 wrote through /dev/kmsg, or to the console where that is not possible.
    ///
    /// A program's own line that merely ends so is none.
    static func isMark(_ line: String, _ text: String) -> Bool {
        line == "hmmlab: \(text)" || line.hasSuffix("] hmmlab: \(text)")
    }

    private mutating func take(_ event: ConsoleEvent) {
        guard case .ended(let report) = event else { return }
        if hasExpired, report.answersInterrupt {
            hang = report
            current?.hang = report
            return
        }
        onEvent(.report(report, duringTest: sawBeginMark ? current?.test.id : nil))
        if current != nil, sawBeginMark {
            current?.reports.removeAll { $0.index == report.index }
            current?.reports.append(report)
        } else if report.isFinding {
            let stage = consoleStage
            if stage == .testing { isSuspect = true }
            problems.removeAll { $0.report?.index == report.index }
            problems.append(SessionProblem(stage: stage, text: report.title, report: report))
        }
    }

    /// What the guest was busy with where the console is now; the protocol may be ahead of it.
    private var consoleStage: SessionStage {
        if !sawLoadMark { return .booting }
        // Before the first test there is nothing to be between of.
        return stage == .testing && outcomes.isEmpty ? .loading : stage
    }

    // MARK: - ending

    private mutating func close(_ outcome: SessionOutcome) {
        var outcome = outcome
        outcome.output += remarks.prefix(Self.outputLimit - min(outcome.output.count, Self.outputLimit))
        current = nil
        outcomes.append(outcome)
        onEvent(.ended(outcome))
    }

    private mutating func powerOff() -> [MachineAction] {
        phase = .poweringOff
        return [send(.powerOff)]
    }

    private mutating func stop() -> [MachineAction] {
        phase = .over
        return [.stopAfterReport]
    }

    private mutating func problem(_ text: String) -> [MachineAction] {
        problems.append(SessionProblem(stage: stage, text: text))
        return []
    }

    private func send(_ message: HostMessage) -> MachineAction {
        // The longest message is a run request, and a person's command was measured before the guest was booted.
        .send((try? message.encoded()) ?? [])
    }
}

extension GuestTest {
    /// What PID 1 is asked for.
    func request(environment: [String: String]) -> RunRequest {
        RunRequest(
            id: id, arguments, environment: environment, timeoutMilliseconds: timeoutMilliseconds,
            outputLimit: outputLimit)
    }
}

extension KernelReport {
    /// Whether it is held against the kernel; the OOM killer does its duty and only explains a test's end.
    var isFinding: Bool { kind != .outOfMemory }

    /// The function that the interrupted CPU was in: x86 prints its registers in the middle of the trace.
    var place: String? {
        let word = lines.lazy.compactMap { $0.wholeMatch(of: /RIP: 0010:([^+ ]+)\+.*/)?.output.1 }.first
        return word.map(String.init) ?? function
    }

    /// Whether it is the panic by which x86 answers an NMI that nobody asked for (`unknown_nmi_panic`,
    /// arch/x86/kernel/nmi.c): the host's question where the guest hangs.
    var answersInterrupt: Bool {
        kind == .panic && (panics + [headline]).contains { $0.contains("NMI: Not continuing") }
    }
}
