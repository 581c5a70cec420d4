// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Steps that many tests take, with the checks that belong to them.
extension MirrorDevice {
    /// The device reads the range and finds the pattern.
    func expectReads(
        _ range: PageRange, seed: UInt64, firstPage: Int = 0, _ sentence: String, file: String = #fileID,
        line: Int = #line
    ) throws {
        let image = try readImage(range, file, line)
        expectNone(image.range.mismatch(seed: seed, firstPage: firstPage), sentence, file: file, line: line)
    }

    /// The device reads the range and finds zeros.
    func expectReadsZero(
        _ range: PageRange, _ sentence: String, file: String = #fileID, line: Int = #line
    ) throws {
        let image = try readImage(range, file, line)
        expectNone(image.range.nonZero(), sentence, file: file, line: line)
    }

    private func readImage(_ range: PageRange, _ file: String, _ line: Int) throws -> MappedBuffer {
        // Filled, so that a page the device leaves out is not mistaken for zeros.
        let image = try MappedBuffer.filled(pages: range.count, seed: 0xbad, file: file, line: line)
        let transfer = try read(range, into: image.range.pointer, file: file, line: line)
        expectEqual(transfer.pages, range.count, "the device reads every page", file: file, line: line)
        return image
    }

    /// The device writes the pattern.
    @discardableResult
    func fill(
        _ range: PageRange, seed: UInt64, firstPage: Int = 0, file: String = #fileID, line: Int = #line
    ) throws -> Transfer {
        let image = try MappedBuffer.anonymous(pages: range.count, file: file, line: line)
        image.range.fill(seed: seed, firstPage: firstPage)
        let transfer = try write(range, from: image.range.pointer, file: file, line: line)
        expectEqual(transfer.pages, range.count, "the device writes every page", file: file, line: line)
        return transfer
    }

    /// The device is refused a write.
    func expectWriteRefused(
        _ code: Errno, _ range: PageRange, _ sentence: String, file: String = #fileID, line: Int = #line
    ) throws {
        let image = try MappedBuffer.filled(pages: range.count, seed: 0xbad, file: file, line: line)
        expectRefused(code, sentence, file: file, line: line) { () throws(MirrorError) in
            try write(range, from: image.range.pointer, file: file, line: line)
        }
    }

    /// The device is refused a read, and gives nothing away.
    func expectReadRefused(
        _ code: Errno, _ range: PageRange, _ sentence: String, file: String = #fileID, line: Int = #line
    ) throws {
        let image = try MappedBuffer.filled(pages: range.count, seed: 0xbad, file: file, line: line)
        expectRefused(code, sentence, file: file, line: line) { () throws(MirrorError) in
            try read(range, into: image.range.pointer, file: file, line: line)
        }
        expectNone(
            image.range.mismatch(seed: 0xbad), "a refused read leaves the buffer alone", file: file, line: line)
    }

    /// Every page moves to the device, and the device's own copy holds the pattern.
    func take(
        _ range: PageRange, seed: UInt64, firstPage: Int = 0, file: String = #fileID, line: Int = #line
    ) throws {
        let image = try takeImage(range, file, line)
        expectNone(
            image.range.mismatch(seed: seed, firstPage: firstPage), "the device's copy holds what was written",
            file: file, line: line)
    }

    /// Every page moves to the device, and the device's own copy is zero.
    func takeZero(_ range: PageRange, file: String = #fileID, line: Int = #line) throws {
        let image = try takeImage(range, file, line)
        expectNone(image.range.nonZero(), "the device's copy is zero", file: file, line: line)
    }

    private func takeImage(_ range: PageRange, _ file: String, _ line: Int) throws -> MappedBuffer {
        let image = try MappedBuffer.filled(pages: range.count, seed: 0xbad, file: file, line: line)
        let transfer = try migrateToDevice(range, readingInto: image.range.pointer, file: file, line: line)
        expectEqual(transfer.pages, range.count, "every page moves to the device", file: file, line: line)
        return image
    }

    /// The device cannot take every page.
    func expectTakeRefused(
        _ code: Errno, _ range: PageRange, _ sentence: String, file: String = #fileID, line: Int = #line
    ) throws {
        let image = try MappedBuffer.anonymous(pages: range.count, file: file, line: line)
        expectRefused(code, sentence, file: file, line: line) { () throws(MirrorError) in
            try migrateToDevice(range, readingInto: image.range.pointer, file: file, line: line)
        }
    }

    /// The device holds every page exclusively, and read the pattern from it.
    func seize(_ range: PageRange, seed: UInt64, file: String = #fileID, line: Int = #line) throws {
        let image = try MappedBuffer.anonymous(pages: range.count, file: file, line: line)
        let transfer = try exclusive(range, readingInto: image.range.pointer, file: file, line: line)
        expectEqual(transfer.pages, range.count, "the device holds every page exclusively", file: file, line: line)
        expectNone(
            image.range.mismatch(seed: seed), "the device reads the pages it holds exclusively", file: file,
            line: line)
    }

    /// A snapshot shows the same entry for every page.
    func expectSnapshot(
        _ range: PageRange, _ expected: SnapshotEntry, _ sentence: String, file: String = #fileID, line: Int = #line
    ) throws {
        let entries = try snapshot(range, file: file, line: line)
        expectEqual(entries.count, range.count, "the snapshot has an entry for each page", file: file, line: line)
        let wrong = entries.firstIndex { $0 != expected }
        expectNone(
            wrong.map { "page \($0) is \(entries[$0]), not \(expected)" }, sentence, file: file, line: line)
    }
}

