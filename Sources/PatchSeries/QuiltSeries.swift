// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// Reads quilt's `series` file (quilt(1)): a patch per line with `-pN` and `-R` behind it, `#` begins a comment.
enum QuiltSeries {
    /// The largest series file that is read: 4 MiB.
    static let largestFile = 4 << 20

    /// Whether a file that is not called `series` is one: every entry names a file beside it.
    static func looksLikeOne(_ bytes: Data, beside path: String) -> Bool {
        guard bytes.count <= largestFile, !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self) else {
            return false
        }
        let folder = folder(of: path)
        let names = text.split(whereSeparator: \.isNewline).compactMap { words(of: $0).first }
        return !names.isEmpty && names.allSatisfy { isInside($0) && Files.exists("\(folder)/\($0)") }
    }

    /// The patches that a series file lists, in order.
    ///
    /// - Throws: ``LabError`` `series-unreadable`.
    static func entries(of bytes: Data, at path: String) throws -> [PatchFiles.Entry] {
        guard !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self) else {
            throw problem(path, 1, "It is not text.")
        }
        let folder = folder(of: path)
        var entries: [PatchFiles.Entry] = []
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            let words = words(of: line)
            guard let name = words.first else { continue }
            guard isInside(name) else { throw problem(path, index + 1, "\(name) is outside of the series' folder.") }
            var entry = PatchFiles.Entry(path: "\(folder)/\(name)", origin: String(name))
            for option in words.dropFirst() {
                switch option {
                case "-R": entry.isReversed = true
                case "-pab": entry.strip = 1
                default:
                    guard option.hasPrefix("-p"), let strip = Int(option.dropFirst(2)), (0...20).contains(strip) else {
                        throw problem(path, index + 1, "The option \(option) is not one of -pN and -R.")
                    }
                    entry.strip = strip
                }
            }
            guard Files.exists(entry.path) else { throw problem(path, index + 1, "\(name) does not exist.") }
            guard !Files.isFolder(entry.path) else { throw problem(path, index + 1, "\(name) is a folder.") }
            entries.append(entry)
        }
        return entries
    }

    private static func words(of line: Substring) -> [Substring] {
        let words = line.split(whereSeparator: \.isWhitespace)
        return Array(words.prefix { !$0.hasPrefix("#") })
    }

    private static func isInside(_ name: Substring) -> Bool {
        PathRules.objection(to: String(name)) == nil
    }

    private static func folder(of path: String) -> String {
        let folder = (path as NSString).deletingLastPathComponent
        return folder.isEmpty ? "." : folder
    }

    private static func problem(_ path: String, _ line: Int, _ cause: String) -> LabError {
        LabError(
            "series-unreadable", exit: .usage, "\(path) is not a quilt series that can be used",
            cause: "line \(line): \(Printable.text(cause))", next: "Correct that line, or remove it.")
    }
}
