// SPDX-License-Identifier: Apache-2.0

/// A request to the mirror device that the kernel refused.
public struct MirrorError: Error, Sendable, Equatable {
    /// What was asked of the device.
    public enum Operation: String, Sendable {
        /// Opening the device node.
        case open
        /// Device READ.
        case read
        /// Device WRITE.
        case write
        /// MIGRATE_TO_DEV.
        case migrateToDevice = "migrate to device"
        /// MIGRATE_TO_SYS.
        case migrateToSystem = "migrate to system"
        /// SNAPSHOT.
        case snapshot
        /// EXCLUSIVE.
        case exclusive
        /// CHECK_EXCLUSIVE.
        case checkExclusive = "check exclusive"
        /// RELEASE.
        case release
        /// FLAGS.
        case flags
        /// READ_UNLOCKED.
        case readUnlocked = "unlocked read"
        /// INFO.
        case information
        /// MIGRATE2.
        case migrate
        /// EVICT.
        case evict
        /// INJECT.
        case inject
        /// STATS.
        case statistics
        /// DEVMEM_READ.
        case readContents = "read of the device's memory"
        /// DEV_ATOMIC.
        case atomic
        /// ODP_REG.
        case registerRegion = "registration of a region"
        /// ODP_DEREG, also where it only asks.
        case deregisterRegion = "deregistration of a region"
        /// ODP_POST.
        case post = "post of work requests"
        /// ODP_POLL.
        case poll = "poll for completions"
        /// PIN.
        case pin
        /// UNPIN.
        case unpin
        /// CHUNK_ADD.
        case addChunk = "addition of memory"
        /// CHUNK_REMOVE.
        case removeChunk = "removal of memory"
        /// UNPLUG.
        case unplug
        /// A number that is no command, or an argument that is none.
        case raw = "raw request"
    }

    /// What was asked.
    public let operation: Operation
    /// The kernel's answer.
    public let code: Errno
    /// The device node and, where there is one, the range.
    public let target: String
    /// The caller's file, as `#fileID` gives it.
    public let file: String
    /// The caller's line.
    public let line: Int

    /// Two refusals are equal when the same request got the same answer, wherever it was made.
    public static func == (left: MirrorError, right: MirrorError) -> Bool {
        left.operation == right.operation && left.code == right.code
    }
}

extension MirrorError: CustomStringConvertible {
    /// The refusal as one sentence.
    public var description: String { "device \(operation.rawValue) of \(target) failed with \(code)" }
}
