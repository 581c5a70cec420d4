// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// What a person names as the kernel to start from, such as `debian:6.12`; what it means today is a ``Base``.
public enum BaseSpec: Sendable, Hashable {
    /// A linux-source package of the Debian archive.
    case debian(DebianChoice)
    /// A commit of a repository on this machine; the path is absolute.
    case git(repository: String, revision: String)
    /// A folder as it is at the moment; the path is absolute.
    case directory(String)
    /// A tar archive, plain or compressed by gzip, xz or zstd; the path is absolute.
    case tar(String)

    /// Which of the archive's linux-source packages is meant.
    public enum DebianChoice: Sendable, Hashable {
        /// The newest released kernel of any suite; release candidates only count for ``series(_:)``.
        case latest
        /// The newest package of a kernel series such as `6.12`.
        case series(String)
        /// One version: a package version such as `6.12.117-1~deb12u1`, the same without its rebuild suffix
        /// (`6.12.117-1`), or an upstream version such as `6.12.117`.
        case version(String)
    }

    /// The accepted forms, one per line, for help texts and errors.
    public static let forms = """
        debian:6.12              the newest linux-source of that series that Debian offers; 6.12 for short
        debian:6.12.117-1        exactly that version
        debian:latest            the newest released linux-source of any suite
        git:PATH@REV             a commit of a repository on this machine
        dir:PATH                 a source folder as it is now
        tar:FILE                 a source archive (.tar, .tar.gz, .tar.xz, .tar.zst)
        """

    /// Reads a specification as people write it.
    ///
    /// - Parameters:
    ///   - text: one of ``forms``.
    ///   - currentDirectory: where relative paths start.
    ///   - home: what a leading `~/` stands for; a shell leaves it alone after `git:`.
    /// - Throws: ``LabError`` `base-spec-invalid`, which lists the forms.
    public init(
        parsing text: String, currentDirectory: String = FileManager.default.currentDirectoryPath,
        home: String = NSHomeDirectory()
    ) throws {
        func absolute(_ path: Substring) -> String {
            let path = Files.expandingHome(in: String(path), home: home)
            return Self.standardized(path.hasPrefix("/") ? path : currentDirectory + "/" + path)
        }
        if text.wholeMatch(of: /[0-9]+\.[0-9]+/) != nil {
            self = .debian(.series(text))
            return
        }
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[1].isEmpty, !text.contains("\n"), !text.contains("\0") else {
            throw Self.invalid(text)
        }
        switch parts[0] {
        case "debian":
            guard let choice = DebianChoice(String(parts[1])) else { throw Self.invalid(text) }
            self = .debian(choice)
        case "git":
            guard let (path, revision) = Self.splitRevision(parts[1]) else { throw Self.invalid(text) }
            self = .git(repository: absolute(path), revision: String(revision))
        case "dir": self = .directory(absolute(parts[1]))
        case "tar": self = .tar(absolute(parts[1]))
        default: throw Self.invalid(text)
        }
    }

    private static func invalid(_ text: String) -> LabError {
        LabError(
            "base-spec-invalid", exit: .usage, "\"\(text)\" does not name a base",
            cause: "A base has one of these forms:\n" + forms, next: "Use --base debian:6.12, for example.")
    }

    /// Cuts `PATH@REV`; both may hold an `@`, so the last one that does not open `@{...}` (gitrevisions(7)) divides.
    private static func splitRevision(_ text: Substring) -> (path: Substring, revision: Substring)? {
        var candidate = text.endIndex
        while let at = text[..<candidate].lastIndex(of: "@") {
            let revision = text[text.index(after: at)...]
            if !revision.isEmpty, !revision.hasPrefix("{"), !revision.hasPrefix("-"), at > text.startIndex {
                return (text[..<at], revision)
            }
            candidate = at
        }
        return nil
    }

    /// An absolute path without `.`, `..` and doubled slashes; symbolic links stay as they are named.
    private static func standardized(_ path: String) -> String {
        var parts: [Substring] = []
        for part in path.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }
}

extension BaseSpec.DebianChoice {
    /// Reads what follows `debian:`; nil unless it is `latest` or a version by Debian Policy 5.6.12 without an epoch.
    init?(_ text: String) {
        if text == "latest" {
            self = .latest
        } else if text.wholeMatch(of: /[0-9]+\.[0-9]+/) != nil {
            self = .series(text)
        } else if text.wholeMatch(of: /[0-9]+\.[0-9]+[.~\-][A-Za-z0-9.+~\-]*/) != nil {
            self = .version(text)
        } else {
            return nil
        }
    }
}

extension BaseSpec: CustomStringConvertible {
    /// The specification in the form that ``init(parsing:currentDirectory:home:)`` reads, with absolute paths.
    public var description: String {
        switch self {
        case .debian(.latest): "debian:latest"
        case .debian(.series(let text)), .debian(.version(let text)): "debian:\(text)"
        case .git(let repository, let revision): "git:\(repository)@\(revision)"
        case .directory(let path): "dir:\(path)"
        case .tar(let path): "tar:\(path)"
        }
    }
}

extension BaseSpec: Codable {
    /// Reads the description.
    public init(from decoder: any Decoder) throws {
        try self.init(parsing: decoder.singleValueContainer().decode(String.self))
    }

    /// Writes the description as one string.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
