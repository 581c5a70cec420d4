// SPDX-License-Identifier: Apache-2.0

/// Makes a report's title and finds the function to blame.
enum Title {
    /// A line without what changes from run to run: addresses become `ADDR`, other numbers `N`, places lose their offset.
    static func normalised(_ text: Substring) -> String {
        var result: [UInt8] = []
        for word in text.words {
            if !result.isEmpty { result.append(0x20) }
            let place = StackFrame.first(in: word)
            result += normalisedWord(place.map { $0.function[...] } ?? word)
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static func normalisedWord(_ word: Substring) -> [UInt8] {
        var result: [UInt8] = []
        var run: [UInt8] = []
        func flush() {
            let hex = run.starts(with: [0x30, 0x78]) ? run.dropFirst(2) : run[...]
            let isNumber = !run.isEmpty && run.allSatisfy(\.isDigit)
            let isAddress =
                hex.allSatisfy(\.isHexDigit)
                && (hex.count < run.count || (hex.count >= 8 && hex.contains(where: \.isDigit)))
            result += isAddress ? Array("ADDR".utf8) : isNumber ? [UInt8(ascii: "N")] : run
            run = []
        }
        for byte in word.utf8 {
            if byte.isDigit || byte.isLetter || byte == UInt8(ascii: "_") {
                run.append(byte)
            } else {
                flush()
                result.append(byte)
            }
        }
        flush()
        return result
    }

    /// The frame to blame: the innermost one that is not machinery.
    ///
    /// Entries that the unwinder could not follow count only if there is nothing else, and machinery only then.
    static func culprit(_ candidates: [StackFrame], kind: ReportKind) -> StackFrame? {
        let isMachinery: (StackFrame) -> Bool = { Machinery.contains($0.name, whenBlamedFor: kind) }
        return candidates.first { $0.isReliable && !isMachinery($0) } ?? candidates.first { !isMachinery($0) }
            ?? candidates.first
    }

    /// The frame to blame for code that does not return: the outermost one inside the kernel's generic entry.
    static func stalled(_ candidates: [StackFrame]) -> StackFrame? {
        // A task that was preempted while it held RCU up shows the scheduler, and nothing that can be followed below it.
        let working = candidates.filter { !Machinery.isSuspending($0.name) }
        let reliable = working.filter(\.isReliable)
        let frames = reliable.isEmpty ? working : reliable
        guard let entry = frames.firstIndex(where: { Machinery.isEntry($0.name) }) else {
            return frames.first ?? candidates.first
        }
        return frames[..<entry].last ?? frames[entry]
    }
}
