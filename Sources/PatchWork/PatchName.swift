// SPDX-License-Identifier: Apache-2.0
import Foundation

/// The trailer by which a commit says which patch of the model it is.
///
/// A trailer is a part of the message, so that it survives what git does to commits: rebase, amend, cherry-pick.
enum PatchName {
    private static let key = "Patch-Name"

    /// A message's body with the trailer; a last paragraph of trailers gets one more, else it is a paragraph of its own.
    static func adding(_ id: String, to body: String) -> String {
        guard !body.isEmpty else { return "\(key): \(id)" }
        let paragraph = body.components(separatedBy: "\n\n").last ?? body
        let isTrailers = paragraph.split(separator: "\n").allSatisfy {
            $0.prefixMatch(of: #/[A-Za-z0-9][A-Za-z0-9\-]*: /#) != nil || $0.hasPrefix(" ") || $0.hasPrefix("[")
        }
        return body + (isTrailers ? "\n" : "\n\n") + "\(key): \(id)"
    }

    /// The ids that a body's trailers name, in their order, and the body without them.
    static func taking(from body: String) -> (ids: [String], body: String) {
        var ids: [String] = []
        var kept: [Substring] = []
        for line in body.split(separator: "\n", omittingEmptySubsequences: false) {
            if let match = line.wholeMatch(of: /Patch-Name: *([^\s]+)\s*/.ignoresCase()) {
                ids.append(String(match.1))
            } else if !(line.isEmpty && (kept.last?.isEmpty ?? true)) {
                kept.append(line)
            }
        }
        while kept.last?.isEmpty ?? false { kept.removeLast() }
        return (ids, kept.joined(separator: "\n"))
    }

    /// The topic and the name of an id such as `fixes/one`; nil for anything else.
    static func parts(_ id: String) -> (topic: String, name: String)? {
        guard let match = id.wholeMatch(of: #/([A-Za-z0-9][A-Za-z0-9._\-]*)/([A-Za-z0-9][A-Za-z0-9._\-]*)/#) else {
            return nil
        }
        return (String(match.1), String(match.2))
    }
}
