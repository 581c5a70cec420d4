// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// The commits between two of a person's repository, oldest first.
public struct CommitRange: Sendable, Equatable {
    /// A commit.
    public struct Commit: Sendable, Equatable {
        /// 40 hexadecimal digits.
        public var id: String
        /// The first line of its message.
        public var subject: String
        /// `Name <address>`.
        public var author: String
    }

    /// The repository, as an absolute path.
    public var repository: String
    /// The commit that the range begins behind.
    public var good: String
    /// The commits; the last one is the range's end.
    public var commits: [Commit]
}

extension KernelSources {
    /// The commits from a good one to a bad one, along first parents, so that a merge is one step.
    ///
    /// - Parameter path: a repository; it is only read.
    /// - Throws: ``LabError`` `repository-missing`, `repository-foreign`, `revision-unknown`, `range-not-linear`.
    public func commits(of path: String, from good: String, to bad: String) async throws -> CommitRange {
        let absolute = URL(fileURLWithPath: Files.expandingHome(in: path)).standardizedFileURL.path
        let repository = UserRepository(path: absolute, runner: runner)
        let (from, to) = (try await repository.commit(good), try await repository.commit(bad))
        let text = try await repository.output([
            "log", "--first-parent", "--reverse", "--no-show-signature", "--no-notes", "--encoding=UTF-8",
            "--format=tformat:%H%x09%P%x09%an <%ae>%x09%s", "\(from)..\(to)",
        ])
        let lines = text.split(separator: "\n").map {
            $0.split(separator: "\t", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
        }.filter { $0.count == 4 }
        if lines.isEmpty, from != to {
            throw LabError(
                "range-not-linear", exit: .usage, "\(bad) is not behind \(good)",
                cause: "No commit of \(bad) is not in \(good) already.",
                next: "Give the older commit first; for a fault that went away, look for where it came in instead.")
        }
        if let first = lines.first, first[1].split(separator: " ").first.map(String.init) != from {
            throw LabError(
                "range-not-linear", exit: .usage, "\(good) is not on the first-parent line of \(bad)",
                cause: "Behind \(good), \(first[0]) would be the first commit, but it has another parent.",
                next: "Give a good commit that `git log --first-parent \(bad)` shows, such as the merge base.")
        }
        return CommitRange(
            repository: absolute, good: from,
            commits: lines.map { .init(id: $0[0], subject: $0[3], author: $0[2]) })
    }

    /// What a commit changes against its first parent.
    ///
    /// - Parameter reversed: whether to take it back instead.
    /// - Throws: ``LabError`` as ``commits(of:from:to:)``.
    public func diff(of commit: String, in repository: String, reversed: Bool = false) async throws -> String {
        try await UserRepository(path: repository, runner: runner).output(
            [
                "diff-tree", "-p", "--no-commit-id", "--binary", "--full-index", "--no-ext-diff", "--no-textconv",
                "--no-color", "--src-prefix=a/", "--dst-prefix=b/",
            ] + (reversed ? [commit, commit + "^1"] : [commit + "^1", commit]))
    }
}
