// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

/// What the tests read of a bisection's JSON.
private struct BisectionDocument: Decodable {
    struct Culprit: Decodable {
        var index: Int
        var subject: String
        var diff: String?
    }
    struct Step: Decodable {
        var index: Int
        var verdict: String
        var runs: Int
        var logs: [String]
    }
    struct Reversal: Decodable { var verdict: String }
    var outcome: String
    var confidence: Double
    var culprit: Culprit?
    var candidates: [Int]
    var steps: [Step]
    var reverted: Reversal?
    var commands: [String: String]
    var folder: String

    init(_ path: String) throws { self = try JSON.value(Self.self, from: try Files.bytes(path)) }
}

/// A planted series, as scripts/corpus writes it.
private struct PlantedCase: Decodable {
    var test: String?
    var crash: String?
    /// The test that makes the crash.
    var run: String?
    var places: [Int]
    var culprits: [String]
    var expect: String
}

extension EndToEnd {
    /// Planted faults are found by bisections that really build and boot.
    @Suite struct BisectTests {
        private let tool: Tool

        init() throws { tool = try Tool() }

        /// Writes a case of the corpus; returns what is known of it.
        private func plant(_ name: String) async throws -> PlantedCase {
            let root = try #require(ProcessInfo.processInfo.environment["HMMLAB_ROOT"])
            try await tool.runner.check(Command(root + "/scripts/corpus", [tool.folder + "/corpus", name]))
            return try JSON.value(
                PlantedCase.self, from: try Files.bytes("\(tool.folder)/corpus/\(name)/case.json"))
        }

        private func arguments(_ name: String, _ planted: PlantedCase) -> [String] {
            let crash = planted.crash.map { ["--crash", $0, "--test", planted.run ?? ""] }
            let predicate = planted.test.map { ["--test", $0] } ?? crash ?? []
            return ["bisect", "--quiet", "--series", "corpus/\(name)"] + predicate
        }

        /// A write flag, an invalidation, a collapse that only THP shows, and a test that fails three times in ten.
        @Test(arguments: ["lost-soft-dirty", "no-word-of-mprotect", "collapse-tells-nobody", "backs-off-at-random"])
        func theCulpritIsFound(_ name: String) async throws {
            defer { tool.remove() }
            let planted = try await plant(name)
            let output = try await tool.run(arguments(name, planted) + ["--json", "found.json"])
            #expect(output.ending == .exited(0), "\(output.standardError.suffix(2000))")
            let found = try BisectionDocument(tool.folder + "/found.json")
            #expect(found.outcome == "found" && found.confidence >= 0.99)
            #expect(found.culprit?.index == planted.places[0])
            #expect(found.culprit?.subject == planted.culprits[0])
            #expect(found.reverted?.verdict == "good")
            #expect(found.culprit?.diff?.contains("diff --git") == true)
            let (parent, child) = (found.steps[planted.places[0] - 1], found.steps[planted.places[0]])
            #expect(parent.verdict == "good" && parent.runs >= 2)
            #expect((child.verdict == "bad" || child.verdict == "mixed") && child.runs >= 2)
            #expect(child.logs.count == child.runs && child.logs.allSatisfy(Files.isFolder))
            #expect(output.standardOutput.contains("culprit: patch \(planted.places[0]): \(planted.culprits[0])"))
        }

        /// The kernels around the culprit do not compile, which is neither good nor bad.
        @Test func whatDoesNotBuildIsNotBlamed() async throws {
            defer { tool.remove() }
            let name = "guilty-where-nothing-builds"
            let planted = try await plant(name)
            let output = try await tool.run(arguments(name, planted) + ["--json", "found.json"])
            #expect(output.ending == .exited(1), "\(output.standardError.suffix(2000))")
            let found = try BisectionDocument(tool.folder + "/found.json")
            #expect(found.outcome == "ambiguous" && found.culprit == nil)
            #expect(found.candidates.contains(planted.places[0]))
            #expect(found.steps.contains { $0.verdict == "unknown" })
        }

