// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import PatchSeries
import Testing

@testable import PatchModel

@Suite("Import into the patch model")
struct PatchImportTests {
    private let base = BaseSeries(ofKernel: "6.12.117")

    private func mail(
        _ number: String, _ subject: String, _ from: String, _ to: String, encoding: String = "8bit"
    ) -> String {
        let text = """
            Because of it.

            Signed-off-by: Jörg Doe <j@example.org>
            Link: https://example.org/\(from)
            ---
             mm/a.c | 2 +-

            \(ModelFolder.diff("mm/a.c", from, to))
            -- 
            2.39

            """
        let body =
            encoding == "base64"
            ? Data(text.utf8).base64EncodedString(options: [.lineLength76Characters, .endLineWithLineFeed]) + "\n"
            : text
        return """
            From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
            From: =?UTF-8?Q?J=C3=B6rg?= Doe <j@example.org>
            Date: Mon, 2 Nov 2026 08:0\(from.count):00 +0100
            Subject: [PATCH v3 \(number)] mm: \(subject)
            MIME-Version: 1.0
            Content-Type: text/plain; charset=UTF-8
            Content-Transfer-Encoding: \(encoding)

            \(body)

            """
    }

    private var mbox: String {
        """
        From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
        From: A Maintainer <m@example.org>
        Subject: [PATCH v3 0/3] Numbers in order

        They count.

        Jörg Doe (3):
          mm: one to two

         mm/a.c | 2 +-

        """ + mail("2/3", "two to three", "two", "three", encoding: "base64")
            + mail("1/3", "one to two", "one", "two")
            + mail("3/3", "three to four", "three", "four")
    }

    private func take(_ text: Data, _ place: ModelFolder) async throws -> PatchImport {
        let path = place.root + "/series.mbox"
        try Files.write(text, to: path)
        let series = try await place.reader.read(path)
        let before = try await place.store.loadIfPresent()
        let result = try PatchImport(
            of: series, into: before, topic: "theirs", base: try #require(base), author: nil)
        try await place.store.save(result.model, previous: before)
        return result
    }

    @Test("Authors, dates, trailers and order are kept; the cover letter becomes the topic's text")
    func mails() async throws {
        let place = try ModelFolder()
        let result = try await take(Data(mbox.utf8), place)
        #expect(result.added == ["theirs/mm-one-to-two", "theirs/mm-two-to-three", "theirs/mm-three-to-four"])
        let model = try await place.store.load()
        #expect(model.topics.map(\.title) == ["Numbers in order"])
        #expect(model.topics.map(\.text) == ["They count."])
        let patch = try #require(model.patches.first?.patch)
        #expect(
            patch.author
                == Patch.Author(name: "Jörg Doe", email: "j@example.org", date: "Mon, 2 Nov 2026 08:03:00 +0100"))
        #expect(
            patch.body == "Because of it.\n\nSigned-off-by: Jörg Doe <j@example.org>\nLink: https://example.org/one")
        #expect(model.patches.allSatisfy { $0.metadata == PatchMetadata(bases: [base].compactMap { $0 }) })
    }

    @Test("What the topic has already is not taken twice, and what is new goes behind it")
    func again() async throws {
        let place = try ModelFolder()
        _ = try await take(Data(mbox.utf8), place)
        #expect(try await take(Data(mbox.utf8), place).added == [])
        let more = try await take(Data(mail("1/1", "one to two", "four", "five").utf8), place)
        #expect(more.added == ["theirs/mm-one-to-two-2"])
        #expect(try await place.store.load().patches.map(\.name).last == "mm-one-to-two-2")
    }

    @Test("A plain diff needs an author; a name that is none is refused")
    func plain() async throws {
        let place = try ModelFolder()
        let path = place.root + "/fix.diff"
        try Files.write(ModelFolder.diff("mm/a.c", "one", "two"), to: path)
        let series = try await place.reader.read(path)
        let empty = PatchModel(folder: place.folder, topics: [])
        let base = try #require(base)
        let error = #expect(throws: LabError.self) {
            try PatchImport(of: series, into: empty, topic: "t", base: base, author: nil)
        }
        #expect(error?.code == "author-missing")
        let author = Patch.Author(name: "A", email: "a@example.org", date: nil)
        let result = try PatchImport(of: series, into: empty, topic: "t", base: base, author: author)
        #expect(result.model.patches.map(\.patch.author) == [author])
        for name in ["", "..", "a/b", "-x", "a b"] {
            let error = #expect(throws: LabError.self) {
                try PatchImport(of: series, into: empty, topic: name, base: base, author: author)
            }
            #expect(error?.code == "topic-name-bad")
        }
    }

    @Test("Damaged mails are refused with a sentence and change nothing, or are stored as what was read")
    func mutants() async throws {
        let good = Data(mbox.utf8)
        var numbers = Numbers(state: 20_261_122)
        var (refused, taken) = (0, 0)
        for number in 0..<240 {
            let place = try ModelFolder()
            let bytes = Self.mutant(good, &numbers)
            do {
                let path = place.root + "/series.mbox"
                try Files.write(bytes, to: path)
                let read = try await place.reader.read(path)
                let result = try PatchImport(
                    of: read, into: PatchModel(folder: place.folder, topics: []), topic: "t",
                    base: try #require(base), author: Patch.Author(name: "A", email: "a@example.org", date: nil))
                try await place.store.save(result.model, previous: PatchModel(folder: place.folder, topics: []))
                let loaded = try await place.store.load()
                #expect(
                    loaded.patches.map(\.patch.digest) == result.model.patches.map(\.patch.digest), "mutant \(number)")
                taken += 1
            } catch let error as LabError {
                #expect(error.exitCode == .usage && !error.sentence.isEmpty, "mutant \(number): \(error)")
                #expect(!Files.exists(place.folder), "mutant \(number) wrote something: \(error)")
                refused += 1
            }
        }
        // Both happen, so that neither is what the importer does with everything.
        #expect(refused > 20 && taken > 20, "\(refused) refused, \(taken) taken")
    }

    /// A fixed sequence of numbers (a linear congruence), so that a failure can be repeated.
    private struct Numbers: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ (state >> 31)
        }
    }

    /// A copy with lines lost, doubled, swapped or cut, bytes flipped or inserted, or paths that lead elsewhere.
    private static func mutant(_ good: Data, _ numbers: inout Numbers) -> Data {
        var lines = good.split(separator: 10, omittingEmptySubsequences: false).map { Data($0) }
        let one = Int.random(in: lines.indices, using: &numbers)
        let two = Int.random(in: lines.indices, using: &numbers)
        switch Int.random(in: 0..<9, using: &numbers) {
        case 0: lines.remove(at: one)
        case 1: lines.insert(lines[one], at: two)
        case 2: lines.swapAt(one, two)
        case 3: lines.removeSubrange(min(one, two)...max(one, two))
        case 4: lines[one] = Data(lines[one].map { $0 ^ UInt8.random(in: 0...3, using: &numbers) })
        case 5: lines[one].insert(UInt8.random(in: 0...255, using: &numbers), at: lines[one].startIndex)
        case 6: lines = lines.map { Data(String(decoding: $0, as: UTF8.self).replacing("mm/a.c", with: "../a.c").utf8) }
        case 7: lines[one] = Data("---".utf8)
        default: return good.prefix(Int.random(in: 0..<good.count, using: &numbers))
        }
        return Data(lines.joined(separator: [10]))
    }
}
