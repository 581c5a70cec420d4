// SPDX-License-Identifier: Apache-2.0
import Foundation
import TestResults
import Testing

/// Real output, kept in Fixtures: `harness` and `plain` were printed by harness.c.txt and plain.c.txt, built against 6.12's
/// tools/testing/selftests; `runner` by its kselftest/runner.sh, which ran both and a third program that does not exist.
private func fixture(_ name: String) throws -> String {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    return try String(contentsOf: folder.appending(path: "Fixtures/\(name)"), encoding: .utf8)
}

@Suite("KTAP in")
struct KTAPReaderTests {
    @Test("kselftest_harness.h's output is understood test by test")
    func harness() throws {
        let document = KTAPReader.read(try fixture("harness.ktap"))
        #expect(document.problems.isEmpty)
        #expect(document.plan == 12)
        let records = document.records(suite: "kselftest:demo/harness")
        #expect(records.count == 12)
        #expect(
            records.map { "\($0.name) \($0.verdict.rawValue) \($0.outcome.rawValue)" } == [
                "global.segfault_expected pass passed",
                "global.segfault fail unexpected",
                "device.private.open_close pass passed",
                "device.private.needs_memory pass passed",
                "device.private.wrong_data pass passed",
                "device.private.known_bug fail expected",
                "device.private.too_slow timeout unexpected",
                "device.coherent.open_close pass passed",
                "device.coherent.needs_memory skip unexpected",
                "device.coherent.wrong_data fail unexpected",
                "device.coherent.known_bug fail expected",
                "device.coherent.too_slow timeout unexpected",
            ])
        #expect(records[1].reason == "segfault: Test terminated unexpectedly by signal 11")
        #expect(records[8].reason == "DEVICE_COHERENT not available")
        #expect(records[9].reason == "harness.c:12:wrong_data:Expected self->fd (2) == 1 (1)")
        #expect(records[9].output.contains("wrong_data: Test failed"))
        #expect(!records[8].output.contains("wrong_data: Test failed"))
        #expect(document.trailer.first == "FAILED: 8 / 12 tests passed.")
    }

    @Test("kselftest.h's own forms: a name behind the directive, a lower-case error, giving up")
    func plain() throws {
        let document = KTAPReader.read(try fixture("plain.ktap"))
        #expect(document.problems.isEmpty)
        #expect(document.bailOut == "cannot go on: 7")
        let records = document.records(suite: "s")
        #expect(
            records.map(\.name) == [
                "mmap", "hugetlb: no huge pages", "mremap", "known thing", "broken setup", "bail out",
            ])
        #expect(records.map(\.verdict) == [.pass, .skip, .fail, .fail, .fail, .fail])
        #expect(records[2].reason == "3 moved")
        #expect(records[3].outcome == .expected)
        #expect(records[0].output == ["page size 4096"])
    }

    @Test("The kselftest runner's `# ` before every line is nesting")
    func runner() throws {
        let document = KTAPReader.read(try fixture("runner.ktap"))
        #expect(
            document.tests.map(\.name) == [
                "selftests: demo: harness", "selftests: demo: plain", "selftests: demo: missing",
            ])
        #expect(document.tests.map(\.children.count) == [12, 5, 0])
        #expect(document.tests[0].children[9].name == "device.coherent.wrong_data")
        #expect(document.tests[0].note == "exit=1")
        #expect(document.problems.map(\.sentence) == ["a nested program gave up: cannot go on: 7"])
        let records = document.records(suite: "s")
        #expect(records.count == 18)
        #expect(records[0].name == "selftests: demo: harness/global.segfault_expected")
        #expect(records.last?.output.contains("Warning: file missing is missing!") == true)
    }

    @Test("The document's example of ktap.rst keeps its three levels")
    func nested() {
        let document = KTAPReader.read(
            """
            KTAP version 1
            1..1
              KTAP version 1
              1..3
                KTAP version 1
                1..1
                # test_1: initializing test_1
                ok 1 test_1
              ok 1 example_test_1
                KTAP version 1
                1..2
                ok 1 test_1 # SKIP test_1 skipped
                ok 2 test_2
              ok 2 example_test_2
                KTAP version 1
                1..3
                ok 1 test_1
                # test_2: FAIL
                not ok 2 test_2
                ok 3 test_3 # SKIP test_3 skipped
              not ok 3 example_test_3
            not ok 1 main_test

            """)
        #expect(document.problems.isEmpty)
        #expect(document.tests.count == 1)
        #expect(document.tests.first?.children.map(\.children.count) == [1, 2, 3])
        let records = document.records(suite: "kunit")
        #expect(records.map(\.verdict) == [.pass, .skip, .pass, .pass, .fail, .skip])
        #expect(records[4].name == "main_test/example_test_3/test_2")
        #expect(records[4].output == ["test_2: FAIL"])
        #expect(records[1].reason == "test_1 skipped")
    }

    @Test("Subtests indented by four blanks, as KUnit does")
    func kunit() {
        let document = KTAPReader.read(
            "KTAP version 1\n1..1\n    KTAP version 1\n    # Subtest: mm\n    1..1\n    ok 1 a\nok 1 mm\n")
        #expect(document.problems.isEmpty)
        #expect(document.tests.first?.children.map(\.name) == ["a"])
    }

    @Test("A test that was running when the text ends is missing, with what it said")
    func cutOff() {
        let document = KTAPReader.read(
            "TAP version 13\n1..2\n#  RUN           hmm.open ...\nok 1 hmm.open\r\n#  RUN           hmm.crash ...\n# half a li"
        )
        #expect(document.tests.map(\.name) == ["hmm.open", "hmm.crash"])
        #expect(document.tests.last?.isMissing == true)
        #expect(document.tests.last?.diagnostics.last == "half a li")
        #expect(document.records(suite: "s").last?.reason == "no result came from it")
    }
}

