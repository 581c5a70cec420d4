// SPDX-License-Identifier: Apache-2.0
import Foundation
import PatchModel
import PatchSeries

/// What is different between a version of a series and the one before.
public struct Changelog: Sendable, Equatable {
    /// What became of one patch.
    public struct Entry: Sendable, Equatable, Codable {
        /// The place in this version, from 1; nil if the patch was dropped.
        public var number: Int?
        /// The place in the version before; nil if the patch is new.
        public var former: Int?
        /// The subject, the older one for a dropped patch.
        public var subject: String
        /// Whether it stands elsewhere among the patches that both versions have.
        public var isMoved: Bool
        /// What changed in it, such as `diff in mm/memory.c` or `message`; empty for one that is new or the same.
        public var changes: [String]
    }

    /// This version.
    public var version: Int
    /// This version's patches in order, then the dropped ones.
    public var entries: [Entry]
    /// What git-range-diff(1) says; nil where the version before does not apply to any base at hand.
    public var rangeDiff: String?

    /// The line below a patch's `---`; nil if nothing happened to it.
    func note(number: Int) -> String? {
        guard let entry = entries.first(where: { $0.number == number }) else { return nil }
        var words = entry.changes.map { Self.sentence($0) }
        if entry.former == nil { words.append("new patch") }
        if entry.isMoved, let former = entry.former { words.append("moved, was patch \(former)") }
        guard !words.isEmpty else { return nil }
        return CoverLetter.wrapped(
            "Changes since v\(version - 1): " + words.joined(separator: "; "), first: "", rest: "  ")
    }

    /// `diff changed in mm/memory.c` for `diff in mm/memory.c`, `message changed` for `message`.
    private static func sentence(_ change: String) -> String {
        for kind in ["diff", "context"] where change.hasPrefix(kind + " in ") {
            return "\(kind) changed\(change.dropFirst(kind.count))"
        }
        return change + " changed"
    }

    /// The summary in the cover letter.
    var text: String {
        var lines = ["Changes since v\(version - 1):"]
        func say(_ line: String) { lines.append(CoverLetter.wrapped(line, first: "  ", rest: "    ")) }
        for entry in entries {
            guard let number = entry.number else {
                say("dropped: \(entry.former ?? 0) of v\(version - 1): \(entry.subject)")
                continue
            }
            if entry.former == nil { say("new: \(number): \(entry.subject)") }
            if entry.isMoved { say("moved: \(number), was \(entry.former ?? 0): \(entry.subject)") }
            if !entry.changes.isEmpty {
                say("changed: \(number): \(entry.subject) (\(entry.changes.joined(separator: "; ")))")
            }
        }
        let same = entries.filter { $0.number != nil && $0.former != nil && !$0.isMoved && $0.changes.isEmpty }
        if !same.isEmpty { say("unchanged: " + same.map { "\($0.number ?? 0)" }.joined(separator: ", ")) }
        if rangeDiff == nil { say("(no range-diff: v\(version - 1) applies to no base that is at hand)") }
        return lines.joined(separator: "\n")
    }

    /// A patch of either version.
    struct Side {
        var subject: String
        var body: String
        var diff: Data
    }

    /// Makes the log from pairs of patches that belong together.
    ///
    /// - Parameters:
    ///   - pairs: for each patch of this version its place in the version before, both from 0.
    init(version: Int, former: [Side], now: [Side], pairs: [Int: Int], rangeDiff: String?) {
        self.version = version
        self.rangeDiff = rangeDiff
        let matched = now.indices.compactMap { pairs[$0] }
        let inOrder = Self.longestRise(matched)
        entries = now.enumerated().map { index, patch in
            guard let old = pairs[index] else {
                return Entry(number: index + 1, former: nil, subject: patch.subject, isMoved: false, changes: [])
            }
            return Entry(
                number: index + 1, former: old + 1, subject: patch.subject, isMoved: !inOrder.contains(old),
                changes: Self.changes(from: former[old], to: patch))
        }
        let kept = Set(matched)
        entries += former.indices.filter { !kept.contains($0) }.map { index in
            Entry(number: nil, former: index + 1, subject: former[index].subject, isMoved: false, changes: [])
        }
    }

