// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// One test that a guest can run as a process of its own.
public struct GuestTest: Sendable, Equatable, Codable {
    /// `suite/name`, unique.
    public var id: String
    /// The suite it belongs to.
    public var suite: String
    /// The name within the suite.
    public var name: String { String(id.dropFirst(suite.count + 1)) }
    /// Whether a guest with this driver can run it at all.
    func isPossible(with driver: GuestSelection.Driver) -> Bool {
        driver != .noDriver || Set(requirements).isDisjoint(with: ["private", "coherent", "ours"])
    }
    /// What it shows, in one sentence; empty for tests of the kernel's own.
    public var summary: String
    /// What the guest must have: `private`, `coherent`, `ours`, `hugetlb`, `thp`, `swap`, ...
    public var requirements: [String]
    /// Milliseconds after which it is killed.
    public var timeoutMilliseconds: Int
    /// The command in the guest.
    public var arguments: [String]
    /// How its outcome is told.
    public var form: Form
    /// Bytes of output that are handed on, both streams together; nil for all of it.
    public var outputLimit: Int? = 1 << 20

    /// How a test's outcome is told.
    public enum Form: String, Sendable, Codable {
        /// Exit status 0, 1 or 4 and lines that begin with FAIL or SKIP.
        case status
        /// KTAP on standard output, as the kernel's selftests print it.
        case ktap
    }
}

/// A suite as `hmmlab list suites` shows it.
public struct Suite: Sendable, Equatable, Codable {
    /// The name that `--suite` takes.
    public var name: String
    /// What it is about.
    public var summary: String
    /// How many tests it has; nil where only a built kernel can tell.
    public var count: Int?
    /// The one driver that it can be run with; nil for any.
    public var driver: GuestSelection.Driver?
    /// Whether all of its tests are about persistent memory, which only some flavours give the guest.
    public var needsPersistentMemory = false
    /// Whether any of its tests can be run without a driver.
    var canDoWithoutDriver = false

    private enum CodingKeys: String, CodingKey { case name, summary, count, driver, needsPersistentMemory }
}

/// The suites and their tests.
public struct SuiteCatalog: Sendable {
    /// The kernel's own HMM tests, built from the base's tree.
    public static let kselftest = "kselftest:mm/hmm"
    /// Where their program lies in the guest.
    static let kselftestProgram = "/usr/lib/kselftest/hmm-tests"
    /// Generous for TCG: upstream's 7.2 has a single case of 45 s.
    static let kselftestTimeout = 180_000

    static let summaries = [
        "mirror": "reading and writing through the device, snapshots, invalidation",
        "migrate": "memory moving to the device and back, by ioctl and by CPU fault",
        "devmem": "device memory as a whole: chunks, eviction, exhaustion, failures, pins",
        "faults": "CPU faults of every kind on device memory, copy errors, and a device that is lost",
        "errors": "pages that lost their contents: who is told, and that nothing else is harmed",
        "file": "page cache that goes to coherent memory and comes back, while everything else goes on with it",
        "dax": "persistent memory and files that are mapped from it: what must not change with anybody's patches",
        "mirror-odp": "on-demand paging: an engine that works on memory nobody pins, under storms of changes to it",
        "model": "random sequences of system calls and requests, each step compared with a model of the address space",
        "robustness": "malformed requests by the thousand for every command; HMMLAB_SEED repeats those of a run",
        kselftest: "upstream's own hmm-tests, built from the base's tree",
    ]

    /// The tests of our own suites.
    public let own: [GuestTest]

    /// Asks the guest's test program, which lists its tests on any machine.
    ///
    /// - Throws: ``LabError`` `catalog-unreadable`, and what the process runner throws.
    public init(program: String, runner: ProcessRunner) async throws {
        own = try Self.parse(try await runner.check(Command(program, ["list"]), deadline: .seconds(20)))
    }

    /// Reads `id TAB requirements TAB milliseconds TAB summary` lines.
    static func parse(_ listing: String) throws -> [GuestTest] {
        try listing.split(separator: "\n").map { line in
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            guard fields.count == 4, let slash = fields[0].firstIndex(of: "/"), let timeout = Int(fields[2]) else {
                throw LabError(
                    "catalog-unreadable", "guest-tests list printed a line that is not a test", cause: String(line))
            }
            return GuestTest(
                id: fields[0], suite: String(fields[0][..<slash]), summary: fields[3],
                requirements: fields[1] == "-" ? [] : fields[1].split(separator: ",").map(String.init),
                timeoutMilliseconds: timeout, arguments: ["/bin/guest-tests", "run", fields[0]], form: .status)
        }
    }

