// SPDX-License-Identifier: Apache-2.0

extension KTAPTest {
    /// What the result line means; a missing result is a failure.
    public var verdict: Verdict {
        switch directive {
        case .skip: .skip
        case .timeout: .timeout
        case .error: .fail
        // kselftest prints an expected failure as `ok`, TAP's TODO as `not ok`.
        case .xfail: .fail
        case .xpass: .pass
        case .todo: isOK ? .pass : .fail
        case nil where isOK: .pass
        // kselftest_harness.h has no directive for its own alarm, only a line.
        case nil: diagnostics.contains { $0.hasSuffix(": Test terminated by timeout") } ? .timeout : .fail
        }
    }

    /// The failure that the test's own author declared known, if any.
    public var knownFailure: ExpectedResult? {
        let reason = note.isEmpty ? "declared by the test itself" : note
        return switch directive {
        case .xfail, .xpass, .todo: ExpectedResult(.fail, reason: reason)
        default: nil
        }
    }

    /// Why, in one sentence.
    fileprivate var reason: String {
        if isMissing { return "no result came from it" }
        if !note.isEmpty { return note }
        if verdict < .fail { return "" }
        // The harness says what it expected in `file.c:12:name:Expected ...` lines, of which the first is the cause, and
        // how it ended in `name: Test terminated ...`.
        let cause =
            diagnostics.first { $0.contains(":Expected ") } ?? diagnostics.last { $0.contains(": Test terminated ") }
        return cause ?? "the test says that it failed"
    }
}

extension KTAPDocument {
    /// The results as records of a suite, one for each innermost test.
    ///
    /// A parent has a record of its own only if it says something that its subtests do not: that it failed although
    /// they passed. A document that gave up, or in which nothing ran, leaves a record that says so.
    public func records(suite: String, boot: Int = 0) -> [TestRecord] {
        var records: [TestRecord] = []
        for test in tests { KTAPDocument.collect(test, path: "", suite: suite, boot: boot, into: &records) }
        if let bailOut {
            records.append(
                TestRecord(
                    suite: suite, name: "bail out", verdict: .fail, reason: "the program gave up: \(bailOut)",
                    output: trailer, boot: boot))
        } else if let skipReason, tests.isEmpty {
            records.append(
                TestRecord(suite: suite, name: "all", verdict: .skip, reason: skipReason, output: trailer, boot: boot))
        } else if records.isEmpty {
            records.append(
                TestRecord(
                    suite: suite, name: "all", verdict: .fail, reason: "the program reported no test", output: trailer,
                    boot: boot))
        }
        return records
    }

    private static func collect(
        _ test: KTAPTest, path: String, suite: String, boot: Int, into records: inout [TestRecord]
    ) {
        let own = test.name.isEmpty ? "test \(test.number.map(String.init) ?? "without a number")" : test.name
        let name = path.isEmpty ? own : "\(path)/\(own)"
        var worst = Verdict.pass
        for child in test.children {
            let first = records.count
            collect(child, path: name, suite: suite, boot: boot, into: &records)
            worst = max(worst, records[first...].map(\.verdict).max() ?? .pass)
        }
        guard test.children.isEmpty || (test.verdict > .skip && worst <= .skip) else { return }
        records.append(
            TestRecord(
                suite: suite, name: name, verdict: test.verdict, expectation: test.knownFailure, reason: test.reason,
                output: test.diagnostics, boot: boot))
    }
}
