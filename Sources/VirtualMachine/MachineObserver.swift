// SPDX-License-Identifier: Apache-2.0
import HarnessCore

/// What happens while a machine runs.
public enum MachineEvent: Sendable, Equatable {
    /// The console wrote a line.
    case console(ConsoleLine)
    /// The protocol channel brought bytes.
    case bytes(ByteChunk)
    /// A limit was passed. The guest is asked by interrupt where it hangs, and stopped when it has answered.
    case expired(Watchdog.Expiry, at: MachineClock.Instant)
}

/// What an observer wants done.
public enum MachineAction: Sendable, Equatable {
    /// Send bytes on the protocol channel; in the order of the actions.
    case send([UInt8])
    /// A fatal report is on the console: let it be written, then stop the machine.
    case stopAfterReport
    /// Stop the machine now.
    case stop
}

/// Follows a machine's life and says what to do; a value, so that it can be tested without a machine.
public protocol MachineObserver: Sendable {
    /// Takes in an event. Output has been counted by the watchdog already; tests and the greeting are the observer's to
    /// tell it.
    mutating func observe(_ event: MachineEvent, watchdog: inout Watchdog) -> [MachineAction]
}

/// What is left when a machine has ended.
public struct Observed<Observer: MachineObserver>: Sendable {
    /// The observer with all it has seen.
    public var observer: Observer
    /// How the machine ended.
    public var ending: MachineEnding
    /// The limit that ended it, if one did; never ``Watchdog/Expiry/report``.
    public var expiry: Watchdog.Expiry?
}

extension RunningMachine {
    /// Feeds an observer with everything that happens until the machine has ended, and enforces the watchdog's limits.
    ///
    /// Console and protocol are two channels: the order of events is exact within each and as seen by the host between
    /// them.
    ///
    /// - Throws: `CancellationError`.
    public func observe<Observer: MachineObserver>(
        with observer: Observer, watchdog: Watchdog
    ) async throws -> Observed<Observer> {
        let (sends, sending) = AsyncStream.makeStream(of: [UInt8].self)
        let (orders, ordering) = AsyncStream.makeStream(of: MachineOrder.self)
        let session = ObservationSession(observer: observer, watchdog: watchdog, sending: sending, ordering: ordering)
        let channel = protocolChannel
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await withTaskGroup(of: Void.self) { readers in
                    readers.addTask { for await line in console { await session.take(.console(line)) } }
                    readers.addTask { for await chunk in channel.incoming { await session.take(.bytes(chunk)) } }
                }
                // Both end with the machine.
                await session.finish()
            }
            // A guest that is gone takes no bytes; its end is reported by other means.
            group.addTask { for await bytes in sends { try? await channel.send(bytes) } }
            // Apart from the sends: a guest that reads nothing would hold up its own stop.
            group.addTask {
                for await order in orders {
                    switch order {
                    case .interrupt: await interrupt()
                    case .stop: await stop()
                    }
                }
            }
            group.addTask {
                while await session.tick() { try await Task.sleep(for: .milliseconds(50), clock: .suspending) }
            }
            try await group.waitForAll()
        }
        try Task.checkCancellation()
        return await Observed(observer: session.observer, ending: ending(), expiry: session.expiry)
    }
}

/// What an ``ObservationSession`` wants done to its machine.
private enum MachineOrder: Sendable {
    case interrupt
    case stop
}

/// The one place where a machine's events meet: an actor, so that the observer sees them one after the other.
private actor ObservationSession<Observer: MachineObserver> {
    private(set) var observer: Observer
    private(set) var expiry: Watchdog.Expiry?
    private var watchdog: Watchdog
    private var isOver = false
    private let sending: AsyncStream<[UInt8]>.Continuation
    private let ordering: AsyncStream<MachineOrder>.Continuation

    init(
        observer: Observer, watchdog: Watchdog, sending: AsyncStream<[UInt8]>.Continuation,
        ordering: AsyncStream<MachineOrder>.Continuation
    ) {
        self.observer = observer
        self.watchdog = watchdog
        self.sending = sending
        self.ordering = ordering
    }

    func take(_ event: MachineEvent) {
        let instant: MachineClock.Instant
        switch event {
        case .console(let line):
            instant = line.arrival
            watchdog.consoleSpoke(at: instant)
        case .bytes(let chunk):
            instant = chunk.arrival
            watchdog.protocolSpoke(at: instant)
        case .expired(_, let moment): instant = moment
        }
        for action in observer.observe(event, watchdog: &watchdog) {
            switch action {
            case .send(let bytes): sending.yield(bytes)
            case .stopAfterReport: watchdog.reportBegan(at: instant)
            case .stop: stop()
            }
        }
    }

    /// Looks at the clock; false when there is nothing left to watch.
    func tick() -> Bool {
        guard !isOver else { return false }
        let now = MachineClock.Instant.now
        switch watchdog.expiry(at: now) {
        case nil: break
        case .report: stop()
        case .some(let limit):
            expiry = limit
            take(.expired(limit, at: now))
            ordering.yield(.interrupt)
            watchdog.interrupted(at: now)
        }
        return !isOver
    }

    func finish() {
        isOver = true
        sending.finish()
        ordering.finish()
    }

    private func stop() {
        isOver = true
        ordering.yield(.stop)
    }
}
