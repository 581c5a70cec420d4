// SPDX-License-Identifier: Apache-2.0
import AddressSpaceModel
import GuestTestKit

/// The words of a page that stand for all of it: both ends and two others.
///
/// Whole pages are what the other suites compare; here a step costs no more than what it asks of the kernel.
enum PageWords {
    static let chosen = [0, 1, 255, PagePattern.wordsPerPage - 1]
    /// How many they are.
    static let count = chosen.count

    /// The words themselves.
    static func values(at page: UnsafeRawPointer) -> [UInt64] {
        let words = page.assumingMemoryBound(to: UInt64.self)
        return chosen.map { words[$0] }
    }

    /// The stamp that a word was written with, 0 for zero; nil for what was not written for this place.
    static func stamp(_ value: UInt64, page: Int, word: Int) -> UInt32? {
        if value == 0 { return 0 }
        let origin = PagePattern.origin(of: value)
        return origin.page == page && origin.word == word ? UInt32(exactly: origin.seed) : nil
    }

    /// Whether each byte of a word is that of the word with one of some stamps.
    static func isMixed(_ value: UInt64, of stamps: ClosedRange<UInt32>, page: Int, word: Int) -> Bool {
        (0..<8).allSatisfy { byte in
            stamps.contains { stamp in
                let whole = stamp == 0 ? 0 : PagePattern.word(seed: UInt64(stamp), page: page, word: word)
                return (whole ^ value) >> (8 * byte) & 0xff == 0
            }
        }
    }

    /// Reads what a page holds.
    static func content(at page: UnsafeRawPointer) -> Content {
        let words = page.assumingMemoryBound(to: UInt64.self)
        if words[0] == 0 { return chosen.allSatisfy { words[$0] == 0 } ? .zero : .torn }
        let origin = PagePattern.origin(of: words[0])
        let isWhole = chosen.allSatisfy {
            words[$0] == PagePattern.word(seed: origin.seed, page: origin.page, word: $0)
        }
        guard isWhole, origin.word == 0, let stamp = UInt32(exactly: origin.seed) else { return .torn }
        return Content(stamp: stamp, page: origin.page)
    }

    /// Writes what a page shall hold.
    static func write(stamp: UInt32, page number: Int, at page: UnsafeMutableRawPointer) {
        let words = page.assumingMemoryBound(to: UInt64.self)
        for word in chosen { words[word] = PagePattern.word(seed: UInt64(stamp), page: number, word: word) }
    }
}
