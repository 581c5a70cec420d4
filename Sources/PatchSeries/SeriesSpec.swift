// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// What `--series` names.
public enum SeriesSpec: Sendable, Equatable {
    /// A folder of patches, a quilt series file, an mbox, or a single patch; told apart by their content.
    case path(String)
    /// The commits of a repository that TIP has and BASE lacks; written `git:PATH@BASE..TIP`, TIP may be left out.
    case commits(repository: String, base: String, tip: String)

    /// Understands an argument; whether the files exist is not looked at, except to find the end of PATH in `git:`.
    ///
    /// - Parameters:
    ///   - argument: what the person wrote.
    ///   - home: what a leading `~/` stands for; a shell leaves it alone after `git:`.
    /// - Throws: ``LabError`` `series-unclear`.
    public init(_ argument: String, home: String = NSHomeDirectory()) throws {
        guard argument.hasPrefix("git:") else {
            guard !argument.isEmpty else { throw Self.unclear(argument, "It is empty.") }
            self = .path(argument)
            return
        }
        let text = argument.dropFirst(4)
        // Folders and revisions (HEAD@{1}) may both hold an @: the first one behind an existing folder is ours.
        let signs = text.indices.filter { text[$0] == "@" }
        func path(_ sign: Substring.Index) -> String { Files.expandingHome(in: String(text[..<sign]), home: home) }
        guard let sign = signs.first(where: { Files.isFolder(path($0)) }) ?? signs.first else {
            throw Self.unclear(argument, "It has no @ between the repository and the commits.")
        }
        let range = text[text.index(after: sign)...]
        guard !range.contains("...") else {
            throw Self.unclear(argument, "Three dots mean a symmetric difference, which has no order.")
        }
        guard let dots = range.range(of: "..") else { throw Self.unclear(argument, "It has no BASE..TIP after the @.") }
        let base = String(range[..<dots.lowerBound])
        let tip = String(range[dots.upperBound...])
        guard !base.isEmpty, sign != text.startIndex else { throw Self.unclear(argument, "A part of it is empty.") }
        self = .commits(repository: path(sign), base: base, tip: tip.isEmpty ? "HEAD" : tip)
    }

    private static func unclear(_ argument: String, _ cause: String) -> LabError {
        LabError(
            "series-unclear", exit: .usage, "The series '\(argument)' cannot be understood", cause: cause,
            next: "Give a folder of patches, a quilt series file, an mbox, or git:PATH@BASE..TIP.")
    }
}
