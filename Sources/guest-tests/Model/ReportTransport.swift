// SPDX-License-Identifier: Apache-2.0
import AddressSpaceModel
import GuestTestKit

/// A report as 64-bit numbers: how it ended, how far it got, and the three lists, each after its length.
extension Report {
    /// Sends it to the process that asked for it.
    func send(to channel: borrowing StepChannel) throws {
        var words: [UInt64] = [0, 0, 0, UInt64(done)]
        switch ending {
        case .done: words[1] = 0
        case .refused(let code): (words[1], words[2]) = (1, UInt64(code.magnitude))
        case .unmapped: words[1] = 2
        case .forbidden: words[1] = 3
        case .signal: words[1] = 4
        }
        words += [UInt64(contents.count)] + contents.map(\.rawValue)
        words += [UInt64(answers.count)] + answers.map(UInt64.init)
        words += [UInt64(window.count)] + window.map(\.rawValue)
        words[0] = UInt64(words.count)
        try words.withUnsafeBytes { try channel.send($0) }
    }

    fileprivate init?(_ words: [UInt64]) {
        var words = words[...]
        guard words.count >= 3, let kind = words.popFirst(), let code = words.popFirst(), let done = words.popFirst()
        else {
            return nil
        }
        func list() -> [UInt64]? {
            guard let count = words.popFirst().flatMap({ Int(exactly: $0) }), count <= words.count else { return nil }
            defer { words = words.dropFirst(count) }
            return Array(words.prefix(count))
        }
        let endings: [Ending] = [.done, .refused(Int32(truncatingIfNeeded: code)), .unmapped, .forbidden, .signal]
        guard kind < endings.count, let contents = list(), let answers = list(), let window = list() else { return nil }
        self.init(
            endings[Int(kind)], done: Int(clamping: done), contents: contents.map(Content.init(rawValue:)),
            answers: answers.map { UInt8(truncatingIfNeeded: $0) }, window: window.map(Seen.init(rawValue:)))
    }
}

extension StepChannel {
    /// Asks the other process for a step.
    func tell(_ step: Step) throws(SystemCallError) {
        // The closure of withUnsafeBytes would lose the error's type.
        let copy = [step]
        let outcome = copy.withUnsafeBytes { bytes in
            Result { () throws(SystemCallError) in try send(bytes) }
        }
        try outcome.get()
    }

    /// Waits for how a step went; nil when the other process is gone.
    func receiveReport() throws -> Report? {
        var count: UInt64 = 0
        guard try withUnsafeMutableBytes(of: &count, { try receive(into: $0) }), (4...100_000).contains(count) else {
            return nil
        }
        var words = [UInt64](repeating: 0, count: Int(count) - 1)
        guard try words.withUnsafeMutableBytes({ try receive(into: $0) }) else { return nil }
        return Report(words)
    }
}