@Suite("KTAP that does not conform")
struct MalformedKTAPTests {
    @Test("A plan with missing results leaves a record for each")
    func missing() {
        let document = KTAPReader.read("TAP version 13\n1..4\nok 1 a\nok 3 c\n")
        #expect(document.tests.map(\.number) == [1, 3, 2, 4])
        #expect(document.tests.map(\.isMissing) == [false, false, true, true])
        #expect(document.records(suite: "s").map(\.verdict) == [.pass, .pass, .fail, .fail])
        #expect(
            document.problems.map(\.sentence) == [
                "test number 3 comes where 2 is due", "no result for 2 of 4 planned tests",
            ])
    }

    @Test("More results than planned, a number twice, no number, no plan")
    func numbers() {
        let document = KTAPReader.read("1..1\nok 1 a\nok 1 again\nnot ok b\n")
        #expect(document.tests.map(\.name) == ["a", "again", "b"])
        #expect(
            document.problems.map(\.sentence) == [
                "test number 1 comes a second time", "a result has no number", "3 results, but a plan of 1",
            ])
        #expect(document.problems.map(\.line) == [3, 4, nil])
        #expect(
            KTAPReader.read("ok 1 a\n").problems.map(\.sentence) == [
                "there was no plan, so that tests may be missing unseen"
            ])
    }

    @Test("Garbage between lines stays with the result it precedes, and after the last in the trailer")
    func garbage() {
        let document = KTAPReader.read(
            "1..2\n[  1.0] usb 1-1: new device\nokay\nok 1 a\nnot okay\nok2 x\nok 2 b\nnot o")
        #expect(document.tests.map(\.name) == ["a", "b"])
        #expect(document.tests[0].diagnostics == ["[  1.0] usb 1-1: new device", "okay"])
        #expect(document.tests[1].diagnostics == ["not okay", "ok2 x"])
        #expect(document.trailer == ["not o"])
    }

    @Test(
        "Nothing, and nothing that is KTAP, is a failure and not a pass", arguments: ["", "\n", "Segmentation fault\n"])
    func nothing(text: String) {
        let document = KTAPReader.read(text)
        #expect(document.problems.map(\.sentence) == ["the text holds no test results"])
        let records = document.records(suite: "s")
        #expect(records.map(\.verdict) == [.fail])
        #expect(records.map(\.reason) == ["the program reported no test"])
    }

    @Test("A program that skips everything is one skipped record with its reason")
    func skipAll() {
        let document = KTAPReader.read("TAP version 13\n1..0 # SKIP no /dev/hmm_dmirror0\n")
        #expect(document.skipReason == "no /dev/hmm_dmirror0")
        let records = document.records(suite: "s")
        #expect(records.map(\.verdict) == [.skip])
        #expect(records.map(\.outcome) == [.unexpected])
        #expect(records.map(\.reason) == ["no /dev/hmm_dmirror0"])
    }

    @Test("A parent that failed on its own has a record, one that hides a failed subtest a problem")
    func parents() {
        let failed = KTAPReader.read("1..1\n  1..1\n  ok 1 a\nnot ok 1 parent # exit=139\n")
        #expect(failed.records(suite: "s").map(\.name) == ["parent/a", "parent"])
        #expect(failed.records(suite: "s").last?.reason == "exit=139")
        let hiding = KTAPReader.read("1..1\n  1..1\n  not ok 1 a\nok 1 parent\n")
        #expect(hiding.problems.map(\.sentence) == ["parent is ok although a subtest failed"])
        #expect(hiding.records(suite: "s").map(\.verdict) == [.fail])
    }

    @Test("Subtests whose parent never reported are kept under a missing one")
    func orphans() {
        let document = KTAPReader.read("1..1\n  1..2\n  ok 1 a\n")
        #expect(document.tests.count == 1)
        #expect(document.tests.first?.isMissing == true)
        #expect(document.tests.first?.children.map(\.name) == ["a", ""])
        #expect(document.records(suite: "s").map(\.verdict) == [.pass, .fail])
    }

    @Test("An absurd plan is bounded", arguments: ["1..99999999999999999999", "1..9999999\n1..9999999"])
    func absurdPlan(plan: String) {
        let document = KTAPReader.read(plan + "\nok 1 a\n")
        #expect(document.tests.count == 1001)
        #expect(document.problems.contains { $0.sentence == "only the first 1000 of them are listed" })
    }

    @Test("Totals that disagree with what was seen are reported")
    func totals() {
        let document = KTAPReader.read("1..1\nok 1 a\n# Totals: pass:1 fail:1 xfail:0 xpass:0 skip:0 error:0\n")
        #expect(document.problems.map(\.sentence) == ["the program counted 2 results, 1 were seen"])
    }

    @Test("No cut and no damaged byte stops the reader or loses a whole result line")
    func cuts() throws {
        let text = Array(try fixture("runner.ktap").utf8)
        var random = SystemRandomNumberGenerator()
        for end in stride(from: 0, to: text.count, by: 41) {
            let part = String(decoding: text[..<end], as: UTF8.self)
            let document = KTAPReader.read(part)
            let written = part.split(separator: "\n").count { $0.hasPrefix("# ok ") || $0.hasPrefix("# not ok ") }
            let seen = document.tests.flatMap(\.children).count { !$0.isMissing }
            #expect(seen == written || seen + 1 == written, "cut at byte \(end)")
        }
        for _ in 0..<100 {
            var damaged = text
            for _ in 0..<20 {
                damaged[Int.random(in: 0..<damaged.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            _ = KTAPReader.read(String(decoding: damaged, as: UTF8.self)).records(suite: "s")
        }
    }
}
