// SPDX-License-Identifier: Apache-2.0
import CGuestShims
import Glibc
import GuestProtocol

/// Does what the host asks, one event at a time, on one thread.
final class Agent {
    private let signals: Int32
    private let shellDevice: String?
    var port: ProtocolPort?
    var activity: Activity?
    /// How things stood before the activity, if it is a run.
    var balance: Balance?
    /// Whether a task hangs in the kernel, so that nothing more can be run.
    var isStuck = false

    /// When the next hello is due, and when the port is worth looking at again.
    private var nextHello = 0
    private var portPause = 0

    private static let helloInterval = 250
    /// How often a port without a host is looked at: poll(2) cannot wait for one, it says "hung up" at once.
    private static let absentHostInterval = 20
    /// A guest that nobody talks to ends by itself after so long.
    private static let loneliness = 60_000

    init(signals: Int32, shellDevice: String?) {
        self.signals = signals
        self.shellDevice = shellDevice
    }

    /// Serves the host until it is time to power off.
    func run(reporting problems: [String]) -> Never {
        do throws(SystemError) {
            port = try ProtocolPort.open(waitMilliseconds: shellDevice == nil ? 5000 : 0)
        } catch  where shellDevice == nil {
            powerOff(because: error.description)
        } catch {
            System.log(error.description)
        }
        for problem in problems { report(problem) }
        if let shellDevice { startShell(ShellRequest(id: "shell"), device: shellDevice) }
        while true { step() }
    }

    /// Waits for the next event and deals with it.
    private func step() {
        sayHello()
        var descriptors = [pollfd(fd: signals, events: Int16(POLLIN), revents: 0)]
        if let port, System.uptime >= portPause {
            let events = port.isIdle ? POLLIN : POLLIN | POLLOUT
            descriptors.append(pollfd(fd: port.descriptor, events: Int16(events), revents: 0))
        }
        let streams = port?.isCongested == true ? [] : activity?.streams ?? []
        for stream in streams {
            descriptors.append(pollfd(fd: stream.descriptor, events: Int16(POLLIN), revents: 0))
        }
        if let terminal = activity?.terminal { descriptors += terminal.awaited }
        poll(&descriptors, nfds_t(descriptors.count), millisecondsToWait())

        for ready in descriptors where ready.revents != 0 {
            if ready.fd == signals {
                handleSignals()
            } else if let port, ready.fd == port.descriptor {
                handle(port, ready.revents)
            } else if let stream = activity?.streams.first(where: { $0.descriptor == ready.fd }) {
                for message in activity?.read(stream) ?? [] { send(message) }
            }
        }
        activity?.serveTerminal()
        for message in activity?.checkDeadlines() ?? [] { send(message) }
        finishActivity()
    }

    /// How long nothing but an event has to be dealt with, for poll(2).
    private func millisecondsToWait() -> Int32 {
        var times: [Int] = []
        if let port, !port.hasHeardHost { times += [nextHello, max(portPause, System.uptime + 1)] }
        if let deadline = activity?.nextDeadline { times.append(deadline) }
        guard let next = times.min() else { return -1 }
        return Int32(clamping: max(next - System.uptime, 0))
    }

    // MARK: - The host

    func send(_ message: GuestMessage) { port?.send(message) }

    /// Tells the host, and whoever reads the console, that something is wrong.
    func report(_ problem: String) {
        System.log(problem)
        send(.problem(problem))
    }

    private func sayHello() {
        guard let port, !port.hasHeardHost, System.uptime >= nextHello else { return }
        if shellDevice == nil && System.uptime > Self.loneliness { powerOff(because: "no host said anything") }
        nextHello = System.uptime + Self.helloInterval
        guard port.isIdle else { return }
        send(
            .hello(
                version: Vocabulary.version, kernelRelease: System.kernelRelease, uptimeMilliseconds: System.uptime))
    }

    private func handle(_ port: ProtocolPort, _ events: Int16) {
        if Int32(events) & POLLOUT != 0 { port.flush() }
        for event in port.receive() {
            switch event {
            case .message(let message): obey(message)
            case .problem(let text): report(text)
            case .hungUp:
                if port.hasHeardHost { powerOff(because: "the host hung up") }
                portPause = System.uptime + Self.absentHostInterval
            }
        }
    }

    // MARK: - The activity

    private func handleSignals() {
        while true {
            switch shim_next_signal(signals) {
            case 0: return
            case SIGCHLD: reap()
            default: powerOff(because: "a program asked for it")
            }
        }
    }

    private func reap() {
        while true {
            var status: Int32 = 0
            let pid = waitpid(-1, &status, WNOHANG)
            guard pid > 0 else {
                if pid < 0 && errno == ECHILD { activity?.everyoneIsGone() }
                return
            }
            if pid == activity?.pid { activity?.ended(waitStatus: status) }
        }
    }

    private func finishActivity() {
        guard let finished = activity, finished.isOver, let ending = finished.ending else { return }
        activity = nil
        let duration = System.uptime - finished.start
        if let balance, ending != .unkillable {
            for line in balance.remains() { send(.remains(id: finished.id, line)) }
        }
        System.log("end \(finished.id)")
        if ending == .unkillable { isStuck = true }
        send(.ended(id: finished.id, ending, milliseconds: duration))
        if shellDevice != nil { powerOff(because: "the shell has ended") }
    }

    // MARK: - The end

    /// Powers off, after telling everybody why unless the host asked for it.
    func powerOff(because reason: String?) -> Never {
        if let reason { report("Powering off: \(reason)") }
        send(.bye)
        if let port {
            let deadline = System.uptime + 2000
            while !port.isIdle && System.uptime < deadline {
                var descriptor = pollfd(fd: port.descriptor, events: Int16(POLLOUT), revents: 0)
                poll(&descriptor, 1, 50)
                if Int32(descriptor.revents) & POLLHUP != 0 { break }
                port.flush()
            }
        }
        PowerOff.now()
    }
}
