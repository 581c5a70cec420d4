// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Makes one test of our own driver for each kind of device memory from one body, which gets a device that works.
///
/// The oracle of all of them: of either device of that kind, every page that was handed out has been given back when the
/// body is through. The body's memory has to be gone by then.
func onOwnDevice(
    _ id: String, _ summary: String, on memories: [DeviceMemory] = DeviceMemory.allCases,
    needs requirements: [Requirement] = [], timeoutMilliseconds: Int = 30_000, file: String = #fileID,
    line: Int = #line, _ body: @escaping @Sendable (DeviceMemory, borrowing MirrorDevice) throws -> Void
) -> [GuestTest] {
    memories.map { memory in
        GuestTest(
            memories.count == 1 ? id : "\(id)-\(memory.rawValue)",
            memories.count == 1 ? summary : "\(summary) (\(memory.rawValue) memory)",
            needs: [memory.requirement, .ours] + requirements, timeoutMilliseconds: timeoutMilliseconds, file: file,
            line: line
        ) {
            let mirror = try memory.open(file: file, line: line)
            let other = try memory.open(second: true, file: file, line: line)
            try mirror.makeWhole()
            try other.makeWhole()
            defer {
                // Also after a failure, so that the next test begins with a device that works.
                try? mirror.makeWhole()
                try? other.makeWhole()
            }
            let inUse = (try mirror.information().heldPages, try other.information().heldPages)
            try body(memory, mirror)
            try mirror.makeWhole()
            try mirror.expectHeld(inUse.0, "every page of the device that was handed out has been given back")
            try other.expectHeld(inUse.1, "so has every page of the other device")
        }
    }
}

extension DeviceInformation {
    /// The pages handed out and not given back, by the counts of these events.
    var heldPages: Int { Int(allocated - freed) }
}

/// Steps of the tests of our own driver.
extension MirrorDevice {
    /// Ends all failures on request and an unplugged state.
    func makeWhole(file: String = #fileID, line: Int = #line) throws(MirrorError) {
        try inject(Injection(), file: file, line: line)
        try replug(file: file, line: line)
    }

    /// So many of the device's pages are in use, by its counts of pages handed out and given back as well as by its
    /// count of free pages.
    func expectHeld(_ pages: Int, _ sentence: String, file: String = #fileID, line: Int = #line) throws {
        let information = try information(file: file, line: line)
        expectEqual(information.heldPages, pages, "\(sentence) (handed out)", file: file, line: line)
        expectEqual(information.usedPages, pages, "\(sentence) (not free)", file: file, line: line)
    }

    /// Moves a range and states what becomes of each page, by its number in the range.
    func expectMigration(
        _ range: PageRange, _ direction: Migration.Direction, prefault: Bool = false, files: Bool = false,
        _ sentence: String, file: String = #fileID, line: Int = #line, _ expected: (Int) -> Migration.Outcome
    ) throws {
        let result = try migrate(
            range, direction, prefault: prefault, files: files, file: file, line: line)
        let outcomes = (0..<range.count).map(expected)
        let wrong = outcomes.indices.first { result.outcomes[$0] != outcomes[$0] }
        expectNone(
            wrong.map { index in
                let found = result.outcomes[index].map { "\($0)" } ?? "an unknown outcome"
                return "page \(index): \(found) instead of \(outcomes[index])"
            }, sentence, file: file, line: line)
        for outcome in Migration.Outcome.allCases {
            expectEqual(
                result.count(of: outcome), result.outcomes.count { $0 == outcome },
                "the count of \(outcome) is that of the pages", file: file, line: line)
        }
        expectEqual(result.countedPages, range.count, "every page is counted once", file: file, line: line)
    }

    /// The device's memory holds the pattern, in the frames that the CPU's page table names.
    func expectContents(
        _ range: PageRange, seed: UInt64, firstPage: Int = 0, _ sentence: String, file: String = #fileID,
        line: Int = #line
    ) throws {
        let image = try MappedBuffer.filled(pages: range.count, seed: 0xbad, file: file, line: line)
        let frames = try readContents(of: range, into: image.range.pointer, file: file, line: line)
        expectNone(
            image.range.mismatch(seed: seed, firstPage: firstPage), sentence, file: file, line: line)
        expectEqual(
            frames.map(Optional.some), try range.places(file: file, line: line).map(\.frame),
            "the pages are where the CPU's page table says", file: file, line: line)
    }
}

/// The pieces of device memory that hold pages of the range, by /proc/iomem.
func chunks(holding range: PageRange, file: String = #fileID, line: Int = #line) throws -> [DeviceChunk] {
    let memory = try PhysicalMemory.current()
    var chunks: [DeviceChunk] = []
    for place in try range.places(file: file, line: line) where place.devicePiece != nil {
        guard let frame = place.frame, !chunks.contains(where: { $0.frames.contains(frame) }) else { continue }
        let region = memory.regions.first { $0.name.contains("dmirror") && $0.bytes.contains(frame << 12) }
        let bytes = try requireValue(region, "/proc/iomem knows the frame", file: file, line: line).bytes
        chunks.append(DeviceChunk(firstFrame: bytes.lowerBound >> 12, pages: bytes.count >> 12))
    }
    return chunks
}

/// States that a step of the test's own fails with this error number.
func expectFailure<Result>(
    _ code: Errno, _ sentence: String, file: String = #fileID, line: Int = #line,
    _ step: () throws(SystemCallError) -> Result
) {
    do {
        _ = try step()
        expect(false, sentence, "expected \(code), but it succeeded", file: file, line: line)
    } catch {
        expect(error.code == code, sentence, "expected \(code), got: \(error)", file: file, line: line)
    }
}

/// Untouched memory in small pages whose first page begins 2 MiB, so that at most 512 pages move in one batch.
func alignedBuffer(file: String = #fileID, line: Int = #line) throws(SystemCallError) -> MappedBuffer {
    let buffer = try MappedBuffer.transparentHuge(hugePages: 1, file: file, line: line)
    try buffer.advise(.noHugePage, file: file, line: line)
    return buffer
}
