// SPDX-License-Identifier: Apache-2.0
import Glibc
import GuestProtocol

/// The terminal of an interactive program: a pseudoterminal (pty(7)) whose bytes go through the host's terminal port.
///
/// It is not one of the guest's serial devices, since the kernel discards what such a device has not sent yet when the
/// shell exits, and QEMU's virtio console drops what the host does not take at once. Here, each direction has a buffer,
/// and is not read while its buffer waits to be written.
final class Terminal {
    /// The device that the program opens.
    let device: String
    /// Whether nobody has the terminal open any more, and the host has got everything.
    private(set) var isFinished = false
    /// Whether the host's side of the port is gone.
    private(set) var isHungUp = false

    private let master: Int32
    private let port: Int32
    private var toHost: [UInt8] = []
    private var toProgram: [UInt8] = []
    private var isClosed = false

    private static let pieceSize = 16 << 10

    /// Opens the port, which the host must have opened as well, and a new pseudoterminal.
    init() throws(SystemError) {
        var master: Int32 = -1
        var slave: Int32 = -1
        var name = [CChar](repeating: 0, count: Int(PATH_MAX))
        guard openpty(&master, &slave, &name, nil, nil) == 0 else { throw SystemError("No pseudoterminal can be made") }
        // The program opens it anew; nothing is read before that.
        close(slave)
        for (command, flag) in [(F_SETFD, FD_CLOEXEC), (F_SETFL, O_NONBLOCK)] { _ = fcntl(master, command, flag) }
        self.master = master
        device = name.withUnsafeBufferPointer { $0.baseAddress.map { String(cString: $0) } ?? "" }
        do throws(SystemError) {
            port = try VirtioPort.open(Vocabulary.terminalPortName, waitMilliseconds: 0)
        } catch {
            close(master)
            throw error
        }
        guard VirtioPort.waitForHost(port, milliseconds: 1000) else {
            throw SystemError("Nobody is at the other end of \(Vocabulary.terminalPortName)", code: ENOTCONN)
        }
    }

    deinit {
        close(port)
        close(master)
    }

    /// Tells the programs on the terminal how large it is; they get SIGWINCH.
    func resize(_ size: TerminalSize) {
        var window = winsize(ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0)
        _ = ioctl(master, UInt(TIOCSWINSZ), &window)
    }

    /// What has to happen before there is anything to relay.
    ///
    /// A descriptor that nothing is wanted of is left out: poll(2) would report its hang-up over and over.
    var awaited: [pollfd] {
        let fromProgram = toHost.isEmpty && !isClosed ? POLLIN : 0
        let fromHost = toProgram.isEmpty && !isHungUp ? POLLIN : 0
        return [
            pollfd(fd: master, events: Int16(fromProgram | (toProgram.isEmpty || isClosed ? 0 : POLLOUT)), revents: 0),
            pollfd(fd: port, events: Int16(fromHost | (toHost.isEmpty || isHungUp ? 0 : POLLOUT)), revents: 0),
        ].filter { $0.events != 0 }
    }

    /// Moves bytes in both directions, as far as they go without waiting.
    func relay() {
        while !isClosed && !isHungUp && toHost.isEmpty {
            if !fill(&toHost, from: master, onEnd: &isClosed) { break }
            drain(&toHost, to: port)
        }
        while !isClosed && !isHungUp && toProgram.isEmpty {
            if !fill(&toProgram, from: port, onEnd: &isHungUp) { break }
            drain(&toProgram, to: master)
        }
        drain(&toHost, to: port)
        drain(&toProgram, to: master)
        if isHungUp || (isClosed && toHost.isEmpty) { isFinished = true }
    }

    /// Gives up on a host that does not take the rest.
    func abandon() { isFinished = true }

    private func fill(_ buffer: inout [UInt8], from descriptor: Int32, onEnd isAtEnd: inout Bool) -> Bool {
        var piece = [UInt8](repeating: 0, count: Self.pieceSize)
        let count = read(descriptor, &piece, piece.count)
        if count > 0 {
            buffer += piece[..<count]
            return true
        }
        // A pseudoterminal that nobody has open reads as EIO, a port that the host has closed as nothing.
        if count == 0 || (errno != EAGAIN && errno != EINTR) { isAtEnd = true }
        return false
    }

    private func drain(_ buffer: inout [UInt8], to descriptor: Int32) {
        while !buffer.isEmpty {
            let count = write(descriptor, buffer, buffer.count)
            guard count > 0 else { return }
            buffer.removeFirst(count)
        }
    }
}
