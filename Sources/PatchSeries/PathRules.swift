// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Which paths and symbolic links a patch may make: only such that stay inside the tree.
enum PathRules {
    /// Why a path must not be touched; nil if it may.
    static func objection(to path: String) -> String? {
        if path.utf8.first == UInt8(ascii: "/") { return "it is absolute" }
        if path.utf8.count > Int(PATH_MAX) { return "it is longer than any path can be" }
        if path.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
            return "it contains control characters"
        }
        // Names that only differ in their Unicode form are one String, but two files.
        if !path.precomposedStringWithCanonicalMapping.utf8.elementsEqual(path.utf8) {
            return "it is not in Unicode's composed form (NFC)"
        }
        for name in names(path) {
            switch name {
            case "": return "it contains an empty name"
            case ".": return "it contains ."
            case "..": return "it contains .. and would leave the tree"
            default: if isGitFolder(name) { return "it reaches into a .git folder" }
            }
        }
        return nil
    }

    /// Why a symbolic link at a path must not have a target; nil if it may.
    ///
    /// Only leading `..` are allowed: behind a name that is itself a link, `..` leads elsewhere than it seems to.
    static func objection(toLink path: String, target: String) -> String? {
        if target.isEmpty { return "its target is empty" }
        if target.utf8.first == UInt8(ascii: "/") { return "its target is absolute" }
        if target.utf8.count > Int(PATH_MAX) { return "its target is longer than any path can be" }
        if target.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
            return "its target contains control characters"
        }
        var depth = names(path).count - 1
        var isBelowName = false
        for name in names(target) where !name.isEmpty && name != "." {
            if name == ".." {
                depth -= 1
                if isBelowName { return "its target contains .. behind a name" }
                if depth < 0 { return "its target is outside of the tree" }
            } else {
                isBelowName = true
                if isGitFolder(name) { return "its target is in a .git folder" }
            }
        }
        return nil
    }

    /// The folders above a path, the outermost first.
    static func ancestors(of path: String) -> [String] {
        let names = names(path)
        return (1..<max(names.count, 1)).map { names.prefix($0).joined(separator: "/") }
    }

    /// Over bytes: as a Character, a slash before a combining mark is no slash.
    private static func names(_ path: String) -> [String] {
        path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map { String(Substring($0)) }
    }

    /// `.git` as any filesystem might understand it: case folded, with tails that Windows cuts off, or its short name.
    private static func isGitFolder(_ name: String) -> Bool {
        let folded = String(name.unicodeScalars.filter { !$0.properties.isDefaultIgnorableCodePoint }).lowercased()
        let bare = folded.prefix { $0 != ":" }
        let end = bare.lastIndex { $0 != "." && $0 != " " }
        let trimmed = end.map { bare[...$0] } ?? ""
        return trimmed == ".git" || trimmed == "git~1"
    }
}
