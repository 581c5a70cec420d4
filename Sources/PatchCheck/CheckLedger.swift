// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import KernelBuild

/// Remembers what checkers said: one small file for each question, named by everything that decides the answer.
struct CheckLedger: Sendable {
    /// Part of every name; to be raised when the same question would be answered otherwise than before.
    private static let version = "1"

    let cache: Cache

    /// The name of a question.
    static func key(_ parts: KeyValuePairs<String, String>) -> String {
        var signature = Signature()
        signature.add("version", version)
        for (name, value) in parts { signature.add(name, value) }
        return signature.digest.hexadecimal
    }

    /// The answer to a question that was asked before; nil for any other.
    func read<Answer: Decodable>(_ type: Answer.Type, _ key: String) -> Answer? {
        guard let bytes = FileManager.default.contents(atPath: path(key)),
            let answer = try? JSON.value(type, from: bytes)
        else { return nil }
        cache.markUsed(path(key))
        return answer
    }

    /// Remembers an answer.
    func write(_ answer: some Encodable, _ key: String) throws {
        try Files.write(try JSON.text(answer), to: path(key))
    }

    private func path(_ key: String) -> String { "\(cache.root)/checks/\(key.prefix(2))/\(key).json" }
}

/// What a checker said about the objects or files of one tree.
struct TreeRecord: Codable, Equatable {
    /// By the name of the object or file.
    var objects: [String: MadeObject] = [:]
    /// Why it could not judge this tree at all; nil if it could.
    var obstacle: String?

    /// The names that nothing is known of.
    func missing(_ names: [String]) -> [String] { obstacle == nil ? names.filter { objects[$0] == nil } : [] }
}

/// What is new after a patch.
enum NewDiagnostics {
    /// What is said after a patch and was not said before it, wherever its lines have moved to.
    ///
    /// Something said twice before and three times after is new once.
    static func of(_ after: [Diagnostic], before: [Diagnostic]) -> [Diagnostic] {
        var known: [String: Int] = [:]
        for diagnostic in before { known[diagnostic.identity, default: 0] += 1 }
        return after.filter { diagnostic in
            guard let count = known[diagnostic.identity], count > 0 else { return true }
            known[diagnostic.identity] = count - 1
            return false
        }
    }
}
