// SPDX-License-Identifier: Apache-2.0
import HarnessCore

/// One requested Kconfig symbol and its value, in the form of the kernel's own .config files.
///
/// Format: Documentation/kbuild/kconfig.rst; a line `CONFIG_X=value` or `# CONFIG_X is not set`.
public struct ConfigLine: Hashable, Sendable, Codable {
    /// The symbol with its `CONFIG_` prefix.
    public var symbol: String
    /// `y`, `m`, a number, a quoted string; nil for "is not set".
    public var value: String?

    /// Makes a request.
    public init(_ symbol: String, _ value: String?) {
        self.symbol = symbol
        self.value = value == "n" ? nil : value
    }

    /// The line as it stands in a .config.
    public var text: String { value.map { "\(symbol)=\($0)" } ?? "# \(symbol) is not set" }

    /// Reads one line; nil for blank lines and comments.
    ///
    /// - Throws: ``LabError`` `fragment-bad` for anything else.
    init?(line: Substring, number: Int, file: String) throws {
        let line = line.trimmingSpaces
        if line.hasPrefix("# CONFIG_"), line.hasSuffix(" is not set") {
            self.init(String(line.dropFirst(2).dropLast(" is not set".count)), nil)
            return
        }
        if line.isEmpty || line.hasPrefix("#") { return nil }
        guard let equals = line.firstIndex(of: "="), Self.isSymbol(line[..<equals]),
            line.index(after: equals) != line.endIndex
        else {
            throw LabError(
                "fragment-bad", exit: .usage, "\(file) line \(number) is not a Kconfig line", cause: String(line),
                next: "Write CONFIG_NAME=value or '# CONFIG_NAME is not set'.")
        }
        self.init(String(line[..<equals]), String(line[line.index(after: equals)...]))
    }

    private static func isSymbol(_ text: Substring) -> Bool {
        text.hasPrefix("CONFIG_") && text.utf8.count > 7
            && text.utf8.allSatisfy { byte in
                (byte >= 48 && byte <= 57) || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122) || byte == 95
            }
    }
}

extension StringProtocol {
    /// The text without spaces, tabs and carriage returns at both ends.
    var trimmingSpaces: SubSequence {
        var text = self[...]
        while let first = text.first, first == " " || first == "\t" { text = text.dropFirst() }
        while let last = text.last, last == " " || last == "\t" || last == "\r" { text = text.dropLast() }
        return text
    }
}

/// A kernel configuration file, or a part of one that is merged over others.
public struct Fragment: Sendable, Equatable {
    /// Where it comes from, for messages: a file's name, or `--set`.
    public var name: String
    /// The requests in the order of the file.
    public var lines: [ConfigLine]

    /// Makes a fragment from its lines.
    public init(name: String, lines: [ConfigLine]) {
        self.name = name
        self.lines = lines
    }

    /// Reads a fragment or a whole .config.
    ///
    /// - Throws: ``LabError`` `fragment-bad`.
    public init(name: String, text: String) throws {
        self.name = name
        lines = try text.split(separator: "\n", omittingEmptySubsequences: false).enumerated().compactMap {
            try ConfigLine(line: $0.element, number: $0.offset + 1, file: name)
        }
    }

    /// Reads the words of `--set`: `CONFIG_X=y`, `X=y`; `n` means "is not set".
    ///
    /// - Throws: ``LabError`` `fragment-bad`.
    public init(settings: [String]) throws {
        name = "--set"
        lines = try settings.map { word in
            let text = word.hasPrefix("CONFIG_") ? word : "CONFIG_" + word
            guard let line = try ConfigLine(line: text[...], number: 1, file: "--set") else {
                throw LabError(
                    "fragment-bad", exit: .usage, "--set \(word) is not a Kconfig setting",
                    next: "Write --set CONFIG_NAME=y, m, n, a number or a quoted string.")
            }
            return line
        }
    }

    /// A file that was given on the command line.
    public struct File: Sendable, Equatable {
        /// Where it lies.
        public var path: String
        /// Its text.
        public var text: String

        /// Makes a file.
        public init(path: String, text: String) {
            self.path = path
            self.text = text
        }

        /// Whether it is a complete .config: those that the kernel's tools write say so in their first lines.
        public var isComplete: Bool {
            text.split(separator: "\n").prefix(4).contains { $0.contains("Automatically generated file; DO NOT EDIT.") }
        }
    }

    /// The fragments as one request: a later line replaces an earlier one for the same symbol.
    public static func merged(_ fragments: [Fragment]) -> [(line: ConfigLine, from: String)] {
        var order: [String] = []
        var last: [String: (ConfigLine, String)] = [:]
        for fragment in fragments {
            for line in fragment.lines {
                if last[line.symbol] == nil { order.append(line.symbol) }
                last[line.symbol] = (line, fragment.name)
            }
        }
        return order.compactMap { last[$0] }
    }
}

/// The configuration that the kernel's own tools made of the requests.
public struct FinalConfig: Sendable {
    /// Values by symbol (with `CONFIG_`); absent for "is not set" and for invisible symbols.
    public let values: [String: String]

    /// Reads a .config.
    ///
    /// - Throws: ``LabError`` `fragment-bad`.
    public init(text: String) throws {
        values = try Fragment(name: ".config", text: text).lines.reduce(into: [:]) { $0[$1.symbol] = $1.value }
    }

    /// The requests that did not survive olddefconfig.
    ///
    /// A request for "is not set" also holds when the symbol does not exist; `m` does not hold when the result is `y`,
    /// because a suite may need to load and unload that module.
    public func dropped(from requests: [(line: ConfigLine, from: String)]) -> [(line: ConfigLine, from: String)] {
        requests.filter { request in values[request.line.symbol] != request.line.value }
    }
}
