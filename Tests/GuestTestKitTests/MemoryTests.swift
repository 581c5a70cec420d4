// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Synchronization
import Testing

@testable import GuestTestKit

@Suite("Contents that say where they belong")
struct PagePatternTests {
    @Test("The inverse undoes the multiplier")
    func inverse() { #expect(PagePattern.multiplier &* PagePattern.inverse == 1) }

    @Test("What was filled has no mismatch, and only with its own seed and first page")
    func fill() throws {
        let buffer = try MappedBuffer.anonymous(pages: 3)
        buffer.range.fill(seed: 7, firstPage: 40)
        #expect(buffer.range.mismatch(seed: 7, firstPage: 40) == nil)
        #expect(buffer.range.mismatch(seed: 8, firstPage: 40) != nil)
        #expect(buffer.range.mismatch(seed: 7) != nil)
        #expect(buffer.range.page(1).mismatch(seed: 7, firstPage: 41) == nil)
        #expect(buffer.range.oldestSeed() == 7)
    }

    @Test("One flipped bit is found, and named")
    func flippedBit() throws {
        let buffer = try MappedBuffer.filled(pages: 3, seed: 1)
        buffer.range.words[2 * PagePattern.wordsPerPage + 511] ^= 1 << 40
        #expect(buffer.range.mismatch(seed: 1)?.hasPrefix("page 2 word 511: expected seed 1, page 2, word 511") == true)
    }

    @Test("Two exchanged pages are found, with where they came from")
    func exchanged() throws {
        let buffer = try MappedBuffer.anonymous(pages: 2)
        buffer.range.page(0).fill(seed: 1, firstPage: 1)
        buffer.range.page(1).fill(seed: 1, firstPage: 0)
        #expect(
            buffer.range.mismatch(seed: 1)
                == "page 0 word 0: expected seed 1, page 0, word 0, found seed 1, page 1, word 0; 2 pages differ")
    }

    @Test("A value that is no pattern is shown as a number")
    func describe() {
        #expect(PagePattern.describe(0) == "zero")
        #expect(PagePattern.describe(PagePattern.word(seed: 3, page: 9, word: 5)) == "seed 3, page 9, word 5")
        #expect(PagePattern.describe(42) == "0x2a")
    }

    @Test("A word that is not zero is found")
    func nonZero() throws {
        let buffer = try MappedBuffer.anonymous(pages: 2)
        #expect(buffer.range.nonZero() == nil)
        #expect(buffer.range.oldestSeed() == .max)
        buffer.range.words[700] = 1
        #expect(buffer.range.nonZero() == "page 1 word 188: expected zero, found 0x1")
    }

    @Test("Counting and summing reach every word")
    func words() throws {
        let buffer = try MappedBuffer.anonymous(pages: 2)
        let before = buffer.range.checksum()
        buffer.range.incrementEveryWord()
        #expect(buffer.range.wordValues() == Array(repeating: 1, count: 1024))
        #expect(buffer.range.checksum() != before)
    }
}

@Suite("Mappings", .serialized)
struct MappedBufferTests {
    @Test("There is no access before the first and behind the last byte")
    func fences() throws {
        let buffer = try MappedBuffer.filled(pages: 2, seed: 1)
        let (before, behind) = (buffer.range.page(-1), buffer.range.page(2))
        #expect(FaultProbe.read(before) == .forbidden(before))
        #expect(FaultProbe.write(1, to: behind) == .forbidden(behind))
        #expect(FaultProbe.write(1, to: buffer.range) == .done(1))
        #expect(FaultProbe.read(buffer.range) == .done(1))
    }

    @Test("Protection, hole and file end are told apart")
    func faults() throws {
        let buffer = try MappedBuffer.filled(pages: 3, seed: 1)
        try buffer.protect(buffer.range.page(0), .read)
        try buffer.unmap(buffer.range.page(1))
        #expect(FaultProbe.write(1, to: buffer.range.page(0)) == .forbidden(buffer.range.page(0)))
        #expect(FaultProbe.read(buffer.range.page(1)) == .unmapped(buffer.range.page(1)))
        let file = try ScratchFile(.memory, pages: 2)
        let mapping = try MappedBuffer.file(file.descriptor, pages: 2, shared: true)
        try file.resize(pages: 1)
        #expect(FaultProbe.read(mapping.range.page(1)) == .beyondFile(mapping.range.page(1)))
    }

    @Test("Threads probe at once, and each gets the answer to its own access")
    func threadsProbe() throws {
        let buffer = try MappedBuffer.anonymous(pages: 8)
        try buffer.unmap(buffer.range.page(7))
        try buffer.protect(buffer.range.page(6), .read)
        let wrong = Mutex<[FaultProbe]>([])
        try Workers.run(8) { worker in
            let page = buffer.range.page(worker)
            for round: UInt64 in 0..<200 {
                let expected: FaultProbe =
                    switch worker {
                    case 7: .unmapped(page)
                    case 6: .forbidden(page)
                    default: .done(round)
                    }
                let answer = FaultProbe.add(1, to: page)
                if answer != expected { wrong.withLock { $0.append(answer) } }
            }
        }
        #expect(wrong.withLock { $0 } == [])
        #expect((0..<6).map { buffer.range.page($0).wordValues()[0] } == Array(repeating: 200, count: 6))
    }

