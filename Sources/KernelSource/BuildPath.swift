// SPDX-License-Identifier: Apache-2.0
import HarnessCore

/// Folders that a kernel can be built in.
public enum BuildPath {
    /// What divides words for make, or means something to make or to the shell in its recipes.
    private static let special: Set<Character> = [
        ":", "\"", "'", "`", "$", "#", "%", "\\", ";", "&", "|", "<", ">", "(", ")", "*", "?", "[", "]",
    ]

    /// Refuses a folder whose name kbuild cannot work with, before gigabytes are fetched for it.
    ///
    /// - Parameters:
    ///   - path: the absolute path of the folder that sources or objects will lie in.
    ///   - variable: the environment variable that moves it.
    /// - Throws: ``LabError`` `path-unbuildable`.
    public static func check(_ path: String, setBy variable: String) throws {
        guard let bad = path.first(where: { $0.isWhitespace || special.contains($0) }) else { return }
        throw LabError(
            "path-unbuildable", "No kernel can be built in \(path)",
            cause: "The kernel's make takes no \(bad.isWhitespace ? "spaces" : "`\(bad)`") in the names of folders.",
            next: "Set \(variable) to a folder with a plain name.")
    }
}
