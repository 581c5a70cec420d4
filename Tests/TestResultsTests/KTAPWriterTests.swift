// SPDX-License-Identifier: Apache-2.0
import TestResults
import Testing

@Suite("KTAP out")
struct KTAPWriterTests {
    @Test("A run is a conforming document with suites as tests")
    func run() {
        let text = Sample.run.ktap().text()
        let lines = text.split(separator: "\n").map(String.init)
        #expect(lines.prefix(4) == ["KTAP version 1", "1..3", "  KTAP version 1", "  1..6"])
        #expect(lines.contains("  ok 1 snapshot"))
        #expect(lines.contains("  not ok 2 wrong data # page 3 holds 0x0"))
        #expect(lines.contains("  not ok 3 hang # TIMEOUT no end within 10 s"))
        #expect(lines.contains("  ok 4 exclusive # XFAIL EBUSY; known: 6.12 cannot make a tail page exclusive"))
        #expect(
            lines.contains(
                "  not ok 5 coherent # SKIP skipped, which nothing allows and which therefore counts as a failure: no device"
            ))
        #expect(lines.contains("  ok 6 fixed # XPASS passed, although it is known to fail: a bug of 6.1"))
        #expect(lines.contains("not ok 1 mirror"))
        #expect(lines.contains("  not ok 1 fork # ERROR crash: the kernel crashed"))
        #expect(lines.contains("  not ok 1 boot 2 # ERROR boot: the guest did not reach its first test"))
    }

    @Test("What is written is read back the same")
    func roundTrip() {
        for document in [Sample.run.ktap(), awkward] {
            let again = KTAPReader.read(document.text())
            #expect(again == document)
        }
    }

    /// Texts that could be taken for something else.
    private var awkward: KTAPDocument {
        let texts = [
            "ok 1 not a result", "# ok 2 neither", "  not ok 3 nor this", "1..4", "Bail out!", "TAP version 13",
            "\\back", "",
            "#", "#hash", "  indented", "# RUN", "\\ok 1", "#  ", "\u{fc}ml\u{e4}ut",
        ]
        var tests = ["a # b", "back\\slash", "\\# both", "- dash", "12 monkeys", "SKIP"].enumerated().map {
            index, name in
            KTAPTest(
                number: index + 1, name: name, isOK: true,
                note: ["", "timeout after all", "- x", "plain", "error", "# x"][index])
        }
        tests[0].diagnostics = texts
        tests[3].children = [
            KTAPTest(number: 1, name: "deep", isOK: false, directive: .timeout, note: "30 seconds", diagnostics: texts)
        ]
        tests[3].isOK = false
        return KTAPDocument(plan: tests.count, bailOut: "enough", tests: tests, trailer: ["the end"])
    }

    @Test("A newline in a name, a reason or a diagnostic does not make another line of KTAP")
    func newlines() {
        let test = KTAPTest(number: 1, name: "a\nok 2 b", isOK: false, note: "x\nok 3 c", diagnostics: ["d\nok 4 e"])
        let again = KTAPReader.read(KTAPDocument(plan: 1, tests: [test]).text())
        #expect(again.tests.count == 1)
        #expect(again.tests.first?.name == "a ok 2 b")
        #expect(again.tests.first?.diagnostics == ["d", "ok 4 e"])
        #expect(again.problems.isEmpty)
    }
}
