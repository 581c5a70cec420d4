// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

extension EndToEnd {
    /// `hmmlab mutate` on a real kernel.
    @Suite(.serialized) struct MutateTests {
        let tool: Tool

        init() throws { tool = try Tool() }

        private struct Answer: Decodable {
            struct Score: Decodable, Equatable { var killed, judged: Int }
            struct Entry: Decodable {
                var killed: Bool?
                var by, how, reason: String?
            }
            struct Line: Decodable {
                var id: String
                var suites: [String: Entry]
            }
            var scores: [String: Score]
            var mutants: [Line]
        }

        private func mutant(_ id: String, _ diff: String, _ more: String = "") throws {
            let header = """
                Mutant: \(id)
                Kind: mutation
                Where: \(id)
                Class: DATA
                Defect: wrong
                Symptom: wrong data
                \(more)
                """
            _ = try tool.patch("corpus/\(id).patch", "\(header)\n\n\(diff)")
        }

        private func mutate(_ arguments: String..., exit: Int32) async throws -> (answer: Answer, text: String) {
            let output = try await tool.run(
                ["mutate", "--corpus", tool.folder + "/corpus", "--suite", "mirror", "--json", "-"] + arguments)
            #expect(output.ending == .exited(exit), "\(output.standardError.suffix(3000))")
            return (try JSON.value(Answer.self, from: Data(output.standardOutput.utf8)), output.standardError)
        }

        @Test func killedAliveAndNotJudged() async throws {
            defer { tool.remove() }
            // A diff of no earlier run, which would answer for this one.
            let salt = UInt32.random(in: 0 ... .max)
            try mutant(
                "hole",
                """
                --- a/mm/hmm.c
                +++ b/mm/hmm.c
                @@ -161,7 +161,7 @@
                 \tif (!walk->vma) {
                 \t\tif (required_fault)
                 \t\t\treturn -EFAULT;
                -\t\treturn hmm_pfns_fill(addr, end, range, HMM_PFN_ERROR);
                +\t\treturn hmm_pfns_fill(addr, end, range, 0 * \(salt)u);
                 \t}
                 \tif (required_fault)
                 \t\treturn hmm_vma_fault(addr, end, required_fault, walk);

                """)
            try mutant("gone", "--- a/mm/gone.c\n+++ b/mm/gone.c\n@@ -1 +1 @@\n-a\n+b\n")
            let (first, _) = try await mutate(exit: 1)
            let hole = first.mutants.first { $0.id == "hole" }?.suites["mirror"]
            let gone = first.mutants.first { $0.id == "gone" }?.suites["mirror"]
            #expect(hole?.killed == true && hole?.by?.hasPrefix("mirror/") == true, "\(String(describing: hole))")
            #expect(gone?.killed == nil && gone?.reason?.contains("gone.c") == true, "\(String(describing: gone))")
            #expect(first.scores["mirror"] == .init(killed: 1, judged: 1))

            let (second, text) = try await mutate("--mutant", "hole", exit: 0)
            #expect(second.mutants.map(\.id) == ["hole"] && second.scores["mirror"] == .init(killed: 1, judged: 1))
            #expect(text.contains("1 of 1 trial known from an earlier run"), "\(text)")
        }

        /// Ten of hmmlab's own corpus that a few short tests notice: in mm/hmm.c, and in each part of our driver that it uses.
        @Test func theSampleIsKilled() async throws {
            defer { tool.remove() }
            let sample = [
                "H13", "M01", "M05", "M09", "DRV02", "DRV05", "DRV06", "DRV07", "DRV08", "DRV10",
            ]
            let output = try await tool.run(
                [
                    "mutate", "--suite", "mirror", "--filter", "^mirror/(snapshot|hugetlb|write|lazy-free)", "--json",
                    "-",
                ] + sample.flatMap { ["--mutant", $0] })
            #expect(output.ending == .exited(0), "\(output.standardError.suffix(3000))")
            let answer = try JSON.value(Answer.self, from: Data(output.standardOutput.utf8))
            #expect(answer.scores["mirror"] == .init(killed: 10, judged: 10))
            #expect(Set(answer.mutants.map(\.id)) == Set(sample))
        }

        @Test func aMutantThatIsUnknown() async throws {
            defer { tool.remove() }
            let output = try await tool.run(["mutate", "--mutant", "H00", "--suite", "mirror"])
            #expect(output.ending == .exited(64))
            #expect(output.standardError.contains("There is no mutant H00"), "\(output.standardError)")
        }
    }
}
