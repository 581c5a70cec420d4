// SPDX-License-Identifier: Apache-2.0
import Foundation
import SystemPackage

/// An exclusive lock on a file, held by this process until it is released or the process ends (flock(2)).
///
/// The kernel drops it with the process, so that a killed hmmlab never leaves a stale lock. The lock file itself stays.
public struct FileLock: ~Copyable, Sendable {
    private let descriptor: FileDescriptor

    private init(_ descriptor: FileDescriptor) { self.descriptor = descriptor }

    /// Takes the lock, waiting for its holder; `waiting` is called once if there is something to wait for.
    ///
    /// - Throws: ``LabError`` `lock-failed`; `CancellationError` if the task is cancelled while it waits.
    public static func acquire(_ path: String, waiting: @Sendable () -> Void = {}) async throws -> FileLock {
        let descriptor: FileDescriptor
        do {
            try FileManager.default.createDirectory(
                atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
            descriptor = try FileDescriptor.open(
                path, .readWrite, options: [.create, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead])
        } catch {
            throw LabError("lock-failed", "The lock \(path) cannot be opened", cause: "\(error)")
        }
        var told = false
        while flock(descriptor.rawValue, LOCK_EX | LOCK_NB) != 0 {
            let reason = errno
            guard reason == EWOULDBLOCK || reason == EINTR else {
                try? descriptor.close()
                throw LabError(
                    "lock-failed", "The lock \(path) cannot be taken", cause: String(cString: strerror(reason)))
            }
            if !told {
                told = true
                waiting()
            }
            do {
                try await Task.sleep(for: .milliseconds(100))
            } catch {
                try? descriptor.close()
                throw error
            }
        }
        return FileLock(descriptor)
    }

    deinit { try? descriptor.close() }
}
