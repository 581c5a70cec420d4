// SPDX-License-Identifier: Apache-2.0
import Glibc
import GuestProtocol

/// A terminal device, held open beside the program that has it as its controlling terminal.
final class Terminal {
    private let descriptor: Int32

    /// Opens a device such as `/dev/ttyS1` without taking it as PID 1's own terminal.
    init(_ device: String) throws(SystemError) {
        descriptor = open(device, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError("The terminal \(device) cannot be opened") }
    }

    deinit { close(descriptor) }

    /// Tells the programs on the terminal how large it is; they get SIGWINCH.
    func resize(_ size: TerminalSize) {
        var window = winsize(ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0)
        _ = ioctl(descriptor, UInt(TIOCSWINSZ), &window)
    }

    /// Waits a moment until the host has taken what the programs wrote, so that the end is not reported before it.
    func drain() {
        for _ in 0..<100 {
            var waiting: Int32 = 0
            guard ioctl(descriptor, UInt(TIOCOUTQ), &waiting) == 0, waiting > 0 else { return }
            System.sleep(milliseconds: 5)
        }
    }
}
