// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// Steps of the tests of on-demand paging.
extension MirrorDevice {
    /// How long a request may take before the engine counts as stuck; a slow machine does hundreds in that time.
    private static let patience: UInt32 = 20_000

    /// Takes the next completions, and waits for them.
    func drain(_ count: Int, file: String = #fileID, line: Int = #line) throws -> [WorkCompletion] {
        var found: [WorkCompletion] = []
        while found.count < count {
            let polled = try poll(most: count - found.count, within: Self.patience, file: file, line: line)
            try require(!polled.completions.isEmpty, "the engine ends every request", file: file, line: line)
            found += polled.completions
        }
        return found
    }

    /// Queues requests with the numbers from `first` on.
    func submit(
        _ operations: [WorkRequest.Operation], from first: Int = 0, file: String = #fileID, line: Int = #line
    ) throws {
        let requests = operations.enumerated().map { WorkRequest(UInt64(first + $0.offset), $0.element) }
        let posted = try post(requests, file: file, line: line)
        try require(posted == requests.count, "every request is queued", "\(posted) are", file: file, line: line)
    }

    /// Has requests done, and waits for all of them; nothing else may be in the queue.
    func complete(
        _ operations: [WorkRequest.Operation], file: String = #fileID, line: Int = #line
    ) throws -> [WorkCompletion] {
        try submit(operations, file: file, line: line)
        let completions = try drain(operations.count, file: file, line: line)
        expectEqual(
            completions.map(\.id), (0..<operations.count).map(UInt64.init), "completions come in order", file: file,
            line: line)
        return completions
    }

    /// Has one request done; nothing else may be in the queue.
    func complete(
        _ operation: WorkRequest.Operation, file: String = #fileID, line: Int = #line
    ) throws -> WorkCompletion {
        try complete([operation], file: file, line: line)[0]
    }

    /// Has one request done that succeeds.
    @discardableResult
    func expectDone(
        _ operation: WorkRequest.Operation, _ sentence: String, file: String = #fileID, line: Int = #line
    ) throws -> WorkCompletion {
        let completion = try complete(operation, file: file, line: line)
        expect(
            completion.error == nil && completion.bytes == operation.byteCount, sentence, "\(completion)", file: file,
            line: line)
        return completion
    }

    /// Has one request done that fails after so many bytes.
    func expectFails(
        _ code: Errno, after bytes: UInt64 = 0, _ operation: WorkRequest.Operation, _ sentence: String,
        file: String = #fileID, line: Int = #line
    ) throws {
        let completion = try complete(operation, file: file, line: line)
        expect(
            completion.error == code && completion.bytes == bytes, sentence,
            "expected \(code) after \(bytes) bytes, got \(completion)", file: file, line: line)
    }

    /// The engine reads the range page by page and finds the pattern.
    func expectEngineReads(
        _ range: PageRange, of region: OnDemandRegion.Handle, seed: UInt64, _ sentence: String,
        file: String = #fileID, line: Int = #line
    ) throws {
        let image = try MappedBuffer.filled(pages: range.count, seed: 0xbad, file: file, line: line)
        try eachPage(range, file, line) { .read(region.bytes($1), into: image.range.page($0).pointer) }
        expectNone(image.range.mismatch(seed: seed), sentence, file: file, line: line)
    }

    /// The engine writes the pattern page by page.
    func engineFills(
        _ range: PageRange, of region: OnDemandRegion.Handle, seed: UInt64, file: String = #fileID, line: Int = #line
    ) throws {
        let image = try MappedBuffer.filled(pages: range.count, seed: seed, file: file, line: line)
        try eachPage(range, file, line) { .write(region.bytes($1), from: image.range.page($0).pointer) }
    }

    private func eachPage(
        _ range: PageRange, _ file: String, _ line: Int, _ operation: (Int, PageRange) -> WorkRequest.Operation
    ) throws {
        for first in stride(from: 0, to: range.count, by: Self.queueLength) {
            let pages = first..<min(first + Self.queueLength, range.count)
            let completions = try complete(pages.map { operation($0, range.page($0)) }, file: file, line: line)
            let wrong = completions.first { $0.error != nil || $0.bytes != UInt64(PageRange.pageSize) }
            expectNone(wrong.map { "\($0)" }, "the engine deals with every page", file: file, line: line)
        }
    }
}

extension WorkRequest.Operation {
    /// The bytes that it is about.
    var byteCount: UInt64 {
        switch self {
        case .read(let bytes, _), .write(let bytes, _), .copy(let bytes, _, _): bytes.count
        case .fetchAdd: 8
        }
    }
}

extension OnDemandRegion.Handle {
    /// All bytes of a range.
    func bytes(_ range: PageRange) -> RegionBytes { RegionBytes(self, range.address, count: range.byteCount) }

    /// Some bytes of a range, counted from its first.
    func bytes(_ range: PageRange, _ part: Range<Int>) -> RegionBytes {
        RegionBytes(self, range.address + UInt64(part.lowerBound), count: UInt64(part.count))
    }
}

extension PageRange {
    /// The range's bytes, read with the CPU.
    func byteValues() -> [UInt8] { Array(UnsafeRawBufferPointer(start: pointer, count: size)) }

    /// The 64-bit word at a place of the range, counted in words from its first.
    func word(_ index: Int) -> UInt64 { pointer?.load(fromByteOffset: index * 8, as: UInt64.self) ?? 0 }

    /// Sets a 64-bit word.
    func setWord(_ index: Int, _ value: UInt64) {
        pointer?.storeBytes(of: value, toByteOffset: index * 8, as: UInt64.self)
    }
}
