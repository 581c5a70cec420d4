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
    /// Patches of our topics (`topic/name`) that together end it; absent for none.
    public var without: [String]?
    /// The most processors that the guest may have; absent for any.
    public var cpus: Int?
    /// Part of the kernel report's title that a known crash has, of the reason that a known skip gives, or of what a known
    /// failure leaves behind; absent for any of a crash or skip, and for a failure that leaves nothing behind.
    public var title: String?
    /// Whether the test ends otherwise at other times, so that it is no news when it does; absent for no.
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
    /// The patches of our topics that the kernel has, as `topic/name`.
    var patches: Set<String> = []
    /// How many processors the guest has.
    var cpus = 2

    /// The names among the origins of the patches of a series; a diff for one base only counts as its patch.
    static func names(of series: AppliedSeries?) -> Set<String> {
        Set(series?.patches.map { String($0.origin.prefix { $0 != "@" }) } ?? [])
    }
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
    ///
    /// - Parameters:
    ///   - titles: those of the kernel's reports, the reason of a skip, or what was left behind.
    ///   - needsTitle: whether only an entry that names it can explain it.
    func expectation(
        for test: String, seen verdict: Verdict, titles: [String], in context: RunContext, needsTitle: Bool = false
    ) -> ExpectedResult? {
        let known = entries.filter {
            $0.applies(to: test, in: context) && !(verdict != $0.outcome && $0.sometimes == true)
                && ($0.title != nil || !needsTitle)
        }
        let fitting = known.first { entry in
            entry.outcome == verdict
                && (entry.title.map { part in !titles.isEmpty && titles.allSatisfy { $0.contains(part) } } ?? true)
        }
        // Another title is news, so an entry that names a title only explains that title.
        return (fitting ?? known.first { $0.outcome != verdict }).map {
            ExpectedResult($0.outcome, reason: $0.explanation)
        }
    }
}

extension KnownOutcome {
    /// The reason, and what ends it.
    var explanation: String { without.map { "\(reason) (not with \($0.joined(separator: " and ")))" } ?? reason }

    func applies(to test: String, in context: RunContext) -> Bool {
        tests.contains { Self.matches(test[...], pattern: $0[...]) }
            && (bases?.contains { context.kernelVersion == $0 || context.kernelVersion.hasPrefix($0 + ".") } ?? true)
            && (drivers?.contains(context.driver) ?? true) && (flavours?.contains(context.flavour) ?? true)
            && (without.map { !context.patches.isSuperset(of: $0) } ?? true)
            && (cpus.map { context.cpus <= $0 } ?? true)
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