        /// Killed at random moments and gone on with, a bisection finds the same, and measures no build twice.
        @Test func aKilledBisectionIsContinued() async throws {
            defer { tool.remove() }
            let name = "no-page-to-bring-back"
            let planted = try await plant(name)
            // A first patch that no kernel in the cache has: builds are what is killed.
            let series = "\(tool.folder)/corpus/\(name)"
            try Files.write(Self.note(UUID().uuidString), to: series + "/0000-note.patch")
            try Files.write("0000-note.patch\n" + Files.text(series + "/series"), to: series + "/series")
            let culprit = planted.places[0] + 1
            func names(_ folder: String = "bisections") -> Set<String> {
                Set((try? FileManager.default.contentsOfDirectory(atPath: "\(Cache().root)/\(folder)")) ?? [])
            }
            let (earlier, kernels) = (names(), names("artifacts"))
            var arguments = arguments(name, planted)
            var folder = ""
            for _ in 0..<4 {
                // Before the journal stands there is nothing to go on with.
                try await tool.killDuring(arguments, milliseconds: 6000...15_000)
                #expect(try await tool.wait { try await tool.guests(with: "bisections").isEmpty })
                let own = names().subtracting(earlier)
                #expect(own.count == 1, "going on begins nothing new: \(own)")
                folder = try #require(own.first)
                arguments = ["bisect", "--quiet", "--resume", folder]
            }
            let output = try await tool.run(arguments + ["--json", "found.json"])
            #expect(output.ending == .exited(0), "\(output.standardError.suffix(2000))")
            let found = try BisectionDocument(tool.folder + "/found.json")
            #expect(found.outcome == "found" && found.culprit?.index == culprit)
            #expect(found.culprit?.subject == planted.culprits[0])
            struct Entry: Decodable {
                struct Run: Decodable {
                    var state: Int
                    var buildSeconds: Double
                }
                var run: Run?
            }
            let entries = try JournalFile.lines(at: found.folder + "/journal").dropFirst().map {
                try JSON.value(Entry.self, from: $0)
            }
            let built = entries.compactMap(\.run).filter { $0.buildSeconds > 0 }.map(\.state)
            // A build whose run was killed is in no entry.
            let new = names("artifacts").subtracting(kernels).count
            #expect(
                new >= 4 && built.count >= 2, "the kernels were to be new: \(new) were built, of \(built) it is told")
            #expect(built.count == Set(built).count, "a kernel was built twice: \(built)")
        }

        /// A patch that adds a document.
        private static func note(_ text: String) -> String {
            """
            From: Corpus <corpus@localhost>
            Subject: [PATCH] Documentation: a note

            Signed-off-by: Corpus <corpus@localhost>
            ---
            --- /dev/null
            +++ b/Documentation/note.rst
            @@ -0,0 +1,2 @@
            +.. SPDX-License-Identifier: GPL-2.0
            +\(text)

            """
        }

        @Test func rangesThatMakeNoSenseAreRefused() async throws {
            defer { tool.remove() }
            for (words, said) in [
                (["--series", "x"], "what is bad"), (["--test", "migrate/repeat-private"], "range"),
                (["--series", "x", "--test", "a/b", "--boot"], "one of"),
                (["--range", "x@a", "--boot"], "PATH@GOOD..BAD"), (["--versions", "a..", "--boot"], "GOOD..BAD"),
                (["--series", "x", "--boot", "--above", "3"], "--command"),
                (["--series", "x", "--boot", "--confidence", "1"], "--confidence"),
                (["--good-config", "x", "--boot"], "--bad-config"), (["--resume", "latest", "--boot"], "--resume"),
                (["--resume", "no-such"], "no-such"), (["--series", "x", "--test", "no/such"], "no/such"),
                (["--range", "/nowhere@a..b", "--boot"], "/nowhere"),
                (["--versions", "1.2.3-1..1.2.4-1", "--boot"], "1.2.3-1"),
            ] {
                let output = try await tool.run(["bisect"] + words)
                #expect(output.ending == .exited(64), "\(words): \(output.standardError)")
                #expect(output.standardError.contains(said), "\(words): \(output.standardError)")
            }
        }
    }
}
