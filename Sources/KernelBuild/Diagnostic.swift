// SPDX-License-Identifier: Apache-2.0
import Foundation

/// One line in which a compiler, sparse, objtool or coccinelle says something about a file.
public struct Diagnostic: Sendable, Codable, Hashable {
    /// The file, relative to the source tree.
    public var file: String
    /// Line and column as they were printed, such as `12:3`; empty if the tool names none.
    public var place: String
    /// Whether the tool calls it an error.
    public var isError: Bool
    /// What is said, the word `warning` or `error` included.
    public var text: String

    /// Makes a diagnostic.
    public init(file: String, place: String, isError: Bool, text: String) {
        self.file = file
        self.place = place
        self.isError = isError
        self.text = text
    }

    /// Reads a line of the form `file:line:column: warning: text`, objtool's `file.o: warning: text`, coccinelle's
    /// `file:line:column-column: text` or kernel-doc's `Warning: file:line text`; nil for any other line.
    ///
    /// - Parameters:
    ///   - line: what was printed.
    ///   - source: the folder of the sources; its name is taken off the file's.
    public init?(_ line: some StringProtocol, source: String) {
        let line = String(line)
        let file: Substring
        if let match = line.wholeMatch(
            of: /([^\s:]+\.[A-Za-z]+):(?:([0-9]+(?::[0-9]+)?):)?\s+((?:[a-z ]+ )?(?i:error|warning):.*)/)
        {
            file = match.1
            place = match.2.map(String.init) ?? ""
            text = String(match.3)
        } else if let match = line.wholeMatch(of: /([^\s:]+\.[ch]):([0-9]+:[0-9]+-[0-9]+):\s+(.*)/) {
            file = match.1
            place = String(match.2)
            text = String(match.3)
        } else if let match = line.wholeMatch(of: /((?i)warning|error): ([^\s:]+\.[ch]):([0-9]+):?\s+(.*)/) {
            file = match.2
            place = String(match.3)
            text = "\(match.1.lowercased()): \(match.4)"
        } else {
            return nil
        }
        self.file = Self.relative(file, to: source)
        isError = text.prefixMatch(of: /(?i)[a-z ]*error/) != nil
    }

    /// As a compiler prints it, with the file's name relative to the source tree.
    public var line: String { place.isEmpty ? "\(file): \(text)" : "\(file):\(place): \(text)" }

    /// What stays the same when lines move.
    public var identity: String { "\(file): \(text.replacing(/[A-Za-z_\/.]+\.[ch]:[0-9]+(?::[0-9]+)?/, with: ""))" }

    /// A file's name as make prints it, without the way to the source tree.
    static func relative(_ name: Substring, to source: String) -> String {
        var file = name
        if file.hasPrefix(source + "/") { file = file.dropFirst(source.count + 1) }
        // Objects lie beside the sources, so make names the sources ../src/FILE.
        let beside = "../\(source.split(separator: "/").last ?? "")/"
        if file.hasPrefix(beside) { file = file.dropFirst(beside.count) }
        if file.hasPrefix("./") { file = file.dropFirst(2) }
        return String(file)
    }
}
