// SPDX-License-Identifier: Apache-2.0
import KernelSource
import PatchSeries

/// The text of a cover letter.
struct CoverLetter {
    /// The width that its lines are kept below, as far as words allow.
    private static let width = 72

    var text: String
    var tested: [TestedBase]
    var changes: Changelog?
    var patches: [MailPatch]
    /// git-diff(1) `--stat --summary` of the whole series.
    var stat: String
    var base: Base

    /// Everything below the headers.
    var content: String {
        var parts: [String] = []
        if !text.isEmpty { parts.append(text) }
        if !tested.isEmpty {
            let lines = tested.flatMap(\.lines).map { Self.wrapped($0, first: "  ", rest: "    ") }
            parts.append((["Tested:"] + lines).joined(separator: "\n"))
        }
        if let changes { parts.append(changes.text) }
        parts.append(Self.shortlog(patches))
        if !stat.isEmpty { parts.append(stat.droppingLastNewline) }
        parts.append(Self.baseText(base))
        if let rangeDiff = changes?.rangeDiff {
            parts.append("Range-diff against v\((changes?.version ?? 2) - 1):\n\(rangeDiff.droppingLastNewline)")
        }
        return parts.joined(separator: "\n\n") + "\n"
    }

    /// The patches by author, as git-shortlog(1) lists them.
    static func shortlog(_ patches: [MailPatch]) -> String {
        let authors = Dictionary(grouping: patches) { $0.author.name }
        return authors.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }.map { name, patches in
            (["\(name) (\(patches.count)):"]
                + patches.map { wrapped($0.patch.subject, first: "  ", rest: "    ") }).joined(separator: "\n")
        }.joined(separator: "\n\n")
    }

    /// What the patches are made for, so that people and programs find it again.
    ///
    /// `base-commit` is only said of a commit that others can have; git-format-patch(1) has the same line.
    static func baseText(_ base: Base) -> String {
        switch base.spec {
        case .debian:
            return """
                Made for Linux \(base.kernelVersion) as Debian's linux-source \(base.version)
                has it, which is no public commit.
                base-tree: \(base.tree)
                """
        case .git: return "base-commit: \(base.commit)\nbase-tree: \(base.tree)"
        case .directory, .tar: return "Made for Linux \(base.kernelVersion).\nbase-tree: \(base.tree)"
        }
    }

    /// The tree that a cover letter says it was made for.
    static func baseTree(in text: String) -> String? {
        text.firstMatch(of: /(?m)^base-tree: ([0-9a-f]{40,64})$/).map { String($0.1) }
    }

    /// Text in lines of limited width, broken at spaces.
    static func wrapped(_ text: String, first: String, rest: String) -> String {
        var lines = [first]
        var isEmpty = true
        for word in text.split(separator: " ") {
            if !isEmpty, lines[lines.count - 1].count + 1 + word.count > width {
                lines.append(rest)
                isEmpty = true
            }
            lines[lines.count - 1] += (isEmpty ? "" : " ") + word
            isEmpty = false
        }
        return lines.joined(separator: "\n")
    }
}

extension String {
    /// Without newlines at the end.
    var droppingLastNewline: String {
        var text = Substring(self)
        while text.hasSuffix("\n") { text.removeLast() }
        return String(text)
    }
}
