// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// Reads the unified format of diff(1) with git's extended headers (git-diff(1), "Generating patch text with -p").
///
/// It finds what git-apply(1) would find: text before, between and after the files is skipped, and inside a hunk the
/// counts of its header decide what belongs to it, so that content that looks like a header is never taken for one.
/// It is stricter than git where two headers of one file disagree.
struct DiffParser {
    private var lines: LineCursor
    private let names: NameParser
    private var files: [FileChange] = []
    /// From the first file's header to the end of the last file.
    private var extent: Range<Int>?

    /// The diff inside a text and what it changes.
    ///
    /// A text whose file headers end in CR LF went through a mail program or an editor; its lines then lose the CR.
    ///
    /// `origin` names the patch in errors.
    ///
    /// - Returns: no files if the text holds no diff at all.
    /// - Throws: ``LabError`` `patch-malformed`.
    static func parse(
        _ text: Data, strip: Int, isReversed: Bool, origin: String
    ) throws -> (diff: Data, files: [FileChange]) {
        do {
            var parser = DiffParser(lines: LineCursor(Array(text)), strip: strip)
            if parser.lines.firstFileHeaderEndsInCarriageReturn() {
                parser = DiffParser(lines: LineCursor(withoutCarriageReturns(text)), strip: strip)
            }
            try parser.run()
            guard let extent = parser.extent else { return (Data(), []) }
            let files = parser.files.map { file in
                var file = file
                file.hunks = file.hunks.map { hunk in
                    var hunk = hunk
                    hunk.body = hunk.body.lowerBound - extent.lowerBound..<hunk.body.upperBound - extent.lowerBound
                    return hunk
                }
                return isReversed ? file.reversed : file
            }
            return (Data(parser.lines.bytes[extent]), files)
        } catch let problem as DiffProblem {
            throw LabError(
                "patch-malformed", exit: .usage, "\(Printable.text(origin)) is damaged",
                cause: "line \(problem.line) of its diff: \(problem.what)",
                next: "Get the patch again: an editor or a mail program may have cut, wrapped or changed its lines.")
        }
    }

    private init(lines: LineCursor, strip: Int) {
        self.lines = lines
        names = NameParser(strip: strip)
    }

    private static func withoutCarriageReturns(_ text: Data) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        for byte in text {
            if byte == UInt8(ascii: "\n"), result.last == UInt8(ascii: "\r") { result.removeLast() }
            result.append(byte)
        }
        return result
    }

    private mutating func run() throws {
        while let line = lines.peek() {
            let start = line.lowerBound
            if lines.has("diff --git ", at: line) {
                try readGitFile()
            } else if lines.has("--- ", at: line), lines.startsPlainFile() {
                try readPlainFile()
            } else if lines.has("Binary files ", at: line), lines.ends(line, with: " differ") {
                files.append(FileChange(content: .binaryWithoutData(lines.text(line)), hunks: []))
                lines.advance()
            } else if files.isEmpty || HunkHeader(lines.text(line)) == nil {
                lines.advance()
                continue
            } else {
                throw lines.problem("a hunk stands outside of any file, or the hunk before it has too many lines")
            }
            extent = (extent?.lowerBound ?? start)..<lines.offset
        }
    }

    // MARK: - One file

    private mutating func readPlainFile() throws {
        let old = try names.fileName(lines, after: "--- ")
        lines.advance()
        let new = try names.fileName(lines, after: "+++ ")
        let headerLine = lines.number
        lines.advance()
        var file = FileChange(oldPath: old, newPath: new, content: .text, hunks: [])
        guard old != nil || new != nil else { throw lines.problem("both names are /dev/null", line: headerLine) }
        if let left = old, let right = new, left != right {
            // diff -u FILE.orig FILE: git takes the shorter name for both if the longer one only adds a suffix.
            guard left.hasPrefix(right) || right.hasPrefix(left) else {
                throw lines.problem("--- and +++ name two different files, \(left) and \(right)", line: headerLine)
            }
            let shorter = left.utf8.count < right.utf8.count ? left : right
            file.oldPath = shorter
            file.newPath = shorter
        }
        file.hunks = try readHunks()
        files.append(file)
    }

    private mutating func readGitFile() throws {
        let first = lines.number
        var header = GitHeader(defaultName: try names.commonName(lines))
        lines.advance()
        while let line = lines.peek(), try header.take(lines, line, names) { lines.advance() }
        var file = try header.file(problem: { lines.problem($0, line: first) })
        if let line = lines.peek() {
            if lines.has("GIT binary patch", at: line) {
                lines.advance()
                try skipBinary()
                file.content = .binary
            } else if lines.has("Binary files ", at: line) || lines.has("Files ", at: line),
                lines.ends(line, with: " differ")
            {
                file.content = .binaryWithoutData(lines.text(line))
                lines.advance()
            } else {
                file.hunks = try readHunks()
            }
        }
        files.append(file)
    }

    /// One or two runs of encoded lines, each ended by an empty line; git itself checks what is in them.
    private mutating func skipBinary() throws {
        var runs = 0
        while let line = lines.peek(), lines.has("literal ", at: line) || lines.has("delta ", at: line), runs < 2 {
            runs += 1
            repeat { lines.advance() } while lines.peek().map { !$0.isEmpty } ?? false
            guard lines.peek() != nil else { throw lines.problem("the binary content ends too early") }
            lines.advance()
        }
        if runs == 0 { throw lines.problem("the binary content is missing") }
    }

    private mutating func readHunks() throws -> [Hunk] {
        var hunks: [Hunk] = []
        while let line = lines.peek(), lines.has("@@ -", at: line) {
            let first = lines.number
            guard let header = HunkHeader(lines.text(line)) else { throw lines.problem("the @@ line is not complete") }
            lines.advance()
            let start = lines.offset
            try skipBody(header, first)
            hunks.append(
                Hunk(
                    header: lines.text(line), oldStart: header.oldStart, oldCount: header.oldCount,
                    newStart: header.newStart, newCount: header.newCount, body: start..<lines.offset))
        }
        return hunks
    }

    private mutating func skipBody(_ header: HunkHeader, _ first: Int) throws {
        var old = header.oldCount
        var new = header.newCount
        while old > 0 || new > 0 {
            guard let line = lines.peek() else {
                throw lines.problem("the hunk ends before it has the lines that its @@ line promises", line: first)
            }
            switch lines.bytes[line].first {
            case nil, UInt8(ascii: " "):
                old -= 1
                new -= 1
            case UInt8(ascii: "-"): old -= 1
            case UInt8(ascii: "+"): new -= 1
            case UInt8(ascii: "\\"): break
            default: throw lines.problem("a line of a hunk begins with none of space, + and -")
            }
            guard old >= 0, new >= 0 else {
                throw lines.problem("the hunk has other lines than its @@ line promises", line: first)
            }
            lines.advance()
        }
        if let line = lines.peek(), lines.has("\\ ", at: line) { lines.advance() }
        // git-apply(1) would drop such lines silently. "-- " begins a signature, "--- " the next file.
        if let line = lines.peek(), lines.has("+", at: line) || (lines.has("-", at: line) && !lines.has("--", at: line))
        {
            throw lines.problem("the hunk before this line has more lines than its @@ line promises")
        }
    }
}

/// Why a diff cannot be read.
struct DiffProblem: Error {
    var line: Int
    var what: String
}
