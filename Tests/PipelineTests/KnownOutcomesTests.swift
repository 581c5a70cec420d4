// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import TestResults
import Testing

@testable import Pipeline

@Suite("Known outcomes")
struct KnownOutcomesTests {
    private static let context = RunContext(
        kernelVersion: "6.12.117", driver: "test_hmm", flavour: "fast",
        commandLine: "console=ttyS0 transparent_hugepage=always quiet")

    private func known(_ text: String) async throws -> KnownOutcomes {
        try await withTemporaryFolder { folder in
            try text.write(toFile: folder + "/known.toml", atomically: true, encoding: .utf8)
            return try KnownOutcomes(path: folder + "/known.toml")
        }
    }

    private func entry(_ change: (inout KnownOutcome) -> Void) -> KnownOutcome {
        var entry = KnownOutcome(tests: ["mirror/read"], outcome: .fail, reason: "it is so")
        change(&entry)
        return entry
    }

    private func applies(version: String = "6.12.117", _ change: (inout KnownOutcome) -> Void) -> Bool {
        var context = Self.context
        context.kernelVersion = version
        return entry(change).applies(to: "mirror/read", in: context)
    }

    @Test("are read from TOML")
    func parse() async throws {
        let known = try await known(
            """
            [[known]]
            tests = ["mirror/*", "migrate/back"]
            outcome = "skip"
            bases = ["6.12"]
            drivers = ["test_hmm"]
            flavours = ["fast"]
            append = "quiet"
            reason = "not there"

            [[known]]
            tests = ["migrate/forth"]
            outcome = "timeout"
            reason = "slow"
            """)
        func expectation(_ test: String, _ context: RunContext = Self.context) -> ExpectedResult? {
            known.expectation(for: test, seen: .pass, titles: [], in: context)
        }
        #expect(expectation("mirror/read") == ExpectedResult(.skip, reason: "not there"))
        #expect(expectation("migrate/back") == ExpectedResult(.skip, reason: "not there"))
        #expect(expectation("migrate/forth") == ExpectedResult(.timeout, reason: "slow"))
        #expect(expectation("other/test") == nil)
        var other = Self.context
        other.flavour = "debug"
        #expect(expectation("mirror/read", other) == nil)
    }

    @Test(
        "match tests by pattern",
        arguments: [
            ("mirror/read", "mirror/read", true), ("mirror/read", "mirror/rea", false),
            ("mirror/read", "mirror/read_all", false), ("mirror/read", "*", true), ("", "*", true), ("", "", true),
            ("mirror/read", "mirror/*", true), ("mirror/", "mirror/*", true), ("migrate/read", "mirror/*", false),
            ("mirror/read", "*/read", true), ("a.exclusive_mprotect", "*.exclusive*", true),
            ("a.exclusiv", "*.exclusive*", false), ("abcabd", "*ab*d", true), ("abcabd", "*ab*c", false),
            ("mirror/read", "m.*d", false), ("a[1]", "a[1]", true), ("a1", "a?", false),
        ])
    func patterns(test: String, pattern: String, isMatch: Bool) {
        #expect(KnownOutcome.matches(test[...], pattern: pattern[...]) == isMatch)
    }

    @Test("hold for any of several patterns")
    func severalPatterns() {
        #expect(applies { $0.tests = ["migrate/*", "*read"] })
        #expect(!applies { $0.tests = ["migrate/*", "*write"] })
        #expect(!applies { $0.tests = [] })
    }

    @Test(
        "hold for a base and its stable releases",
        arguments: [
            ("6.12.117", true), ("6.12", true), ("6.12.1", true), ("6.120.1", false), ("6.1.117", false), ("7.2", true),
            ("16.12.117", false), ("6.13", false),
        ])
    func bases(version: String, isKnown: Bool) {
        #expect(applies(version: version) { $0.bases = ["6.12", "7.2"] } == isKnown)
    }

    @Test("hold for one release only")
    func exactBase() {
        #expect(applies(version: "6.12.11") { $0.bases = ["6.12.11"] })
        #expect(!applies(version: "6.12.117") { $0.bases = ["6.12.11"] })
        #expect(applies(version: "1.2.3") { $0.bases = nil })
    }

    @Test("hold for some drivers and flavours")
    func driversAndFlavours() {
        #expect(applies { $0.drivers = ["other", "test_hmm"] })
        #expect(!applies { $0.drivers = ["other"] })
        #expect(applies { $0.flavours = ["fast", "kasan"] })
        #expect(!applies { $0.flavours = ["kasan"] })
    }

    @Test(
        "hold for a whole word of the command line",
        arguments: [
            ("transparent_hugepage=always", true), ("quiet", true), ("quie", false), ("transparent_hugepage", false),
            ("transparent_hugepage=never", false),
        ])
    func append(word: String, isKnown: Bool) {
        #expect(applies { $0.append = word } == isKnown)
    }

    @Test("prefer the entry for what was seen")
    func preference() async throws {
        let known = try await known(
            """
            [[known]]
            tests = ["*"]
            outcome = "skip"
            reason = "first"
            [[known]]
            tests = ["mirror/read"]
            outcome = "fail"
            reason = "second"
            """)
        func reason(_ verdict: Verdict) -> String? {
            known.expectation(for: "mirror/read", seen: verdict, titles: [], in: Self.context)?.reason
        }
        #expect(reason(.skip) == "first")
        #expect(reason(.fail) == "second")
        #expect(reason(.timeout) == "first")
    }

