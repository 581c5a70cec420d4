// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// The mark that the device's engine leaves in what it copies (``Injection/marksCopies``), and that a copy of the same page
/// by the CPU takes away.
extension PageRange {
    /// The CPU finds the pattern, and in each page the mark.
    func expectMarked(
        seed: UInt64, firstPage: Int = 0, _ sentence: String, file: String = #fileID, line: Int = #line
    ) {
        let complaints = (0..<count).compactMap { index in
            Self.complaint(page(index).wordValues(), seed: seed, page: firstPage + index).map { "page \(index): \($0)" }
        }
        expectNone(
            complaints.first.map { complaints.count == 1 ? $0 : "\($0); \(complaints.count) pages differ" }, sentence,
            file: file, line: line)
    }

    private static func complaint(_ words: [UInt64], seed: UInt64, page: Int) -> String? {
        let last = words.count - 1
        for (index, found) in words.enumerated() {
            let copied = PagePattern.word(seed: seed, page: page, word: index)
            if found == (index == last ? ~copied : copied) { continue }
            if index == last, found == copied { return "no mark: the CPU has copied it, or the engine twice" }
            return "word \(index): \(PagePattern.describe(found))"
        }
        return nil
    }
}

extension MirrorDevice {
    /// Marks what the engine copies in a step.
    func markingCopies(file: String = #fileID, line: Int = #line, _ step: () throws -> Void) throws {
        try inject(Injection(marksCopies: true), file: file, line: line)
        try step()
        try inject(Injection(), file: file, line: line)
    }
}
