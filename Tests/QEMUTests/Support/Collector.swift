// SPDX-License-Identifier: Apache-2.0
import VirtualMachine

/// An observer that keeps everything and answers lines with prepared actions.
struct Collector: MachineObserver {
    var lines: [String] = []
    var bytes: [UInt8] = []
    var expiries: [Watchdog.Expiry] = []
    /// Done when a line or the protocol's text so far is a key.
    var answers: [String: [MachineAction]] = [:]

    mutating func observe(_ event: MachineEvent, watchdog: inout Watchdog) -> [MachineAction] {
        switch event {
        case .console(let line):
            lines.append(line.text)
            return answers[line.text] ?? []
        case .bytes(let chunk):
            bytes += chunk.bytes
            return answers[String(decoding: bytes, as: UTF8.self)] ?? []
        case .expired(let expiry, _):
            expiries.append(expiry)
            return []
        }
    }
}
