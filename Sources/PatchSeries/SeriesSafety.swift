// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// Refuses a series that would reach outside of the tree, before anything of it is applied.
///
/// The applier checks the result a second time by what git really did, so that a diff which this check and git
/// understand differently is refused as well; see ``ApplySession``.
struct SeriesSafety {
    /// The symbolic links known so far: those of the base, and those of the patches before.
    private var links: Set<String>

    /// Starts with the symbolic links of the base, as far as they concern the series.
    init(links: Set<String> = []) { self.links = links }

    /// Checks the next patch of the series; its number, from 1, is for the message.
    ///
    /// - Throws: ``LabError`` `patch-unsafe`.
    mutating func check(_ patch: Patch, number: Int) throws {
        for file in patch.files {
            for path in file.paths {
                if let objection = PathRules.objection(to: path) { throw Self.refusal(patch, number, path, objection) }
            }
            try checkModes(file, patch, number)
        }
        for file in patch.files where file.newPath == nil {
            if let gone = file.oldPath { links.remove(gone) }
        }
        for file in patch.files where file.newMode == Self.linkMode {
            if let made = file.newPath { links.insert(made) }
        }
        for path in patch.touchedPaths {
            if let link = PathRules.ancestors(of: path).first(where: links.contains) {
                throw Self.refusal(patch, number, path, "\(link) is a symbolic link")
            }
        }
    }

    static let linkMode = 0o120000

    private func checkModes(_ file: FileChange, _ patch: Patch, _ number: Int) throws {
        let path = file.newPath ?? file.oldPath ?? ""
        for mode in [file.oldMode, file.newMode].compactMap({ $0 })
        where mode & 0o170000 != 0o100000 && mode != Self.linkMode {
            let what =
                mode == 0o160000 ? "it is a submodule" : "its mode \(String(mode, radix: 8)) is not that of a file"
            throw Self.refusal(patch, number, path, what)
        }
        guard file.newMode == Self.linkMode, let link = file.newPath, let target = target(of: file, in: patch) else {
            return
        }
        if let objection = PathRules.objection(toLink: link, target: target) {
            throw Self.refusal(patch, number, link, objection)
        }
    }

    /// The target that a diff gives to a symbolic link; nil if it does not change it.
    private func target(of file: FileChange, in patch: Patch) -> String? {
        let marker = UInt8(ascii: patch.isReversed ? "-" : "+")
        let lines = file.hunks.flatMap { patch.diff[$0.body].split(separator: UInt8(ascii: "\n")) }
            .filter { $0.first == marker }
        guard !lines.isEmpty else { return nil }
        return lines.map { String(decoding: $0.dropFirst(), as: UTF8.self) }.joined(separator: "\n")
    }

    /// The error for a path that a patch must not touch.
    static func refusal(_ patch: Patch, _ number: Int, _ path: String, _ why: String) -> LabError {
        LabError(
            "patch-unsafe", exit: .usage, "Patch \(number) (\(Printable.text(patch.origin))) is refused as unsafe",
            cause: "\(Printable.text(path)): \(why)",
            next: "Look at the patch before you trust whoever it came from; nothing of the series was applied.")
    }
}
