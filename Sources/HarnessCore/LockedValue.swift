// SPDX-License-Identifier: Apache-2.0
import Synchronization

/// A value behind a lock that can be shared between tasks; the lock is never held across a suspension.
public final class LockedValue<Value: Sendable>: Sendable {
    private let mutex: Mutex<Value>

    /// Wraps an initial value.
    public init(_ value: Value) { mutex = Mutex(value) }

    /// Runs a closure with exclusive access to the value.
    public func withLock<Result: Sendable>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        try mutex.withLock { value in try body(&value) }
    }
}
