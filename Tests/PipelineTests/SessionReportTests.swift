// SPDX-License-Identifier: Apache-2.0
import GuestProtocol
import KernelLog
import Testing

@testable import Pipeline

@Suite("A kernel report in a session")
struct SessionReportTests {
    private static let warning = "WARNING in lkdtm_WARNING"

    /// Where a report may stand, as seen from the protocol.
    enum Moment: CaseIterable {
        case beforeTheEnd
        case betweenTheEnds
    }

    @Test("that is not fatal is the running test's, and the last thing of the session", arguments: Moment.allCases)
    func warning(moment: Moment) throws {
        var guest = ScriptedGuest(.of("a/b", "a/c", "a/d"))
        _ = try guest.boot()
        let end = GuestMessage.ended(id: "a/b", .exited(0), milliseconds: 3)
        if moment == .betweenTheEnds { #expect(try guest.say(end) == []) }
        #expect(guest.print(try Console.crash("warning")) == [])
        if moment == .beforeTheEnd { #expect(try guest.say(end) == []) }
        #expect(guest.printEnd(of: "a/b") == [.stopAfterReport])

        let outcome = try #require(guest.session.outcomes.first)
        #expect(outcome.ending == .exited(0))
        #expect(outcome.reports.map(\.title) == [Self.warning])
        #expect(outcome.reports.map(\.isFatal) == [false])
        #expect(outcome.reports.map(\.isFinding) == [true])
        #expect(guest.session.left.map(\.id) == ["a/c", "a/d"])
        #expect(guest.session.problems.isEmpty)
        #expect(guest.events.contains("report \(Self.warning) during a/b"))

        // Nothing that still comes begins another test.
        #expect(try guest.end("a/c") == [])
        guest.finish()
        #expect(guest.session.outcomes.count == 1)
    }

    @Test("that is still open at the end mark counts")
    func openReport() throws {
        var guest = ScriptedGuest(.of("a/b", "a/c"))
        _ = try guest.boot()
        let lines = try Console.crash("warning")
        #expect(guest.print(Array(lines.prefix { !$0.contains("end trace") })) == [])
        #expect(guest.session.outcomes.isEmpty)
        #expect(try guest.end("a/b") == [.stopAfterReport])
        #expect(guest.session.outcomes.map { $0.reports.map(\.title) } == [[Self.warning]])
    }

    @Test(
        "that is fatal stops the machine with its first line",
        arguments: [
            (
                "null-dereference", "BUG: kernel NULL pointer dereference",
                "BUG: kernel NULL pointer dereference in crash_null"
            ), ("panic", "Kernel panic - not syncing: dumptest", "kernel panic: dumptest"),
        ])
    func fatal(log: String, headline: String, title: String) throws {
        var guest = ScriptedGuest(.of("a/b", "a/c"))
        _ = try guest.boot()
        _ = try guest.say(.output(id: "a/b", .standardOutput, Array("before\n".utf8)))
        let lines = try Console.crash(log)
        let position = try #require(lines.firstIndex { $0.contains(headline) })
        #expect(guest.print(Array(lines[..<position])) == [])
        let deeds = guest.print(lines[position])
        #expect(!deeds.isEmpty && deeds.allSatisfy { $0 == .stopAfterReport })
        #expect(guest.print(Array(lines[(position + 1)...])).allSatisfy { $0 == .stopAfterReport })
        // What the guest still says is too late.
        #expect(try guest.end("a/b") == [])
        guest.finish()

        let outcome = try #require(guest.session.outcomes.first)
        #expect(guest.session.outcomes.count == 1)
        #expect(outcome.test.id == "a/b")
        #expect(outcome.ending == nil)
        #expect(outcome.output == ["before"])
        #expect(outcome.reports.map(\.title) == [title])
        #expect(outcome.reports.map(\.isFatal) == [true])
        #expect(guest.session.left.map(\.id) == ["a/c"])
        #expect(guest.session.problems.isEmpty)
    }

    @Test("takes the panic in that follows from it")
    func panicFollows() throws {
        var guest = ScriptedGuest(.of("a/b"))
        _ = try guest.boot()
        let deeds = guest.print(try Console.crash("panic-on-warn"))
        #expect(!deeds.isEmpty && deeds.allSatisfy { $0 == .stopAfterReport })
        guest.finish()
        let reports = try #require(guest.session.outcomes.first).reports
        #expect(reports.map(\.title) == ["WARNING in lkdtm_WARNING_MESSAGE"])
        #expect(reports.map { $0.panics.count } == [1])
    }

    @Test("before the greeting is a problem of the boot, and the tests run all the same")
    func boot() throws {
        var guest = ScriptedGuest(.of("a/b", "a/c"))
        // The greeting may be faster than the console.
        let greeting = GuestMessage.hello(version: 1, kernelRelease: "x", uptimeMilliseconds: 1)
        _ = try guest.say(greeting)
        #expect(guest.print(try Console.crash("warning")) == [])
        _ = guest.print("[    0.900000] hmmlab: begin load:test_hmm")
        _ = try guest.say(.module("test_hmm", .load, error: nil))
        #expect(guest.session.problems.map(\.stage) == [.booting])
        #expect(guest.session.problems.map(\.text) == [Self.warning])
        #expect(guest.session.problems.map { $0.report?.title } == [Self.warning])
        #expect(guest.events.contains("report \(Self.warning) during no test"))
        _ = try guest.end("a/b")
        _ = try guest.end("a/c")
        #expect(guest.session.outcomes.map(\.reports.isEmpty) == [true, true])
        #expect(guest.session.problems.count == 1)
    }

    @Test("between two tests is nobody's, and the second of them is the last of the session")
    func betweenTests() throws {
        var guest = ScriptedGuest(.of("a/b", "a/c", "a/d"))
        guest.marksBegin = false
        _ = try guest.boot()
        _ = guest.print("[   98.000000] hmmlab: begin a/b")
        _ = try guest.end("a/b")
        #expect(guest.print(try Console.crash("warning")) == [])
        _ = guest.print("[   98.500000] hmmlab: begin a/c")
        #expect(try guest.end("a/c") == [.stopAfterReport])
        #expect(guest.session.outcomes.map(\.reports.isEmpty) == [true, true])
        #expect(guest.session.problems.map(\.stage) == [.testing])
        #expect(guest.session.left.map(\.id) == ["a/d"])
    }

    @Test("while the guest is prepared is a problem of that stage")
    func preparation() throws {
        var plan = SessionPlan.of("a/b")
        plan.preparations = [Preparation(command: ["modprobe", "zram"], isRequired: false)]
        var guest = ScriptedGuest(plan)
        _ = try guest.boot()
        _ = guest.print(try Console.crash("warning"))
        _ = try guest.say(.ended(id: "prepare", .exited(0), milliseconds: 1))
        _ = try guest.end("a/b")
        #expect(guest.session.problems.map(\.stage) == [.preparing])
        #expect(guest.session.outcomes.map(\.reports.isEmpty) == [true])
    }

    @Test("is not made of a preparation that fails: it is told, and the tests run")
    func failedPreparation() throws {
        var plan = SessionPlan.of("a/b")
        plan.preparations = [Preparation(command: ["modprobe", "zram"], isRequired: false)]
        var guest = ScriptedGuest(plan)
        _ = try guest.boot()
        #expect(try guest.say(.ended(id: "prepare", .exited(1), milliseconds: 1)) == [GuestTest.of("a/b").request])
        #expect(guest.session.problems.isEmpty)
        #expect(guest.events.contains { $0.hasPrefix("note `modprobe zram` did not succeed") })
    }

    @Test("is not made of a preparation that is required and fails, but no test runs")
    func failedRequirement() throws {
        var plan = SessionPlan.of("a/b")
        plan.preparations = [Preparation(command: ["false"], isRequired: true)]
        var guest = ScriptedGuest(plan)
        _ = try guest.boot()
        #expect(try guest.say(.ended(id: "prepare", .exited(1), milliseconds: 1)) != [GuestTest.of("a/b").request])
        #expect(guest.session.problems.map(\.stage) == [.preparing])
        #expect(guest.session.problems.first?.text.hasPrefix("`false` did not succeed") == true)
        #expect(guest.session.left.map(\.id) == ["a/b"])
    }

    @Test("is not made of a preparation that hangs: the boot is over")
    func hangingPreparation() throws {
        var plan = SessionPlan.of("a/b")
        plan.preparations = [Preparation(command: ["modprobe", "zram"], isRequired: false)]
        var guest = ScriptedGuest(plan)
        _ = try guest.boot()
        #expect(try guest.say(.ended(id: "prepare", .unkillable, milliseconds: 1)) == [.stopAfterReport])
        #expect(guest.session.left.map(\.id) == ["a/b"])
    }

    @Test("that answers the host's interrupt says where a test hung, and is no crash")
    func hang() throws {
        var guest = ScriptedGuest(.of("a/b"))
        _ = try guest.boot()
        #expect(guest.observe(.expired(.test, at: .now)) == [])
        #expect(guest.print(try Console.crash("hang-answers-nmi")).contains(.stopAfterReport))
        guest.finish()
        let outcome = try #require(guest.session.outcomes.first)
        #expect(outcome.reports.isEmpty && outcome.hang?.place == "lkdtm_HARDLOCKUP")
        let context = RunContext(kernelVersion: "6.12.117", driver: "test_hmm", flavour: "fast", commandLine: "")
        let record = try #require(
            Judge(known: KnownOutcomes(), context: context).records(
                of: outcome, [], GuestLoss(ending: .stopped, expiry: .test), boot: 0
            ).first)
        #expect(record.verdict == .timeout)
        #expect(record.reason.hasSuffix("it hung in lkdtm_HARDLOCKUP"))
        #expect(record.output.contains { $0.contains("direct_entry") })
    }

    @Test("that nobody's interrupt asked for is a crash")
    func unasked() throws {
        var guest = ScriptedGuest(.of("a/b"))
        _ = try guest.boot()
        _ = guest.print(try Console.crash("hang-answers-nmi"))
        guest.finish()
        #expect(guest.session.outcomes.first?.reports.map(\.kind) == [.panic])
        #expect(guest.session.outcomes.first?.hang == nil)
    }

    @Test("that ends the boot leaves every test")
    func fatalBoot() throws {
        var guest = ScriptedGuest(.of("a/b"))
        #expect(guest.print(try Console.crash("panic")).contains(.stopAfterReport))
        #expect(try guest.boot() == [])
        guest.finish()
        #expect(guest.session.problems.map(\.stage) == [.booting])
        #expect(guest.session.outcomes.isEmpty)
        #expect(guest.session.left.map(\.id) == ["a/b"])
        #expect(guest.session.bootMilliseconds == nil)
    }

    @Test("while the driver is loaded or unloaded is a problem of that stage")
    func aroundModules() throws {
        var guest = ScriptedGuest(.of("a/b"))
        let lines = try Console.crash("warning")
        _ = try guest.say(.hello(version: 1, kernelRelease: "x", uptimeMilliseconds: 1))
        _ = guest.print("[    0.900000] hmmlab: begin load:test_hmm")
        _ = guest.print(lines)
        _ = try guest.say(.module("test_hmm", .load, error: nil))
        _ = try guest.end("a/b")
        _ = guest.print(lines)
        #expect(try guest.say(.module("test_hmm", .unload, error: nil)) == [.send(.powerOff)])
        #expect(guest.session.problems.map(\.stage) == [.loading, .unloading])
        #expect(guest.session.outcomes.map(\.reports.isEmpty) == [true])
    }

    @Test("from loading the driver that the console shows late is not the first test's")
    func lateReport() throws {
        var guest = ScriptedGuest(.of("a/b"))
        guest.marksBegin = false
        _ = try guest.boot()
        _ = guest.print(try Console.crash("warning"))
        _ = guest.print("[   98.000000] hmmlab: end load:test_hmm")
        _ = guest.print("[   98.500000] hmmlab: begin a/b")
        _ = try guest.end("a/b")
        #expect(guest.session.outcomes.map(\.reports.isEmpty) == [true])
        #expect(guest.session.problems.map(\.stage) == [.loading])
    }

    @Test("of the OOM killer explains a test's end and no more")
    func outOfMemory() throws {
        let plan = SessionPlan.of("a/b", "a/c")
        var guest = ScriptedGuest(plan)
        let lines = try Console.crash("out-of-memory")
        #expect(guest.print(lines) == [])
        _ = try guest.boot()
        #expect(guest.session.problems.isEmpty)

        #expect(guest.print(lines) == [])
        #expect(try guest.end("a/b", .signalled(9)) == [plan.tests[1].request])
        let reports = try #require(guest.session.outcomes.first).reports
        #expect(reports.map(\.kind) == [.outOfMemory])
        #expect(reports.map(\.isFinding) == [false])
    }
}
