// SPDX-License-Identifier: Apache-2.0
import Foundation
import GuestProtocol
import HarnessCore
import KernelLog
import VirtualMachine

/// One boot with a shell on the second console.
struct ShellSession: MachineObserver {
    private let modules: [ModuleRequest]
    private let size: @Sendable () -> TerminalSize?
    private let onReady: @Sendable () -> Void
    private let onEnd: @Sendable () -> Void
    private var decoder = MessageDecoder<GuestMessage>()
    private var parser = ConsoleParser()
    private var modulesLeft: Int
    /// Whether the guest has greeted.
    private(set) var isUp = false
    private(set) var titles: [String] = []
    private(set) var problem: String?

    init(
        modules: [ModuleRequest], size: @escaping @Sendable () -> TerminalSize?,
        onReady: @escaping @Sendable () -> Void,
        onEnd: @escaping @Sendable () -> Void
    ) {
        self.modules = modules
        self.size = size
        self.onReady = onReady
        self.onEnd = onEnd
        modulesLeft = modules.count
    }

    mutating func observe(_ event: MachineEvent, watchdog: inout Watchdog) -> [MachineAction] {
        switch event {
        case .console(let line):
            var actions: [MachineAction] = []
            for event in parser.feed(line: line.text) {
                switch event {
                case .began(let start) where start.isFatal: actions.append(.stopAfterReport)
                case .ended(let report): titles.append(report.title)
                default: break
                }
            }
            return actions
        case .bytes(let chunk):
            return decoder.feed(chunk.bytes).flatMap { event -> [MachineAction] in
                guard case .message(let message) = event else { return [] }
                return take(message, at: chunk.arrival, &watchdog)
            }
        case .expired: return []
        }
    }

    mutating func finish() {
        for case .ended(let report) in parser.finish() { titles.append(report.title) }
    }

    private mutating func take(
        _ message: GuestMessage, at instant: MachineClock.Instant, _ watchdog: inout Watchdog
    ) -> [MachineAction] {
        switch message {
        case .hello where !isUp:
            isUp = true
            watchdog.booted(at: instant)
            return [send(.welcome), send(.loadModules(modules))]
        case .module(_, .load, let error):
            modulesLeft -= 1
            // A shell is of use without the driver too, to find out why.
            if let error { problem = error }
            guard modulesLeft == 0 else { return [] }
            // A person may think for as long as they like.
            watchdog.testBegan(limit: .seconds(365 * 24 * 3600), at: instant)
            onReady()
            let term = ProcessInfo.processInfo.environment["TERM"] ?? "linux"
            return [send(.shell(ShellRequest(id: "shell", environment: ["TERM": term], size: size())))]
        case .ended:
            watchdog.testEnded(at: instant)
            onEnd()
            return [send(.powerOff)]
        case .problem(let text):
            problem = text
            return []
        default: return []
        }
    }

    private func send(_ message: HostMessage) -> MachineAction { .send((try? message.encoded()) ?? []) }
}

