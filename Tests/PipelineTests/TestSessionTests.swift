// SPDX-License-Identifier: Apache-2.0
import GuestProtocol
import Testing
import VirtualMachine

@testable import Pipeline

@Suite("A session with a guest that behaves")
struct TestSessionTests {
    @Test("runs the whole plan, whichever channel tells a test's end first", arguments: [true, false])
    func wholePlan(consoleFirst: Bool) throws {
        let modules = [ModuleRequest("helper"), ModuleRequest("test_hmm", parameters: "a=1")]
        let plan = SessionPlan.of("mirror/read", "mirror/write", modules: modules)
        var guest = ScriptedGuest(plan)

        #expect(
            try guest.say(.hello(version: 1, kernelRelease: "6.12.117", uptimeMilliseconds: 1500)) == [
                .send(.welcome), .send(.loadModules(modules)),
            ])
        #expect(guest.session.bootMilliseconds == 1500)
        #expect(try guest.say(.module("helper", .load, error: nil)) == [])
        #expect(try guest.say(.module("test_hmm", .load, error: nil)) == [plan.tests[0].request])
        #expect(try guest.say(.started(id: "mirror/read")) == [])
        #expect(try guest.say(.output(id: "mirror/read", .standardOutput, Array("one\ntw".utf8))) == [])
        #expect(try guest.say(.output(id: "mirror/read", .standardOutput, Array("o\nrest".utf8))) == [])
        #expect(try guest.say(.remains(id: "mirror/read", "a page")) == [])

        // Neither end alone is enough.
        let end = GuestMessage.ended(id: "mirror/read", .exited(0), milliseconds: 42)
        if consoleFirst {
            #expect(guest.printEnd(of: "mirror/read") == [])
            #expect(guest.session.outcomes.isEmpty)
            #expect(try guest.say(end) == [plan.tests[1].request])
        } else {
            #expect(try guest.say(end) == [])
            #expect(guest.session.outcomes.isEmpty)
            #expect(guest.printEnd(of: "mirror/read") == [plan.tests[1].request])
        }
        #expect(guest.session.left.isEmpty)

