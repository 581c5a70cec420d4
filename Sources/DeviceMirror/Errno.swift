// SPDX-License-Identifier: Apache-2.0
import Glibc

/// An error number of the kernel (errno(3)), by value.
public struct Errno: RawRepresentable, Sendable, Hashable, Error {
    /// The number as in `<errno.h>`.
    public let rawValue: Int32

    /// Makes an error number from its value.
    public init(rawValue: Int32) { self.rawValue = rawValue }

    /// What the calling thread's last failed call left behind.
    public static var current: Errno { Errno(rawValue: errno) }

    /// Operation not permitted: a write to a read-only mapping.
    public static let notPermitted = Errno(rawValue: EPERM)
    /// No such file or entry: a page that did not migrate, or a device that does not exist.
    public static let noEntry = Errno(rawValue: ENOENT)
    /// No such process: the mirrored address space is gone.
    public static let noProcess = Errno(rawValue: ESRCH)
    /// Interrupted by a signal.
    public static let interrupted = Errno(rawValue: EINTR)
    /// Input/output error: a page that could not be mapped for DMA.
    public static let inputOutput = Errno(rawValue: EIO)
    /// Try again: a queue that is full.
    public static let tryAgain = Errno(rawValue: EAGAIN)
    /// No space left: more regions than a descriptor may have.
    public static let noSpace = Errno(rawValue: ENOSPC)
    /// Out of memory.
    public static let noMemory = Errno(rawValue: ENOMEM)
    /// Bad address.
    public static let badAddress = Errno(rawValue: EFAULT)
    /// Device or resource busy.
    public static let busy = Errno(rawValue: EBUSY)
    /// Invalid argument.
    public static let invalidArgument = Errno(rawValue: EINVAL)
    /// No such device: it is lost or unplugged.
    public static let noDevice = Errno(rawValue: ENODEV)
    /// Argument list too long: an argument is longer than the driver knows it, and not zero there.
    public static let tooLong = Errno(rawValue: E2BIG)
    /// Bad file descriptor.
    public static let badDescriptor = Errno(rawValue: EBADF)
    /// Operation not supported.
    public static let notSupported = Errno(rawValue: EOPNOTSUPP)
}

extension Errno: CustomStringConvertible {
    /// The name as in `<errno.h>` where this type has it, else the number, and the C library's words.
    public var description: String {
        // strerrorname_np(3) would know all names, but Swift's Glibc module does not show it.
        let names: [Errno: String] = [
            .notPermitted: "EPERM", .noEntry: "ENOENT", .interrupted: "EINTR", .badAddress: "EFAULT", .busy: "EBUSY",
            .invalidArgument: "EINVAL", .badDescriptor: "EBADF", .noMemory: "ENOMEM", .notSupported: "EOPNOTSUPP",
            .noDevice: "ENODEV", .tooLong: "E2BIG", .noProcess: "ESRCH", .inputOutput: "EIO", .tryAgain: "EAGAIN",
            .noSpace: "ENOSPC",
        ]
        return "\(names[self] ?? "errno \(rawValue)") (\(String(cString: strerror(rawValue))))"
    }
}
