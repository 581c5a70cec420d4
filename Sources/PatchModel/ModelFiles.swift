// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import TOMLKit

/// `topic.toml`.
struct TopicFile: Codable, Equatable {
    var title: String
    var bases: [BaseSeries]
    var text: String

    init(_ topic: Topic) {
        (title, bases, text) = (topic.title, topic.bases, topic.text)
    }

    func text(keeping path: String) throws -> Data {
        try TOMLFile.text(
            keeping: path,
            [
                "title = \(TOMLFile.quoted(title))", "bases = \(TOMLFile.list(bases.map(\.description)))",
                "text = \(TOMLFile.paragraphs(text))",
            ])
    }
}

/// `NAME.toml`.
struct MetadataFile: Codable, Equatable {
    var bases: [BaseSeries]?
    var contained: [BaseSeries]?
    var depends: [String]?
    var probe: [PatchMetadata.Probe]?
    var reproducer: [PatchMetadata.Reproducer]?

    init(_ metadata: PatchMetadata, topic: Topic) {
        bases = metadata.bases == topic.bases ? nil : metadata.bases
        contained = metadata.contained.isEmpty ? nil : metadata.contained
        depends = metadata.depends.isEmpty ? nil : metadata.depends
        probe = metadata.probes.isEmpty ? nil : metadata.probes
        reproducer = metadata.reproducers.isEmpty ? nil : metadata.reproducers
    }

    func metadata(topic: Topic) -> PatchMetadata {
        PatchMetadata(
            bases: bases ?? topic.bases, contained: contained ?? [], probes: probe ?? [], depends: depends ?? [],
            reproducers: reproducer ?? [])
    }

    func text(keeping path: String) throws -> Data {
        var lines: [String] = []
        if let bases { lines.append("bases = \(TOMLFile.list(bases.map(\.description)))") }
        if let contained { lines.append("contained = \(TOMLFile.list(contained.map(\.description)))") }
        if let depends { lines.append("depends = \(TOMLFile.list(depends))") }
        for probe in probe ?? [] {
            lines += [
                "", "[[probe]]", "file = \(TOMLFile.quoted(probe.file))", "text = \(TOMLFile.quoted(probe.text))",
            ]
        }
        for test in reproducer ?? [] {
            lines += [
                "", "[[reproducer]]", "test = \(TOMLFile.quoted(test.test))", "suite = \(TOMLFile.quoted(test.suite))",
            ]
            if let flavour = test.flavour { lines.append("flavour = \(TOMLFile.quoted(flavour))") }
            if let driver = test.driver { lines.append("driver = \(TOMLFile.quoted(driver))") }
            if let bases = test.bases { lines.append("bases = \(TOMLFile.list(bases.map(\.description)))") }
        }
        return try TOMLFile.text(keeping: path, lines)
    }
}

/// Reading and writing of the model's TOML files (https://toml.io), whose first comments survive.
enum TOMLFile {
    static func read<Value: Decodable>(_ path: String) throws -> Value {
        let text = try Files.text(path, exit: .usage)
        do {
            return try TOMLDecoder(strictDecoding: true).decode(Value.self, from: text)
        } catch {
            throw LabError(
                "model-bad", exit: .usage, "\(path) cannot be understood", cause: "\(error)",
                next: "docs/patch-model.md says what may stand in it.")
        }
    }

    static func text(keeping path: String, _ lines: [String]) throws -> Data {
        Data((try CommentBlock.of(path) + lines).map { $0 + "\n" }.joined().utf8)
    }

    /// A basic string.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case "\n": result += "\\n"
            case "\t": result += "\\t"
            case _ where scalar.value < 32 || scalar.value == 127:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }

    static func list(_ items: [String]) -> String { "[" + items.map(quoted).joined(separator: ", ") + "]" }

    /// A multi-line basic string.
    static func paragraphs(_ text: String) -> String {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { quoted(String($0)) }
        return "\"\"\"\n" + lines.map { String($0.dropFirst().dropLast()) }.joined(separator: "\n") + "\n\"\"\""
    }
}

/// The comments with which a file begins; a new file gets the license line.
enum CommentBlock {
    static func of(_ path: String) throws -> [String] {
        guard Files.exists(path) else { return ["# SPDX-License-Identifier: GPL-2.0"] }
        return try Files.text(path, exit: .usage).split(separator: "\n", omittingEmptySubsequences: false)
            .prefix { $0.hasPrefix("#") }.map(String.init)
    }
}

/// A file with one name per line, such as quilt's `series`.
enum ListFile {
    static func entries(_ path: String) throws -> [String] {
        guard Files.exists(path) else { return [] }
        return try Files.text(path, exit: .usage).split(whereSeparator: \.isNewline).map {
            $0.prefix { $0 != "#" }.trimmingCharacters(in: .whitespaces)
        }.filter { !$0.isEmpty }
    }

    static func text(_ names: [String], keeping path: String) throws -> Data {
        Data((try CommentBlock.of(path) + names).map { $0 + "\n" }.joined().utf8)
    }
}

/// `NAME@6.12.diff`: a diff behind the license line.
enum VariantFile {
    private static let head = Data("SPDX-License-Identifier: GPL-2.0\n\n".utf8)

    static func read(_ path: String) throws -> Data {
        let bytes = try Files.bytes(path, exit: .usage)
        return bytes.starts(with: head) ? bytes.dropFirst(head.count) : bytes
    }

    static func text(_ diff: Data) -> Data { head + diff }
}
