// SPDX-License-Identifier: Apache-2.0
import KernelLog
import Testing

@Suite("Console logs of real guests")
struct GoldenTests {
    @Test("Each log tells exactly what its snapshot says", arguments: Golden.names)
    func matchesSnapshot(name: String) throws {
        let found = Golden.describe(try Golden.lines(name))
        if Golden.isUpdating { try Golden.update(name, found) }
        #expect(Golden.expectation(name) == found)
    }
}

@Suite("Console logs of real guests, damaged")
struct DamagedLogTests {
    @Test("Cut at any line, every report whose first line is in has its kind", arguments: Golden.names)
    func cutAtLines(name: String) throws {
        var parser = ConsoleParser()
        var kinds: [ReportKind] = []
        for line in try Golden.lines(name) {
            for case .began(let start) in parser.feed(line: line) { kinds.append(start.kind) }
            // A copy of the parser ends here; the original reads on.
            var cut = parser
            let open = cut.finish().compactMap { if case .ended(let report) = $0 { report } else { nil } }
            for report in open { #expect(report.kind == kinds[report.index]) }
        }
        let whole = ConsoleParser.reports(in: try Golden.log(name))
        #expect(kinds == whole.map(\.kind))
    }

    @Test("Cut at any byte, or with bytes replaced, nothing traps", arguments: Golden.names)
    func damagedBytes(name: String) throws {
        let bytes = Array(try Golden.log(name).utf8)
        try #require(!bytes.isEmpty)
        let whole = ConsoleParser.reports(in: String(decoding: bytes, as: UTF8.self)).count
        for _ in 0..<10 {
            let end = Int.random(in: 0...bytes.count)
            #expect(ConsoleParser.reports(in: String(decoding: bytes[..<end], as: UTF8.self)).count <= whole + 1)
            var damaged = bytes
            for _ in 0..<50 { damaged[Int.random(in: 0..<bytes.count)] = UInt8.random(in: 0...255) }
            _ = ConsoleParser.reports(in: String(decoding: damaged, as: UTF8.self))
        }
    }

    @Test("Two guests' reports, interleaved line by line under different caller columns, are both found unharmed")
    func interleavedCallers() throws {
        let names = ["kasan-use-after-free", "warning", "lockdep-circular", "page-fault-survived", "bad-page-state"]
        let single = try names.map { ConsoleParser.reports(in: try Golden.log($0)) }
        for first in names.indices {
            for second in names.indices where second != first {
                let one = try withCaller("T1001", names[first])
                let two = try withCaller("T2002", names[second])
                var parser = ConsoleParser()
                var found: [KernelReport] = []
                for line in shuffled(one, two) {
                    for case .ended(let report) in parser.feed(line: line) { found.append(report) }
                }
                for case .ended(let report) in parser.finish() { found.append(report) }
                let expected = (single[first] + single[second]).map {
                    "\($0.title) \($0.lines.count) \($0.frames.count)"
                }
                #expect(found.map { "\($0.title) \($0.lines.count) \($0.frames.count)" }.sorted() == expected.sorted())
            }
        }
    }

    /// A log's kernel lines but the first, with a caller column.
    private func withCaller(_ caller: String, _ name: String) throws -> [String] {
        try Golden.lines(name).dropFirst().filter { $0.hasPrefix("[") }.map { line in
            let end = line.unicodeScalars.firstIndex(of: "]") ?? line.startIndex
            return line[...end] + "[\(caller)]" + line[line.unicodeScalars.index(after: end)...]
        }
    }

    private func shuffled(_ one: [String], _ two: [String]) -> [String] {
        var (one, two) = (one[...], two[...])
        var result: [String] = []
        while !one.isEmpty || !two.isEmpty {
            let takesFirst = two.isEmpty || !one.isEmpty && Bool.random()
            result.append(takesFirst ? one.removeFirst() : two.removeFirst())
        }
        return result
    }
}
