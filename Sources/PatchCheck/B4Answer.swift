// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// The answer to b4 (https://b4.docs.kernel.org), which gives a check command one patch mail on standard input.
///
/// Two protocols, both b4's own. `b4.review-perpatch-check-cmd` wants a JSON array of objects with `tool`, `status`
/// (`pass`, `warn` or `fail`), `summary` and `details`. `b4.prep-perpatch-check-cmd` and `b4.am-perpatch-check-cmd` want
/// what checkpatch prints with `--terse`: a line for each finding, where `ERROR:` in it makes it a failure and anything
/// else a warning, and no line at all for a patch that passes.
public struct B4Answer: Sendable {
    /// One check in the JSON array.
    public struct Entry: Sendable, Encodable, Equatable {
        /// The check; b4 makes a column of it.
        public var tool: String
        /// `pass`, `warn` or `fail`.
        public var status: String
        /// One line.
        public var summary: String
        /// All findings, a line each; empty if there are none.
        public var details: String
    }

    private let report: PatchReport

    /// An answer about one patch.
    ///
    /// - Parameters:
    ///   - report: what the checks say.
    ///   - isPart: whether the mail is one of a series, which need not apply without those before it.
    public init(_ report: PatchReport, isPart: Bool) {
        var report = report
        if isPart {
            for index in report.checks.indices where report.checks[index].check == .applies {
                let findings = report.checks[index].findings.map {
                    Finding(isFailure: false, "by itself, without the patches before it: \($0.text)")
                }
                report.checks[index] = CheckResult(.applies, findings, isCached: report.checks[index].isCached)
            }
        }
        self.report = report
    }

    /// Whether no check fails.
    public var hasPassed: Bool { !report.checks.contains { $0.status == .fail } }

    /// What the array holds.
    public var entries: [Entry] {
        report.checks.map { check in
            let tool = "hmmlab \(check.check.rawValue)"
            if let reason = check.notChecked {
                return Entry(tool: tool, status: "warn", summary: "not checked: \(Self.line(reason))", details: "")
            }
            let details = (check.findings.map(Self.text) + check.notes).joined(separator: "\n")
            let failures = check.findings.count(where: \.isFailure)
            let warnings = check.findings.count - failures
            let counts = [
                failures > 0 ? failures.of("failure") : nil, warnings > 0 ? warnings.of("warning") : nil,
            ].compactMap(\.self)
            let status = failures > 0 ? "fail" : warnings > 0 ? "warn" : "pass"
            return Entry(
                tool: tool, status: status,
                summary: counts.isEmpty ? "nothing found on \(report.base)" : counts.joined(separator: ", "),
                details: details)
        }
    }

    /// The array as b4's `review-perpatch-check-cmd` wants it.
    ///
    /// - Throws: `EncodingError`.
    public func json() throws -> String { try JSON.text(entries) }

    /// The lines as b4's `prep-perpatch-check-cmd` and `am-perpatch-check-cmd` want them; empty if all is well.
    public var lines: String {
        report.checks.flatMap { check -> [String] in
            if let reason = check.notChecked {
                return ["\(check.check.rawValue): WARNING: not checked: \(Self.line(reason))"]
            }
            return check.findings.map { finding in
                "\(check.check.rawValue): \(finding.isFailure ? "ERROR" : "WARNING"): \(Self.line(Self.text(finding)))"
            }
        }.map { $0 + "\n" }.joined()
    }

    private static func text(_ finding: Finding) -> String {
        finding.text + (finding.configuration.map { " (\($0))" } ?? "")
    }

    /// b4 takes every line for a finding of its own.
    private static func line(_ text: String) -> String { String(text.split(separator: "\n").first ?? "") }

    /// Whether a mail's subject says that it is one of several, such as `[PATCH v2 3/7]`, and not the first.
    public static func isPart(_ mail: Data) -> Bool {
        let head = String(decoding: mail.prefix(64 << 10), as: UTF8.self)
        guard let match = head.firstMatch(of: /(?mi)^Subject:\s*\[[^\]\n]*?\b([0-9]{1,4})\/[0-9]{1,4}\]/) else {
            return false
        }
        return (Int(match.1) ?? 0) > 1
    }
}