    /// Every suite, ours first.
    public var suites: [Suite] {
        var names: [String] = []
        for test in own where !names.contains(test.suite) { names.append(test.suite) }
        return names.map { name in
            let tests = own.filter { $0.suite == name }
            return Suite(
                name: name, summary: Self.summaries[name] ?? "", count: tests.count,
                driver: tests.allSatisfy { $0.requirements.contains("ours") } ? .hmmDmirror : nil,
                needsPersistentMemory: tests.allSatisfy { $0.requirements.contains("pmem") },
                canDoWithoutDriver: tests.contains { $0.isPossible(with: .noDriver) })
        } + [Suite(name: Self.kselftest, summary: Self.summaries[Self.kselftest] ?? "", count: nil)]
    }

    /// The upstream tests as guest tests; one process per case where the program can run a single case.
    ///
    /// kselftest_harness.h says on standard error what failed, and that a test took too long. A line there belongs to the
    /// result that follows it on standard output: only one pipe for both keeps their order, as upstream's runner has it.
    static func kselftests(cases: [String]) -> [GuestTest] {
        let each = cases.map { (id: "\(kselftest)/\($0)", arguments: ["-r", $0]) }
        let all = each.isEmpty ? [(id: "\(kselftest)/all", arguments: [])] : each
        return all.map {
            GuestTest(
                id: $0.id, suite: kselftest, summary: "", requirements: [], timeoutMilliseconds: kselftestTimeout,
                arguments: ["/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&1", kselftestProgram] + $0.arguments, form: .ktap)
        }
    }

    /// The names of the suites that can be run with a driver, and with persistent memory or without.
    func suites(for driver: GuestSelection.Driver, persistentMemory: Bool = false) -> [String] {
        suites.filter {
            ($0.driver == nil || $0.driver == driver) && (persistentMemory || !$0.needsPersistentMemory)
                && (driver != .noDriver || $0.canDoWithoutDriver)
        }.map(\.name)
    }

    /// Checks before anything is built that suites exist and can be run with a driver, and with persistent memory or
    /// without.
    ///
    /// - Throws: ``LabError`` `suite-unknown`, `suite-driver`, `suite-flavour`.
    func check(
        suites names: [String], for driver: GuestSelection.Driver, persistentMemory: Bool = false
    ) throws {
        try check(suites: names)
        for suite in suites where names.contains(suite.name) {
            if suite.needsPersistentMemory && !persistentMemory {
                throw LabError(
                    "suite-flavour", exit: .usage,
                    "The suite \(suite.name) needs persistent memory, which this guest would not have",
                    cause: "No word memmap=SIZE!START is on its kernel command line.", next: "Add --flavour pmem.")
            }
            if driver == .noDriver && !suite.canDoWithoutDriver {
                throw LabError(
                    "suite-driver", exit: .usage, "The suite \(suite.name) needs a driver",
                    next: "Leave out --driver none."
                )
            }
            guard let needed = suite.driver, needed != driver else { continue }
            throw LabError(
                "suite-driver", exit: .usage,
                "The suite \(suite.name) needs the driver \(needed.rawValue) and not \(driver.rawValue)",
                next: "Add --driver \(needed.rawValue).")
        }
    }

    /// Checks suite names before anything is built.
    ///
    /// - Throws: ``LabError`` `suite-unknown`.
    public func check(suites names: [String]) throws {
        let known = suites.map(\.name)
        for name in names where !known.contains(name) {
            throw LabError(
                "suite-unknown", exit: .usage, "There is no suite \(name)",
                next: "Take some of: \(known.joined(separator: ", ")).")
        }
    }

    /// Our own tests of some suites (all without names) that match a regular expression.
    ///
    /// - Throws: ``LabError`` `suite-unknown`, `filter-bad`, `filter-empty`.
    public func tests(suites names: [String], filter pattern: String?) throws -> [GuestTest] {
        try check(suites: names)
        return try Self.filter(own.filter { names.isEmpty || names.contains($0.suite) }, by: pattern)
    }

    /// The tests that match a regular expression; all of them without one.
    ///
    /// - Throws: ``LabError`` `filter-bad`, `filter-empty`.
    static func filter(_ tests: [GuestTest], by pattern: String?) throws -> [GuestTest] {
        guard let pattern else { return tests }
        let expression: Regex<AnyRegexOutput>
        do {
            expression = try Regex(pattern)
        } catch {
            throw LabError(
                "filter-bad", exit: .usage, "--filter \(pattern) is not a regular expression", cause: "\(error)",
                next: "Quote it for the shell; a plain part of a test's name is fine.")
        }
        let found = tests.filter { $0.id.contains(expression) }
        guard !found.isEmpty else {
            throw LabError(
                "filter-empty", exit: .usage, "No test matches --filter \(pattern)",
                cause:
                    "Looked at were \(tests.count.of("test")), such as \(tests.prefix(3).map(\.id).joined(separator: ", ")).",
                next: "See hmmlab list tests.")
        }
        return found
    }
}
