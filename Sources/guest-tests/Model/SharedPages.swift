// SPDX-License-Identifier: Apache-2.0
import GuestTestKit
import Synchronization

/// Pages that one thread each writes and all read, while anybody moves them.
///
/// Every word is an atomic register with one writer (Lamport, On interprocess communication): a read finds a stamp between that of the last
/// write that had ended before the read began and that of the last write that had begun before the read ended, and none older
/// than the same thread has found there before.
final class SharedPages: Sendable {
    private final class Stamps: Sendable {
        let begun = Atomic<UInt32>(0)
        let ended = Atomic<UInt32>(0)
    }

    /// Who writes a page: the threads have equal parts.
    let pagesPerThread: Int
    private let pages: [Stamps]

    /// Makes the history of pages that hold zeros.
    init(threads: Int, pagesPerThread: Int) {
        self.pagesPerThread = pagesPerThread
        pages = (0..<threads * pagesPerThread).map { _ in Stamps() }
    }

    /// How many pages there are.
    var count: Int { pages.count }

    /// The pages that a thread writes.
    func own(of thread: Int) -> Range<Int> { thread * pagesPerThread..<(thread + 1) * pagesPerThread }

    /// The stamp of the next write of a page, which begins now; for its own thread.
    func begin(_ page: Int) -> UInt32 { pages[page].begun.add(1, ordering: .acquiringAndReleasing).newValue }

    /// The write that has begun last has ended; one that failed never ends, as any part of it may be there.
    func end(_ page: Int) { pages[page].ended.store(pages[page].begun.load(ordering: .relaxed), ordering: .releasing) }

    /// The oldest stamp that a read which begins now may find.
    func oldest(_ page: Int) -> UInt32 { pages[page].ended.load(ordering: .acquiring) }

    /// The newest stamp that a read which has ended may have found.
    func newest(_ page: Int) -> UInt32 {
        // Acquiring alone would let what was read before wait until afterwards.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        return pages[page].begun.load(ordering: .acquiring)
    }
}

/// What one thread has read.
struct PageReader: ~Copyable {
    private let shared: SharedPages
    private var found: [[UInt32]]

    init(_ shared: SharedPages) {
        self.shared = shared
        found = [[UInt32]](repeating: [UInt32](repeating: 0, count: PageWords.count), count: shared.count)
    }

    /// Compares what was read with what may have been there.
    ///
    /// The kernel copies bytes: while a write goes on, a word may have some of the old one and some of the new one.
    ///
    /// - Parameter oldest: what ``SharedPages/oldest(_:)`` said before the read began.
    /// - Returns: one sentence, or nil.
    mutating func complaint(_ page: Int, oldest: UInt32, at copy: UnsafeRawPointer) -> String? {
        let values = PageWords.values(at: copy)
        let newest = shared.newest(page)
        for (index, place) in PageWords.chosen.enumerated() {
            let least = max(oldest, found[page][index])
            let possible = least...max(least, newest)
            if let stamp = PageWords.stamp(values[index], page: page, word: place), possible.contains(stamp) {
                found[page][index] = stamp
            } else if !PageWords.isMixed(values[index], of: possible, page: page, word: place) {
                let value = PagePattern.describe(values[index])
                return "word \(place) of page \(page) holds \(value); seeds \(least) to \(newest) are possible"
            }
        }
        return nil
    }
}