/// Has KSM merge two pages of the same contents, and runs `body` while they are.
func withMerged(
    _ one: borrowing MappedBuffer, _ two: borrowing MappedBuffer, file: String = #fileID, line: Int = #line,
    _ body: () throws -> Void
) throws {
    try one.advise(.mergeable, file: file, line: line)
    try two.advise(.mergeable, file: file, line: line)
    let pause = try KernelSetting("/sys/kernel/mm/ksm/sleep_millisecs", 1, file: file, line: line)
    let run = try KernelSetting("/sys/kernel/mm/ksm/run", 1, file: file, line: line)
    // The host's time limit ends this when KSM never gets there.
    while try one.range.frames() != two.range.frames() { sched_yield() }
    try one.range.expectFlags(.merged, "both mappings share one page of KSM", file: file, line: line)
    try body()
    try one.advise(.unmergeable, file: file, line: line)
    try two.advise(.unmergeable, file: file, line: line)
    run.restore()
    pause.restore()
}

extension MappedBuffer {
    /// A child that shares a page tells the kernel of an error in it (MADV_HWPOISON).
    ///
    /// - Returns: how the child ended: by SIGBUS, as who has touched such a page, or by itself, when it got ENXIO.
    func poison(_ page: PageRange, file: String = #fileID, line: Int = #line) throws -> Child.End {
        let child = try Child(file: file, line: line) { _ in
            do throws(SystemCallError) {
                try advise(.poison, page, file: file, line: line)
            } catch {
                expectEqual(
                    error.code, Errno(rawValue: ENXIO), "only the driver knows what to do about it", file: file,
                    line: line)
            }
        }
        return try child.wait(file: file, line: line)
    }
}

/// Checks that do not involve the driver.
extension PageRange {
    /// The CPU finds the pattern.
    func expectHolds(
        seed: UInt64, firstPage: Int = 0, _ sentence: String, file: String = #fileID, line: Int = #line
    ) {
        expectNone(mismatch(seed: seed, firstPage: firstPage), sentence, file: file, line: line)
    }

    /// The CPU finds zeros.
    func expectZero(_ sentence: String, file: String = #fileID, line: Int = #line) {
        expectNone(nonZero(), sentence, file: file, line: line)
    }

    /// Every page is in this place, by pagemap.
    func expectPlace(
        _ kind: PagePlace.Kind, _ sentence: String, file: String = #fileID, line: Int = #line
    ) throws {
        expectNone(try misplaced(kind, file: file, line: line), sentence, file: file, line: line)
    }

    /// Every page is where it was.
    func expectUnmoved(
        since before: [PagePlace], _ sentence: String, file: String = #fileID, line: Int = #line
    ) throws {
        let now = try places(file: file, line: line)
        expectEqual(now.count, before.count, "every page is compared", file: file, line: line)
        let moved = zip(before, now).enumerated().first { $0.element.0 != $0.element.1 }
        expectNone(
            moved.map { "page \($0.offset) was \($0.element.0), is \($0.element.1)" }, sentence, file: file,
            line: line)
    }

    /// Every page has moved to another frame.
    func expectMoved(
        since before: [PagePlace], _ sentence: String, file: String = #fileID, line: Int = #line
    ) throws {
        let now = try places(file: file, line: line)
        expectEqual(now.count, before.count, "every page is compared", file: file, line: line)
        let same = zip(before, now).enumerated().first { $0.element.0.frame == $0.element.1.frame }
        expectNone(
            same.map { "page \($0.offset) is still \($0.element.1)" }, sentence, file: file, line: line)
    }

    /// The sum of a field of smaps over the range, in bytes.
    func expectSmaps(
        _ field: String, _ bytes: Int, _ sentence: String, file: String = #fileID, line: Int = #line
    ) throws {
        expectEqual(try smaps(field), bytes, "\(sentence) (smaps \(field))", file: file, line: line)
    }

    /// Every frame behind the range has these flags of /proc/kpageflags.
    func expectFlags(
        _ flags: KernelPages.Flags, _ sentence: String, file: String = #fileID, line: Int = #line
    ) throws {
        let found = try frameFlags(file: file, line: line)
        expectEqual(found.count, count, "every page has a frame or none", file: file, line: line)
        let wrong = found.firstIndex { $0?.isSuperset(of: flags) != true }
        expectNone(
            wrong.map { index in
                "page \(index): " + (found[index].map { "flags 0x\(String($0.rawValue, radix: 16))" } ?? "no frame")
            }, sentence, file: file, line: line)
    }

    /// The size in bytes, as the fields of smaps count.
    var size: Int { Int(byteCount) }
}

extension PageRange {
    /// The range holds the pattern but for one word.
    func expectOnlyChange(
        ofPage page: Int, word: Int, to value: UInt64, seed: UInt64, file: String = #fileID, line: Int = #line
    ) {
        let words = self.page(page).wordValues()
        expectEqual(words[word], value, "the CPU finds the last value", file: file, line: line)
        expect(
            words.indices.allSatisfy { $0 == word || words[$0] == PagePattern.word(seed: seed, page: page, word: $0) },
            "and every other word as it was", file: file, line: line)
        for other in 0..<count where other != page {
            self.page(other).expectHolds(
                seed: seed, firstPage: other, "so are the other pages", file: file, line: line)
        }
    }
}
