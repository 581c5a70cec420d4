// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import PatchSeries

/// What became of an import.
public struct PatchImport: Sendable, Equatable {
    /// The model with the new patches.
    public var model: PatchModel
    /// The ids of the new patches, in order.
    public var added: [String] = []
    /// The subjects of patches that the topic had already, in order.
    public var present: [String] = []

    /// Puts the patches of a series at the end of a topic, which is made if there is none of that name.
    ///
    /// Authors, dates, messages and diffs stay as they are. A patch that the topic holds already, with the same author,
    /// message and diff, is not taken twice.
    ///
    /// - Parameters:
    ///   - series: the patches, which apply to the base.
    ///   - model: where to put them.
    ///   - name: the topic.
    ///   - base: the base they are for, which becomes their home.
    ///   - author: who wrote the patches that do not say so.
    /// - Throws: ``LabError`` `topic-name-bad`, `author-missing`, all with ``ExitCode/usage``.
    public init(
        of series: PatchSeries, into model: PatchModel, topic name: String, base: BaseSeries, author: Patch.Author?
    ) throws {
        guard PatchModelStore.isName(name) else {
            throw LabError(
                "topic-name-bad", exit: .usage, "\"\(Printable.text(name))\" cannot be the name of a topic",
                next: "Use letters, digits, - and _, and begin with a letter or digit.")
        }
        self.model = model
        var topic =
            model.topics.first { $0.name == name }
            ?? Topic(
                name: name, title: series.cover?.title ?? series.patches.first?.subject ?? name,
                text: series.cover?.text ?? "", bases: [base])
        var taken = Set(topic.patches.map(\.name))
        var known = Set(topic.patches.map(\.patch.digest))
        for patch in series.patches {
            let patch = try patch.signed(author)
            guard known.insert(patch.digest).inserted else {
                present.append(patch.subject)
                continue
            }
            let file = PatchText.name(for: patch.subject, taken: taken)
            taken.insert(file)
            topic.patches.append(
                ModelPatch(topic: name, name: file, patch: patch, metadata: PatchMetadata(bases: [base])))
            added.append("\(name)/\(file)")
        }
        if let index = model.topics.firstIndex(where: { $0.name == name }) {
            self.model.topics[index] = topic
        } else {
            self.model.topics.append(topic)
        }
    }
}

extension Patch {
    /// The patch with an author, which a mail needs.
    fileprivate func signed(_ someone: Author?) throws -> Patch {
        if author != nil { return self }
        guard let someone else {
            throw LabError(
                "author-missing", exit: .usage, "\(Printable.text(origin)) does not say who wrote it",
                cause: "It is a plain diff, and a patch that is mailed needs an author.",
                next: "Say it with --author \"Name <address>\".")
        }
        return try replacingMessage(subject: subject, body: body, author: someone)
    }
}
