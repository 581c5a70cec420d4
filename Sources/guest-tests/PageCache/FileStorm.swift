// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit
import Synchronization

/// Random changes of a file by all means, beside a thread that moves its pages to and fro and one that writes them back:
/// at each step the file is what a plain copy of it in memory says.
let fileStormTests: [GuestTest] =
    onEachFile(
        "file/storm", "A file is right at every step of a storm of changes while its pages move",
        needs: [.filesOnDevice, .smp], timeoutMilliseconds: 120_000
    ) { test, mirror in
        let seed = RandomSource.processSeed
        Console.line("seed \(seed): HMMLAB_SEED=\(seed) makes the same changes again")
        let buffer = try test.mapped(pages: stormPages)
        let shadow = try MappedBuffer.anonymous(pages: stormPages)
        try test.file.resize(pages: 0)
        let isOver = Atomic(false)
        let movedOut = Atomic(0)
        let movedBack = Atomic(0)
        try Workers.run(3) { worker in
            switch worker {
            case 0:
                defer { isOver.store(true, ordering: .releasing) }
                var storm = FileStorm(
                    file: test.file.descriptor, mapping: buffer.range, shadow: shadow.range, seed: seed)
                // However slow the machine is, there is no storm without what is wanted of it; the host's limit ends that.
                try storm.run(milliseconds: 6000) {
                    movedOut.load(ordering: .relaxed) > 1000 && movedBack.load(ordering: .relaxed) > 500
                }
            case 1:
                var random = RandomSource(seed: seed &+ 1)
                while !isOver.load(ordering: .acquiring) {
                    let part = buffer.range.randomPart(&random)
                    switch random.next() % 5 {
                    case 0, 1:
                        let result = try mirror.migrate(part, .toDevice, files: true)
                        movedOut.add(result.count(of: .moved), ordering: .relaxed)
                    case 2:
                        let result = try mirror.migrate(part, .toSystem)
                        movedBack.add(result.count(of: .moved), ordering: .relaxed)
                    case 3: _ = try mirror.migrate(part, .renew, files: true)
                    default: movedBack.add(try mirror.evict(within: 0).pages, ordering: .relaxed)
                    }
                }
            default:
                while !isOver.load(ordering: .acquiring) {
                    try test.file.sync()
                    try test.file.dropCache()
                    usleep(2000)
                }
            }
        }
        let (out, back) = (movedOut.load(ordering: .relaxed), movedBack.load(ordering: .relaxed))
        Console.line("\(out) pages went to the device, \(back) were brought back")
        guard test.kind == .ext4 else { return }
        try test.file.resize(pages: stormPages)
        try test.file.sync()
        let disk = try test.file.contentsOnDisk(pages: stormPages)
        expectEqual(disk.range.checksum(), shadow.range.checksum(), "the disk has the last state")
    }

/// The most pages that the file has.
private let stormPages = 64

/// One thread's changes to a file, and the copy that says what it must be.
private struct FileStorm {
    private let file: Int32
    private let mapping: UnsafeMutableRawPointer?
    private let shadow: UnsafeMutableRawPointer?
    private let limit: Int
    // The length of the file; behind it the copy is zero.
    private var length = 0
    private var random: RandomSource
    private var steps = 0

    init(file: Int32, mapping: PageRange, shadow: PageRange, seed: UInt64) {
        self.file = file
        self.mapping = mapping.pointer
        self.shadow = shadow.pointer
        limit = shadow.size
        random = RandomSource(seed: seed)
    }

    /// Makes changes for a time, and until there were many and `isEnough` says so.
    mutating func run(milliseconds: Int, until isEnough: () -> Bool) throws {
        let clock = ContinuousClock()
        let end = clock.now + .milliseconds(milliseconds)
        while clock.now < end || steps < 500 || !isEnough() {
            steps += 1
            switch random.next() % 10 {
            case 0, 1: try write()
            case 2, 3: store()
            case 4, 5: try read()
            case 6, 7: load()
            case 8: try resize()
            default: try punch()
            }
        }
        Console.line("\(steps) steps")
        length = limit
        try systemCall("ftruncate") { ftruncate(file, limit) }
        try read(0..<limit)
        load(0..<limit)
    }

    /// Some bytes, up to a few pages, which end before `end`.
    private mutating func part(of end: Int) -> Range<Int> {
        let start = Int.random(in: 0..<max(end, 1), using: &random)
        return start..<min(end, start + Int.random(in: 1...20_000, using: &random))
    }

    private mutating func scramble(_ part: Range<Int>) {
        guard let shadow else { return }
        let value = UInt8.random(in: 1...255, using: &random)
        for offset in part { shadow.storeBytes(of: value &+ UInt8(offset & 7), toByteOffset: offset, as: UInt8.self) }
    }

    private mutating func write() throws {
        let part = part(of: limit)
        scramble(part)
        let (file, source) = (file, shadow.map { $0 + part.lowerBound })
        let count = try systemCall("pwrite") { pwrite(file, source, part.count, part.lowerBound) }
        try require(count == part.count, "write(2) writes everything")
        length = max(length, part.upperBound)
    }

    private mutating func store() {
        let part = part(of: length)
        guard !part.isEmpty, let mapping, let shadow else { return }
        scramble(part)
        memcpy(mapping + part.lowerBound, shadow + part.lowerBound, part.count)
    }

    private mutating func read() throws { try read(part(of: length)) }

    private func read(_ part: Range<Int>) throws {
        guard !part.isEmpty else { return }
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: part.count, alignment: 1)
        defer { bytes.deallocate() }
        let count = try systemCall("pread") { pread(file, bytes.baseAddress, part.count, part.lowerBound) }
        expectEqual(count, part.count, "read(2) reads everything")
        try require(
            difference(bytes.baseAddress, part) == nil, "read(2) has the contents",
            difference(bytes.baseAddress, part) ?? "")
    }

    private mutating func load() { load(part(of: length)) }

    private func load(_ part: Range<Int>) {
        guard !part.isEmpty, let mapping else { return }
        expectNone(difference(mapping + part.lowerBound, part), "the mapping has the contents")
    }

    private mutating func resize() throws {
        let old = length
        length = Int.random(in: 0...limit, using: &random)
        let (file, new) = (file, length)
        if new < old, let shadow { memset(shadow + new, 0, old - new) }
        try systemCall("ftruncate") { ftruncate(file, new) }
    }

    private mutating func punch() throws {
        guard length > 2 * PageRange.pageSize, let shadow else { return }
        let part = part(of: length)
        memset(shadow + part.lowerBound, 0, part.count)
        try ScratchFile.punchHole(in: file, bytes: part)
    }

    /// The first byte that is not as in the copy.
    private func difference(_ found: UnsafeMutableRawPointer?, _ part: Range<Int>) -> String? {
        guard let found, let shadow, memcmp(found, shadow + part.lowerBound, part.count) != 0 else { return nil }
        for offset in part {
            let byte = found.load(fromByteOffset: offset - part.lowerBound, as: UInt8.self)
            let wanted = shadow.load(fromByteOffset: offset, as: UInt8.self)
            if byte != wanted { return "step \(steps), byte \(offset) of \(length): \(byte) instead of \(wanted)" }
        }
        return "step \(steps): it was wrong, and is not when it is read again"
    }
}
