// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import XMLCoder

extension RunRecord {
    /// The run as JUnit XML, in the form that Jenkins and GitLab read: suites, cases, failures, errors, skips, output.
    ///
    /// A crash of the kernel, a guest that does not boot and a failing host are errors; an expected failure is a skip,
    /// since the format knows nothing better that does not break a build. Characters that XML 1.0 cannot carry become
    /// U+FFFD.
    ///
    /// - Throws: ``LabError`` `junit-unwritable`.
    public func junit() throws -> String {
        let encoder = XMLEncoder()
        encoder.outputFormatting = [.prettyPrinted]
        do {
            let data = try encoder.encode(
                JUnitRun(self), withRootKey: "testsuites", header: XMLHeader(version: 1.0, encoding: "UTF-8"))
            return String(decoding: data, as: UTF8.self) + "\n"
        } catch {
            throw LabError("junit-unwritable", "The JUnit report cannot be made", cause: "\(error)")
        }
    }
}

private struct JUnitRun: Encodable, DynamicNodeEncoding {
    var name: String
    var tests: Int
    var failures: Int
    var errors: Int
    var skipped: Int
    var time: String
    var testsuite: [JUnitSuite]

    init(_ run: RunRecord) {
        let time = run.started.formatted(.iso8601)
        testsuite = run.suites.map { suite in
            JUnitSuite(name: suite, time: time, cases: run.tests.filter { $0.suite == suite }.map(JUnitCase.init))
        }
        if !run.problems.isEmpty {
            testsuite.append(JUnitSuite(name: "run", time: time, cases: run.problems.map(JUnitCase.init)))
        }
        name = xmlText("hmmlab \(run.base) \(run.flavour)")
        tests = testsuite.map(\.tests).reduce(0, +)
        failures = testsuite.map(\.failures).reduce(0, +)
        errors = testsuite.map(\.errors).reduce(0, +)
        skipped = testsuite.map(\.skipped).reduce(0, +)
        self.time = decimal(run.ended.timeIntervalSince(run.started))
    }

    static func nodeEncoding(for key: any CodingKey) -> XMLEncoder.NodeEncoding {
        key.stringValue == "testsuite" ? .element : .attribute
    }
}

private struct JUnitSuite: Encodable, DynamicNodeEncoding {
    var name: String
    var tests: Int
    var failures: Int
    var errors: Int
    var skipped: Int
    var time: String
    var timestamp: String
    var testcase: [JUnitCase]

    init(name: String, time: String, cases: [JUnitCase]) {
        self.name = xmlText(name)
        timestamp = time
        tests = cases.count
        failures = cases.count { $0.failure != nil }
        errors = cases.count { $0.error != nil }
        skipped = cases.count { $0.skipped != nil }
        self.time = decimal(cases.map(\.seconds).reduce(0, +))
        testcase = cases
    }

    static func nodeEncoding(for key: any CodingKey) -> XMLEncoder.NodeEncoding {
        key.stringValue == "testcase" ? .element : .attribute
    }
}

private struct JUnitCase: Encodable, DynamicNodeEncoding {
    var classname: String
    var name: String
    var time: String
    var failure: JUnitDetail?
    var error: JUnitDetail?
    var skipped: JUnitDetail?
    var output: String?
    /// The time as a number, for sums; not written.
    let seconds: Double

    private enum CodingKeys: String, CodingKey {
        case classname, name, time, failure, error, skipped
        case output = "system-out"
    }

    init(_ test: TestRecord) {
        classname = xmlText(test.suite)
        name = xmlText(test.name)
        seconds = test.duration
        time = decimal(test.duration)
        let detail = JUnitDetail(
            message: test.explanation, type: test.verdict.rawValue, text: JUnitCase.text(of: test.reports))
        switch test.outcome {
        case .passed, .unexpectedPass: break
        case .expected: skipped = detail
        case .unexpected where test.verdict >= .crash: error = detail
        case .unexpected: failure = detail
        }
        let note = test.outcome == .unexpectedPass ? [test.explanation] : []
        let lines = note + test.output
        output = lines.isEmpty ? nil : xmlText(lines.joined(separator: "\n"))
    }

    init(_ problem: RunProblem) {
        classname = "run"
        name = "boot \(problem.boot)"
        seconds = 0
        time = decimal(0)
        error = JUnitDetail(
            message: problem.sentence, type: problem.verdict.rawValue, text: JUnitCase.text(of: problem.reports))
        output = problem.console.isEmpty ? nil : xmlText(problem.console.joined(separator: "\n"))
    }

    private static func text(of reports: [KernelFinding]) -> String {
        reports.map { "\($0.title)\n\($0.text)" }.joined(separator: "\n\n")
    }

    static func nodeEncoding(for key: any CodingKey) -> XMLEncoder.NodeEncoding {
        ["classname", "name", "time"].contains(key.stringValue) ? .attribute : .element
    }
}

private struct JUnitDetail: Encodable, DynamicNodeEncoding {
    var message: String
    var type: String
    var text: String

    private enum CodingKeys: String, CodingKey {
        case message, type
        // XMLCoder's name for an element's own text.
        case text = ""
    }

    init(message: String, type: String, text: String) {
        self.message = xmlText(message)
        self.type = type
        self.text = xmlText(text)
    }

    static func nodeEncoding(for key: any CodingKey) -> XMLEncoder.NodeEncoding {
        key.stringValue.isEmpty ? .element : .attribute
    }
}

/// A number as XML Schema's decimal, in seconds with milliseconds.
private func decimal(_ seconds: Double) -> String {
    let milliseconds = seconds.isFinite ? Int((max(0, min(seconds, 1e9)) * 1000).rounded()) : 0
    let fraction = String(milliseconds % 1000)
    return "\(milliseconds / 1000)." + String(repeating: "0", count: 3 - fraction.count) + fraction
}

/// A text without the characters that XML 1.0 forbids even as references (section 2.2 of the recommendation).
private func xmlText(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
        switch scalar.value {
        case 0x09, 0x0a, 0x20...0xd7ff, 0xe000...0xfffd, 0x10000...0x10ffff: result.append(scalar)
        case 0x0d: continue
        default: result.append("\u{fffd}")
        }
    }
    return String(result)
}
