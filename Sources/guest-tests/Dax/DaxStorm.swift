// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit
import Synchronization

/// Stores, writes, holes and cuts of one file at once, each thread on pages of its own among those of the others.
let daxStormTests: [GuestTest] =
    onEachDax(
        "dax/storm", "A file on the device is right at every step of a storm of changes", needs: [.smp],
        timeoutMilliseconds: 120_000 + 2000 * daxStormSeconds
    ) { disk in
        let seed = RandomSource.processSeed
        Console.line("seed \(seed): HMMLAB_SEED=\(seed) makes the same changes again")
        let pages = stormPages
        let seeds = Mutex([UInt64](repeating: 1, count: pages))
        do {
            let file = try disk.filled(pages: pages)
            let buffer = try MappedBuffer.alignedFile(
                file.descriptor, hugePages: pages / MappedBuffer.pagesPerHugePage, shared: true)
            try Workers.run(StormPart.allCases.count) { worker in
                var part = DaxStorm(
                    StormPart.allCases[worker], descriptor: file.descriptor, mapping: buffer.range,
                    random: RandomSource(seed: seed &+ UInt64(worker)))
                try part.run()
                let found = part.seeds
                seeds.withLock { all in for (page, value) in found { all[page] = value } }
            }
            try expectStorm(file, seeds.withLock { $0 }, "the file")
        }
        try disk.unmount()
        try disk.mount(.always)
        let file = try disk.opened(pages: pages)
        try expectStorm(file, seeds.withLock { $0 }, "the next mount")
    }

/// How long a storm lasts: a few seconds, unless the storms of `file` are told otherwise.
let daxStormSeconds = getenv("HMMLAB_STORM_SECONDS") == nil ? 5 : stormSeconds

/// Two huge pages.
private let stormPages = 1024

/// What one thread does to its pages.
private enum StormPart: Int, CaseIterable {
    /// Stores through the mapping.
    case store
    /// Writes with pwrite(2).
    case write
    /// Gives pages back, and stores to some of them again.
    case punch
}

private func expectStorm(_ file: borrowing ScratchFile, _ seeds: [UInt64], _ who: String) throws {
    let image = try file.contents(pages: seeds.count)
    let wrong = seeds.indices.first { image.range.page($0).complaint(seed: seeds[$0], page: $0) != nil }
    expectNone(wrong.flatMap { image.range.page($0).complaint(seed: seeds[$0], page: $0) }, "\(who) has the last state")
}

extension PageRange {
    /// What is wrong with a single page; seed 0 stands for zeros.
    fileprivate func complaint(seed: UInt64, page: Int) -> String? {
        (seed == 0 ? nonZero() : mismatch(seed: seed, firstPage: page)).map { "page \(page) of the file: \($0)" }
    }
}

/// One thread of the storm, with what its pages must hold.
private struct DaxStorm: ~Copyable {
    private let part: StormPart
    private let descriptor: Int32
    private let mapping: PageRange
    private var random: RandomSource
    private let scratch: UnsafeMutableRawPointer
    /// The seed of each page that is this thread's; 0 for zeros.
    private(set) var seeds: [Int: UInt64] = [:]

    init(_ part: StormPart, descriptor: Int32, mapping: PageRange, random: RandomSource) {
        self.part = part
        self.descriptor = descriptor
        self.mapping = mapping
        self.random = random
        scratch = UnsafeMutableRawPointer.allocate(byteCount: PageRange.pageSize, alignment: PageRange.pageSize)
        // Every third page, so that each has the others' for neighbours and huge pages belong to all.
        for page in 0..<mapping.count where page % StormPart.allCases.count == part.rawValue { seeds[page] = 1 }
    }

    deinit { scratch.deallocate() }

    private var image: PageRange { PageRange(address: UInt64(UInt(bitPattern: scratch)), pageCount: 1) }

    mutating func run() throws {
        let clock = ContinuousClock()
        let end = clock.now + .seconds(daxStormSeconds)
        let own = seeds.keys.sorted()
        var steps = 0
        while clock.now < end || steps < 300 {
            steps += 1
            let page = random.one(of: own)
            try check(page)
            let seed = UInt64.random(in: 2..<4000, using: &random)
            switch part {
            case .store: mapping.page(page).fill(seed: seed, firstPage: page)
            case .write: try write(page, seed)
            case .punch:
                let bytes = page * PageRange.pageSize..<(page + 1) * PageRange.pageSize
                try ScratchFile.punchHole(in: descriptor, bytes: bytes)
                seeds[page] = 0
                try check(page)
                if random.once(in: 2) { continue }
                mapping.page(page).fill(seed: seed, firstPage: page)
            }
            seeds[page] = seed
            if random.once(in: 8) { try forget() }
            if random.once(in: 64) { try systemCall("fdatasync") { fdatasync(descriptor) } }
        }
        Console.line("\(part): \(steps) steps")
    }

    private func write(_ page: Int, _ seed: UInt64) throws {
        image.fill(seed: seed, firstPage: page)
        try systemCall("pwrite") { pwrite(descriptor, scratch, PageRange.pageSize, page * PageRange.pageSize) }
    }

    /// The mapping and read(2) have what this thread left there.
    private func check(_ page: Int) throws {
        let seed = seeds[page] ?? 0
        expectNone(mapping.page(page).complaint(seed: seed, page: page), "the mapping has the contents")
        try systemCall("pread") { pread(descriptor, scratch, PageRange.pageSize, page * PageRange.pageSize) }
        expectNone(image.complaint(seed: seed, page: page), "read(2) has the contents")
    }

    /// The mapping forgets where some pages are, also those of the others, and finds them again in the file.
    private mutating func forget() throws {
        let first = Int.random(in: 0..<mapping.count - 64, using: &random)
        let range = mapping.pages(from: first, count: 64)
        try systemCall("madvise") { madvise(range.pointer, range.size, Int32(MADV_DONTNEED)) }
    }
}
