// SPDX-License-Identifier: Apache-2.0
import Glibc
import GuestProtocol

/// The one program that runs at a time, with everything it starts.
///
/// Because there is one at a time, "everything it started" is every process but PID 1, and one kill(2) of -1 ends it:
/// the kernel lets no fork slip through under it, not even a fork bomb's. What a program leaves behind becomes a child
/// of PID 1, so that "nothing is left" is wait(2) having nobody to wait for.
final class Activity {
    /// A pipe that output comes through.
    struct Stream {
        let name: RunStream
        let descriptor: Int32
    }

    let id: String
    let pid: pid_t
    let start = System.uptime
    /// The terminal of an interactive program.
    let terminal: Terminal?
    /// The output pipes that are still open.
    private(set) var streams: [Stream]
    /// How it ended, as far as is known; what is first known stays.
    private(set) var ending: RunEnding?

    /// When it is to be killed, on the clock of ``System/uptime``.
    private let deadline: Int?
    private let outputLimit: Int?
    private var outputCount = 0
    private var killedAt: Int?
    private var nothingIsLeft = false

    /// How long killed processes may take to be gone, in milliseconds.
    private static let grace = 5000

    /// Starts a run.
    init(_ request: RunRequest) throws(SystemError) {
        let output = try Pipe()
        let error = try Pipe()
        pid = try Spawn.start(
            request.arguments, environment: request.environment,
            .captured(output: output.writingEnd, error: error.writingEnd))
        id = request.id
        // A time that does not fit is never reached.
        let (end, isNever) = start.addingReportingOverflow(request.timeoutMilliseconds ?? .max)
        deadline = isNever ? nil : end
        outputLimit = request.outputLimit
        streams = [
            Stream(name: .standardOutput, descriptor: output.takeReadingEnd()),
            Stream(name: .standardError, descriptor: error.takeReadingEnd()),
        ]
        terminal = nil
    }

    /// Starts an interactive program, on a terminal of the host's or on a device of the guest's.
    init(_ request: ShellRequest, device: String? = nil) throws(SystemError) {
        let terminal = device == nil ? try Terminal() : nil
        if let size = request.size { terminal?.resize(size) }
        let arguments = request.arguments.isEmpty ? ["/bin/sh", "-l"] : request.arguments
        pid = try Spawn.start(
            arguments, environment: request.environment, .terminal(device ?? terminal?.device ?? "/dev/console"))
        id = request.id
        deadline = nil
        outputLimit = nil
        streams = []
        self.terminal = terminal
    }

    deinit {
        for stream in streams { close(stream.descriptor) }
    }

    /// When something has to happen even if nothing is heard of the program.
    var nextDeadline: Int? {
        if nothingIsLeft && terminal == nil { return nil }
        return killedAt.map { $0 + Self.grace } ?? deadline
    }

    /// Whether everything is over: then ``ending`` is final and all output has been read.
    var isOver: Bool {
        if ending == .unkillable { return true }
        return ending != nil && nothingIsLeft && streams.isEmpty && terminal?.isFinished != false
    }

    /// The program itself has ended; its leftovers follow it.
    func ended(waitStatus: Int32) {
        let signal = waitStatus & 0x7f
        kill(signal == 0 ? .exited(waitStatus >> 8 & 0xff) : .signalled(signal))
    }

    /// PID 1 has no child left.
    func everyoneIsGone() { nothingIsLeft = true }

    /// Kills whatever there is.
    func kill(_ ending: RunEnding) {
        if self.ending == nil { self.ending = ending }
        if killedAt == nil { killedAt = System.uptime }
        Glibc.kill(-1, SIGKILL)
    }

    /// Acts on deadlines that have passed; returns what there is to say about them.
    func checkDeadlines() -> [GuestMessage] {
        guard let next = nextDeadline, System.uptime >= next else { return [] }
        if killedAt == nil {
            let remark = remark(
                "timed out after \(System.uptime - start) ms; these processes were there:\n" + Processes.description)
            kill(.timedOut)
            return [remark]
        }
        if nothingIsLeft {
            terminal?.abandon()
            return []
        }
        ending = .unkillable
        return [remark("SIGKILL did not end these processes:\n" + Processes.description)]
    }

    /// Reads what has come through a pipe.
    func read(_ stream: Stream) -> [GuestMessage] {
        var piece = [UInt8](repeating: 0, count: Vocabulary.chunkSize)
        let count = Glibc.read(stream.descriptor, &piece, piece.count)
        if count < 0 && (errno == EAGAIN || errno == EINTR) { return [] }
        guard count > 0 else {
            close(stream.descriptor)
            streams.removeAll { $0.descriptor == stream.descriptor }
            return []
        }
        let before = outputCount
        outputCount += count
        guard let outputLimit, outputCount > outputLimit else {
            return [.output(id: id, stream.name, Array(piece[..<count]))]
        }
        if before > outputLimit { return [] }
        return [
            .output(id: id, stream.name, Array(piece[..<(outputLimit - before)])),
            remark("\noutput limit of \(outputLimit) bytes reached; the rest is dropped\n"),
        ]
    }

    /// Moves what is typed and shown on the terminal; a person who goes away ends the program, as a modem's line did.
    func serveTerminal() {
        guard let terminal else { return }
        terminal.relay()
        if terminal.isHungUp && ending == nil { kill(.signalled(SIGHUP)) }
    }

    /// A remark of the guest's own among the program's output.
    private func remark(_ text: String) -> GuestMessage {
        let lines = text.split(separator: "\n").map { "hmmlab: \($0)\n" }
        return .output(id: id, .standardError, Array("\n\(lines.joined())".utf8.prefix(Vocabulary.chunkSize)))
    }
}

/// A pipe whose ends are closed unless they are taken.
private struct Pipe: ~Copyable {
    let writingEnd: Int32
    private let readingEnd: Int32

    init() throws(SystemError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw SystemError("A pipe cannot be made") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
        readingEnd = ends[0]
        writingEnd = ends[1]
    }

    /// The end to read from, non-blocking, for the caller to close; the other end is closed here.
    consuming func takeReadingEnd() -> Int32 {
        let end = readingEnd
        close(writingEnd)
        discard self
        return end
    }

    deinit {
        close(readingEnd)
        close(writingEnd)
    }
}
