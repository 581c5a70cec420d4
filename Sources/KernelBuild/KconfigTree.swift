// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// Reads a kernel tree's Kconfig files far enough to say why a symbol was dropped.
///
/// Only `config`, `depends on`, prompts, `select`, `if`, `menu`, `choice` and `source` are looked at
/// (Documentation/kbuild/kconfig-language.rst): this explains an error after the kernel's own tools have decided, it
/// never decides.
struct KconfigTree {
    /// One definition of a symbol.
    struct Definition: Equatable {
        var file: String
        var hasPrompt = false
        var isInChoice = false
        /// The conditions of the definition and of everything around it; all must hold.
        var dependencies: [String] = []
    }

    private(set) var definitions: [String: [Definition]] = [:]
    private(set) var selectedBy: [String: Set<String>] = [:]

    /// Reads the tree from its top-level Kconfig; a file that cannot be read is passed over.
    init(root: String, architecture: String) {
        read("Kconfig", root: root, architecture: architecture, outer: [])
    }

    /// Why a requested symbol does not have its value, in one sentence.
    func explanation(for line: ConfigLine, values: [String: String]) -> String {
        let name = String(line.symbol.dropFirst("CONFIG_".count))
        guard let found = definitions[name] else { return "this base has no such symbol" }
        let actual = values[line.symbol]
        let unmet = found.map { definition in
            definition.dependencies.filter { KconfigExpression($0)?.value(values) == .no }
        }
        if let first = unmet.first, unmet.allSatisfy({ !$0.isEmpty }) {
            let reasons = first.map {
                "\($0) (\(KconfigExpression($0)?.blockers(values).joined(separator: ", ") ?? ""))"
            }
            return "unmet dependency: " + reasons.joined(separator: "; ")
        }
        if line.value == nil, actual != nil, let selectors = selectedBy[name] {
            let active = selectors.filter { values["CONFIG_" + $0] != nil }.sorted()
            if !active.isEmpty { return "selected by \(active.joined(separator: ", "))" }
        }
        if !found.contains(where: \.hasPrompt) {
            let selectors = (selectedBy[name] ?? []).sorted().prefix(8)
            return selectors.isEmpty
                ? "it has no prompt and nothing selects it"
                : "it has no prompt: enable one of \(selectors.joined(separator: ", "))"
        }
        if found.contains(where: \.isInChoice) { return "another member of its choice was taken" }
        if line.value == "m", actual == "y" { return "it became built-in, because something built-in selects it" }
        if line.value == "y", actual == "m" { return "a dependency is only a module" }
        return "the kernel's configuration tools gave it \(actual ?? "no value")"
    }

    private mutating func read(_ path: String, root: String, architecture: String, outer: [String]) {
        guard let text = try? Files.text(root + "/" + path) else { return }
        var blocks: [(kind: String, conditions: [String])] = [("file", outer)]
        var symbol: String?
        var helpIndent: Int?
        var pending = ""
        for raw in text.split(separator: "\n", omittingEmptySubsequences: false) {
            let indent = raw.prefix { $0 == " " || $0 == "\t" }.reduce(0) { $1 == "\t" ? ($0 / 8 + 1) * 8 : $0 + 1 }
            var line = String(raw.trimmingSpaces)
            if let limit = helpIndent {
                // The first line of a help text sets its indentation; a line further left ends it.
                if line.isEmpty { continue }
                if limit < 0 {
                    helpIndent = indent > 0 ? indent : nil
                    if indent > 0 { continue }
                } else if indent >= limit {
                    continue
                } else {
                    helpIndent = nil
                }
            }
            if line.hasSuffix("\\") {
                pending += line.dropLast().trimmingSpaces + " "
                continue
            }
            line = pending + line
            pending = ""
            if line.isEmpty || line.hasPrefix("#") { continue }
            if line == "help" || line == "---help---" {
                helpIndent = -1
                continue
            }
            let word = String(line.prefix { $0 != " " && $0 != "\t" })
            let rest = String(line.dropFirst(word.count).trimmingSpaces)
            switch word {
            case "config", "menuconfig":
                symbol = rest
                definitions[rest, default: []].append(
                    Definition(
                        file: path, isInChoice: blocks.contains { $0.kind == "choice" },
                        dependencies: blocks.flatMap(\.conditions)))
            case "if":
                blocks.append(("if", [Self.condition(rest)]))
                symbol = nil
            case "menu", "choice":
                blocks.append((word, []))
                symbol = nil
            case "endif", "endmenu", "endchoice":
                if blocks.count > 1 { blocks.removeLast() }
                symbol = nil
            case "comment", "mainmenu": symbol = nil
            case "depends":
                let condition = Self.condition(String(rest.dropFirst(2).trimmingSpaces))
                if let symbol {
                    amend(symbol) { $0.dependencies.append(condition) }
                } else if blocks.count > 1 {
                    blocks[blocks.count - 1].conditions.append(condition)
                }
            case "bool", "tristate", "int", "hex", "string", "prompt":
                if let symbol, !rest.isEmpty { amend(symbol) { $0.hasPrompt = true } }
            case "select", "imply":
                if let symbol, word == "select" {
                    selectedBy[String(rest.prefix { $0 != " " && $0 != "\t" }), default: []].insert(symbol)
                }
            case "source", "osource", "rsource", "orsource":
                var target = rest.filter { $0 != "\"" }
                target = target.replacingOccurrences(of: "$(SRCARCH)", with: architecture)
                target = target.replacingOccurrences(of: "$(HEADER_ARCH)", with: architecture)
                if word.hasPrefix("r") || word.hasPrefix("or") {
                    target = (path as NSString).deletingLastPathComponent + "/" + target
                }
                read(target, root: root, architecture: architecture, outer: blocks.flatMap(\.conditions))
            default: break
            }
        }
    }

