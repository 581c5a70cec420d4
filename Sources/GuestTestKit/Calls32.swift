// SPDX-License-Identifier: Apache-2.0
import CGuestShims
public import DeviceMirror

extension MirrorDevice {
    /// Makes a request as a 32-bit program does, otherwise as ``DeviceMirror/MirrorDevice/raw(request:argument:)``; needs
    /// ``Requirement/calls32``.
    ///
    /// - Parameters:
    ///   - request: the number with direction, type and size.
    ///   - argument: the argument's address below 4 GiB, or what is to be refused as one.
    /// - Returns: why the kernel refused; nil when it did not.
    public func raw32(request: UInt, argument: UInt32) -> Errno? {
        while true {
            if test_ioctl_32(descriptor, UInt32(truncatingIfNeeded: request), argument) >= 0 { return nil }
            let code = Errno.current
            if code != .interrupted { return code }
        }
    }
}
