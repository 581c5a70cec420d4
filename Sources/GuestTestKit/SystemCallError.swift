// SPDX-License-Identifier: Apache-2.0
public import DeviceMirror
import Glibc

/// A system call that a test needs for its set-up and that failed.
public struct SystemCallError: Error, Sendable {
    /// The call's name, with what it was used on where that helps.
    public let call: String
    /// The kernel's answer.
    public let code: Errno
    /// The caller's file, as `#fileID` gives it.
    public let file: String
    /// The caller's line.
    public let line: Int
}

extension SystemCallError: CustomStringConvertible {
    /// The failure as one sentence.
    public var description: String { "\(call) failed with \(code)" }
}

/// Runs a system call that returns -1 on failure, and repeats it when a signal interrupted it.
///
/// - Returns: what the call returned, never -1.
@discardableResult
public func systemCall<Result: FixedWidthInteger & SignedInteger>(
    _ name: String, file: String = #fileID, line: Int = #line, _ call: () -> Result
) throws(SystemCallError) -> Result {
    while true {
        let result = call()
        if result != -1 { return result }
        let code = Errno.current
        if code == .interrupted { continue }
        throw SystemCallError(call: name, code: code, file: file, line: line)
    }
}
