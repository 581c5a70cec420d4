// SPDX-License-Identifier: Apache-2.0
import Testing
import VirtualMachine

/// Limits, told instants by hand.
@Suite struct WatchdogTests {
    private let start = MachineClock.Instant.now
    private let limits = Watchdog.Limits(
        boot: .seconds(60), silence: .seconds(20), reportPause: .milliseconds(300), report: .milliseconds(1500))

    private func at(_ milliseconds: Int) -> MachineClock.Instant { start + .milliseconds(milliseconds) }
    private func watchdog() -> Watchdog { Watchdog(limits, start: start) }

    @Test func guestThatSaysNothingIsSilent() {
        let watchdog = watchdog()
        #expect(watchdog.expiry(at: at(19_999)) == nil)
        #expect(watchdog.expiry(at: at(20_000)) == .silence)
    }

    @Test func guestThatTalksButNeverGreetsFailsToBoot() {
        var watchdog = watchdog()
        for second in 1...59 { watchdog.consoleSpoke(at: at(second * 1000)) }
        #expect(watchdog.expiry(at: at(59_999)) == nil)
        #expect(watchdog.expiry(at: at(60_000)) == .boot)
    }

    @Test func greetingEndsTheBootLimitOnly() {
        var watchdog = watchdog()
        watchdog.booted(at: at(10_000))
        #expect(watchdog.expiry(at: at(29_999)) == nil)
        #expect(watchdog.expiry(at: at(30_000)) == .silence)
        watchdog.consoleSpoke(at: at(50_000))
        #expect(watchdog.expiry(at: at(69_999)) == nil)
        watchdog.protocolSpoke(at: at(69_000))
        #expect(watchdog.expiry(at: at(88_999)) == nil)
    }

    @Test func testHasItsOwnLimitAndMayBeSilent() {
        var watchdog = watchdog()
        watchdog.booted(at: at(1000))
        watchdog.testBegan(limit: .seconds(100), at: at(2000))
        #expect(watchdog.expiry(at: at(101_999)) == nil)
        #expect(watchdog.expiry(at: at(102_000)) == .test)
        // Output does not buy a test more time.
        watchdog.consoleSpoke(at: at(101_000))
        #expect(watchdog.expiry(at: at(102_000)) == .test)
    }

    @Test func nextTestReplacesTheLimitAndTheEndRestoresSilence() {
        var watchdog = watchdog()
        watchdog.booted(at: at(0))
        watchdog.testBegan(limit: .seconds(1), at: at(0))
        watchdog.testBegan(limit: .seconds(5), at: at(500))
        #expect(watchdog.expiry(at: at(1000)) == nil)
        watchdog.testEnded(at: at(5400))
        #expect(watchdog.expiry(at: at(5500)) == nil)
        #expect(watchdog.expiry(at: at(25_400)) == .silence)
    }

    @Test func reportEndsWithAPauseOnTheConsole() {
        var watchdog = watchdog()
        watchdog.booted(at: at(0))
        watchdog.consoleSpoke(at: at(1000))
        watchdog.reportBegan(at: at(1000))
        #expect(watchdog.expiry(at: at(1299)) == nil)
        watchdog.consoleSpoke(at: at(1200))
        // What the protocol says is no part of the report.
        watchdog.protocolSpoke(at: at(1400))
        #expect(watchdog.expiry(at: at(1499)) == nil)
        #expect(watchdog.expiry(at: at(1500)) == .report)
    }

    @Test func reportThatNeverPausesIsCutOff() {
        var watchdog = watchdog()
        watchdog.reportBegan(at: at(1000))
        for time in stride(from: 1000, to: 2500, by: 100) {
            watchdog.consoleSpoke(at: at(time))
            watchdog.reportBegan(at: at(time))
            #expect(watchdog.expiry(at: at(time)) == nil)
        }
        #expect(watchdog.expiry(at: at(2500)) == .report)
    }

    @Test func interruptedGuestHasTheWholeTimeForItsFirstLine() {
        var watchdog = watchdog()
        watchdog.interrupted(at: at(20_000))
        #expect(watchdog.expiry(at: at(21_499)) == nil)
        #expect(watchdog.expiry(at: at(21_500)) == .report)
        watchdog.consoleSpoke(at: at(21_000))
        #expect(watchdog.expiry(at: at(21_299)) == nil)
        #expect(watchdog.expiry(at: at(21_300)) == .report)
    }

    @Test func nothingElseCountsOnceAReportHasBegun() {
        var watchdog = watchdog()
        watchdog.reportBegan(at: at(59_900))
        watchdog.booted(at: at(59_910))
        watchdog.testBegan(limit: .milliseconds(1), at: at(59_920))
        watchdog.testEnded(at: at(59_930))
        #expect(watchdog.expiry(at: at(60_100)) == nil)
        #expect(watchdog.expiry(at: at(60_200)) == .report)
    }
}
