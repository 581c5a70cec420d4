// SPDX-License-Identifier: Apache-2.0
import HarnessCore

/// A value that comes once and that many may wait for.
///
/// Waiting is not ended by cancellation: whoever owes the value has to pay in every case.
final class Promise<Value: Sendable>: Sendable {
    private struct State {
        var value: Value?
        var waiters: [CheckedContinuation<Value, Never>] = []
    }
    private let state = LockedValue(State())

    /// Sets the value; only the first call counts.
    func fulfil(_ value: Value) {
        let waiters = state.withLock { state in
            guard state.value == nil else { return [CheckedContinuation<Value, Never>]() }
            state.value = value
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume(returning: value) }
    }

    /// The value, if it is there.
    var current: Value? { state.withLock { $0.value } }

    /// Waits for the value.
    func value() async -> Value {
        await withCheckedContinuation { waiter in
            let value = state.withLock { state in
                if state.value == nil { state.waiters.append(waiter) }
                return state.value
            }
            if let value { waiter.resume(returning: value) }
        }
    }
}
