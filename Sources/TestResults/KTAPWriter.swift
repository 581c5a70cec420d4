// SPDX-License-Identifier: Apache-2.0

extension KTAPDocument {
    /// The document as conforming KTAP, which ``KTAPReader`` reads back to the same document.
    ///
    /// Missing tests are written as `not ok`, since every planned test needs a line.
    public func text() -> String {
        var lines = ["KTAP version 1"]
        lines.append("1..\(plan ?? tests.count)" + (skipReason.map { " # SKIP \(KTAPDocument.clean($0))" } ?? ""))
        for (index, test) in tests.enumerated() { KTAPDocument.write(test, number: index + 1, indent: "", to: &lines) }
        lines += trailer.flatMap { KTAPDocument.diagnostic($0, indent: "") }
        if let bailOut { lines.append("Bail out! \(KTAPDocument.clean(bailOut))") }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func write(_ test: KTAPTest, number: Int, indent: String, to lines: inout [String]) {
        if !test.children.isEmpty {
            lines.append(indent + "  KTAP version 1")
            lines.append(indent + "  1..\(test.children.count)")
            for (index, child) in test.children.enumerated() {
                write(child, number: index + 1, indent: indent + "  ", to: &lines)
            }
        }
        lines += test.diagnostics.flatMap { diagnostic($0, indent: indent) }
        var line = indent + (test.isOK ? "ok " : "not ok ") + String(test.number ?? number)
        if !test.name.isEmpty { line += " " + KTAPLine.escaped(name: clean(test.name)) }
        let note = clean(test.note)
        if let directive = test.directive {
            line += " # " + [directive.rawValue, note].filter { !$0.isEmpty }.joined(separator: " ")
        } else if !note.isEmpty {
            line += " # " + KTAPLine.escaped(note: note)
        }
        lines.append(line)
    }

    private static func diagnostic(_ text: String, indent: String) -> [String] {
        text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).map {
            indent + KTAPLine.escaped(text: String($0))
        }
    }

    /// A text on one line.
    private static func clean(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).joined(separator: " ")
    }
}

extension RunRecord {
    /// The run as KTAP: suites as tests, their tests as subtests, problems outside any test as a suite `run`.
    public func ktap() -> KTAPDocument {
        var tests = suites.map { suite in
            let children = self.tests.filter { $0.suite == suite }.enumerated().map { $1.ktap(number: $0 + 1) }
            return KTAPTest(name: suite, isOK: children.allSatisfy { $0.isOK }, children: children)
        }
        if !problems.isEmpty {
            let children = problems.enumerated().map { index, problem in
                KTAPTest(
                    number: index + 1, name: "boot \(problem.boot)", isOK: false, directive: .error,
                    note: "\(problem.verdict.rawValue): \(problem.sentence)",
                    diagnostics: problem.reports.flatMap(\.ktapLines) + problem.console)
            }
            tests.append(KTAPTest(name: "run", isOK: false, children: children))
        }
        for index in tests.indices { tests[index].number = index + 1 }
        return KTAPDocument(plan: tests.count, tests: tests, trailer: [SummaryTable.closingLine(for: self)])
    }
}

extension TestRecord {
    fileprivate func ktap(number: Int) -> KTAPTest {
        var test = KTAPTest(
            number: number, name: name, isOK: outcome != .unexpected, note: explanation,
            diagnostics: output + reports.flatMap(\.ktapLines))
        switch (outcome, verdict) {
        case (.passed, _): break
        case (.expected, .skip), (.unexpected, .skip): test.directive = .skip
        case (.expected, _): test.directive = .xfail
        case (.unexpectedPass, _): test.directive = .xpass
        case (.unexpected, .timeout): test.directive = .timeout
        case (.unexpected, .fail), (.unexpected, .pass): break
        case (.unexpected, .crash), (.unexpected, .boot), (.unexpected, .infra):
            test.directive = .error
            test.note = "\(verdict.rawValue): \(explanation)"
        }
        return test
    }
}

extension KernelFinding {
    fileprivate var ktapLines: [String] {
        [title] + text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).map(String.init)
    }
}
