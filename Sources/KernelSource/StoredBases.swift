// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

extension ObjectStore {
    /// The bases in the store, the newest import first.
    ///
    /// - Throws: ``LabError`` `tool-missing`, `store-damaged`.
    public func bases() async throws -> [Base] {
        guard Files.exists(gitDirectory + "/refs") else { return [] }
        let output = try await runner.run(
            command(["for-each-ref", "--format=%(*objectname) %(contents:subject)", "refs/hmmlab/base"]))
        guard output.ending.isSuccess else {
            throw LabError(
                "store-damaged", "The store of bases is damaged", cause: output.standardError,
                next: "Remove \(gitDirectory); bases are fetched again when they are needed.")
        }
        return output.standardOutput.split(separator: "\n").compactMap { line -> Base? in
            let parts = line.split(separator: " ", maxSplits: 1)
            // A record of another version of hmmlab, or one whose commit is not the tagged one, counts as absent.
            guard parts.count == 2, let base = try? JSON.value(Base.self, from: Data(parts[1].utf8)),
                base.commit == parts[0]
            else { return nil }
            return base
        }.sorted { ($0.importedAt, $1.identifier) > ($1.importedAt, $0.identifier) }
    }

    /// Publishes a base, which exists from here on.
    ///
    /// The caller holds the store's lock.
    func publish(_ base: Base) async throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        let record = String(decoding: try encoder.encode(base), as: UTF8.self)
        let tag = """
            object \(base.commit)
            type commit
            tag \(base.identifier)
            tagger \(Self.identity) \(Int(base.importedAt.timeIntervalSince1970)) +0000

            \(record)

            """
        let file = gitDirectory + "/hmmlab/tag"
        try Files.write(tag, to: file)
        let object = try await runner.check(command(["hash-object", "-t", "tag", "-w", "--", file]))
        try await runner.check(
            command([
                "update-ref", Self.reference(base.identifier), object.trimmingCharacters(in: .whitespacesAndNewlines),
            ]))
        try? FileManager.default.removeItem(atPath: file)
    }

    /// Forgets a base's name but keeps its objects.
    ///
    /// The caller holds the store's lock.
    func forget(_ base: Base) async throws {
        try await runner.check(command(["update-ref", "-d", Self.reference(base.identifier)]))
    }

    private static func reference(_ identifier: String) -> String { "refs/hmmlab/base/\(identifier)" }

    /// The author of imported commits; a constant, so that equal trees become equal commits everywhere.
    static let identity = "hmmlab <hmmlab@localhost>"
}
