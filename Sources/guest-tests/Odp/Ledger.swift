// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Words that engines and the CPU add to, and what their sums have to be.
///
/// Only what says that it was done counts: a request that failed must not have changed anything.
struct Ledger {
    /// Where the words may be at any time, one place after the other; they are in one of them.
    private let places: [PageRange]
    /// The sum of each word.
    private var sums: [UInt64]
    private let hotWords: Int
    private var random: RandomSource
    private var outstanding: [UInt64: (word: Int, operand: UInt64)] = [:]
    private var number: UInt64 = 0
    /// How requests ended, nil is success.
    private(set) var endings: [Errno?: Int] = [:]

    /// Opens a ledger of words that are zero.
    ///
    /// - Parameter hotWords: how many of them are used; nil for all.
    init(places: [PageRange], hotWords: Int? = nil, seed: UInt64) {
        self.places = places
        sums = .init(repeating: 0, count: (places.first?.count ?? 0) * PagePattern.wordsPerPage)
        self.hotWords = hotWords ?? sums.count
        random = RandomSource(seed: seed)
    }

    private mutating func entry() -> (word: Int, operand: UInt64, address: UInt64) {
        let word = Int.random(in: 0..<hotWords, using: &random)
        return (word, random.next(), random.one(of: places).address + UInt64(word * 8))
    }

    /// Requests for additions to random words.
    mutating func additions(_ count: Int, to region: OnDemandRegion.Handle) -> [WorkRequest] {
        (0..<count).map { _ in
            let (word, operand, address) = entry()
            number += 1
            outstanding[number] = (word, operand)
            return WorkRequest(number, .fetchAdd(operand, to: region, at: address))
        }
    }

    /// Books what was done, and states that nothing else was.
    mutating func settle(_ completions: [WorkCompletion], file: String = #fileID, line: Int = #line) throws {
        for completion in completions {
            let entry = try requireValue(
                outstanding.removeValue(forKey: completion.id), "a completion is of a request and comes once",
                file: file, line: line)
            endings[completion.error, default: 0] += 1
            if completion.error == nil { sums[entry.word] &+= entry.operand }
            expectEqual(
                completion.bytes, completion.error == nil ? 8 : 0, "a word is added to or not", file: file, line: line)
        }
    }

    /// Adds to random words with the CPU; an access that faults is none.
    mutating func addByCPU(_ count: Int) {
        for _ in 0..<count {
            let (word, operand, address) = entry()
            let place = PageRange(address: address, pageCount: 1)
            if case .done = FaultProbe.add(operand, to: place) { sums[word] &+= operand }
        }
    }

    /// Books what somebody else has added to a word.
    mutating func book(_ operand: UInt64, inWord word: Int) { sums[word] &+= operand }

    /// Makes every word zero with the CPU; nothing may be outstanding.
    mutating func clear() {
        for index in sums.indices { places[0].setWord(index, 0) }
        sums = .init(repeating: 0, count: sums.count)
    }

    /// The sums are exact, of all words in pages that count; the words are at the first place.
    func expectExact(
        _ sentence: String, file: String = #fileID, line: Int = #line, where counts: (Int) -> Bool = { _ in true }
    ) {
        expect(outstanding.isEmpty, "every request is completed", file: file, line: line)
        let found = places[0].wordValues()
        let wrong = found.indices.filter { found[$0] != sums[$0] && counts($0 / PagePattern.wordsPerPage) }
        expectNone(
            wrong.first.map {
                "\(wrong.count) words are wrong, the first is word \($0 % PagePattern.wordsPerPage) of page "
                    + "\($0 / PagePattern.wordsPerPage): \(found[$0]) instead of \(sums[$0])"
            }, sentence, file: file, line: line)
    }
}

/// The batches of a storm.
private let stormBatches = 16
/// The requests of each engine in a batch.
private let stormBatch = 96

/// Has two engines add to the words of a ledger, one through a region of `range` and one through the whole address
/// space, and the CPU as well, while `storm` changes something again and again.
///
/// - Parameters:
///   - refusals: what a request may fail with, other than that it was in vain (`busy`).
///   - batch: is run before each of the batches, when nothing is in the queues.
func runLedger(
    _ ledger: inout Ledger, over range: PageRange, _ memory: DeviceMemory, _ mirror: borrowing MirrorDevice,
    refusals: Set<Errno> = [], batch: (inout Ledger) throws -> Void = { _ in }, file: String = #fileID,
    line: Int = #line, storm: (inout RandomSource) throws -> Void
) throws {
    let twin = try memory.open()
    let region = try mirror.register(range)
    let whole = try twin.registerAddressSpace()
    var random = RandomSource(seed: stormSeed())
    for _ in 0..<stormBatches {
        try batch(&ledger)
        for (isTwin, handle) in [(false, region.handle), (true, whole.handle)] {
            let requests = ledger.additions(stormBatch, to: handle)
            let posted = try isTwin ? twin.post(requests) : mirror.post(requests)
            try require(posted == stormBatch, "every request is queued", file: file, line: line)
        }
        var left = (mirror: stormBatch, twin: stormBatch)
        while left.mirror + left.twin > 0 {
            try storm(&random)
            ledger.addByCPU(4)
            // Now and then the engines get time for a request.
            let milliseconds: UInt32 = random.once(in: 2) ? 10 : 0
            if left.mirror > 0 {
                let polled = try mirror.poll(most: left.mirror, within: milliseconds)
                left.mirror -= polled.completions.count
                try ledger.settle(polled.completions, file: file, line: line)
            }
            if left.twin > 0 {
                let polled = try twin.poll(most: left.twin, within: milliseconds)
                left.twin -= polled.completions.count
                try ledger.settle(polled.completions, file: file, line: line)
            }
        }
    }
    let words = ledger.endings.map { "\($0.key?.description ?? "done"): \($0.value)" }.sorted()
    Console.line("requests: \(words.joined(separator: ", "))")
    expect(ledger.endings[nil, default: 0] > 0, "requests are done in the storm", file: file, line: line)
    for case (let error?, let count) in ledger.endings where error != .busy && !refusals.contains(error) {
        expect(false, "requests fail only for what the storm does", "\(count) times \(error)", file: file, line: line)
    }
}

/// The seed of a storm, which is told, because only a failure shows what a test tells.
func stormSeed() -> UInt64 {
    let seed = RandomSource.processSeed
    Console.line("seed \(seed): HMMLAB_SEED=\(seed) makes the same storm again")
    return seed
}

extension PageRange {
    /// A part of the range, at least a page long.
    func randomPart(_ random: inout RandomSource, atMost pages: Int = .max) -> PageRange {
        let first = Int.random(in: 0..<count, using: &random)
        return self.pages(from: first, count: Int.random(in: 1...min(count - first, pages), using: &random))
    }
}
