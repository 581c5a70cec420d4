// SPDX-License-Identifier: Apache-2.0
import Foundation
import PatchSeries

/// The kernel's rules for a patch's message (Documentation/process/submitting-patches.rst).
///
/// Spelling and the style of trailers are left to checkpatch, which knows more about them.
enum MessageRules {
    /// The longest line of a subject or a body: 75 columns.
    static let width = 75

    /// checkpatch's names for what is judged here, with exceptions of our own.
    static let replaced: Set<String> = [
        "COMMIT_LOG_LONG_LINE", "MISSING_SIGN_OFF", "NO_AUTHOR_SIGN_OFF", "BAD_FIXES_TAG",
    ]

    /// What is wrong with a message.
    static func findings(_ patch: Patch) -> [Finding] {
        subject(patch.subject) + body(patch.body) + signOff(patch) + fixes(patch.body)
    }

    // MARK: - Subject

    private static func subject(_ subject: String) -> [Finding] {
        var findings: [Finding] = []
        if subject.hasSuffix(".") { findings.append(Finding(isFailure: true, "The subject ends with a full stop")) }
        if subject.count > width {
            findings.append(
                Finding(isFailure: false, "The subject has \(subject.count) columns; at most \(width) are usual"))
        }
        // git-revert(1) writes the subject of what is reverted behind it, prefix and all.
        if subject.hasPrefix("Revert \"") { return findings }
        guard let rest = summary(of: subject) else {
            return findings + [
                Finding(isFailure: true, "The subject has no subsystem in front, such as \"mm/hmm: \"")
            ]
        }
        if let word = rest.split(whereSeparator: \.isWhitespace).first, !isImperative(String(word)) {
            findings.append(
                Finding(
                    isFailure: false, "The subject is not in the imperative mood: \"\(word)\" (\"add\", not \"added\")")
            )
        }
        return findings
    }

    /// What stands behind the subsystem, such as `mm/hmm: ` or `mm, slub: `; nil if there is none.
    static func summary(of subject: String) -> Substring? {
        let prefix = /[^\s:]+(?:, ?[^\s:]+)*:\s+/
        guard let first = subject.prefixMatch(of: prefix) else { return nil }
        var rest = subject[first.range.upperBound...]
        while let more = rest.prefixMatch(of: prefix) { rest = rest[more.range.upperBound...] }
        return rest.isEmpty ? nil : rest
    }

    /// Verbs in the third person that begin subjects again and again; other words may end in an s.
    private static let thirdPerson: Set<String> = [
        "adds", "allows", "avoids", "calls", "changes", "checks", "cleans", "converts", "corrects", "disables", "drops",
        "enables", "ensures", "exports", "fixes", "handles", "implements", "improves", "introduces", "keeps", "lets",
        "makes", "moves", "prevents", "removes", "renames", "replaces", "returns", "sets", "shows", "skips", "stops",
        "supports", "takes", "turns", "updates", "uses", "waits",
    ]
    /// Verbs whose plain form looks like another one.
    private static let plain: Set<String> = [
        "bring", "bleed", "embed", "exceed", "feed", "need", "ping", "proceed", "ring", "seed", "shed", "speed",
        "spring",
        "string", "succeed", "swing", "wring", "shred", "wed", "sting", "bed",
    ]

    /// Whether the first word of a summary can be an order: not `added`, `adding` or `adds`.
    static func isImperative(_ word: String) -> Bool {
        let word = word.lowercased()
        // Names of functions and symbols are no verbs; what follows them is not looked at.
        guard word.allSatisfy(\.isLetter), !plain.contains(word) else { return true }
        return !(word.hasSuffix("ed") || word.hasSuffix("ing") || thirdPerson.contains(word))
    }

    // MARK: - Body

    /// `Signed-off-by: `, `Fixes: ` and their kind.
    private static func isTrailer(_ line: Substring) -> Bool {
        line.prefixMatch(
            of: /(?:[A-Z][A-Za-z]*(?:-[A-Za-z]+)*-by|Fixes|Link|Closes|Cc|CC|Message-I[dD]|References?):\s/) != nil
    }

    /// What may be longer than a line: trailers, quotations, logs, addresses, indented lines, what cannot be broken.
    private static func mayBeLong(_ line: Substring) -> Bool {
        guard let first = line.first else { return true }
        return first.isWhitespace || ">#$|[<*+-".contains(first) || line.contains("://") || isTrailer(line)
            || line.prefixMatch(of: /\S+\.[chS]:[0-9]+/) != nil
            || line.contains { $0 == "\t" } || line.split(separator: " ").count == 1
            || line.prefixMatch(of: /(?:BUG|WARNING|Call Trace|RIP|Oops|KASAN|Kernel panic)\b.*[:+]/) != nil
    }

    private static func body(_ body: String) -> [Finding] {
        let lines = body.split(separator: "\n", omittingEmptySubsequences: false)
        var findings: [Finding] = []
        if !lines.contains(where: { !$0.isEmpty && !isTrailer($0) }) {
            findings.append(Finding(isFailure: false, "The message does not say why"))
        }
        let long = lines.enumerated().filter { $0.element.count > width && !mayBeLong($0.element) }
        // Line 1 is the subject, line 2 is empty.
        if let first = long.first {
            let others = long.count > 1 ? ", and \(long.count - 1) more" : ""
            findings.append(
                Finding(
                    isFailure: false,
                    "Line \(first.offset + 3) of the message has \(first.element.count) columns, more than \(width)\(others)"
                ))
        }
        return findings
    }

    // MARK: - Trailers

    private static func signOff(_ patch: Patch) -> [Finding] {
        let signers = patch.body.matches(of: /(?m)^Signed-off-by:\s*(.*?)\s*$/).map { String($0.1) }
        if signers.isEmpty { return [Finding(isFailure: true, "There is no Signed-off-by")] }
        guard let author = patch.author else {
            return [Finding(isFailure: true, "Nobody can tell who wrote it: there is no From")]
        }
        let address = "<\(author.email.lowercased())>"
        guard !signers.contains(where: { $0.lowercased().hasSuffix(address) }) else { return [] }
        return [Finding(isFailure: true, "\(author.name) <\(author.email)> wrote it but did not sign it off")]
    }

    private static func fixes(_ body: String) -> [Finding] {
        body.matches(of: /(?mi)^Fixes:[ \t]*(.*)$/).compactMap { match in
            let value = String(match.1).trimmingCharacters(in: .whitespaces)
            if value.wholeMatch(of: /[0-9a-f]{12,40} \("[^\s].*"\)/) != nil { return nil }
            return Finding(
                isFailure: true,
                "\"Fixes: \(value)\" does not name a commit as 12 or more hexadecimal digits and (\"its subject\")")
        }
    }
}
