// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import SystemPackage
import VirtualMachine

/// An open folder that sockets are reached through.
///
/// A path that begins with /proc/self/fd/N is short whatever the folder is called, which a socket address has to be.
final class OpenFolder: Sendable {
    private let descriptor: FileDescriptor

    init(_ path: String) throws {
        do {
            descriptor = try FileDescriptor.open(path, .readOnly, options: [.directory, .closeOnExec])
        } catch {
            throw Files.unreadable(path, cause: "\(error)")
        }
    }

    deinit { try? descriptor.close() }

    /// Connects to a listening socket in the folder; nil if nobody listens there yet.
    func connect(_ name: String) throws -> UnixConnection? {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let path = Array("/proc/self/fd/\(descriptor.rawValue)/\(name)".utf8) + [0]
        let fits = withUnsafeMutableBytes(of: &address.sun_path) { field in
            guard path.count <= field.count else { return false }
            field.copyBytes(from: path)
            return true
        }
        guard fits else { throw Self.failure(name, ENAMETOOLONG) }
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { throw Self.failure(name, errno) }
        let status = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        let reason = errno
        if status == 0 { return UnixConnection(adopting: socket, name: name) }
        Glibc.close(socket)
        // Not there yet, or there but not listening yet.
        if [ENOENT, ECONNREFUSED, EINTR, EAGAIN].contains(reason) { return nil }
        throw Self.failure(name, reason)
    }

    private static func failure(_ name: String, _ reason: Int32) -> LabError {
        LabError(
            "machine-channel", "The guest's socket \(name) cannot be connected",
            cause: String(cString: strerror(reason)))
    }
}

/// A connected stream socket whose blocking calls are made on threads of its own, never on Swift's.
///
/// The descriptor is closed when the last user is gone, so that no call ever meets a number that was given away.
final class UnixConnection: Sendable {
    private let descriptor: Int32
    private let name: String
    private let inbox = Inbox()
    private let sender: DispatchQueue

    fileprivate init(adopting descriptor: Int32, name: String) {
        self.descriptor = descriptor
        self.name = name
        sender = DispatchQueue(label: "hmmlab.\(name)")
        Thread.detachNewThread { [self] in receive() }
    }

    deinit { Glibc.close(descriptor) }

    /// What the peer sends, until it or we hang up; for one reader.
    var incoming: AsyncStream<ByteChunk> { incoming {} }

    /// The same; the closure is called before each piece is handed on.
    func incoming(onArrival: @escaping @Sendable () -> Void) -> AsyncStream<ByteChunk> {
        AsyncStream(unfolding: { [inbox] in
            let chunk = await inbox.next()
            onArrival()
            return chunk
        })
    }

    /// Sends all the bytes.
    ///
    /// - Throws: ``LabError`` `machine-channel` if the peer is gone.
    func send(_ bytes: [UInt8]) async throws {
        try await withCheckedThrowingContinuation { (done: CheckedContinuation<Void, any Error>) in
            sender.async { [self] in done.resume(with: Result { try sendBlocking(bytes) }) }
        }
    }

    /// Sends bytes without waiting; hangs up if that fails.
    func post(_ bytes: [UInt8]) {
        sender.async { [self] in
            do { try sendBlocking(bytes) } catch { hangUp() }
        }
    }

    /// Hangs up in both directions, which also ends a call that is under way.
    func hangUp() {
        Glibc.shutdown(descriptor, Int32(SHUT_RDWR))
        inbox.finish()
    }

    private func sendBlocking(_ bytes: [UInt8]) throws {
        var rest = bytes[...]
        while !rest.isEmpty {
            let sent = rest.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            if sent < 0 {
                if errno == EINTR { continue }
                throw LabError(
                    "machine-channel", "The guest's socket \(name) takes no bytes any more",
                    cause: String(cString: strerror(errno)))
            }
            rest = rest.dropFirst(sent)
        }
    }

    private func receive() {
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0, inbox.put(ByteChunk(Array(buffer[..<count]))) else { break }
        }
        inbox.finish()
    }
}

/// Hands pieces from a thread to a task; the thread waits when the task is sixteen pieces behind, so that a guest that
/// floods its channel is slowed down rather than stored.
final class Inbox: Sendable {
    private struct State {
        var chunks: [ByteChunk] = []
        var reader: CheckedContinuation<ByteChunk?, Never>?
        var isFinished = false
    }
    private let state = LockedValue(State())
    private let room = DispatchSemaphore(value: 0)

    init() {
        // Not as the initial value: libdispatch traps when a semaphore is released below that.
        for _ in 0..<16 { room.signal() }
    }

    /// Adds a piece, waiting for room; false once the inbox is finished.
    func put(_ chunk: ByteChunk) -> Bool {
        room.wait()
        let (accepted, reader) = state.withLock { state in
            guard !state.isFinished else { return (false, nil as CheckedContinuation<ByteChunk?, Never>?) }
            guard let reader = state.reader else {
                state.chunks.append(chunk)
                return (true, nil)
            }
            state.reader = nil
            return (true, reader)
        }
        if let reader {
            room.signal()
            reader.resume(returning: chunk)
        }
        return accepted
    }

    /// Ends the stream after the pieces that are in it.
    func finish() {
        let reader = state.withLock { state in
            state.isFinished = true
            defer { state.reader = nil }
            return state.reader
        }
        reader?.resume(returning: nil)
        room.signal()
    }

    /// The next piece; nil at the end and when the task is cancelled.
    func next() async -> ByteChunk? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { (reader: CheckedContinuation<ByteChunk?, Never>) in
                let ready: ByteChunk?? = state.withLock { state in
                    if !state.chunks.isEmpty { return state.chunks.removeFirst() }
                    if state.isFinished || Task.isCancelled { return .some(nil) }
                    state.reader = reader
                    return nil
                }
                guard let ready else { return }
                if ready != nil { room.signal() }
                reader.resume(returning: ready)
            }
        } onCancel: {
            let reader = state.withLock { state in
                defer { state.reader = nil }
                return state.reader
            }
            reader?.resume(returning: nil)
        }
    }
}
