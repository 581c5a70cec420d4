// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner
import Testing

@testable import Pipeline

@Suite("The catalogue of suites")
struct SuiteCatalogTests {
    private static let listing = """
        mirror/read\t-\t5000\tReads through the device
        mirror/read_huge\tprivate,thp\t20000\tReads a huge page
        migrate/back\tprivate\t7000\tMemory comes back

        """

    /// A catalogue from a program that prints the listing.
    private func catalog(_ listing: String = listing) async throws -> SuiteCatalog {
        try await withTemporaryFolder { folder in
            let program = folder + "/guest-tests"
            try "#!/bin/sh\n[ \"$*\" = list ] && cat <<'END'\n\(listing)END\n"
                .write(toFile: program, atomically: true, encoding: .utf8)
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: program)
            return try await SuiteCatalog(program: program, runner: ProcessRunner())
        }
    }

    @Test("reads what the test program lists")
    func parse() throws {
        let tests = try SuiteCatalog.parse(Self.listing)
        #expect(
            tests == [
                GuestTest(
                    id: "mirror/read", suite: "mirror", summary: "Reads through the device", requirements: [],
                    timeoutMilliseconds: 5000, arguments: ["/bin/guest-tests", "run", "mirror/read"], form: .status),
                GuestTest(
                    id: "mirror/read_huge", suite: "mirror", summary: "Reads a huge page",
                    requirements: ["private", "thp"], timeoutMilliseconds: 20000,
                    arguments: ["/bin/guest-tests", "run", "mirror/read_huge"], form: .status),
                GuestTest(
                    id: "migrate/back", suite: "migrate", summary: "Memory comes back", requirements: ["private"],
                    timeoutMilliseconds: 7000, arguments: ["/bin/guest-tests", "run", "migrate/back"], form: .status),
            ])
        #expect(tests.map(\.name) == ["read", "read_huge", "back"])
        #expect(try SuiteCatalog.parse("").isEmpty)
    }

    @Test(
        "refuses a line that is not a test",
        arguments: [
            "mirror/read\t-\t5000", "mirror/read\t-\tsoon\tReads", "read\t-\t5000\tReads",
            "mirror/read\t-\t5000\tReads\tmore", "mirror/read - 5000 Reads",
        ])
    func malformed(line: String) {
        let error = #expect(throws: LabError.self) { try SuiteCatalog.parse("mirror/x\t-\t1\tFine\n\(line)\n") }
        #expect(error?.code == "catalog-unreadable")
        #expect(error?.cause == line)
    }

    @Test("asks the program and adds the kernel's own suite")
    func suites() async throws {
        let catalog = try await catalog()
        #expect(catalog.own.map(\.id) == ["mirror/read", "mirror/read_huge", "migrate/back"])
        #expect(catalog.suites.map(\.name) == ["mirror", "migrate", "kselftest:mm/hmm"])
        #expect(catalog.suites.map(\.count) == [2, 1, nil])
        #expect(catalog.suites.map(\.summary.isEmpty) == [false, false, false])
    }

    @Test("picks suites and tests by name")
    func selection() async throws {
        let catalog = try await catalog()
        #expect(try catalog.tests(suites: [], filter: nil) == catalog.own)
        #expect(try catalog.tests(suites: ["migrate"], filter: nil).map(\.id) == ["migrate/back"])
        #expect(try catalog.tests(suites: ["mirror"], filter: "huge$").map(\.id) == ["mirror/read_huge"])
        let error = #expect(throws: LabError.self) { try catalog.tests(suites: ["mirror"], filter: "back") }
        #expect(error?.code == "filter-empty")
    }

    @Test("knows no other suite")
    func unknownSuite() async throws {
        let catalog = try await catalog()
        try catalog.check(suites: [])
        try catalog.check(suites: ["migrate", SuiteCatalog.kselftest])
        let error = #expect(throws: LabError.self) { try catalog.check(suites: ["mirror", "miror"]) }
        #expect(error?.code == "suite-unknown")
        #expect(error?.exitCode == .usage)
        #expect(error?.sentence.hasSuffix("miror") == true)
        #expect(error?.nextStep?.contains("mirror, migrate, kselftest:mm/hmm") == true)
    }

    @Test("runs a suite whose tests all need our driver with that driver only")
    func drivers() async throws {
        let catalog = try await catalog(
            Self.listing + "devmem/grow\tours,private\t5000\tMemory grows\nmirror/mixed\tours\t5000\tOne of many\n")
        #expect(catalog.suites.map(\.driver) == [nil, nil, .hmmDmirror, nil])
        #expect(catalog.suites(for: .testHmm) == ["mirror", "migrate", "kselftest:mm/hmm"])
        #expect(catalog.suites(for: .hmmDmirror) == ["mirror", "migrate", "devmem", "kselftest:mm/hmm"])
        try catalog.check(suites: ["mirror", "kselftest:mm/hmm"], for: .testHmm)
        try catalog.check(suites: ["devmem", "mirror"], for: .hmmDmirror)
        let error = #expect(throws: LabError.self) {
            try catalog.check(suites: ["mirror", "devmem"], for: .testHmm)
        }
        #expect(error?.code == "suite-driver")
        #expect(error?.exitCode == .usage)
        #expect(error?.sentence.contains("devmem") == true)
        #expect(error?.nextStep?.contains("--driver hmm_dmirror") == true)
        let unknown = #expect(throws: LabError.self) { try catalog.check(suites: ["miror"], for: .hmmDmirror) }
        #expect(unknown?.code == "suite-unknown")
    }

    @Test("leaves a suite about persistent memory to guests that have some")
    func persistentMemory() async throws {
        let catalog = try await catalog(
            Self.listing + "dax/store\tpmem,mkfs_xfs\t5000\tStores\ndax/mirror\tpmem,private\t5000\tMirrors\n")
        #expect(catalog.suites.map(\.needsPersistentMemory) == [false, false, true, false])
        #expect(catalog.suites(for: .testHmm) == ["mirror", "migrate", "kselftest:mm/hmm"])
        #expect(
            catalog.suites(for: .testHmm, persistentMemory: true) == ["mirror", "migrate", "dax", "kselftest:mm/hmm"])
        try catalog.check(suites: ["mirror", "dax"], for: .testHmm, persistentMemory: true)
        let error = #expect(throws: LabError.self) { try catalog.check(suites: ["mirror", "dax"], for: .testHmm) }
        #expect(error?.code == "suite-flavour")
        #expect(error?.exitCode == .usage)
        #expect(error?.sentence.contains("dax") == true)
        #expect(error?.nextStep == "Add --flavour pmem.")
    }

    @Test("without a driver runs what needs none")
    func noDriver() async throws {
        let catalog = try await catalog(
            "migrate/back\tprivate\t7000\tMemory comes back\n"
                + "dax/store\tpmem\t5000\tStores\ndax/mirror\tpmem,coherent\t5000\tMirrors\n")
        #expect(catalog.suites(for: .noDriver, persistentMemory: true) == ["dax"])
        #expect(catalog.suites(for: .noDriver).isEmpty)
        #expect(catalog.own.filter { $0.isPossible(with: .noDriver) }.map(\.id) == ["dax/store"])
        #expect(catalog.own.allSatisfy { $0.isPossible(with: .testHmm) })
        try catalog.check(suites: ["dax"], for: .noDriver, persistentMemory: true)
        for suite in ["migrate", SuiteCatalog.kselftest] {
            let error = #expect(throws: LabError.self) { try catalog.check(suites: [suite], for: .noDriver) }
            #expect(error?.code == "suite-driver")
            #expect(error?.nextStep == "Leave out --driver none.")
        }
    }

    @Test("runs upstream's cases one by one")
    func cases() {
        let tests = SuiteCatalog.kselftests(cases: ["hmm.open_close", "hmm.hmm_device_private.migrate"])
        #expect(
            tests.map(\.id) == [
                "kselftest:mm/hmm/hmm.open_close", "kselftest:mm/hmm/hmm.hmm_device_private.migrate",
            ])
        #expect(tests.map(\.name) == ["hmm.open_close", "hmm.hmm_device_private.migrate"])
        #expect(tests.first?.arguments.suffix(3) == ["/usr/lib/kselftest/hmm-tests", "-r", "hmm.open_close"])
        #expect(tests.map(\.form) == [.ktap, .ktap])
    }

    @Test("runs upstream's program as a whole where it cannot run a single case")
    func noCases() {
        let tests = SuiteCatalog.kselftests(cases: [])
        #expect(tests.map(\.id) == ["kselftest:mm/hmm/all"])
        #expect(tests.map(\.arguments.last) == ["/usr/lib/kselftest/hmm-tests"])
    }

    @Test("filters by regular expression over the whole identifier")
    func filter() throws {
        let tests = try SuiteCatalog.parse(Self.listing)
        #expect(try SuiteCatalog.filter(tests, by: nil) == tests)
        #expect(try SuiteCatalog.filter(tests, by: "read").map(\.id) == ["mirror/read", "mirror/read_huge"])
        #expect(try SuiteCatalog.filter(tests, by: "^mi.*/(back|read)$").map(\.id) == ["mirror/read", "migrate/back"])
    }

    @Test("refuses a filter that is no expression or matches nothing", arguments: [("(", "bad"), ("nothing", "empty")])
    func refusedFilter(pattern: String, code: String) throws {
        let tests = try SuiteCatalog.parse(Self.listing)
        let error = #expect(throws: LabError.self) { try SuiteCatalog.filter(tests, by: pattern) }
        #expect(error?.code == "filter-\(code)")
        #expect(error?.exitCode == .usage)
        #expect(error?.sentence.contains(pattern) == true)
    }
}