        #expect(
            try guest.end("mirror/write", .exited(4), consoleFirst: consoleFirst) == [
                .send(.unloadModule("test_hmm")), .send(.unloadModule("helper")),
            ])
        #expect(try guest.say(.module("test_hmm", .unload, error: nil)) == [])
        #expect(try guest.say(.module("helper", .unload, error: nil)) == [.send(.powerOff)])
        #expect(try guest.say(.bye) == [])
        guest.finish()

        let outcomes = guest.session.outcomes
        #expect(outcomes.map(\.test.id) == ["mirror/read", "mirror/write"])
        #expect(outcomes.map(\.ending) == [.exited(0), .exited(4)])
        #expect(outcomes.map(\.output) == [["one", "two", "rest"], []])
        #expect(outcomes.map(\.milliseconds) == [42, 7])
        #expect(outcomes.map(\.remains) == [["a page"], []])
        #expect(outcomes.flatMap(\.reports).isEmpty)
        #expect(guest.session.problems.isEmpty)
        #expect(
            guest.events == [
                "booted 1500", "began mirror/read", "out one\ntw", "out o\nrest", "ended mirror/read",
                "began mirror/write", "ended mirror/write",
            ])
    }

    @Test("without modules goes to the tests and to the end at once")
    func noModules() throws {
        let plan = SessionPlan.of("run/command", modules: [])
        var guest = ScriptedGuest(plan)
        #expect(try guest.boot() == [.send(.welcome), plan.tests[0].request])
        #expect(try guest.end("run/command") == [.send(.powerOff)])
    }

    @Test("gives the guest's own limit a grace before the host's limit is passed")
    func limits() throws {
        var guest = ScriptedGuest(.of("a/b"))
        _ = try guest.boot()
        let limit = Duration.milliseconds(5000) + TestSession.grace
        #expect(guest.watchdog.expiry(at: guest.now + limit - .milliseconds(1)) == nil)
        #expect(guest.watchdog.expiry(at: guest.now + limit) == .test)
        #expect(guest.observe(.expired(.test, at: guest.now + limit)) == [])
    }

    @Test("waits for an end mark that does not come, but not for ever")
    func missingEndMark() throws {
        var guest = ScriptedGuest(.of("a/b"))
        _ = try guest.boot()
        #expect(try guest.say(.ended(id: "a/b", .exited(0), milliseconds: 1)) == [])
        #expect(guest.watchdog.expiry(at: guest.now + .seconds(9)) == nil)
        #expect(guest.watchdog.expiry(at: guest.now + .seconds(10)) == .test)
        guest.finish()
        #expect(guest.session.outcomes.map(\.ending) == [.exited(0)])
    }

    @Test("takes messages that arrive byte by byte")
    func tornMessages() throws {
        let plan = SessionPlan.of("a/b")
        var guest = ScriptedGuest(plan)
        var deeds: [Deed] = []
        for byte in try GuestMessage.hello(version: 1, kernelRelease: "x", uptimeMilliseconds: 1).encoded() {
            deeds += guest.send([byte])
        }
        #expect(deeds == [.send(.welcome), .send(.loadModules(plan.modules))])
    }

    @Test("answers a repeated hello only once")
    func repeatedHello() throws {
        let plan = SessionPlan.of("a/b")
        let hello = GuestMessage.hello(version: 1, kernelRelease: "x", uptimeMilliseconds: 1)
        var guest = ScriptedGuest(plan)
        #expect(try guest.say(hello).count == 2)
        #expect(try guest.say(hello) == [])
        #expect(try guest.say(.module("test_hmm", .load, error: nil)) == [plan.tests[0].request])
        #expect(try guest.say(.hello(version: 1, kernelRelease: "y", uptimeMilliseconds: 9)) == [])
        #expect(guest.session.bootMilliseconds == 1)
    }

    @Test("steps over bytes that are no message")
    func garbage() throws {
        let plan = SessionPlan.of("a/b")
        var guest = ScriptedGuest(plan)
        #expect(guest.send([0, 255, 10, 13, 7] + Array("no frame\n".utf8)) == [])
        #expect(try guest.say(.hello(version: 1, kernelRelease: "x", uptimeMilliseconds: 1)).first == .send(.welcome))
        #expect(guest.send([254, 10]) == [])
        #expect(try guest.say(.unknown(verb: "news")) == [])
        #expect(try guest.say(.module("test_hmm", .load, error: nil)) == [plan.tests[0].request])
        #expect(guest.session.problems.isEmpty)
    }

    @Test("keeps what the guest complains about, with its stage")
    func problems() throws {
        var guest = ScriptedGuest(.of("a/b"))
        #expect(try guest.say(.unknown(verb: "module")) == [])
        _ = try guest.boot()
        #expect(try guest.say(.problem("no space left")) == [])
        #expect(
            guest.session.problems == [
                SessionProblem(stage: .booting, text: "A module message has no valid name"),
                SessionProblem(stage: .testing, text: "no space left"),
            ])
    }

    @Test("powers off when a module cannot be loaded")
    func moduleFails() throws {
        let modules = [ModuleRequest("helper"), ModuleRequest("test_hmm")]
        var guest = ScriptedGuest(.of("a/b", modules: modules))
        _ = try guest.say(.hello(version: 1, kernelRelease: "x", uptimeMilliseconds: 1))
        #expect(try guest.say(.module("helper", .load, error: "No such device")) == [.send(.powerOff)])
        #expect(try guest.say(.module("test_hmm", .load, error: nil)) == [])
        guest.finish()
        #expect(
            guest.session.problems == [SessionProblem(stage: .loading, text: "module helper: No such device")])
        #expect(guest.session.outcomes.isEmpty)
        #expect(guest.session.left.map(\.id) == ["a/b"])
    }

    @Test("tells a module that stays, and powers off all the same")
    func moduleStays() throws {
        var guest = ScriptedGuest(.of("a/b"))
        _ = try guest.boot()
        _ = try guest.end("a/b")
        #expect(try guest.say(.module("test_hmm", .unload, error: "in use")) == [.send(.powerOff)])
        #expect(guest.session.problems == [SessionProblem(stage: .unloading, text: "module test_hmm: in use")])
    }

    @Test("stops the guest when a test cannot be killed")
    func unkillable() throws {
        var guest = ScriptedGuest(.of("a/b", "a/c"))
        _ = try guest.boot()
        #expect(try guest.say(.ended(id: "a/b", .unkillable, milliseconds: 6000)) == [.stopAfterReport])
        #expect(guest.printEnd(of: "a/b") == [])
        guest.finish()
        #expect(guest.session.outcomes.map(\.ending) == [.unkillable])
        #expect(guest.session.left.map(\.id) == ["a/c"])
    }
}

