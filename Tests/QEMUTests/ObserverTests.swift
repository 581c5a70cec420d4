// SPDX-License-Identifier: Apache-2.0
import Testing
import VirtualMachine

/// The loop that feeds an observer, with scripted machines.
@Suite struct ObserverTests {
    private let patient = Watchdog.Limits(boot: .seconds(600), silence: .seconds(600))

    @Test func everythingArrivesUntilTheEnd() async throws {
        let machine = FakeMachine()
        machine.say("one")
        machine.tell("hel")
        machine.tell("lo")
        machine.say("two")
        machine.end(.poweredOff)
        let seen = try await machine.observe(with: Collector(), watchdog: Watchdog(patient, start: .now))
        #expect(seen.observer.lines == ["one", "two"])
        #expect(seen.observer.bytes == Array("hello".utf8))
        #expect(seen.ending == .poweredOff)
        #expect(seen.expiry == nil)
        #expect(machine.deeds == [])
    }

    @Test func answersAreSentInOrder() async throws {
        let machine = FakeMachine { machine, deed in
            if deed == "send second" { machine.end(.poweredOff) }
        }
        machine.tell("hello")
        let collector = Collector(answers: ["hello": [.send(Array("first".utf8)), .send(Array("second".utf8))]])
        _ = try await machine.observe(with: collector, watchdog: Watchdog(patient, start: .now))
        #expect(machine.deeds == ["send first", "send second"])
    }

    @Test func stopIsObeyedAndWhatFollowsIsStillSeen() async throws {
        let machine = FakeMachine { machine, deed in
            if deed == "stop" { machine.say("last words") }
        }
        machine.say("enough")
        let collector = Collector(answers: ["enough": [.stop]])
        let seen = try await machine.observe(with: collector, watchdog: Watchdog(patient, start: .now))
        #expect(seen.observer.lines == ["enough", "last words"])
        #expect(seen.ending == .stopped)
        #expect(seen.expiry == nil)
    }

    @Test func reportIsReadToItsEndBeforeTheStop() async throws {
        let machine = FakeMachine()
        machine.say("BUG")
        machine.say("its stack")
        let collector = Collector(answers: ["BUG": [.stopAfterReport]])
        let seen = try await machine.observe(with: collector, watchdog: Watchdog(patient, start: .now))
        #expect(seen.observer.lines == ["BUG", "its stack"])
        #expect(machine.deeds == ["stop"])
        // The end of a report is no limit that was passed.
        #expect(seen.expiry == nil)
        #expect(seen.observer.expiries == [])
    }

    @Test func silentGuestIsInterruptedThenStopped() async throws {
        let machine = FakeMachine { machine, deed in
            if deed == "interrupt" { machine.say("hung here") }
        }
        let limits = Watchdog.Limits(boot: .seconds(600), silence: .milliseconds(100))
        let seen = try await machine.observe(with: Collector(), watchdog: Watchdog(limits, start: .now))
        #expect(seen.expiry == .silence)
        #expect(seen.observer.expiries == [.silence])
        #expect(seen.observer.lines == ["hung here"])
        #expect(machine.deeds == ["interrupt", "stop"])
    }

    @Test func cancellationEndsTheWatch() async throws {
        let machine = FakeMachine()
        let limits = patient
        let task = Task { try await machine.observe(with: Collector(), watchdog: Watchdog(limits, start: .now)) }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
    }
}
