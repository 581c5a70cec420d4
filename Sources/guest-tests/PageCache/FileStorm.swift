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
        needs: [.filesOnDevice, .smp], timeoutMilliseconds: 240_000 + 2000 * stormSeconds
    ) { test, mirror in
        let seed = RandomSource.processSeed
        Console.line("seed \(seed): HMMLAB_SEED=\(seed) makes the same changes again")
        let buffer = try test.mapped(pages: stormPages)
        let shadow = try MappedBuffer.anonymous(pages: stormPages)
        try test.file.resize(pages: 0)
        let direct = try test.file.openedDirect()
        let mover = FileMover()
        try Workers.run(3) { worker in
            switch worker {
            case 0:
                defer { mover.stop() }
                var storm = FileStorm(
                    file: test.file.descriptor, direct: direct.descriptor, mapping: buffer.range, shadow: shadow.range,
                    pipe: try PagePipe(), seed: seed)
                // However slow the machine is, there is no storm without what is wanted of it; the host's limit ends that.
                try storm.run(seconds: stormSeconds) { mover.hasMovedEnough }
            case 1: try mover.move(buffer.range, by: mirror, seed: seed &+ 1)
            default: try mover.writeBack(test)
            }
        }
        Console.line(mover.summary)
        guard !test.kind.isShmem else { return }
        try test.file.resize(pages: stormPages)
        let disk = try test.contentsOnDisk(pages: stormPages)
        expectEqual(disk.range.checksum(), shadow.range.checksum(), "the disk has the last state")
    }

/// How long a storm lasts at least: `HMMLAB_STORM_SECONDS` where it is a number of at most a day.
///
/// The host has the same variable when it asks for the time limits of tests.
let stormSeconds =
    getenv("HMMLAB_STORM_SECONDS").flatMap { Int(String(cString: $0)) }.map { min(max($0, 1), 86_400) } ?? 60

/// The most pages that the file has.
private let stormPages = 64

/// One thread's changes to a file, and the copy that says what it must be.
private struct FileStorm: ~Copyable {
    private let file: Int32
    // The same file, past the page cache.
    private let direct: Int32
    private let pipe: PagePipe
    private let mapping: UnsafeMutableRawPointer?
    private let shadow: UnsafeMutableRawPointer?
    private let limit: Int
    // The length of the file; behind it the copy is zero.
    private var length = 0
    private var random: RandomSource
    private var steps = 0

    init(
        file: Int32, direct: Int32, mapping: PageRange, shadow: PageRange, pipe: consuming PagePipe, seed: UInt64
    ) {
        self.file = file
        self.direct = direct
        self.pipe = pipe
        self.mapping = mapping.pointer
        self.shadow = shadow.pointer
        limit = shadow.size
        random = RandomSource(seed: seed)
    }

    /// Makes changes for a time, and until there were many and `isEnough` says so.
    mutating func run(seconds: Int, until isEnough: () -> Bool) throws {
        let clock = ContinuousClock()
        let end = clock.now + .seconds(seconds)
        while clock.now < end || steps < 500 || !isEnough() {
            steps += 1
            switch random.next() % 16 {
            case 0, 1: try write()
            case 2, 3: store()
            case 4, 5: try read()
            case 6, 7: load()
            case 8: try resize()
            case 9: try punch()
            case 10: try send()
            case 11: try writeDirect()
            case 12: try readDirect()
            case 13: try forget()
            case 14: try ScratchFile.beginWriteBack(of: file)
            default:
                let file = file
                try systemCall("fdatasync") { fdatasync(file) }
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

    /// The kernel puts the pages themselves into a pipe, which keeps them for a moment.
    private mutating func send() throws {
        let part = part(of: length)
        guard !part.isEmpty else { return }
        try pipe.send(part, of: file)
        if random.once(in: 4) { usleep(500) }
        let bytes = try pipe.drain(bytes: part.count)
        let wrong = bytes.withUnsafeBytes { difference($0.baseAddress, part) }
        expectNone(wrong, "the pipe has the contents")
    }

    /// Whole pages.
    private mutating func pages() -> Range<Int> {
        let part = part(of: limit)
        return part.lowerBound / PageRange.pageSize
            * PageRange.pageSize..<min(
                (part.upperBound / PageRange.pageSize + 1) * PageRange.pageSize, limit)
    }

    private mutating func writeDirect() throws {
        let part = pages()
        scramble(part)
        let (direct, source) = (direct, shadow.map { $0 + part.lowerBound })
        let count = try systemCall("pwrite with O_DIRECT") { pwrite(direct, source, part.count, part.lowerBound) }
        try require(count == part.count, "write(2) with O_DIRECT writes everything")
        length = max(length, part.upperBound)
    }

    private mutating func readDirect() throws {
        let whole = pages()
        let part = min(whole.lowerBound, length)..<min(whole.upperBound, length)
        guard !part.isEmpty else { return }
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: whole.count, alignment: PageRange.pageSize)
        defer { bytes.deallocate() }
        let count = try systemCall("pread with O_DIRECT") {
            pread(direct, bytes.baseAddress, whole.count, whole.lowerBound)
        }
        expectEqual(count, part.count, "read(2) with O_DIRECT reads everything")
        expectNone(difference(bytes.baseAddress, part), "read(2) with O_DIRECT has the contents")
    }

    /// The mapping forgets where some pages are, and finds them again in the file.
    private mutating func forget() throws {
        let part = pages()
        guard let mapping else { return }
        try systemCall("madvise") { madvise(mapping + part.lowerBound, part.count, Int32(MADV_DONTNEED)) }
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
    private func difference(_ found: UnsafeRawPointer?, _ part: Range<Int>) -> String? {
        guard let found, let shadow, memcmp(found, shadow + part.lowerBound, part.count) != 0 else { return nil }
        for offset in part {
            let byte = found.load(fromByteOffset: offset - part.lowerBound, as: UInt8.self)
            let wanted = shadow.load(fromByteOffset: offset, as: UInt8.self)
            if byte != wanted { return "step \(steps), byte \(offset) of \(length): \(byte) instead of \(wanted)" }
        }
        return "step \(steps): it was wrong, and is not when it is read again"
    }
}
