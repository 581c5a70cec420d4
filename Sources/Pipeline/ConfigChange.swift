// SPDX-License-Identifier: Apache-2.0
import HarnessCore
import KernelBuild

/// What leads from one complete configuration to another, symbol by symbol.
///
/// A symbol comes before those that depend on it when it is switched on, and behind them when it is switched off: menus list
/// a symbol before what depends on it, and .config files have the order of the menus. What is invisible at some place all the
/// same is dropped there by olddefconfig, which makes the step one that changes nothing, and never a culprit.
struct ConfigChange {
    /// The changed lines in the order in which they are made.
    let lines: [ConfigLine]
    private let old: [ConfigLine]
    private let oldValues: [String: String]

    /// Compares two configurations, given by their lines.
    init(from old: [ConfigLine], to new: [ConfigLine]) {
        let before = Self.values(old)
        let after = Self.values(new)
        let on = new.filter { $0.value != nil && before[$0.symbol] != $0.value }
        let off = old.reversed().filter { $0.value != nil && after[$0.symbol] == nil }
        // What only the new one knows, and has switched off, must not come with its menu by default.
        let known = Set(old.map(\.symbol))
        self.old = old + new.filter { $0.value == nil && !known.contains($0.symbol) }
        oldValues = before
        lines = on + off.map { ConfigLine($0.symbol, nil) }
    }

    private static func values(_ lines: [ConfigLine]) -> [String: String] {
        lines.reduce(into: [:]) { $0[$1.symbol] = $1.value }
    }

    /// A complete .config with the first changes made.
    func text(after count: Int) -> String { text(Array(lines.prefix(count))) }

    /// A complete .config with all changes made but one, counted from 1.
    func text(without step: Int) -> String {
        text(lines.enumerated().filter { $0.offset != step - 1 }.map(\.element))
    }

    private func text(_ changes: [ConfigLine]) -> String {
        let changed = Set(changes.map(\.symbol))
        let kept = old.filter { !changed.contains($0.symbol) }
        // The words by which a complete configuration is known.
        return (["#", "# Automatically generated file; DO NOT EDIT.", "#"] + (kept + changes).map(\.text))
            .joined(separator: "\n") + "\n"
    }

    /// A change as people write it, such as `CONFIG_KSM: n to y`.
    func sentence(_ line: ConfigLine) -> String {
        "\(line.symbol): \(oldValues[line.symbol] ?? "n") to \(line.value ?? "n")"
    }
}
