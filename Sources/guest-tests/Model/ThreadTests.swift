// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit
import Synchronization

/// Random steps by several threads at a time: what each of them reads is one of the things that can have been there.
let modelThreadTests: [GuestTest] = [
    threadTest(
        "model/threads-private", "Threads and devices read what was written, in private memory", devices: [0, 1]),
    threadTest(
        "model/threads-coherent", "Threads and devices read what was written, in coherent memory", devices: [2, 3]),
    threadTest(
        "model/threads-both", "Threads and devices read what was written, in both kinds of memory", devices: [0, 2]),
]

private func threadTest(
    _ id: String, _ summary: String, devices: [Int], file: String = #fileID, line: Int = #line
) -> GuestTest {
    let kinds: [Requirement] =
        (devices.contains { $0 < 2 } ? [.private] : []) + (devices.contains { $0 > 1 } ? [.coherent] : [])
    return GuestTest(
        id, summary, needs: kinds + [.ours, .smp], timeoutMilliseconds: modelSeconds * 2000 + 120_000, file: file,
        line: line
    ) {
        let held = try devices.map { try MirrorDevice(unit: $0).information().heldPages }
        let clock = ContinuousClock()
        let end = clock.now + .seconds(modelSeconds)
        var seed = RandomSource.processSeed
        let total = Mutex(ThreadSteps.Tally())
        var sequences = 0
        while clock.now < end {
            var source = RandomSource(seed: seed)
            let threads = Int.random(in: 2...4, using: &source)
            let shared = SharedPages(threads: threads, pagesPerThread: Int.random(in: 1...8, using: &source))
            Console.line("HMMLAB_SEED=\(seed): \(threads) threads with \(shared.pagesPerThread) pages each")
            let buffer = try MappedBuffer.anonymous(pages: shared.count)
            let finished = Atomic(0)
            try Workers.run(threads, file: file, line: line) { [seed] thread in
                var steps = try ThreadSteps(shared, buffer.range, thread: thread, devices: devices, seed: seed)
                try steps.run(800)
                total.withLock { $0 = $0 + steps.tally }
                finished.add(1, ordering: .relaxed)
            }
            // What went wrong is on the record.
            guard finished.load(ordering: .relaxed) == threads else { return }
            try expectLast(shared, buffer.range, file, line)
            sequences += 1
            seed = RandomSource.next(after: seed)
        }
        let tally = total.withLock { $0 }
        let refusals = "\(tally.refused) of \(tally.requests) requests refused"
        Console.line("\(tally.steps) steps of threads in \(sequences) sequences, \(refusals)")
        // A device may find no quiet moment, or a page that may not be written any more (see the flaws of the model).
        expect(
            tally.refused * 2 < tally.requests, "the devices do what they are asked to, mostly", refusals, file: file,
            line: line)
        for (unit, before) in zip(devices, held) {
            try MirrorDevice(unit: unit).expectHeld(
                before, "every page of the device has been given back", file: file, line: line)
        }
    }
}

/// After the threads every page holds what was written last, wherever it is.
private func expectLast(_ shared: SharedPages, _ range: PageRange, _ file: String, _ line: Int) throws {
    var reader = PageReader(shared)
    for page in 0..<shared.count {
        guard let pointer = range.page(page).pointer else { continue }
        let complaint = reader.complaint(page, oldest: shared.oldest(page), at: pointer)
        try require(complaint == nil, "the last write of each page is there", complaint ?? "", file: file, line: line)
    }
}

/// The random steps of one thread.
private struct ThreadSteps: ~Copyable {
    struct Tally: Sendable {
        var steps = 0
        /// Requests to the devices.
        var requests = 0
        /// Those of them that were refused for the moment, so that nothing was compared.
        var refused = 0

        static func + (left: Tally, right: Tally) -> Tally {
            Tally(
                steps: left.steps + right.steps, requests: left.requests + right.requests,
                refused: left.refused + right.refused)
        }
    }

    private let shared: SharedPages
    private let range: PageRange
    private let own: Range<Int>
    private let first: MirrorDevice
    private let second: MirrorDevice
    private let image: MappedBuffer
    private var reader: PageReader
    private var random: RandomSource
    private(set) var tally = Tally()

    init(_ shared: SharedPages, _ range: PageRange, thread: Int, devices: [Int], seed: UInt64) throws {
        let first = try MirrorDevice(unit: devices[0])
        let second = try MirrorDevice(unit: devices[1])
        let image = try MappedBuffer.anonymous(pages: 4)
        self.shared = shared
        self.range = range
        own = shared.own(of: thread)
        self.first = first
        self.second = second
        self.image = image
        reader = PageReader(shared)
        random = RandomSource(seed: seed &+ UInt64(thread) << 32)
    }

    mutating func run(_ count: Int) throws {
        for _ in 0..<count {
            tally.steps += 1
            switch random.next() % 24 {
            case 0...4: store(Int.random(in: own, using: &random))
            case 5, 6: try deviceWrites(part(of: own))
            case 7...11: try load(Int.random(in: 0..<shared.count, using: &random))
            case 12...14: try deviceReads(part(of: 0..<shared.count))
            case 15: try kernelReads(part(of: 0..<shared.count))
            case 16...18: try move(part(of: 0..<shared.count), .toDevice)
            case 19: try move(part(of: 0..<shared.count), .toSystem)
            case 20: try seize(part(of: 0..<shared.count))
            case 21: try look(part(of: 0..<shared.count))
            case 22: try cool(part(of: 0..<shared.count))
            default: try rarely()
            }
        }
    }

