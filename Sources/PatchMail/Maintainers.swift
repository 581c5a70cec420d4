// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import KernelSource
import PatchSeries
import ProcessRunner

/// Who gets a mail.
public struct Recipients: Sendable, Equatable, Codable {
    /// Who is asked to act: maintainers.
    public var to: [Address] = []
    /// Who is told: reviewers, lists, and the people in the trailers.
    public var cc: [Address] = []

    /// Makes nobody.
    public init() {}

    /// Makes recipients.
    public init(to: [Address], cc: [Address]) {
        self.to = to
        self.cc = cc
    }

    /// The same, each person once and the sender left out.
    func cleaned(sender: Address) -> Recipients {
        let to = to.unique.filter { $0.key != sender.key }
        let keys = Set(to.map(\.key) + [sender.key])
        return Recipients(to: to, cc: cc.unique.filter { !keys.contains($0.key) })
    }
}

/// Asks the base's own scripts/get_maintainer.pl whom a patch concerns.
struct Maintainers {
    /// Raised whenever the same question would be answered in another way.
    private static let recipe = "1"
    /// What the script reads; the last two may be missing.
    private static let files = ["MAINTAINERS", "scripts/get_maintainer.pl", ".get_maintainer.ignore", ".mailmap"]

    let store: ObjectStore
    let runner: ProcessRunner
    let cache: Cache
    let progress: ProgressHandler

    /// The answer for each diff, in order; nil if the base has no such script.
    ///
    /// An answer depends on those files of the base and on the diff alone (MAINTAINERS has patterns for text too), and
    /// is kept in the cache by them.
    ///
    /// - Throws: ``LabError`` `tool-missing`, `tool-failed`.
    func recipients(of diffs: [Data], on tree: String) async throws -> [Recipients]? {
        let listing = try await runner.check(store.command(["ls-tree", tree, "--"] + Self.files))
        guard listing.contains("\tMAINTAINERS\n"), listing.contains("get_maintainer.pl\n") else { return nil }
        let keys = diffs.map { diff in
            var signature = Signature()
            signature.add("recipe", Self.recipe)
            signature.add("files", listing)
            signature.add("diff", Digest(of: diff).hexadecimal)
            return signature.digest.hexadecimal
        }
        var answers = keys.map(known)
        let open = answers.indices.filter { answers[$0] == nil }
        if !open.isEmpty {
            progress(.step("Asking the base's get_maintainer"))
            try ProcessRunner.require("perl")
            let staging = try cache.stagingFolder()
            defer { try? FileManager.default.removeItem(atPath: staging) }
            try await extract(tree, listing, to: staging)
            for (index, answer) in try await ask(open, diffs, in: staging) {
                try Files.write(try JSON.text(answer), to: path(keys[index]))
                answers[index] = answer
            }
        }
        return answers.map { $0 ?? Recipients() }
    }

    /// Asks a few at a time: the script takes half a second to read MAINTAINERS.
    private func ask(_ open: [Int], _ diffs: [Data], in staging: String) async throws -> [(Int, Recipients)] {
        try await withThrowingTaskGroup(of: (Int, Recipients).self) { group in
            var found: [(Int, Recipients)] = []
            for (count, index) in open.enumerated() {
                if count >= 4, let next = try await group.next() { found.append(next) }
                group.addTask { (index, try await ask(diffs[index], number: index, in: staging)) }
            }
            for try await next in group { found.append(next) }
            return found
        }
    }

    private func path(_ key: String) -> String { "\(cache.root)/recipients/\(key.prefix(2))/\(key).json" }

    private func known(_ key: String) -> Recipients? {
        guard let bytes = FileManager.default.contents(atPath: path(key)),
            let answer = try? JSON.value(Recipients.self, from: bytes)
        else { return nil }
        cache.markUsed(path(key))
        return answer
    }

    private func extract(_ tree: String, _ listing: String, to folder: String) async throws {
        for file in Self.files where listing.contains("\t\(file)\n") {
            let target = "\(folder)/\(file)"
            try Files.makeFolder((target as NSString).deletingLastPathComponent)
            let show = store.command(["cat-file", "blob", "\(tree):\(file)"])
            try await runner.check(
                Command(
                    "sh", ["-c", #"target=$1; shift; exec git "$@" >"$target""#, "sh", target] + show.arguments,
                    environment: show.environment, in: show.workingDirectory))
        }
    }

    private func ask(_ diff: Data, number: Int, in folder: String) async throws -> Recipients {
        let patch = "\(folder)/\(number).patch"
        try Files.write(diff, to: patch)
        // HOME holds a configuration of the person's own; --no-git, since what commits say depends on the repository.
        let command = Command(
            "perl",
            [
                "scripts/get_maintainer.pl", "--no-tree", "--no-git", "--no-git-fallback", "--no-git-blame",
                "--no-fixes", "--rolestats", patch,
            ],
            environment: ["HOME": folder, "LC_ALL": "C", "PERL5OPT": nil, "PERL5LIB": nil], in: folder)
        return Self.parse(try await runner.check(command))
    }

    /// Reads lines such as `Name <user@host> (maintainer:MEMORY MANAGEMENT)`.
    static func parse(_ text: String) -> Recipients {
        var recipients = Recipients()
        for line in text.split(separator: "\n") {
            guard let address = Address(parsing: line) else { continue }
            // Behind the address: names of people and of sections may have parentheses too.
            let rest = line.range(of: address.email).map { line[$0.upperBound...] } ?? line[...]
            let role = rest.firstMatch(of: /\(([a-z ]+)/)?.1 ?? ""
            let isAsked = ["maintainer", "supporter", "odd fixer", "chief penguin"].contains { role.hasPrefix($0) }
            if isAsked { recipients.to.append(address) } else { recipients.cc.append(address) }
        }
        return Recipients(to: recipients.to.unique, cc: recipients.cc.unique)
    }
}

/// The people in a message's trailers.
enum Trailers {
    private static let names = [
        "cc", "signed-off-by", "co-developed-by", "acked-by", "reviewed-by", "tested-by", "reported-by", "suggested-by",
        "reported-and-tested-by", "debugged-by",
    ]

    /// The addresses in a message's lines of the form `Signed-off-by: Person <address>`.
    static func people(in body: String) -> [Address] {
        body.split(separator: "\n").compactMap { line -> Address? in
            guard let colon = line.firstIndex(of: ":"), names.contains(line[..<colon].lowercased()) else { return nil }
            return Address(parsing: line[line.index(after: colon)...])
        }
    }
}
