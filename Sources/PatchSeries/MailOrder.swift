// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// Puts the patches of one mbox into their order.
enum MailOrder {
    struct Item {
        var tag: Mail.Tag
        var patch: Patch
    }

    /// Sorts by the numbers of `[PATCH n/m]` if all patches have them; otherwise the mbox's own order stays.
    ///
    /// A single patch may have any number: who passes one mail means that one.
    ///
    /// - Throws: ``LabError`` `series-incomplete`, `series-mixed`.
    static func sorted(_ items: [Item], source: String, notes: inout [String]) throws -> [Patch] {
        let items = withoutDuplicates(items, &notes)
        let totals = Set(items.map(\.tag.total))
        guard items.count > 1, totals.count == 1, let total = totals.first ?? nil,
            items.allSatisfy({ $0.tag.index != nil })
        else { return items.map(\.patch) }

        let versions = Set(items.map { $0.tag.version ?? 1 }).sorted()
        guard versions.count == 1 else {
            throw LabError(
                "series-mixed", exit: .usage, "\(source) holds several versions of a series",
                cause: "There are patches of the versions \(versions.map(String.init).joined(separator: ", ")).",
                next: "Keep the mails of one version only.")
        }
        let byIndex = Dictionary(grouping: items) { $0.tag.index ?? 0 }
        if let (index, same) = byIndex.filter({ $0.value.count > 1 }).min(by: { $0.key < $1.key }) {
            throw LabError(
                "series-mixed", exit: .usage, "\(source) holds different patches with the number \(index)/\(total)",
                cause: same.map { "\"\(Printable.text($0.patch.subject))\" (\($0.patch.origin))" }.joined(
                    separator: "\n"),
                next: "Keep the mails of one series only.")
        }
        let missing = (1...max(total, 1)).filter { byIndex[$0] == nil }
        guard missing.isEmpty, items.count == total else {
            let list = missing.prefix(20).map { "\($0)/\(total)" }.joined(separator: ", ")
            throw LabError(
                "series-incomplete", exit: .usage, "\(source) does not hold the whole series",
                cause: missing.isEmpty ? "Its patches are numbered beyond \(total)." : "Missing: \(list).",
                next: "Get the missing mails; to apply only some patches, put each into a file of a folder.")
        }
        return items.sorted { ($0.tag.index ?? 0) < ($1.tag.index ?? 0) }.map(\.patch)
    }

    /// The same mail often arrives twice, directly and through a list.
    private static func withoutDuplicates(_ items: [Item], _ notes: inout [String]) -> [Item] {
        var seen: Set<String> = []
        return items.filter { item in
            guard item.tag.index != nil else { return true }
            let isNew = seen.insert("\(item.tag.index ?? 0)/\(item.tag.version ?? 1) \(item.patch.digest)").inserted
            if !isNew { notes.append("\(item.patch.origin) is there twice and was taken once.") }
            return isNew
        }
    }
}
