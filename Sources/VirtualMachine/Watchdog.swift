// SPDX-License-Identifier: Apache-2.0

/// Decides when a guest has had its time; a value that is told instants, without a clock of its own.
///
/// At most one of these holds at any moment:
/// - until ``booted(at:)``: the boot limit from the start, and the silence limit;
/// - between tests: the silence limit from the last output;
/// - during a test: that test's limit alone, since a test may have nothing to say;
/// - after ``reportBegan(at:)`` or ``interrupted(at:)``: only the wait for the end of the report.
public struct Watchdog: Sendable, Equatable {
    /// How long things may take.
    public struct Limits: Sendable, Equatable {
        /// From the start to the protocol's greeting.
        public var boot: Duration
        /// Without a byte on the console or the protocol.
        public var silence: Duration
        /// Console silence that ends a report; a starved vCPU pauses for some tenths of a second in the middle of one.
        public var reportPause: Duration
        /// From a report's begin to the machine's end.
        public var report: Duration

        /// Makes limits; the defaults suit a debug kernel under TCG on a busy machine.
        public init(
            boot: Duration = .seconds(90), silence: Duration = .seconds(45), reportPause: Duration = .milliseconds(500),
            report: Duration = .milliseconds(1500)
        ) {
            self.boot = boot
            self.silence = silence
            self.reportPause = reportPause
            self.report = report
        }
    }

    /// Which limit was passed.
    public enum Expiry: String, Sendable, Equatable, Codable {
        /// No greeting came in time.
        case boot
        /// Nothing was heard for too long.
        case silence
        /// The running test, or what follows its own time limit in the guest, did not end in time.
        case test
        /// A report was given the time to be written; this is no failure by itself.
        case report
    }

    private enum Phase: Equatable {
        case booting
        case idle
        case testing(until: MachineClock.Instant)
        /// A pause only ends a report of which at least one line has come.
        case reporting(since: MachineClock.Instant, hasSpoken: Bool)
    }

    private let limits: Limits
    private let start: MachineClock.Instant
    private var phase = Phase.booting
    private var lastConsole: MachineClock.Instant
    private var lastOutput: MachineClock.Instant

    /// A watchdog for a machine that starts at an instant.
    public init(_ limits: Limits = Limits(), start: MachineClock.Instant) {
        self.limits = limits
        self.start = start
        lastConsole = start
        lastOutput = start
    }

    /// The console wrote something.
    public mutating func consoleSpoke(at instant: MachineClock.Instant) {
        lastConsole = max(lastConsole, instant)
        lastOutput = max(lastOutput, instant)
        if case .reporting(let since, false) = phase { phase = .reporting(since: since, hasSpoken: true) }
    }

    /// The protocol said something.
    public mutating func protocolSpoke(at instant: MachineClock.Instant) {
        lastOutput = max(lastOutput, instant)
    }

    /// The protocol's greeting arrived.
    public mutating func booted(at instant: MachineClock.Instant) {
        protocolSpoke(at: instant)
        if phase == .booting { phase = .idle }
    }

    /// A test began that must be over after `limit`; it replaces the one before.
    public mutating func testBegan(limit: Duration, at instant: MachineClock.Instant) {
        protocolSpoke(at: instant)
        if !isReporting { phase = .testing(until: instant + limit) }
    }

    /// The running test is over.
    public mutating func testEnded(at instant: MachineClock.Instant) {
        protocolSpoke(at: instant)
        if case .testing = phase { phase = .idle }
    }

    /// A report that ends the guest has begun on the console; only the first call of this and ``interrupted(at:)``
    /// counts.
    public mutating func reportBegan(at instant: MachineClock.Instant) {
        guard !isReporting else { return }
        phase = .reporting(since: instant, hasSpoken: true)
        lastConsole = max(lastConsole, instant)
    }

    /// The guest was asked by interrupt where it hangs, and may answer with a report.
    public mutating func interrupted(at instant: MachineClock.Instant) {
        if !isReporting { phase = .reporting(since: instant, hasSpoken: false) }
    }

    private var isReporting: Bool {
        if case .reporting = phase { true } else { false }
    }

    /// The limit that is passed at an instant, if one is.
    public func expiry(at now: MachineClock.Instant) -> Expiry? {
        switch phase {
        case .booting:
            if now >= start + limits.boot { return .boot }
            return now >= lastOutput + limits.silence ? .silence : nil
        case .idle: return now >= lastOutput + limits.silence ? .silence : nil
        case .testing(let end): return now >= end ? .test : nil
        case .reporting(let since, let hasSpoken):
            let isComplete = hasSpoken && now >= lastConsole + limits.reportPause
            return isComplete || now >= since + limits.report ? .report : nil
        }
    }
}
