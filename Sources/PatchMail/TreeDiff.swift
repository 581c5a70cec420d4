// SPDX-License-Identifier: Apache-2.0

/// A diff that is written rather than found: new files, and single lines put into files that are there.
struct TreeDiff {
    private static let context = 3
    private var parts: [(path: String, text: String)] = []

    /// The diff, sorted by path.
    var text: String { parts.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }.map(\.text).joined() }

    private static func lines(_ text: String) -> [Substring] {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        if lines.last == "" { lines.removeLast() }
        return lines
    }

    /// A new file, whose text ends with a newline.
    mutating func add(_ path: String, _ text: String) {
        let lines = Self.lines(text)
        parts.append(
            (
                path,
                "diff --git a/\(path) b/\(path)\nnew file mode 100644\n--- /dev/null\n+++ b/\(path)\n"
                    + "@@ -0,0 +1,\(lines.count) @@\n" + lines.map { "+\($0)\n" }.joined()
            ))
    }

    /// A line at the end of a file, in front of a last `endmenu`.
    mutating func insert(_ line: String, into path: String, _ text: String) throws {
        var lines = Self.lines(text)
        guard let end = lines.lastIndex(of: "endmenu") ?? (path.hasSuffix("Makefile") ? lines.count : nil) else {
            throw ModulePatches.problem("\(path) does not end with endmenu.")
        }
        lines.insert(Substring(line), at: end)
        try replace(path, text, by: lines.map { $0 + "\n" }.joined())
    }

    /// Lines added in one place of a file.
    mutating func replace(_ path: String, _ old: String, by new: String) throws {
        let (old, new) = (Self.lines(old), Self.lines(new))
        let head = zip(old, new).prefix { $0 == $1 }.count
        let tail = zip(old[head...].reversed(), new[head...].reversed()).prefix { $0 == $1 }.count
        guard head + tail == old.count, new.count > old.count else {
            throw ModulePatches.problem("More than an addition is needed in \(path).")
        }
        let start = max(0, head - Self.context)
        let end = min(old.count, head + Self.context)
        let added = new[head..<new.count - tail]
        var text = "diff --git a/\(path) b/\(path)\n--- a/\(path)\n+++ b/\(path)\n"
        text += "@@ -\(start + 1),\(end - start) +\(start + 1),\(end - start + added.count) @@\n"
        text += old[start..<head].map { " \($0)\n" }.joined() + added.map { "+\($0)\n" }.joined()
        text += old[head..<end].map { " \($0)\n" }.joined()
        parts.append((path, text))
    }
}
