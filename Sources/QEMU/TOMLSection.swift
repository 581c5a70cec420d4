// SPDX-License-Identifier: Apache-2.0
import HarnessCore
import TOMLKit

/// A table of a machine's TOML file whose every mistake becomes a sentence with the file and the full key.
///
/// TOMLKit's own decoder reports a value of the wrong type as a missing key, hence this reader.
struct TOMLSection {
    private let table: TOMLTable
    private let file: String
    private let path: String

    /// Parses a whole file.
    init(parsing text: String, file: String) throws {
        do {
            table = try TOMLTable(string: text)
        } catch let error as TOMLParseError {
            throw LabError(
                "machine-invalid", exit: .usage, "\(file) is not valid TOML",
                cause: "Line \(error.source.begin.line): \(error.description)")
        }
        self.file = file
        path = ""
    }

    private init(_ table: TOMLTable, file: String, path: String) {
        self.table = table
        self.file = file
        self.path = path
    }

    /// Refuses every key that is not one of these.
    func allow(_ keys: [String]) throws {
        guard let unknown = table.keys.sorted().first(where: { !keys.contains($0) }) else { return }
        throw invalid(unknown, "is not known; known are \(keys.joined(separator: ", "))")
    }

    /// Whether there is such a key.
    func has(_ key: String) -> Bool { table[key] != nil }

    /// Text that has to be there and not to be empty.
    func string(_ key: String) throws -> String {
        guard let text = try value(key).string, !text.isEmpty else { throw invalid(key, "has to be text in quotes") }
        return text
    }

    /// A whole number above zero that has to be there.
    func positive(_ key: String) throws -> Int {
        guard let number = try value(key).int, number > 0 else {
            throw invalid(key, "has to be a whole number above zero")
        }
        return number
    }

    /// A list of texts; empty if it is not there.
    func strings(_ key: String) throws -> [String] {
        guard has(key) else { return [] }
        guard let array = try value(key).array else { throw invalid(key, "has to be a list of texts") }
        return try array.map { element in
            guard let text = element.string, !text.isEmpty else { throw invalid(key, "has to be a list of texts") }
            return text
        }
    }

    /// A table that has to be there.
    func section(_ key: String) throws -> TOMLSection {
        guard let inner = try value(key).table else { throw invalid(key, "has to be a table") }
        return TOMLSection(inner, file: file, path: path + key + ".")
    }

    /// A list of tables; empty if it is not there.
    func sections(_ key: String) throws -> [TOMLSection] {
        guard has(key) else { return [] }
        guard let array = try value(key).array else { throw invalid(key, "has to be a list of tables") }
        return try array.enumerated().map { index, element in
            guard let inner = element.table else { throw invalid(key, "has to be a list of tables") }
            return TOMLSection(inner, file: file, path: "\(path)\(key)[\(index)].")
        }
    }

    /// The error for a key.
    func invalid(_ key: String, _ problem: String) -> LabError {
        LabError("machine-invalid", exit: .usage, "\(file): the key \(path)\(key) \(problem)")
    }

    private func value(_ key: String) throws -> any TOMLValueConvertible {
        guard let value = table[key] else { throw invalid(key, "is missing") }
        return value
    }
}