    @Test("A moved mapping keeps its contents and leaves a hole")
    func move() throws {
        var buffer = try MappedBuffer.filled(pages: 4, seed: 1)
        let old = try buffer.move()
        #expect(buffer.range != old)
        #expect(buffer.range.mismatch(seed: 1) == nil)
        #expect(FaultProbe.read(old) == .unmapped(old))
    }

    @Test("Replaced memory is empty")
    func replace() throws {
        let buffer = try MappedBuffer.filled(pages: 4, seed: 1)
        try buffer.replace(buffer.range.pages(from: 1, count: 2))
        #expect(buffer.range.pages(from: 1, count: 2).nonZero() == nil)
        #expect(buffer.range.page(3).mismatch(seed: 1, firstPage: 3) == nil)
    }

    @Test("A huge page buffer is aligned")
    func alignment() throws {
        let buffer = try MappedBuffer.transparentHuge(hugePages: 1)
        #expect(buffer.range.address % UInt64(MappedBuffer.hugePageSize) == 0)
        #expect(buffer.range.count == MappedBuffer.pagesPerHugePage)
    }

    @Test("A mapping that cannot be made is an error with the place of the call")
    func failure() {
        let error = #expect(throws: SystemCallError.self) { _ = try MappedBuffer.file(-1, pages: 1, shared: true) }
        #expect(error?.code == .badDescriptor)
        #expect(error?.file.hasSuffix("MemoryTests.swift") == true)
    }
}

@Suite("Files and pipes")
struct ScratchFileTests {
    @Test("Contents written are contents read, until a hole is punched")
    func contents() throws {
        let file = try ScratchFile(.memory, pages: 4)
        try file.fill(seed: 1, pages: 4)
        let whole = try file.contents(pages: 4)
        #expect(whole.range.mismatch(seed: 1) == nil)
        try file.punchHole(firstPage: 1, pages: 2)
        let punched = try file.contents(pages: 4)
        #expect(punched.range.pages(from: 1, count: 2).nonZero() == nil)
        #expect(punched.range.page(3).mismatch(seed: 1, firstPage: 3) == nil)
    }

    @Test("A sealed file cannot be written or mapped for writing")
    func sealed() throws {
        let file = try ScratchFile(.memory, pages: 1)
        try file.seal()
        #expect(throws: SystemCallError.self) { try file.fill(seed: 1, pages: 1) }
        #expect(throws: SystemCallError.self) { _ = try MappedBuffer.file(file.descriptor, pages: 1, shared: true) }
    }

    @Test("A pipe with spliced pages shows later writes, a written pipe does not")
    func pipes() throws {
        let buffer = try MappedBuffer.filled(pages: 2, seed: 1)
        let spliced = try PagePipe()
        let written = try PagePipe()
        #expect(try spliced.splice(buffer.range) == Int(buffer.range.byteCount))
        #expect(try written.write(buffer.range) == Int(buffer.range.byteCount))
        buffer.range.fill(seed: 2)
        let pages = try spliced.drain(pages: 2)
        let copy = try written.drain(pages: 2)
        #expect(pages.range.mismatch(seed: 2) == nil)
        #expect(copy.range.mismatch(seed: 1) == nil)
    }

    @Test("The kernel's copies of a range are its contents")
    func copies() throws {
        let buffer = try MappedBuffer.filled(pages: 2, seed: 1)
        let one = try buffer.range.copyThroughKernel()
        let two = try buffer.range.copyThroughProc()
        #expect(one.range.mismatch(seed: 1) == nil)
        #expect(two.range.mismatch(seed: 1) == nil)
    }
}

@Suite("What differs between kernels and programs")
struct SurroundingsTests {
    @Test("A script that ends with 0 is fine, any other is an error that names it")
    func shell() throws {
        try Shell.run("exit 0")
        let error = #expect(throws: SystemCallError.self) { try Shell.run("exit 3") }
        #expect(error?.call.hasPrefix("\"exit 3\"") == true)
    }

    @Test("The flag of a long-term pin was renumbered in 6.3")
    func longTermFlag() {
        #expect(GupTestDevice.longTermFlag(of: KernelVersion(6, 1)) == 0x10000)
        #expect(GupTestDevice.longTermFlag(of: KernelVersion(6, 3)) == 0x100)
        #expect(GupTestDevice.longTermFlag(of: KernelVersion(7, 2)) == 0x100)
    }
}