extension Lab {
    /// Boots a guest and connects this terminal to a shell in it; returns the titles of kernel reports.
    ///
    /// - Parameter onReady: called when the shell takes over the terminal.
    /// - Throws: ``LabError`` `guest-lost` and others.
    public func shell(
        kernel: KernelSelection, guest: GuestSelection, onReady: @escaping @Sendable () -> Void
    ) async throws -> [String] {
        let boots = try await boots(kernel, guest)
        progress(.step("Booting the guest"))
        let request = try boots.request(0, hasShell: true)
        try request.check()
        let keyboard = Keyboard()
        defer { keyboard.restore() }
        let session = ShellSession(
            modules: boots.modules, size: { Keyboard.size },
            onReady: {
                onReady()
                keyboard.makeRaw()
            }, onEnd: { keyboard.restore() })
        let observed = try await boots.host.withMachine(request) { machine in
            try await withThrowingTaskGroup(of: Void.self) { group in
                let channel = machine.shellChannel
                group.addTask {
                    guard let channel else { return }
                    for await chunk in channel.incoming { FileHandle.standardOutput.write(Data(chunk.bytes)) }
                }
                group.addTask {
                    for await bytes in keyboard.input {
                        // Ctrl-], as telnet has it: the way out of a guest that hangs.
                        if bytes.contains(0x1d) {
                            await machine.stop()
                            return
                        }
                        try? await channel?.send(bytes)
                    }
                }
                group.addTask { try await Self.followWindow(of: machine) }
                var observed = try await machine.observe(with: session, watchdog: Watchdog(start: .now))
                observed.observer.finish()
                group.cancelAll()
                return observed
            }
        }
        keyboard.restore()
        if case .failed(let error) = observed.ending { throw error }
        if let problem = observed.observer.problem { progress(.warning(problem)) }
        guard observed.observer.isUp else {
            throw LabError(
                "guest-lost", exit: .bootFailed, "The guest did not come up",
                cause: observed.observer.titles.first, next: "See the console in \(boots.folder.path).")
        }
        return observed.observer.titles
    }

    /// Tells the guest whenever the person's window has got another size, until the task is cancelled.
    ///
    /// The size is asked for, since SIGWINCH would take a handler for the whole process. A guest without a shell yet
    /// ignores it, and gets the size with the shell.
    private static func followWindow(of machine: any RunningMachine) async throws {
        var known = Keyboard.size
        while true {
            try await Task.sleep(for: .milliseconds(200))
            guard let size = Keyboard.size, size != known else { continue }
            known = size
            try await machine.protocolChannel.send(HostMessage.resize(size).encoded())
        }
    }
}

/// This process's terminal as the guest's keyboard.
private final class Keyboard: Sendable {
    /// What is typed, or piped in; ends with standard input or when the reading task is cancelled.
    let input: AsyncStream<[UInt8]>
    private let saved = LockedValue<termios?>(nil)
    /// Only kept alive; libdispatch allows its objects on every thread.
    nonisolated(unsafe) private let signals: [any DispatchSourceSignal]

    init() {
        // What ends hmmlab from outside must not leave the terminal raw.
        let saved = saved
        signals = [SIGTERM, SIGHUP].map { number in
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                Keyboard.restore(saved)
                // Not raise(3): libdispatch's threads block the signal. The guest goes with this process.
                _exit(128 + number)
            }
            signal(number, SIG_IGN)
            source.resume()
            return source
        }
        let (stream, continuation) = AsyncStream.makeStream(of: [UInt8].self)
        input = stream
        FileHandle.standardInput.readabilityHandler = { handle in
            let bytes = handle.availableData
            if bytes.isEmpty {
                // The shell sees an end of file as it would on a terminal: Ctrl-D.
                continuation.yield([4])
                continuation.finish()
                handle.readabilityHandler = nil
            } else {
                continuation.yield(Array(bytes))
            }
        }
        continuation.onTermination = { _ in FileHandle.standardInput.readabilityHandler = nil }
    }

    static var size: TerminalSize? {
        var window = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &window) == 0, window.ws_row > 0 else { return nil }
        return TerminalSize(rows: window.ws_row, columns: window.ws_col)
    }

    /// Hands every key to the guest, Ctrl-C included.
    func makeRaw() {
        saved.withLock { saved in
            var settings = termios()
            guard saved == nil, tcgetattr(STDIN_FILENO, &settings) == 0 else { return }
            saved = settings
            cfmakeraw(&settings)
            tcsetattr(STDIN_FILENO, TCSANOW, &settings)
        }
    }

    func restore() { Self.restore(saved) }

    private static func restore(_ saved: LockedValue<termios?>) {
        saved.withLock { saved in
            guard var settings = saved else { return }
            tcsetattr(STDIN_FILENO, TCSANOW, &settings)
            saved = nil
        }
    }
}
