// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore

/// The figures of one finished run of tests on a tree, for the cover letter.
public struct TestedRun: Sendable, Equatable, Codable {
    /// The tree that was built: base and series.
    public var tree: String
    /// The base's identifier in the store.
    public var base: String
    /// The version of the kernel, such as `6.12.117`.
    public var kernelVersion: String
    /// The configuration's flavour.
    public var flavour: String
    /// The driver, such as `test_hmm`.
    public var driver: String
    /// The suites, in the order in which they ran.
    public var suites: [String]
    /// What else the run was told, such as `--filter fork`: only some tests, or another configuration.
    public var restrictions: [String]
    /// Tests by verdict, without those that did not pass as was known.
    public var counts: [String: Int]
    /// Tests by verdict that did not pass as was known.
    public var known: [String: Int]
    /// Complaints of the kernel, and the like, outside of any test.
    public var problems: Int
    /// When the run ended.
    public var date: Date

    /// Makes a record from its parts.
    public init(
        tree: String, base: String, kernelVersion: String, flavour: String, driver: String, suites: [String],
        restrictions: [String] = [], counts: [String: Int], known: [String: Int] = [:], problems: Int = 0, date: Date
    ) {
        self.tree = tree
        self.base = base
        self.kernelVersion = kernelVersion
        self.flavour = flavour
        self.driver = driver
        self.suites = suites
        self.restrictions = restrictions
        self.counts = counts
        self.known = known
        self.problems = problems
        self.date = date
    }

    /// What the cover letter says, without the base: `suites mirror, migrate: 279 passed, 3 known failures`.
    var figures: String {
        var parts: [String] = []
        func say(_ table: [String: Int], _ verdict: String, _ one: String, _ many: String? = nil) {
            if let count = table[verdict], count > 0 { parts.append("\(count) \(count == 1 ? one : many ?? one)") }
        }
        say(counts, "pass", "passed")
        say(counts, "fail", "failed")
        say(counts, "timeout", "timed out")
        say(counts, "crash", "crashed the kernel")
        say(counts, "boot", "not run for want of a boot")
        say(counts, "infra", "not run for a fault of the host")
        say(counts, "skip", "skipped")
        say(known, "fail", "known failure", "known failures")
        say(known, "timeout", "known timeout", "known timeouts")
        say(known, "crash", "known crash", "known crashes")
        say(known, "skip", "known skip", "known skips")
        if problems > 0 { parts.append("\(problems.of("problem")) outside of tests") }
        let what = (suites.count == 1 ? "suite " : "suites ") + suites.joined(separator: ", ")
        let only = restrictions.isEmpty ? "" : " (\(restrictions.joined(separator: " ")))"
        return "\(what)\(only): \(parts.isEmpty ? "no test" : parts.joined(separator: ", "))"
    }
}

/// Remembers which trees were tested: one small file for each kind of run, of which the newest stays.
public struct TestedRuns: Sendable {
    private let cache: Cache

    /// The records in a cache.
    public init(cache: Cache) { self.cache = cache }

    /// Keeps a run's figures in place of those of an older run of the same kind on the same tree.
    ///
    /// - Throws: ``LabError`` `cache-unwritable`, `file-unwritable`.
    public func keep(_ run: TestedRun) throws {
        let name = [run.base, run.flavour, run.driver, run.suites.joined(separator: "+")].joined(separator: "-")
        var safe = name.replacing(/[^A-Za-z0-9._+\-]/, with: "-")
        // A file's name has at most 255 bytes.
        if safe.utf8.count > 180 { safe = safe.prefix(140) + "-" + Digest(of: name).short }
        if !run.restrictions.isEmpty { safe += "-" + Digest(of: run.restrictions.joined(separator: "\n")).short }
        try Files.write(try JSON.text(run), to: try cache.path("tested", run.tree, safe + ".json"))
    }

    /// The runs on a tree, ordered by flavour, driver and suites.
    public func runs(of tree: String) -> [TestedRun] {
        let folder = "\(cache.root)/tested/\(tree)"
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { $0.hasSuffix(".json") }.compactMap { name -> TestedRun? in
            // What is torn or of another version counts as not run.
            guard let bytes = FileManager.default.contents(atPath: "\(folder)/\(name)") else { return nil }
            return try? JSON.value(TestedRun.self, from: bytes)
        }.filter { $0.tree == tree }.sorted { Self.order($0).lexicographicallyPrecedes(Self.order($1)) }
    }

    private static func order(_ run: TestedRun) -> [String] {
        [run.flavour, run.driver] + run.suites + run.restrictions
    }
}

/// What the cover letter says about a base: the runs there, or that there was none.
public struct TestedBase: Sendable, Equatable {
    /// The version, such as `6.12.117`; the series, such as `6.12`, where no base of it is at hand.
    public var version: String
    /// Where it came from, such as `debian`; nil where no base is at hand.
    public var source: String?
    /// The runs on the base's tree with the series on it.
    public var runs: [TestedRun]

    /// Makes an entry.
    public init(version: String, source: String?, runs: [TestedRun]) {
        self.version = version
        self.source = source
        self.runs = runs
    }

    /// One line for each run.
    var lines: [String] {
        guard !runs.isEmpty else { return ["\(version)\(source.map { " (\($0))" } ?? ""): not run"] }
        return runs.map { run in
            let place = ([source] + [run.flavour, run.driver]).compactMap { $0 }.joined(separator: ", ")
            return "\(run.kernelVersion) (\(place)): \(run.figures)"
        }
    }
}
