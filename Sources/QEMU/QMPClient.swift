// SPDX-License-Identifier: Apache-2.0
import HarnessCore
import ProcessRunner
import VirtualMachine

/// Talks to QEMU's monitor on one connection.
///
/// Commands are sent without waiting for their results: those that hmmlab needs either show in what follows (`quit`) or
/// cannot be helped (`inject-nmi`), and a QEMU that hangs must not hang its keeper. Somebody has to run ``pump()``,
/// which reads all that comes, until the connection ends.
final class QMPClient: Sendable {
    private let connection: UnixConnection
    private let hasAnswer = LockedValue(false)
    private let shutdownReason = LockedValue(String?.none)
    private let reasonAtEnd = Promise<String?>()

    /// A client for a new connection; it lets the guest run.
    ///
    /// QEMU does commands and sends events only after `qmp_capabilities`; it reads what is sent before its greeting.
    init(_ connection: UnixConnection) {
        self.connection = connection
        post("qmp_capabilities")
        post("cont")
    }

    /// Sends a command that has no arguments.
    func post(_ command: String) { connection.post(Array(#"{"execute":"\#(command)"}"#.utf8) + [UInt8(ascii: "\n")]) }

    /// Reads until the connection ends.
    func pump() async {
        var splitter = LineSplitter(maximumLength: 1 << 20)
        for await chunk in connection.incoming {
            for line in splitter.feed(chunk.bytes) {
                switch QMPMessage(line: line) {
                case .result?, .refusal?: hasAnswer.withLock { $0 = true }
                case .shutdown(let reason)?: shutdownReason.withLock { $0 = reason }
                case .other?, nil: break
                }
            }
        }
        reasonAtEnd.fulfil(shutdownReason.withLock { $0 })
    }

    /// Whether QEMU has answered the first command, which it does when all its devices are made.
    var isReady: Bool { hasAnswer.withLock { $0 } }

    /// Waits for the connection's end, and then says why QEMU ended, if QEMU said so.
    ///
    /// The reason is `guest-shutdown`, `guest-reset`, `host-qmp-quit` or another ShutdownCause (qapi/run-state.json of
    /// QEMU).
    func shutdownReasonAtEnd() async -> String? { await reasonAtEnd.value() }
}