    private mutating func amend(_ symbol: String, _ change: (inout Definition) -> Void) {
        guard var list = definitions[symbol], !list.isEmpty else { return }
        change(&list[list.count - 1])
        definitions[symbol] = list
    }

    private static func condition(_ text: String) -> String {
        String(text.prefix { $0 != "#" }.trimmingSpaces)
    }
}

/// A Kconfig boolean expression with the three values n, m, y.
struct KconfigExpression {
    enum Value: Int, Comparable {
        case no, module, yes
        static func < (left: Value, right: Value) -> Bool { left.rawValue < right.rawValue }
    }

    private indirect enum Node {
        case symbol(String)
        case not(Node)
        case both(Node, Node)
        case either(Node, Node)
        case comparison(String, String, String)
    }

    private let node: Node

    /// Reads an expression; nil for what this reader does not know, such as macros.
    init?(_ text: String) {
        guard let tokens = Self.tokens(text) else { return nil }
        var rest = tokens[...]
        guard let node = Self.parseEither(&rest), rest.isEmpty else { return nil }
        self.node = node
    }

    /// The value under a configuration.
    func value(_ values: [String: String]) -> Value { Self.evaluate(node, values) }

    /// The symbols whose value keeps the expression from being true, as `X=n`.
    func blockers(_ values: [String: String]) -> [String] { Self.blockers(node, values, wanted: true) }

    private static func evaluate(_ node: Node, _ values: [String: String]) -> Value {
        switch node {
        case .symbol(let name): return constant(name, values)
        case .not(let inner): return Value(rawValue: 2 - evaluate(inner, values).rawValue) ?? .no
        case .both(let left, let right): return min(evaluate(left, values), evaluate(right, values))
        case .either(let left, let right): return max(evaluate(left, values), evaluate(right, values))
        case .comparison(let left, let sign, let right):
            let equal = text(left, values) == text(right, values)
            switch sign {
            case "=": return equal ? .yes : .no
            case "!=": return equal ? .no : .yes
            default:
                guard let a = Double(text(left, values)), let b = Double(text(right, values)) else { return .no }
                let holds = sign == "<" ? a < b : sign == ">" ? a > b : sign == "<=" ? a <= b : a >= b
                return holds ? .yes : .no
            }
        }
    }

    private static func blockers(_ node: Node, _ values: [String: String], wanted: Bool) -> [String] {
        if (evaluate(node, values) != .no) == wanted { return [] }
        switch node {
        case .symbol(let name): return ["\(name)=\(text(name, values))"]
        case .not(let inner): return blockers(inner, values, wanted: !wanted)
        case .both(let left, let right), .either(let left, let right):
            return blockers(left, values, wanted: wanted) + blockers(right, values, wanted: wanted)
        case .comparison(let left, _, _): return ["\(left)=\(text(left, values))"]
        }
    }

    private static func constant(_ name: String, _ values: [String: String]) -> Value {
        switch text(name, values) {
        case "y": .yes
        case "m": .module
        default: .no
        }
    }

    private static func text(_ name: String, _ values: [String: String]) -> String {
        if name == "y" || name == "m" || name == "n" || Double(name) != nil { return name }
        if name.hasPrefix("\"") { return String(name.dropFirst().dropLast()) }
        return values["CONFIG_" + name] ?? "n"
    }

    private static func tokens(_ text: String) -> [String]? {
        var tokens: [String] = []
        var rest = text[...]
        while let first = rest.first {
            if first == " " || first == "\t" {
                rest = rest.dropFirst()
            } else if let sign = ["&&", "||", "!=", "<=", ">=", "(", ")", "!", "=", "<", ">"].first(
                where: rest.hasPrefix)
            {
                tokens.append(sign)
                rest = rest.dropFirst(sign.count)
            } else if first == "\"" {
                guard let end = rest.dropFirst().firstIndex(of: "\"") else { return nil }
                tokens.append(String(rest[...end]))
                rest = rest[rest.index(after: end)...]
            } else {
                let word = rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "." || $0 == "-" }
                if word.isEmpty { return nil }
                tokens.append(String(word))
                rest = rest.dropFirst(word.count)
            }
        }
        return tokens
    }

    private static func parseEither(_ rest: inout ArraySlice<String>) -> Node? {
        guard var left = parseBoth(&rest) else { return nil }
        while rest.first == "||" {
            rest.removeFirst()
            guard let right = parseBoth(&rest) else { return nil }
            left = .either(left, right)
        }
        return left
    }

    private static func parseBoth(_ rest: inout ArraySlice<String>) -> Node? {
        guard var left = parseUnary(&rest) else { return nil }
        while rest.first == "&&" {
            rest.removeFirst()
            guard let right = parseUnary(&rest) else { return nil }
            left = .both(left, right)
        }
        return left
    }

    private static func parseUnary(_ rest: inout ArraySlice<String>) -> Node? {
        guard let token = rest.popFirst() else { return nil }
        if token == "!" { return parseUnary(&rest).map { .not($0) } }
        if token == "(" {
            guard let inner = parseEither(&rest), rest.popFirst() == ")" else { return nil }
            return inner
        }
        if let sign = rest.first, ["=", "!=", "<", ">", "<=", ">="].contains(sign) {
            rest.removeFirst()
            guard let right = rest.popFirst() else { return nil }
            return .comparison(token, sign, right)
        }
        return .symbol(token)
    }
}