    private mutating func part(of pages: Range<Int>) -> Range<Int> {
        let count = Int.random(in: 1...min(4, pages.count), using: &random)
        let start = Int.random(in: pages.lowerBound...(pages.upperBound - count), using: &random)
        return start..<start + count
    }

    /// Asks one of the two devices; an answer that only says "not now" is none.
    private mutating func ask(
        mayFind code: Errno = .busy, _ request: (borrowing MirrorDevice) throws(MirrorError) -> Void
    ) throws -> Bool {
        tally.requests += 1
        do throws(MirrorError) {
            if random.once(in: 2) { try request(first) } else { try request(second) }
            return true
        } catch {
            guard error.code == .busy || error.code == code else { throw error }
            tally.refused += 1
            return false
        }
    }

    private func store(_ page: Int) {
        guard let pointer = range.page(page).pointer else { return }
        PageWords.write(stamp: shared.begin(page), page: page, at: pointer)
        shared.end(page)
    }

    private mutating func load(_ page: Int) throws {
        guard let pointer = range.page(page).pointer else { return }
        try compare(page, oldest: shared.oldest(page), at: pointer, "the CPU")
    }

    private mutating func compare(_ page: Int, oldest: UInt32, at copy: UnsafeRawPointer, _ who: String) throws {
        let complaint = reader.complaint(page, oldest: oldest, at: copy)
        try require(complaint == nil, "what \(who) reads can have been there", complaint ?? "")
    }

    private mutating func compare(_ pages: Range<Int>, oldest: [UInt32], _ who: String) throws {
        for (index, page) in pages.enumerated() {
            guard let copy = image.range.page(index).pointer else { continue }
            try compare(page, oldest: oldest[index], at: copy, who)
        }
    }

    private func range(_ pages: Range<Int>) -> PageRange { range.pages(from: pages.lowerBound, count: pages.count) }

    private mutating func deviceReads(_ pages: Range<Int>) throws {
        let oldest = pages.map { shared.oldest($0) }
        let (range, target) = (range(pages), image.range.pointer)
        let isDone = try ask { device throws(MirrorError) in _ = try device.read(range, into: target) }
        if isDone { try compare(pages, oldest: oldest, "the device") }
    }

    private mutating func kernelReads(_ pages: Range<Int>) throws {
        let oldest = pages.map { shared.oldest($0) }
        let count = try range(pages).copyThroughKernel(to: image.range.pointer)
        try require(count == pages.count, "the kernel reads every page")
        try compare(pages, oldest: oldest, "the kernel")
    }

    private mutating func deviceWrites(_ pages: Range<Int>) throws {
        for (index, page) in pages.enumerated() {
            guard let copy = image.range.page(index).pointer else { continue }
            PageWords.write(stamp: shared.begin(page), page: page, at: copy)
        }
        let (range, source) = (range(pages), image.range.pointer)
        // fork(2) may have made the device's own page read-only (mainline/write-read-only-page).
        let isDone = try ask(mayFind: .notPermitted) { device throws(MirrorError) in
            _ = try device.write(range, from: source)
        }
        guard isDone else { return }
        for page in pages { shared.end(page) }
    }

    private mutating func move(_ pages: Range<Int>, _ direction: Migration.Direction) throws {
        let range = range(pages)
        _ = try ask { device throws(MirrorError) in _ = try device.migrate(range, direction) }
    }

    private mutating func seize(_ pages: Range<Int>) throws {
        let oldest = pages.map { shared.oldest($0) }
        let (range, target) = (range(pages), image.range.pointer)
        // The CPU may take a page back before the device has read it.
        let isDone = try ask(mayFind: .noEntry) { device throws(MirrorError) in
            _ = try device.exclusive(range, readingInto: target)
        }
        if isDone { try compare(pages, oldest: oldest, "the device that has pages to itself") }
    }

    private mutating func look(_ pages: Range<Int>) throws {
        let range = range(pages)
        var seen: [SnapshotEntry] = []
        let isDone = try ask { device throws(MirrorError) in seen = try device.snapshot(range) }
        if isDone { expect(!seen.contains(.error), "the device sees a mapping everywhere") }
    }

    private mutating func cool(_ pages: Range<Int>) throws {
        let range = range(pages)
        let advice = MappedBuffer.Advice.cold.rawValue
        try systemCall("madvise cold") { madvise(range.pointer, Int(range.byteCount), advice) }
    }

    /// What touches everything, and would leave no time for anything else.
    private mutating func rarely() throws {
        guard random.once(in: 8) else { return }
        if random.once(in: 2) {
            _ = try ask { device throws(MirrorError) in _ = try device.evict(within: 0) }
        } else {
            // It is the pages' second user for a moment. That it may fail is mended by mainline/fork-waits.
            _ = try forksIdleChild()
        }
    }
}
