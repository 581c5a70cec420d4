// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Testing

@testable import Mutation

@Suite("Reading mutants")
struct MutantTests {
    static func text(_ changes: [String: String?] = [:], file: String = "mm/hmm.c") -> String {
        var fields: [(String, String)] = [
            ("Mutant", "H01"), ("Kind", "historical"), ("Where", "mm/hmm.c hmm_vma_walk_hole()"), ("Class", "OOB/DATA"),
            ("Defect", "It is\n  off by one."), ("Symptom", "Zeros."),
        ]
        for (name, value) in changes {
            fields.removeAll { $0.0 == name }
            if let value { fields.append((name, value)) }
        }
        return fields.map { "\($0.0): \($0.1)\n" }.joined()
            + "\n--- a/\(file)\t2026\n+++ b/\(file)\t2026\n@@ -1 +1 @@\n-a\n+b\n"
    }

    @Test func whatAHeaderSays() throws {
        let mutant = try Mutant(text: Self.text(["Inert": "Nobody calls it.", "Trigger": "x"]), path: "p")
        #expect(mutant.id == "H01" && mutant.kind == .historical && mutant.category == "OOB/DATA")
        #expect(mutant.defect == "It is off by one." && mutant.inert == "Nobody calls it." && mutant.needs == "")
        #expect(mutant.files == ["mm/hmm.c"] && mutant.target == .kernel && !mutant.isOfSeries)
        #expect(mutant.diff.hasPrefix("--- a/mm/hmm.c"))
    }

    @Test func aFaultOfTheDriverAndOneOfTheSeries() throws {
        let mutant = try Mutant(
            text: Self.text(["On": "series"], file: "kernel-patches/modules/x.c"), path: "p")
        #expect(mutant.target == .driver && mutant.isOfSeries)
    }

    @Test(arguments: [
        (["Mutant": "a b"], "can be no name"), (["Kind": "guess"], "none of historical, mutation"),
        (["Symptom": nil], "no field Symptom"), (["Symptom": ""], "no field Symptom"), (["On": "moon"], "is on moon"),
        (["Defect": "x\nMutant: H02"], "twice"), (["Defect": "x\nno field at all"], "is no field"),
    ])
    func whatIsNoMutant(_ changes: [String: String?], _ cause: String) throws {
        let error = #expect(throws: LabError.self) { try Mutant(text: Self.text(changes), path: "p") }
        #expect(error?.code == "mutant-bad" && error?.cause?.contains(cause) == true, "\(String(describing: error))")
    }

    @Test func withoutADiff() throws {
        let error = #expect(throws: LabError.self) { try Mutant(text: "Mutant: H01\n", path: "p") }
        #expect(error?.cause == "It has no diff.")
    }

    @Test func neighboursShareFiles() throws {
        let folder = NSTemporaryDirectory() + "mutants-\(UUID().uuidString)"
        try Files.makeFolder(folder)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        #expect(throws: LabError.self) { try Mutant.all(in: folder) }
        for (id, file) in [("a", "mm/z.c"), ("b", "mm/a.c"), ("c", "mm/z.c"), ("d", "mm/a.c")] {
            try Files.write(Data(Self.text(["Mutant": id], file: file).utf8), to: "\(folder)/\(id).patch")
        }
        #expect(try Mutant.all(in: folder).map(\.id) == ["b", "d", "a", "c"])
        try Files.write(Data(Self.text(["Mutant": "a"]).utf8), to: "\(folder)/e.patch")
        let error = #expect(throws: LabError.self) { try Mutant.all(in: folder) }
        #expect(error?.sentence.contains("both called a") == true)
    }

    @Test func everyMutantOfOurs() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path
        for base in try FileManager.default.contentsOfDirectory(atPath: root + "/kernel-patches/mutants") {
            let mutants = try Mutant.all(in: "\(root)/kernel-patches/mutants/\(base)")
            for mutant in mutants { #expect(mutant.path.hasSuffix("/\(mutant.id).patch")) }
            // Who changes the driver carries its mutants along.
            for mutant in mutants where mutant.target == .driver {
                let git = Process()
                git.executableURL = URL(fileURLWithPath: "/usr/bin/env")
                git.arguments = ["git", "apply", "--check", mutant.path]
                git.currentDirectoryURL = URL(fileURLWithPath: root)
                try git.run()
                git.waitUntilExit()
                #expect(git.terminationStatus == 0, "\(mutant.id) does not apply any more")
            }
        }
    }
}
