// SPDX-License-Identifier: Apache-2.0
import CGuestShims
import DeviceMirror
import Glibc

/// One end of a connection between a parent and its forked child: each tells the other that it got somewhere.
///
/// Two pipes, because the guest's kernel has no sockets.
public struct StepChannel: ~Copyable {
    private let incoming: Int32
    private let outgoing: Int32

    fileprivate init(incoming: Int32, outgoing: Int32) {
        self.incoming = incoming
        self.outgoing = outgoing
    }

    deinit {
        close(incoming)
        close(outgoing)
    }

    /// Lets the other side go on.
    public func signal(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        try systemCall("telling the other process", file: file, line: line) { write(outgoing, "!", 1) }
    }

    /// Lets the other side go on, and tells it a number.
    public func signal(number: Int32, file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        var number = number
        try systemCall("telling the other process", file: file, line: line) {
            write(outgoing, &number, MemoryLayout<Int32>.size)
        }
    }

    /// Waits for the number of ``signal(number:file:line:)``.
    ///
    /// - Throws: when the other side is gone without having told one.
    public func waitForNumber(file: String = #fileID, line: Int = #line) throws -> Int32 {
        var number: Int32 = 0
        let size = MemoryLayout<Int32>.size
        let count = try systemCall("waiting for the other process", file: file, line: line) {
            read(incoming, &number, size)
        }
        try require(count == size, "the other process is still there", file: file, line: line)
        return number
    }

    /// Sends bytes, all of them.
    public func send(_ bytes: UnsafeRawBufferPointer, file: String = #fileID, line: Int = #line) throws(SystemCallError)
    {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = try systemCall("telling the other process", file: file, line: line) {
                write(outgoing, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            }
            rest = rest.dropFirst(count)
        }
    }

    /// Receives bytes until the buffer is full.
    ///
    /// - Returns: false when the other side is gone.
    public func receive(
        into bytes: UnsafeMutableRawBufferPointer, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> Bool {
        var done = 0
        while done < bytes.count {
            let count = try systemCall("waiting for the other process", file: file, line: line) {
                read(incoming, bytes.baseAddress.map { $0 + done }, bytes.count - done)
            }
            if count == 0 { return false }
            done += count
        }
        return true
    }

    /// Waits until the other side signals.
    ///
    /// - Throws: when the other side is gone without having done so.
    public func wait(file: String = #fileID, line: Int = #line) throws {
        var byte: UInt8 = 0
        let count = try systemCall("waiting for the other process", file: file, line: line) {
            read(incoming, &byte, 1)
        }
        try require(count == 1, "the other process is still there", file: file, line: line)
    }
}

/// A forked copy of this process that runs one closure and ends.
///
/// Fork only while the process has one thread: the child has no other.
public struct Child: ~Copyable {
    /// How a process ended.
    public enum End: Sendable, Equatable {
        /// It ended itself with this status.
        case exited(Int32)
        /// This signal ended it.
        case signaled(Int32)
    }

    /// The child's process number.
    public let pid: pid_t
    /// The parent's end of the connection with the child.
    public let channel: StepChannel

    /// Starts a child.
    ///
    /// The child exits with 0 when every expectation in `body` held, else with 1, and never returns into the caller, so
    /// that nothing that the parent owns is released twice. The kernel kills it when the parent ends.
    public init(
        file: String = #fileID, line: Int = #line, _ body: (borrowing StepChannel) throws -> Void
    ) throws(SystemCallError) {
        // Telling a process that is gone must be an error where it happens, not the end of this process.
        Glibc.signal(SIGPIPE, SIG_IGN)
        var (down, up): ([Int32], [Int32]) = ([-1, -1], [-1, -1])
        try systemCall("pipe", file: file, line: line) { pipe(&down) }
        try systemCall("pipe", file: file, line: line) { pipe(&up) }
        let forked = try systemCall("fork", file: file, line: line) { fork() }
        if forked == 0 {
            test_die_with_parent()
            close(down[1])
            close(up[0])
            Failures.reset()
            do {
                try body(StepChannel(incoming: down[0], outgoing: up[1]))
            } catch {
                Failures.record(uncaught: error, file: file, line: line)
            }
            exitNow()
        }
        close(down[0])
        close(up[1])
        pid = forked
        channel = StepChannel(incoming: up[0], outgoing: down[1])
    }

    /// Makes a copy of a descriptor that the child has open.
    ///
    /// - Returns: the copy's number in this process.
    public func duplicate(
        descriptor: Int32, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> Int32 {
        try systemCall("pidfd_getfd", file: file, line: line) { test_copy_descriptor(pid, descriptor) }
    }

    /// Waits for the child's end.
    public consuming func wait(file: String = #fileID, line: Int = #line) throws(SystemCallError) -> End {
        var status: Int32 = 0
        try systemCall("waitpid", file: file, line: line) { waitpid(pid, &status, 0) }
        // The layout of the status word: wait(2)'s macros are function-like and not imported.
        let signal = status & 0x7f
        return signal == 0 ? .exited(status >> 8 & 0xff) : .signaled(signal)
    }

    /// Waits for the child and states that all its expectations held.
    public consuming func expectPassed(
        _ sentence: String = "every expectation holds in the child", file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        expectEqual(try wait(file: file, line: line), .exited(0), sentence, file: file, line: line)
    }
}

/// Ends a child where it stands, with status 0 when every expectation held so far, else 1.
///
/// Nothing that the child owns is released by anyone but the kernel.
public func exitNow() -> Never { _exit(Failures.count == 0 ? 0 : 1) }
