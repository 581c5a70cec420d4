// SPDX-License-Identifier: Apache-2.0
import GuestProtocol
import HarnessCore
import KernelLog
import VirtualMachine

@testable import Pipeline

/// What a session wants done, in words that a test can compare.
enum Deed: Equatable {
    case send(HostMessage)
    case stopAfterReport
    case stop
    /// Bytes that no guest could read.
    case sendGarbage
}

/// A guest that is a script: the test says what comes from it and sees what the session makes of it.
struct ScriptedGuest {
    private(set) var session: TestSession
    private(set) var watchdog: Watchdog
    /// The instant of everything that comes next.
    var now: MachineClock.Instant
    /// Whether PID 1's mark at a test's begin is on the console at once.
    var marksBegin = true
    private let told = LockedValue([SessionEvent]())

    init(_ plan: SessionPlan) {
        let told = told
        session = TestSession(plan) { event in told.withLock { $0.append(event) } }
        now = .now
        watchdog = Watchdog(start: now)
    }

    /// What the session has told its owner, in short.
    var events: [String] {
        told.withLock { events in
            events.map { event in
                switch event {
                case .booted(let milliseconds): "booted \(milliseconds)"
                case .began(let test): "began \(test.id)"
                case .output(let stream, let bytes): "\(stream.rawValue) \(String(decoding: bytes, as: UTF8.self))"
                case .ended(let outcome): "ended \(outcome.test.id)"
                case .note(let text): "note \(text)"
                case .report(let report, let test): "report \(report.title) during \(test ?? "no test")"
                }
            }
        }
    }

    mutating func say(_ message: GuestMessage) throws -> [Deed] { send(try message.encoded()) }

    mutating func send(_ bytes: [UInt8]) -> [Deed] { observe(.bytes(ByteChunk(bytes, arrival: now))) }

    mutating func print(_ line: String) -> [Deed] { observe(.console(ConsoleLine(line, arrival: now))) }

    mutating func print(_ lines: [String]) -> [Deed] { lines.flatMap { print($0) } }

    /// The line that PID 1 writes through /dev/kmsg when nothing of a test is left.
    mutating func printEnd(of id: String) -> [Deed] { print("[   99.000000] hmmlab: end \(id)") }

    /// A test's two ends, the protocol's and the console's.
    mutating func end(_ id: String, _ ending: RunEnding = .exited(0), consoleFirst: Bool = false) throws -> [Deed] {
        let message = GuestMessage.ended(id: id, ending, milliseconds: 7)
        return consoleFirst
            ? printEnd(of: id) + (try say(message)) : try say(message) + printEnd(of: id)
    }

    /// Greets and loads every module, so that the first test runs.
    mutating func boot() throws -> [Deed] {
        var deeds = try say(.hello(version: 1, kernelRelease: "6.12.117", uptimeMilliseconds: 1500))
        for case .send(.loadModules(let modules)) in deeds {
            for module in modules { deeds += try say(.module(module.name, .load, error: nil)) }
        }
        return deeds
    }

    mutating func finish() { session.finish() }

    mutating func observe(_ event: MachineEvent) -> [Deed] {
        var deeds = session.observe(event, watchdog: &watchdog).map(Self.deed)
        guard marksBegin else { return deeds }
        for case .send(.run(let request)) in deeds { deeds += print("[   90.000000] hmmlab: begin \(request.id)") }
        return deeds
    }

    private static func deed(_ action: MachineAction) -> Deed {
        switch action {
        case .stopAfterReport: return .stopAfterReport
        case .stop: return .stop
        case .send(let bytes):
            var decoder = MessageDecoder<HostMessage>()
            guard case .message(let message)? = decoder.feed(bytes).first else { return .sendGarbage }
            return .send(message)
        }
    }
}

extension SessionPlan {
    /// A plan with the driver and some tests of five seconds.
    static func of(_ ids: String..., modules: [ModuleRequest] = [ModuleRequest("test_hmm")]) -> SessionPlan {
        SessionPlan(modules: modules, tests: ids.map { GuestTest.of($0) }, environment: ["HMMLAB_DRIVER": "test_hmm"])
    }
}

extension GuestTest {
    static func of(_ id: String, form: Form = .status) -> GuestTest {
        GuestTest(
            id: id, suite: String(id.prefix { $0 != "/" }), summary: "", requirements: [], timeoutMilliseconds: 5000,
            arguments: ["/bin/guest-tests", "run", id], form: form)
    }

    /// What the guest is asked for when this test of ``SessionPlan/of(_:modules:)`` begins.
    var request: Deed {
        .send(
            .run(
                RunRequest(
                    id: id, arguments, environment: ["HMMLAB_DRIVER": "test_hmm"], timeoutMilliseconds: 5000,
                    outputLimit: 1 << 20)))
    }
}
