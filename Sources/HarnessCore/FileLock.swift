// SPDX-License-Identifier: Apache-2.0
import Foundation
import SystemPackage

/// A lock on a file, held by this process until it is released or the process ends (flock(2)).
///
/// The kernel drops it with the process, so that a killed hmmlab never leaves a stale lock. The lock file itself stays.
public struct FileLock: ~Copyable, Sendable {
    private let descriptor: FileDescriptor

    private init(_ descriptor: FileDescriptor) { self.descriptor = descriptor }

    /// Takes the lock, waiting for its holders; `waiting` is called once if there is something to wait for.
    ///
    /// - Parameter isShared: whether others may hold the lock as well, as long as theirs is shared too.
    /// - Throws: ``LabError`` `lock-failed`; `CancellationError` if the task is cancelled while it waits.
    public static func acquire(
        _ path: String, isShared: Bool = false, waiting: @Sendable () -> Void = {}
    ) async throws -> FileLock {
        let lock = FileLock(try open(path))
        var told = false
        while try !lock.lock(isShared ? LOCK_SH : LOCK_EX, path) {
            if !told {
                told = true
                waiting()
            }
            try await Task.sleep(for: .milliseconds(100))
        }
        return lock
    }

    /// Takes the lock for this process alone; nil if somebody else holds it in any way.
    ///
    /// - Throws: ``LabError`` `lock-failed`.
    public static func acquireNow(_ path: String) throws -> FileLock? {
        let lock = FileLock(try open(path))
        guard try lock.lock(LOCK_EX, path) else { return nil }
        return lock
    }

    private static func open(_ path: String) throws -> FileDescriptor {
        do {
            try FileManager.default.createDirectory(
                atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
            return try FileDescriptor.open(
                path, .readWrite, options: [.create, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead])
        } catch {
            throw LabError("lock-failed", "The lock \(path) cannot be opened", cause: "\(error)")
        }
    }

    /// Whether the lock could be had at once.
    private func lock(_ operation: Int32, _ path: String) throws -> Bool {
        if flock(descriptor.rawValue, operation | LOCK_NB) == 0 { return true }
        let reason = errno
        guard reason == EWOULDBLOCK || reason == EINTR else {
            throw LabError("lock-failed", "The lock \(path) cannot be taken", cause: String(cString: strerror(reason)))
        }
        return false
    }

    deinit {
        // A child that is just being made has a copy of the descriptor until its exec, and with that the lock.
        _ = flock(descriptor.rawValue, LOCK_UN)
        try? descriptor.close()
    }
}
