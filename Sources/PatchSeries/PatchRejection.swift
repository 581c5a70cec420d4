// SPDX-License-Identifier: Apache-2.0
import HarnessCore

/// Why a patch does not apply: the place in the patch, and what the base has there.
public struct PatchRejection: Sendable, Equatable, Codable {
    /// The kind of obstacle.
    public enum Reason: String, Sendable, Equatable, Codable {
        /// The lines that the patch wants to change are not there.
        case context
        /// The base has the change already: the patch can be applied backwards.
        case alreadyInBase = "already-in-base"
        /// The base lacks a file that the patch changes.
        case fileMissing = "file-missing"
        /// The base has a file, or a folder, where the patch creates a file.
        case fileExists = "file-exists"
        /// A binary file whose content the patch does not carry, or that differs in the base.
        case binary
        /// Something else that only git's own words describe.
        case other
    }

    /// What is wrong with one file.
    public struct File: Sendable, Equatable, Codable {
        /// The path in the base.
        public var path: String
        /// The kind of obstacle.
        public var reason: Reason
        /// The hunks that do not fit; empty unless the reason is ``Reason/context``.
        public var hunks: [RejectedHunk]
    }

    /// A hunk that does not fit, beside what the base has at its likeliest place.
    public struct RejectedHunk: Sendable, Equatable, Codable {
        /// The `@@` line as it stands in the patch.
        public var header: String
        /// The hunk's lines as they stand in the patch, at most ``longestHunk`` of them.
        public var lines: [String]
        /// The number of the first of ``baseLines``, from 1; 0 if the file is empty.
        public var baseStart: Int
        /// The base's lines, at most ``longestHunk``.
        public var baseLines: [String]
        /// Whether the lines that the hunk changes are there after all.
        ///
        /// Its place could still not be told, as it happens to hunks without lines of context.
        public var isThere: Bool
    }

    /// The most lines that are kept of a hunk.
    public static let longestHunk = 200

    /// The patch's place in the series, from 1.
    public var number: Int
    /// How many patches the series has.
    public var total: Int
    /// The patch's subject.
    public var subject: String
    /// Where the patch came from; see ``Patch/origin``.
    public var origin: String
    /// The kind of obstacle that decides.
    public var reason: Reason
    /// The files concerned, in the patch's order.
    public var files: [File]
    /// Files that differ from those the patch was made for.
    public var drift: [String]
    /// What git said.
    public var toolOutput: String

    /// The rejection as an error for people; its code is `patch-does-not-apply`, its details are the rejection itself.
    public var labError: LabError {
        let patch = "Patch \(number) of \(total), \"\(Printable.text(subject))\" (\(Printable.text(origin))),"
        let names = files.filter { $0.reason == reason }.map { Printable.text($0.path) }
        let (sentence, next) =
            switch reason {
            case .context:
                (
                    "\(patch) does not apply",
                    drift.isEmpty
                        ? "Correct the patch for this base, or choose the base that it was made for with --base."
                        : "The patch was made for another version of \(drift.prefix(5).joined(separator: ", ")): "
                            + "rebase the series, or choose that version with --base."
                )
            case .alreadyInBase:
                ("\(patch) is already in the base", "Leave the patch out, or choose an older base with --base.")
            case .fileMissing:
                (
                    "\(patch) changes a file that the base does not have",
                    "Check that the series is for this base and that no patch before it is missing."
                )
            case .fileExists:
                (
                    "\(patch) creates a file that the base already has",
                    "Leave the patch out if the base already contains the change, or choose another base with --base."
                )
            case .binary:
                (
                    "\(patch) changes a binary file in a way that cannot be applied",
                    "Make the patch again with git format-patch --binary --full-index."
                )
            case .other:
                ("\(patch) does not apply", "Check the patch; git apply --check shows the same.")
            }
        let cause =
            switch reason {
            case .context: Self.listing(files)
            case .alreadyInBase: "Applied backwards it fits: every line that it adds is there."
            case .fileMissing, .fileExists: names.joined(separator: "\n")
            case .binary: (names + [Printable.message(toolOutput)]).filter { !$0.isEmpty }.joined(separator: "\n")
            case .other: Printable.message(toolOutput)
            }
        return LabError(
            "patch-does-not-apply", exit: .buildFailed, sentence, cause: cause, next: next,
            details: try? JSONValue(self))
    }

    /// The first few hunks, each with the base's lines below it.
    private static func listing(_ files: [File]) -> String {
        let all = files.flatMap { file in file.hunks.map { (file.path, $0) } }
        var lines: [String] = []
        for (path, hunk) in all.prefix(3) {
            lines.append("\(Printable.text(path)), hunk \(hunk.header)")
            lines += shortened(hunk.lines, to: 30).map { "  \($0)" }
            if hunk.isThere {
                lines.append("these lines are there, but the hunk has too little context to tell which are meant")
            }
            if hunk.baseLines.isEmpty {
                lines.append("the base's file is empty")
            } else {
                lines.append("the base has, from line \(hunk.baseStart):")
                lines += shortened(hunk.baseLines, to: 16).map { "   \($0)" }
            }
        }
        if all.count > 3 { lines.append("and \((all.count - 3).of("more hunk"))") }
        return lines.joined(separator: "\n")
    }

    private static func shortened(_ lines: [String], to count: Int) -> [String] {
        lines.count <= count ? lines : lines.prefix(count - 1) + ["… (\((lines.count - count + 1).of("more line")))"]
    }
}

extension Printable {
    /// What a program printed, shortened and without control characters.
    static func message(_ said: String) -> String {
        said.split(separator: "\n").suffix(12).map { line(Array($0.utf8)) }.joined(separator: "\n")
    }
}
