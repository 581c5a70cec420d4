// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import KernelSource
import PatchModel
import PatchSeries
import ProcessRunner

/// Runs the base's `scripts/checkpatch.pl --strict` on patches as mails (Documentation/dev-tools/checkpatch.rst).
final class Checkpatch: Sendable {
    /// What it said about one mail.
    struct Answer: Codable {
        var findings: [Finding]
        var notChecked: String?
    }

    private let checker: SeriesChecker
    private let base: Base
    private let fresh = LockedValue<[String: Answer]>([:])

    init(checker: SeriesChecker, base: Base) {
        self.checker = checker
        self.base = base
    }

    private var ledger: CheckLedger { CheckLedger(cache: checker.cache) }

    private func key(_ patch: Patch) -> String {
        CheckLedger.key([
            "question": "checkpatch", "recipe": "2", "tree": base.tree,
            "mail": Digest(of: PatchText.mail(patch)).hexadecimal,
        ])
    }

    /// Whether there is a patch that it was not asked about yet.
    func lacks(_ patches: [CheckedPatch]) -> Bool {
        patches.contains { ledger.read(Answer.self, key($0.patch)) == nil }
    }

    /// Asks about every patch that it was not asked about yet, two at a time.
    ///
    /// - Parameter source: a checkout of the base.
    func run(_ patches: [CheckedPatch], in source: String) async throws {
        let staging = try checker.cache.stagingFolder()
        defer { try? FileManager.default.removeItem(atPath: staging) }
        let missing = patches.filter { ledger.read(Answer.self, key($0.patch)) == nil }
        checker.progress(.step("Running checkpatch on \(missing.count.of("patch", plural: "patches"))"))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, item) in missing.enumerated() {
                if index >= ProcessInfo.processInfo.activeProcessorCount { try await group.next() }
                group.addTask { try await self.run(item.patch, "\(staging)/\(index).patch", source) }
            }
            try await group.waitForAll()
        }
    }

    private func run(_ patch: Patch, _ file: String, _ source: String) async throws {
        try Files.write(PatchText.mail(patch), to: file)
        let output = try await checker.runner.run(
            Command(
                "perl",
                [
                    source + "/scripts/checkpatch.pl", "--root=" + source, "--strict", "--terse", "--no-summary",
                    "--show-types", "--showfile",
                    // Commits are looked for in a history, which a base does not have.
                    "--ignore", "UNKNOWN_COMMIT_ID", file,
                ], environment: ["GIT_DIR": source + "/.git"], in: source))
        let answer = Self.answer(output)
        let key = key(patch)
        // A perl that is missing may be there the next time.
        if answer.notChecked == nil { try ledger.write(answer, key) }
        fresh.withLock { $0[key] = answer }
    }

    /// Reads `file:line: LEVEL:TYPE: text`; what concerns the message has no file.
    static func answer(_ output: CommandOutput) -> Answer {
        var findings: [Finding] = []
        for line in output.standardOutput.split(separator: "\n") {
            guard let match = line.wholeMatch(of: /([^:]*):([0-9]+): (ERROR|WARNING|CHECK):([A-Z0-9_]+): (.*)/) else {
                continue
            }
            let place = match.1.isEmpty ? "message" : "\(match.1):\(match.2)"
            findings.append(
                Finding(
                    isFailure: match.3 == "ERROR", "\(place): \(match.3.lowercased()): \(match.5)",
                    type: String(match.4)))
        }
        guard findings.isEmpty, !output.ending.isSuccess else { return Answer(findings: findings) }
        let said = output.standardError.split(separator: "\n").last.map(String.init)
        return Answer(findings: [], notChecked: "checkpatch: \(said ?? "it failed")")
    }

    /// What is known about a patch.
    ///
    /// - Parameter withMessage: whether the message is checked as well, which then judges what both know of.
    func result(_ patch: Patch, withMessage: Bool) -> CheckResult {
        let key = key(patch)
        let new = fresh.withLock { $0[key] }
        guard let answer = new ?? ledger.read(Answer.self, key) else {
            return CheckResult(.checkpatch, notChecked: "checkpatch did not run")
        }
        if let reason = answer.notChecked { return CheckResult(.checkpatch, notChecked: reason) }
        let findings = answer.findings.filter { finding in
            !withMessage || !MessageRules.replaced.contains(finding.type ?? "")
        }
        return CheckResult(.checkpatch, findings, isCached: new == nil)
    }
}
