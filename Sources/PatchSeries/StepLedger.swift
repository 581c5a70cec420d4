// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import ProcessRunner

/// What applying one patch made.
struct AppliedStep: Codable, Equatable {
    /// The commit after the patch.
    var commit: String
    var tree: String
    var outcome: AppliedPatch.Outcome
    var drift: [String]
    /// Every object that the commit has and its parent lacks: all of them must be in the store.
    var objects: [String]
}

/// Remembers applied patches: one small file for each, named by the base and the patches up to it.
struct StepLedger {
    /// Part of every name; to be raised when the same input would give other commits than before.
    private static let version = 1

    let git: Git
    let gitDirectory: String
    let cache: Cache
    let staging: String

    /// The names of the records of each patch.
    func keys(base: String, patches: [Patch]) -> [String] {
        var key = Digest(of: "apply \(Self.version) \(base)")
        return patches.map { patch in
            key = Digest(of: "\(key) \(patch.digest)")
            return key.hexadecimal
        }
    }

    /// The records from the first patch on, as far as they exist and the store has their objects.
    ///
    /// - Throws: ``LabError`` `base-missing`.
    func known(_ keys: [String], base: String) async throws -> [AppliedStep] {
        var steps: [AppliedStep] = []
        for key in keys {
            guard let bytes = FileManager.default.contents(atPath: path(key)),
                let step = try? JSON.value(AppliedStep.self, from: bytes)
            else { break }
            steps.append(step)
            cache.markUsed(path(key))
        }
        guard !steps.isEmpty else { return [] }
        let ids = [base] + steps.flatMap { [$0.commit, $0.tree] + $0.objects }
        try Files.write(ids.map { $0 + "\n" }.joined(), to: staging + "/ids")
        let answer = try await git.runner.check(
            git.script(
                #""$git" cat-file --batch-check --buffer <ids | sed -n 's/ missing$//p'"#, directory: gitDirectory,
                in: staging))
        let missing = Set(answer.split(separator: "\n").map(String.init))
        if missing.contains(base) { throw SeriesApplier.missing(base, gitDirectory, nil) }
        return Array(steps.prefix { missing.isDisjoint(with: [$0.commit, $0.tree] + $0.objects) })
    }

    /// Writes a record; only after its objects are in the store.
    func record(_ step: AppliedStep, _ key: String) throws {
        try Files.write(try JSON.text(step), to: path(key))
    }

    private func path(_ key: String) -> String { "\(cache.root)/series/\(key.prefix(2))/\(key).json" }
}
