// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import TOMLKit
import TestResults

/// One known failure or skip, with its reason.
public struct KnownOutcome: Sendable, Equatable, Codable {
    /// Test identifiers; `*` stands for any text.
    public var tests: [String]
    /// The outcome that is known.
    public var outcome: Verdict
    /// Kernel versions such as `6.12` (any 6.12.x) or `6.12.117`; absent for all.
    public var bases: [String]?
    /// Drivers; absent for all.
    public var drivers: [String]?
    /// Flavours; absent for all.
    public var flavours: [String]?
    /// A word that has to stand on the kernel command line; absent for any.
    public var append: String?
    /// Part of the kernel report's title that a known crash has; absent for any.
    public var title: String?
    /// Whether the test passes at other times, so that a pass is no news; absent for no.
    public var sometimes: Bool?
    /// Why, in a sentence; shown with every result it explains.
    public var reason: String
}

/// What a run is, as far as expectations depend on it.
public struct RunContext: Sendable, Equatable {
    var kernelVersion: String
    var driver: String
    var flavour: String
    var commandLine: String
}

/// The file `qemu/expectations.toml`.
public struct KnownOutcomes: Sendable {
    private let entries: [KnownOutcome]

    private struct Document: Decodable {
        var known: [KnownOutcome]
    }

    /// No expectations.
    public init() { entries = [] }

    /// Reads the file.
    ///
    /// - Throws: ``LabError`` `expectations-bad`, `file-unreadable`.
    public init(path: String) throws {
        let text = try Files.text(path)
        do {
            entries = try TOMLDecoder(strictDecoding: true).decode(Document.self, from: text).known
        } catch {
            throw LabError("expectations-bad", exit: .usage, "\(path) cannot be understood", cause: "\(error)")
        }
    }

    /// What is known about a test in a run; an entry for the outcome that was seen is preferred.
    func expectation(
        for test: String, seen verdict: Verdict, titles: [String], in context: RunContext
    ) -> ExpectedResult? {
        let known = entries.filter {
            $0.applies(to: test, in: context) && !(verdict == .pass && $0.sometimes == true)
        }
        let fitting = known.first { entry in
            entry.outcome == verdict
                && (entry.title.map { part in !titles.isEmpty && titles.allSatisfy { $0.contains(part) } } ?? true)
        }
        // A crash of another title is news, so an entry that names a title only explains that title.
        return (fitting ?? known.first { $0.outcome != verdict }).map { ExpectedResult($0.outcome, reason: $0.reason) }
    }
}

extension KnownOutcome {
    func applies(to test: String, in context: RunContext) -> Bool {
        tests.contains { Self.matches(test[...], pattern: $0[...]) }
            && (bases?.contains { context.kernelVersion == $0 || context.kernelVersion.hasPrefix($0 + ".") } ?? true)
            && (drivers?.contains(context.driver) ?? true) && (flavours?.contains(context.flavour) ?? true)
            && (append.map { context.commandLine.split(separator: " ").contains(Substring($0)) } ?? true)
    }

    /// Matches `*` against any text; every other character stands for itself.
    static func matches(_ text: Substring, pattern: Substring) -> Bool {
        guard let first = pattern.first else { return text.isEmpty }
        if first == "*" {
            let rest = pattern.dropFirst()
            var tail = text
            while true {
                if matches(tail, pattern: rest) { return true }
                if tail.popFirst() == nil { return false }
            }
        }
        return text.first == first && matches(text.dropFirst(), pattern: pattern.dropFirst())
    }
}