@Suite("A test's output")
struct SessionOutputTests {
    @Test("is bounded, both streams together", arguments: [GuestTest.Form.status, .ktap])
    func bounded(form: GuestTest.Form) throws {
        var guest = ScriptedGuest(SessionPlan(modules: [], tests: [.of("a/b", form: form)], environment: [:]))
        _ = try guest.boot()
        let lines = (1...150).map { "line \($0)\n" }.joined()
        for _ in 1...10 {
            _ = try guest.say(.output(id: "a/b", .standardOutput, Array(lines.utf8)))
            _ = try guest.say(.output(id: "a/b", .standardError, Array(lines.utf8)))
        }
        _ = try guest.end("a/b")
        let output = try #require(guest.session.outcomes.first).output
        #expect(output.count == TestSession.outputLimit)
        #expect(output.first == "line 1")
    }

    @Test("keeps a remark out of the middle of KTAP")
    func remarks() throws {
        var guest = ScriptedGuest(SessionPlan(modules: [], tests: [.of("a/b", form: .ktap)], environment: [:]))
        _ = try guest.boot()
        _ = try guest.say(.output(id: "a/b", .standardOutput, Array("ok 1 ".utf8)))
        _ = try guest.say(.output(id: "a/b", .standardError, Array("a remark\nand its rest".utf8)))
        _ = try guest.say(.output(id: "a/b", .standardOutput, Array("first\n".utf8)))
        _ = try guest.end("a/b")
        #expect(guest.session.outcomes.map(\.output) == [["ok 1 first", "a remark", "and its rest"]])
    }

    @Test("of one test does not reach the next one")
    func separate() throws {
        let tests = [GuestTest.of("a/b", form: .ktap), .of("a/c", form: .ktap)]
        var guest = ScriptedGuest(SessionPlan(modules: [], tests: tests, environment: [:]))
        _ = try guest.boot()
        for id in ["a/b", "a/c"] {
            _ = try guest.say(.output(id: id, .standardOutput, Array("out \(id)".utf8)))
            _ = try guest.say(.output(id: id, .standardError, Array("err \(id)".utf8)))
            _ = try guest.end(id)
        }
        #expect(guest.session.outcomes.map(\.output) == [["out a/b", "err a/b"], ["out a/c", "err a/c"]])
    }

    @Test("of a guest that dies keeps its last words")
    func lastWords() throws {
        var guest = ScriptedGuest(SessionPlan(modules: [], tests: [.of("a/b", form: .ktap)], environment: [:]))
        _ = try guest.boot()
        _ = try guest.say(.output(id: "a/b", .standardOutput, Array("# RUN first\nunfinished".utf8)))
        _ = try guest.say(.output(id: "a/b", .standardError, Array("a remark\n".utf8)))
        guest.finish()
        let output = try #require(guest.session.outcomes.first).output
        #expect(output.first == "# RUN first")
        #expect(output == ["# RUN first", "unfinished", "a remark"])
    }
}

@Suite("The end mark")
struct EndMarkTests {
    @Test(
        "is the kernel's line about this very test",
        arguments: [
            "[   12.345678] hmmlab: end mirror/read", "[   12.345678][    T1] hmmlab: end mirror/read",
            "no newline before it[   12.345678] hmmlab: end mirror/read",
        ])
    func taken(line: String) {
        #expect(TestSession.isMark(line, "end mirror/read"))
    }

    @Test(
        "is no other line",
        arguments: [
            "[   12.345678] hmmlab: end mirror/read_all", "[   12.345678] hmmlab: end mirror/rea",
            "[   12.345678] hmmlab: end other/mirror/read", "[   12.345678] hmmlab: begin mirror/read",
            "[   12.345678] other: end mirror/read", "[   12.345678] hmmlab: end mirror/read and more",
            "a test says hmmlab: end mirror/read in its output", "",
        ])
    func notTaken(line: String) {
        #expect(!TestSession.isMark(line, "end mirror/read"))
    }

    @Test("is not the end of a program's line")
    func forged() {
        #expect(!TestSession.isMark("a test says hmmlab: end mirror/read", "end mirror/read"))
    }

    @Test("of another test does not end this one")
    func ofAnotherTest() throws {
        let plan = SessionPlan.of("a/b", "a/c")
        var guest = ScriptedGuest(plan)
        _ = try guest.boot()
        #expect(try guest.say(.ended(id: "a/b", .exited(0), milliseconds: 1)) == [])
        #expect(guest.printEnd(of: "a/c") == [])
        #expect(guest.session.outcomes.isEmpty)
        #expect(guest.printEnd(of: "a/b") == [plan.tests[1].request])
        // The one that came too early counts for nothing.
        #expect(try guest.say(.ended(id: "a/c", .exited(0), milliseconds: 1)) == [])
    }
}