    @Test(
        "explain a crash by its title only",
        arguments: [
            (["WARNING in migrate_vma_check_page"], true),
            (["WARNING in migrate_vma_check_page", "WARNING in migrate_vma_setup"], true),
            (["WARNING in migrate_vma_check_page", "BUG: bad page state"], false), (["BUG: bad page state"], false),
            ([], false),
        ])
    func titles(titles: [String], isKnown: Bool) async throws {
        let known = try await known(
            """
            [[known]]
            tests = ["migrate/back"]
            outcome = "crash"
            title = "in migrate_vma"
            reason = "upstream"
            """)
        let expectation = known.expectation(for: "migrate/back", seen: .crash, titles: titles, in: Self.context)
        #expect((expectation != nil) == isKnown)
        // A test that did not crash is still known to.
        #expect(
            known.expectation(for: "migrate/back", seen: .pass, titles: [], in: Self.context)
                == ExpectedResult(.crash, reason: "upstream"))
    }

    @Test("say nothing of a pass where a test only fails sometimes")
    func sometimes() async throws {
        let known = try await known(
            """
            [[known]]
            tests = ["mirror/*"]
            outcome = "fail"
            sometimes = true
            reason = "it is slow"
            """)
        func expectation(_ verdict: Verdict) -> ExpectedResult? {
            known.expectation(for: "mirror/read", seen: verdict, titles: [], in: Self.context)
        }
        #expect(expectation(.pass) == nil)
        #expect(expectation(.fail) == ExpectedResult(.fail, reason: "it is slow"))
        #expect(expectation(.crash) == nil)
    }

    @Test(
        "hold for kernels without all of the patches that end them",
        arguments: [
            ([], true), (["mainline/one"], true), (["mainline/one", "fixes/two"], false),
            (["mainline/one", "fixes/two", "file/three"], false),
        ] as [(Set<String>, Bool)])
    func without(patches: Set<String>, isKnown: Bool) {
        var context = Self.context
        context.patches = patches
        let entry = entry { $0.without = ["mainline/one", "fixes/two"] }
        #expect(entry.applies(to: "mirror/read", in: context) == isKnown)
        #expect(entry.explanation == "it is so (not with mainline/one and fixes/two)")
    }

    @Test("explain skips of guests with few processors by their reason", arguments: [1, 2])
    func processors(count: Int) async throws {
        let known = try await known(
            """
            [[known]]
            tests = ["*"]
            outcome = "skip"
            cpus = 1
            title = "one processor"
            sometimes = true
            reason = "too few"
            """)
        var context = Self.context
        context.cpus = count
        func expectation(_ verdict: Verdict, _ reason: String) -> ExpectedResult? {
            known.expectation(for: "mirror/read", seen: verdict, titles: [reason], in: context)
        }
        #expect((expectation(.skip, "only one processor") != nil) == (count == 1))
        #expect(expectation(.skip, "no swap") == nil)
        #expect(expectation(.fail, "only one processor") == nil)
    }

    @Test("are none without a file")
    func empty() {
        #expect(KnownOutcomes().expectation(for: "a/b", seen: .fail, titles: [], in: Self.context) == nil)
    }

    @Test(
        "refuse a file that makes no sense",
        arguments: [
            "tests = [\"a/b\"]\noutcome = \"broken\"\nreason = \"x\"", "tests = [\"a/b\"]\noutcome = \"fail\"",
            "outcome = \"fail\"\nreason = \"x\"", "tests = \"a/b\"\noutcome = \"fail\"\nreason = \"x\"", "tests = [",
        ])
    func bad(text: String) async {
        let error = await #expect(throws: LabError.self) { try await known("[[known]]\n" + text) }
        #expect(error?.code == "expectations-bad")
        #expect(error?.exitCode == .usage)
    }

    @Test("refuse a key that they do not know")
    func unknownKey() async {
        let text = "[[known]]\ntests = [\"a/b\"]\noutcome = \"fail\"\nreason = \"x\"\nbase = [\"6.12\"]\n"
        let error = await #expect(throws: LabError.self) { try await known(text) }
        #expect(error?.code == "expectations-bad")
    }

    @Test("refuse a file that is not there")
    func missing() {
        let error = #expect(throws: LabError.self) { try KnownOutcomes(path: "/nonexistent/known.toml") }
        #expect(error?.code == "file-unreadable")
    }

    @Test("of this repository can be read and are in force")
    func shipped() throws {
        let known = try KnownOutcomes(path: repository.appending(path: "qemu/expectations.toml").path)
        let test = "kselftest:mm/hmm/hmm.hmm_device_private.exclusive"
        #expect(known.expectation(for: test, seen: .fail, titles: [], in: Self.context)?.verdict == .fail)
        var other = Self.context
        other.kernelVersion = "7.2.1"
        #expect(known.expectation(for: test, seen: .fail, titles: [], in: other) == nil)
    }
}
