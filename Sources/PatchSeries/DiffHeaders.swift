// SPDX-License-Identifier: Apache-2.0
import Foundation

/// The numbers of an `@@ -a,b +c,d @@` line.
struct HunkHeader {
    var oldStart = 0
    var oldCount = 1
    var newStart = 0
    var newCount = 1

    /// Nil unless the line has exactly that form at its beginning.
    init?(_ line: String) {
        var rest = Substring(line)
        guard rest.hasPrefix("@@ -") else { return nil }
        rest = rest.dropFirst(4)
        guard let oldStart = Self.number(&rest), let oldCount = Self.count(&rest), rest.hasPrefix(" +") else {
            return nil
        }
        rest = rest.dropFirst(2)
        guard let newStart = Self.number(&rest), let newCount = Self.count(&rest), rest.hasPrefix(" @@") else {
            return nil
        }
        (self.oldStart, self.oldCount, self.newStart, self.newCount) = (oldStart, oldCount, newStart, newCount)
    }

    private static func number(_ rest: inout Substring) -> Int? {
        let digits = rest.prefix { ("0"..."9").contains($0) }
        rest = rest.dropFirst(digits.count)
        guard digits.count <= 9 else { return nil }
        return Int(digits)
    }

    private static func count(_ rest: inout Substring) -> Int? {
        guard rest.first == "," else { return 1 }
        rest = rest.dropFirst()
        return number(&rest)
    }
}

/// The lines between `diff --git` and the first hunk.
struct GitHeader {
    /// The name that both sides of the `diff --git` line share; nil if they differ.
    let defaultName: String?
    private var oldName: String??
    private var newName: String??
    private var movedFrom: String?
    private var movedTo: String?
    private var oldMode: Int?
    private var newMode: Int?
    private var isCreated = false
    private var isRemoved = false
    private var oldBlob: String?
    private var newBlob: String?

    init(defaultName: String?) { self.defaultName = defaultName }

    /// Takes in one line; false if it is not a header line.
    mutating func take(_ lines: LineCursor, _ line: Range<Int>, _ names: NameParser) throws -> Bool {
        if lines.has("--- ", at: line) {
            oldName = .some(try names.fileName(lines, after: "--- "))
        } else if lines.has("+++ ", at: line) {
            newName = .some(try names.fileName(lines, after: "+++ "))
        } else if let name = try names.movedName(lines, after: ["rename from ", "copy from ", "rename old "]) {
            movedFrom = name
        } else if let name = try names.movedName(lines, after: ["rename to ", "copy to ", "rename new "]) {
            movedTo = name
        } else if let mode = try mode(lines, line, after: "old mode ") {
            oldMode = mode
        } else if let mode = try mode(lines, line, after: "new mode ") {
            newMode = mode
        } else if let mode = try mode(lines, line, after: "new file mode ") {
            newMode = mode
            isCreated = true
        } else if let mode = try mode(lines, line, after: "deleted file mode ") {
            oldMode = mode
            isRemoved = true
        } else if lines.has("index ", at: line) {
            takeIndex(lines.text(line).dropFirst(6))
        } else {
            return lines.has("similarity index ", at: line) || lines.has("dissimilarity index ", at: line)
        }
        return true
    }

    private func mode(_ lines: LineCursor, _ line: Range<Int>, after prefix: StaticString) throws -> Int? {
        guard lines.has(prefix, at: line) else { return nil }
        let text = lines.text(line).dropFirst(prefix.utf8CodeUnitCount)
        guard let mode = Int(text.trimmingCharacters(in: .whitespaces), radix: 8), (0...0o177777).contains(mode) else {
            throw lines.problem("the file mode is not an octal number")
        }
        return mode
    }

    /// `OLD..NEW MODE`: abbreviated blob ids, and the mode where it stays the same.
    private mutating func takeIndex(_ text: Substring) {
        let words = text.split(separator: " ")
        guard let ids = words.first?.components(separatedBy: ".."), ids.count == 2 else { return }
        oldBlob = Self.blob(ids[0])
        newBlob = Self.blob(ids[1])
        if words.count > 1, let mode = Int(words[1], radix: 8) {
            oldMode = oldMode ?? mode
            newMode = newMode ?? mode
        }
    }

    private static func blob(_ text: String) -> String? {
        let isHexadecimal = text.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
        return isHexadecimal && (4...64).contains(text.utf8.count) && text.contains { $0 != "0" } ? text : nil
    }

    /// The change, if all names agree.
    func file(problem: (String) -> DiffProblem) throws -> FileChange {
        var change = FileChange(content: .text, hunks: [])
        (change.oldMode, change.newMode) = (oldMode, newMode)
        (change.oldBlob, change.newBlob) = (oldBlob, newBlob)
        if movedFrom != nil || movedTo != nil {
            guard let movedFrom, let movedTo else { throw problem("a rename or copy has only one of its two names") }
            guard oldName.map({ $0 == movedFrom }) ?? true, newName.map({ $0 == movedTo }) ?? true else {
                throw problem("--- and +++ do not name the files of the rename or copy")
            }
            (change.oldPath, change.newPath) = (movedFrom, movedTo)
            return change
        }
        let given = [defaultName, oldName ?? nil, newName ?? nil].compactMap { $0 }
        guard let name = given.first else { throw problem("its header names no file") }
        if let other = given.first(where: { $0 != name }) {
            throw problem("its header names two different files, \(name) and \(other)")
        }
        let isCreated = isCreated || oldName == .some(nil)
        let isRemoved = isRemoved || newName == .some(nil)
        guard !(isCreated && isRemoved) else { throw problem("it creates and removes one file") }
        change.oldPath = isCreated ? nil : name
        change.newPath = isRemoved ? nil : name
        return change
    }
}