    private static func changes(from old: Side, to new: Side) -> [String] {
        var changes: [String] = []
        let (before, after) = (DiffSections(old.diff), DiffSections(new.diff))
        let changed = after.files(differingFrom: before)
        if !changed.text.isEmpty { changes.append("diff in " + changed.text.joined(separator: ", ")) }
        if !changed.context.isEmpty { changes.append("context in " + changed.context.joined(separator: ", ")) }
        if old.subject != new.subject { changes.append("subject") }
        if old.body != new.body { changes.append("message") }
        return changes
    }

    /// The numbers of a longest rising part of a list: what stayed in its order.
    private static func longestRise(_ numbers: [Int]) -> Set<Int> {
        var best: [[Int]] = []
        for (index, number) in numbers.enumerated() {
            let before = best[..<index].filter { ($0.last ?? 0) < number }.max { $0.count < $1.count } ?? []
            best.append(before + [number])
        }
        return Set(best.max { $0.count < $1.count } ?? [])
    }

    /// Pairs patches without git: the same subject first, then the same diff.
    ///
    /// - Parameter known: pairs that are found already, this version's place first.
    static func pairs(former: [Side], now: [Side], known: [Int: Int] = [:]) -> [Int: Int] {
        var pairs = known
        var free = Set(former.indices).subtracting(known.values)
        func pair(_ same: (Side, Side) -> Bool) {
            for index in now.indices where pairs[index] == nil {
                guard let old = free.sorted().first(where: { same(former[$0], now[index]) }) else { continue }
                pairs[index] = old
                free.remove(old)
            }
        }
        pair { $0.subject == $1.subject }
        pair { PatchText.isSame($0.diff, $1.diff) }
        return pairs
    }

    /// Reads the pairs from the headlines of git-range-diff(1): `2:  1a2b3c ! 1:  4d5e6f subject`.
    static func pairs(inRangeDiff text: String) -> [Int: Int] {
        var pairs: [Int: Int] = [:]
        for line in text.split(separator: "\n") {
            guard let match = line.prefixMatch(of: #/\s*([0-9]+):\s+[0-9a-f]+ [=!] +([0-9]+):\s+[0-9a-f]+ /#),
                let old = Int(match.1), let new = Int(match.2)
            else { continue }
            pairs[new - 1] = old - 1
        }
        return pairs
    }
}

/// A diff cut into its files.
struct DiffSections {
    /// What each file's part says without line numbers and blob ids, and its changed lines alone, by the new name.
    private var parts: [String: (whole: Data, lines: Data)] = [:]

    init(_ diff: Data) {
        var name = ""
        for line in PatchText.comparable(diff).split(separator: 10, omittingEmptySubsequences: false) {
            if line.starts(with: "diff --git ".utf8) {
                let text = String(decoding: line, as: UTF8.self)
                name = text.range(of: " b/", options: .backwards).map { String(text[$0.upperBound...]) } ?? text
            }
            parts[name, default: (Data(), Data())].whole += line + [10]
            if line.first != UInt8(ascii: " ") { parts[name, default: (Data(), Data())].lines += line + [10] }
        }
        parts[""] = nil
    }

    /// The files whose changed lines differ, and those where only the lines around them do; sorted.
    func files(differingFrom other: DiffSections) -> (text: [String], context: [String]) {
        let names = Set(parts.keys).union(other.parts.keys).sorted()
        let text = names.filter { parts[$0]?.lines != other.parts[$0]?.lines }
        return (text, names.filter { parts[$0]?.whole != other.parts[$0]?.whole && !text.contains($0) })
    }
}
