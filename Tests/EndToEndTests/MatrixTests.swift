// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

extension EndToEnd {
    /// `hmmlab test --matrix` in real guests.
    @Suite(.serialized) struct MatrixTests {
        let tool: Tool

        init() throws { tool = try Tool() }

        private struct Answer: Decodable {
            struct Cell: Decodable {
                struct Result: Decodable {
                    var passed: Int
                    var folder: String
                }
                var values: [String: String]
                var fate: String
                var isEarlier: Bool?
                var result: Result?
                var reason: String?
            }
            var cells: [Cell]
        }

        private func run(_ matrix: String, exit: Int32) async throws -> (answer: Answer, text: String) {
            try Files.write(matrix, to: tool.folder + "/matrix.toml")
            let output = try await tool.run(
                "test", "--matrix", "matrix.toml", "--suite", "mirror", "--filter", "^mirror/read", "--json", "m.json")
            #expect(output.ending == .exited(exit), "\(output.standardError.suffix(3000))")
            let data = Data(try Files.text(tool.folder + "/m.json").utf8)
            return (try JSON.value(Answer.self, from: data), output.standardOutput)
        }

        private func matrix(_ prepare: String) -> String {
            """
            [[axis]]
            name = "CPUs"
            values = [{ name = "one", cpus = 1 }, { name = "two", cpus = 2 }]
            [[axis]]
            name = "guest"
            values = [
                { name = "plain" },
                { name = "prepared", append = "quiet", prepare = ["\(prepare)"] },
            ]
            [[skip]]
            cells = { CPUs = "two", guest = "plain" }
            reason = "that is what all the other tests do"
            """
        }

        @Test func cellsAreRunOnceAndWhatCannotBeIsNamed() async throws {
            defer { tool.remove() }
            let salt = UInt32.random(in: 0 ... .max)
            let (first, _) = try await run(matrix("test \(salt) = \(salt)"), exit: 0)
            #expect(first.cells.map(\.fate) == ["passed", "passed", "skipped", "passed"])
            #expect(first.cells[2].reason == "that is what all the other tests do")
            #expect(first.cells[1].values == ["CPUs": "one", "guest": "prepared"] && first.cells[1].isEarlier == false)
            let folder = try #require(first.cells[1].result?.folder)
            #expect(try Files.text(folder + "/reproduce.sh").contains("'test \(salt) = \(salt)'"))
            #expect((first.cells[1].result?.passed ?? 0) > 2)

            let (again, table) = try await run(matrix("test \(salt) = \(salt)"), exit: 0)
            #expect(again.cells.map { $0.isEarlier ?? true } == [true, true, true, true])
            #expect(table.contains("3 of 4 cells passed, 1 left out by the matrix."), "\(table)")

            let (broken, why) = try await run(matrix("test \(salt) = no"), exit: 3)
            #expect(broken.cells.map(\.fate) == ["passed", "failed", "skipped", "failed"])
            #expect(why.contains("`sh -c test \(salt) = no` did not succeed in the guest"), "\(why)")
        }

        /// It reaches the tests, which print it.
        @Test func theSeedIsHandedOn() async throws {
            defer { tool.remove() }
            let output = try await tool.run(
                "test", "--driver", "hmm_dmirror", "--suite", "model", "--filter", "^model/coherent$", "--seed", "4711",
                "--ktap", "-", environment: ["HMMLAB_MODEL_SECONDS": "1"])
            #expect(output.ending == .exited(0), "\(output.standardError.suffix(3000))")
            #expect(output.standardOutput.contains("HMMLAB_SEED=4711: "), "\(output.standardOutput)")
        }
    }
}
