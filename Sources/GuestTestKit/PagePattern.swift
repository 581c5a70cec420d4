// SPDX-License-Identifier: Apache-2.0
public import DeviceMirror

/// Contents that say where they belong: each 8-byte word is made from a seed, the page's number and the word's place.
///
/// The mapping is a bijection, so that a word found in the wrong place can be read back: which seed and which page it
/// was written for. Seed 0 is not used, because its first word would be zero.
public enum PagePattern {
    // Odd, hence invertible modulo 2^64; the inverse is checked by a unit test.
    static let multiplier: UInt64 = 0x9e37_79b9_7f4a_7c15
    static let inverse: UInt64 = 0xf1de_83e1_9937_733d

    /// The words in a page.
    public static let wordsPerPage = PageRange.pageSize / MemoryLayout<UInt64>.size

    /// The word for a place: `seed` below 2^24, `page` below 2^28, `word` below 2^12.
    public static func word(seed: UInt64, page: Int, word: Int) -> UInt64 {
        (seed << 40 | UInt64(page) << 12 | UInt64(word)) &* multiplier
    }

    /// What a word was made from; of any other value, numbers without a meaning.
    public static func origin(of value: UInt64) -> (seed: UInt64, page: Int, word: Int) {
        let plain = value &* inverse
        return (plain >> 40, Int(plain >> 12 & 0xfff_ffff), Int(plain & 0xfff))
    }

    /// What a word says about itself, such as `seed 2, page 7, word 0`; for any other value, the number.
    public static func describe(_ value: UInt64) -> String {
        if value == 0 { return "zero" }
        let (seed, page, word) = origin(of: value)
        guard seed != 0, seed < 0x1000, word < wordsPerPage else { return "0x\(String(value, radix: 16))" }
        return "seed \(seed), page \(page), word \(word)"
    }

    /// Compares words in memory with the pattern.
    ///
    /// - Returns: the first difference in words, with the number of pages that differ; nil if there is none.
    static func mismatch(_ words: UnsafeBufferPointer<UInt64>, seed: UInt64, firstPage: Int) -> String? {
        difference(words) { page, word in PagePattern.word(seed: seed, page: firstPage + page, word: word) }
    }

    /// The seed that a word was made from; nil for zero.
    static func seed(of value: UInt64) -> UInt64? { value == 0 ? nil : (value &* inverse) >> 40 }

    /// Looks for a word that is not zero; the answer is as in `mismatch`.
    static func nonZero(_ words: UnsafeBufferPointer<UInt64>) -> String? { difference(words) { _, _ in 0 } }

    private static func difference(
        _ words: UnsafeBufferPointer<UInt64>, _ expected: (_ page: Int, _ word: Int) -> UInt64
    ) -> String? {
        var first: String?
        var wrongPages = 0
        for page in 0..<(words.count / wordsPerPage) {
            for word in 0..<wordsPerPage {
                let found = words[page * wordsPerPage + word]
                let wanted = expected(page, word)
                if found == wanted { continue }
                wrongPages += 1
                if first == nil {
                    first = "page \(page) word \(word): expected \(describe(wanted)), found \(describe(found))"
                }
                break
            }
        }
        return first.map { wrongPages == 1 ? $0 : "\($0); \(wrongPages) pages differ" }
    }
}

/// The range's memory through the CPU; every access may fault, which is what many tests are about.
extension PageRange {
    /// Where the range starts, as a pointer; nil for address 0.
    public var pointer: UnsafeMutableRawPointer? { UnsafeMutableRawPointer(bitPattern: UInt(address)) }

    /// The words of the range.
    var words: UnsafeMutableBufferPointer<UInt64> {
        UnsafeMutableBufferPointer(
            start: pointer?.assumingMemoryBound(to: UInt64.self), count: count * PagePattern.wordsPerPage)
    }

    /// Writes the pattern with the CPU, in which the range's first page has the number `firstPage`.
    public func fill(seed: UInt64, firstPage: Int = 0) {
        let words = words
        for page in 0..<count {
            for word in 0..<PagePattern.wordsPerPage {
                words[page * PagePattern.wordsPerPage + word] = PagePattern.word(
                    seed: seed, page: firstPage + page, word: word)
            }
        }
    }

    /// Reads every word with the CPU and compares it with the pattern; nil when all is as written by ``fill(seed:firstPage:)``.
    public func mismatch(seed: UInt64, firstPage: Int = 0) -> String? {
        PagePattern.mismatch(UnsafeBufferPointer(words), seed: seed, firstPage: firstPage)
    }

    /// Reads every word with the CPU and complains about the first that is not zero.
    public func nonZero() -> String? { PagePattern.nonZero(UnsafeBufferPointer(words)) }

    /// Reads one word of every page with the CPU, which is enough to fault the page in.
    ///
    /// - Returns: the words, combined; only there to keep the compiler from leaving the reads out.
    @inline(never) @discardableResult
    public func touch() -> UInt64 {
        (0..<count).reduce(0) { $0 ^ words[$1 * PagePattern.wordsPerPage] }
    }

    /// The smallest seed among the words of the range that are not zero; `UInt64.max` when all are.
    public func oldestSeed() -> UInt64 { words.lazy.compactMap(PagePattern.seed(of:)).min() ?? .max }

    /// A number that changes with every word of the range (FNV-1a over words).
    @inline(never)
    public func checksum() -> UInt64 { words.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ $1) &* 0x100_0000_01b3 } }

    /// Adds 1 to every word of the range with the CPU.
    @inline(never)
    public func incrementEveryWord() {
        let words = words
        for index in words.indices { words[index] &+= 1 }
    }

    /// Every word of the range, read with the CPU.
    public func wordValues() -> [UInt64] { Array(words) }
}
