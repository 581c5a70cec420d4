// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

@testable import PatchSeries

/// Good input, damaged in every way that copying, mailing and editing know, must be refused or applied as git would.
@Suite struct MutationTests {
    /// A fixed sequence of numbers (splitmix64), so that a failure can be repeated.
    struct Numbers: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var value = (state ^ (state >> 30)) &* 0xbf58_476d_1ce4_e5b9
            value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
            return value ^ (value >> 31)
        }
    }

    /// One damaged copy: bytes or whole lines are cut, flipped, doubled, swapped, inserted or removed.
    static func mutant(_ good: Data, _ numbers: inout Numbers) -> Data {
        var lines = good.split(separator: 10, omittingEmptySubsequences: false).map { Data($0) }
        let a = Int.random(in: 0..<lines.count, using: &numbers)
        let b = Int.random(in: 0..<lines.count, using: &numbers)
        switch Int.random(in: 0..<10, using: &numbers) {
        case 0: lines.removeSubrange(min(a, b)..<min(min(a, b) + 3, lines.count))
        case 1: lines.swapAt(a, b)
        case 2: lines.insert(lines[a], at: b)
        case 3: lines = Array(lines[..<a] + lines[min(a, b)...])
        case 4: lines[a] = Data(lines[a].reversed())
        case 5: lines[a] = lines[a] + [13]
        case 6: lines.insert(Data("@@ -1,2 +1,2 @@".utf8), at: a)
        case 7: return good.prefix(Int.random(in: 0..<good.count, using: &numbers))
        case 8:
            var bytes = good
            for _ in 0..<4 {
                bytes[Int.random(in: 0..<bytes.count, using: &numbers)] ^= UInt8(
                    1 << Int.random(in: 0..<8, using: &numbers))
            }
            return bytes
        default:
            let line = lines[a]
            lines[a] = Data(line.map { (48...57).contains($0) ? UInt8.random(in: 48...57, using: &numbers) : $0 })
        }
        return Data(lines.joined(separator: [10]))
    }

    /// The tree that git itself makes of a plain diff; nil if it refuses it.
    func treeOfGit(_ bench: Workbench, _ path: String) async throws -> String? {
        let script = """
            export GIT_INDEX_FILE=\(bench.root)/index.$$
            git read-tree \(bench.base)
            if git apply --cached \(path) 2>/dev/null; then git write-tree; fi
            rm -f $GIT_INDEX_FILE
            """
        let tree = try await bench.shell(script).trimmingCharacters(in: .newlines)
        return tree.isEmpty ? nil : tree
    }

    static let changes = """
        sed -i 's/line_10;/line_10 = 1;/; s/line_40;/line_40 = 1;/' mm/memory.c
        git mv mm/hmm.c mm/h.c; sed -i 's/hmm_5;/hmm_5 = 1;/' mm/h.c
        chmod +x mm/tail.c; echo four >>mm/tail.c
        printf 'neu\n' >mm/new.c; git rm -q mm/kasan/report.c
        printf 'a\\0b\\2' >logo.bin
        git add -A; git commit -qm all
        """

    @Test func plainDiffs() async throws {
        let bench = try await Workbench()
        _ = try await bench.patches(Self.changes)
        try await bench.shell("git diff --binary main~1 main >../good.diff")
        let good = try Files.bytes(bench.root + "/good.diff")
        let whole = try await bench.apply(bench.root + "/good.diff")
        var numbers = Numbers(state: 1)
        var counts = (refused: 0, rejected: 0, applied: 0)
        for number in 0..<80 {
            let path = try bench.write("m.diff", Self.mutant(good, &numbers))
            do {
                switch try await bench.attempt(path) {
                case .rejected: counts.rejected += 1
                case .applied(let applied):
                    counts.applied += 1
                    // A CR at the end of the first header alone is taken for a mail program's; git refuses that.
                    if applied.tree == whole.tree { continue }
                    #expect(try await treeOfGit(bench, path) == applied.tree, "mutant \(number)")
                }
            } catch let error as LabError {
                counts.refused += 1
                #expect(
                    error.exitCode == .usage && !error.sentence.isEmpty && error.cause != nil,
                    "mutant \(number): \(error)")
                #expect(error.nextStep != nil, "mutant \(number): \(error)")
            }
        }
        // Each ending really happens.
        #expect(counts.refused > 20 && counts.rejected > 10 && counts.applied > 10, "\(counts)")
        #expect(try await bench.leftovers().filter { !$0.hasSuffix(".json") }.count == 1)
    }

    @Test func mails() async throws {
        let bench = try await Workbench()
        _ = try await bench.patches(Workbench.three)
        try await bench.shell("git format-patch -q --stdout --cover-letter \(bench.base) >../good.mbox")
        let good = try Files.bytes(bench.root + "/good.mbox")
        let whole = try await bench.apply(bench.root + "/good.mbox")
        let paths: Set<Substring> = ["mm/memory.c", "mm/hmm.c", "mm/kasan/report.c"]
        var numbers = Numbers(state: 7)
        var counts = (refused: 0, rejected: 0, applied: 0, same: 0)
        for number in 0..<50 {
            let path = try bench.write("m.mbox", Self.mutant(good, &numbers))
            do {
                switch try await bench.attempt(path) {
                case .rejected: counts.rejected += 1
                case .applied(let applied):
                    counts.applied += 1
                    if applied.tree == whole.tree { counts.same += 1 }
                    let changed = try await bench.shell(
                        "git diff --name-only \(bench.base) \(applied.tip)", in: bench.store)
                    #expect(paths.isSuperset(of: changed.split(separator: "\n")), "mutant \(number): \(changed)")
                    try await bench.shell("git fsck --strict --no-dangling \(applied.tip)", in: bench.store)
                }
            } catch let error as LabError {
                counts.refused += 1
                #expect(error.exitCode == .usage && error.nextStep != nil, "mutant \(number): \(error)")
            }
        }
        #expect(counts.refused > 5 && counts.rejected > 5 && counts.same > 10, "\(counts)")
    }

    @Test func quiltSeriesFiles() async throws {
        let bench = try await Workbench()
        _ = try await bench.patches(Workbench.three)
        let good = Data(
            "# first\n0001-mm-set-line-10.patch -p1\n\n0002-mm-hmm-set-hmm-5.patch\n0003-kasan-report-more.patch # x\n"
                .utf8)
        var numbers = Numbers(state: 3)
        var refused = 0
        for number in 0..<60 {
            let path = try bench.write("out/series", Self.mutant(good, &numbers))
            do {
                let series = try await bench.reader.read(path)
                #expect(series.patches.allSatisfy { $0.origin.hasPrefix("000") }, "mutant \(number)")
            } catch let error as LabError {
                refused += 1
                #expect(error.exitCode == .usage && error.nextStep != nil, "mutant \(number): \(error)")
            }
        }
        #expect(refused > 10)
    }

    /// Cheap enough for thousands: the parser alone, which must neither trap nor take long.
    @Test func theParserAlone() throws {
        let good = Data(
            (SafetyTests.creation("a b", quoted: true) + MailTests.diff + SafetyTests.refused.map(\.diff).joined()).utf8
        )
        var numbers = Numbers(state: 5)
        var refused = 0
        for _ in 0..<3000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...3, using: &numbers) where !bytes.isEmpty {
                bytes = Self.mutant(bytes, &numbers)
                if bytes.count > 1 << 20 { bytes = bytes.prefix(1 << 20) }
            }
            do {
                let (diff, files) = try DiffParser.parse(
                    bytes, strip: Int.random(in: 0...2, using: &numbers), isReversed: false, origin: "x")
                #expect(files.flatMap(\.hunks).allSatisfy { $0.body.upperBound <= diff.count })
            } catch is LabError {
                refused += 1
            }
        }
        #expect(refused > 100)
    }

    @Test func endlessLines() throws {
        let name = String(repeating: "a ", count: 1 << 20)
        for text in [
            "diff --git \(name)\n", "--- \(name)\n+++ \(name)\n@@ -1 +1 @@\n-a\n+b\n",
            "diff --git a/x b/x\nrename from \(name)\n",
            "diff --git a/x b/x\n--- a/x" + String(repeating: "\r", count: 1 << 20) + "\n",
            "@@ -" + String(repeating: "9", count: 1 << 20), "diff --git \"" + String(repeating: "\\", count: 1 << 20),
        ] {
            do {
                _ = try DiffParser.parse(Data(text.utf8), strip: 1, isReversed: false, origin: "x")
            } catch let error as LabError {
                #expect(error.code == "patch-malformed")
                #expect(error.description.utf8.count < 2000)
            }
        }
    }
}
