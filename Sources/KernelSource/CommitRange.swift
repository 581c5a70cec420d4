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

    /// The versions of linux-source between two, in their order, as far as the archive or the store has them.
    ///
    /// Versions that differ only by the mark of a rebuild are one.
    ///
    /// - Parameters:
    ///   - good: a version such as `6.12.94-1`.
    ///   - bad: a later one, or an earlier one for a fault that went away.
    /// - Throws: ``LabError`` `base-unknown` if one of them cannot be had.
    public func versions(from good: String, to bad: String, refresh: RefreshPolicy) async throws -> [String] {
        let listing = try await list(refresh: refresh)
        let all = Set(
            (listing.offered.map(\.version) + listing.cached.compactMap(\.debianVersion)).map(
                DebianVersions.withoutRebuild))
        let (good, bad) = (DebianVersions.withoutRebuild(good), DebianVersions.withoutRebuild(bad))
        for version in [good, bad] where !all.contains(version) {
            throw LabError(
                "base-unknown", exit: .usage, "There is no linux-source \(version) to be had",
                cause: listing.problem?.sentence,
                next: "hmmlab base list shows what the archive offers and what the cache holds.")
        }
        let order = DebianVersions(runner: runner)
        let isRising = try await order.isLater(bad, than: good)
        let (low, high) = isRising ? (good, bad) : (bad, good)
        var between: [String] = []
        for version in all {
            if try await order.isLater(low, than: version) { continue }
            if try await order.isLater(version, than: high) { continue }
            var place = between.count
            while place > 0 {
                guard try await order.isLater(between[place - 1], than: version) else { break }
                place -= 1
            }
            between.insert(version, at: place)
        }
        return isRising ? between : between.reversed()
    }
}

extension UserRepository {
    /// What a git command on the repository prints.
    func output(_ arguments: [String]) async throws -> String {
        let output = try await runner.run(
            Command("git", ["-C", path] + arguments, environment: GitEnvironment.clean()), outputLimit: 64 << 20)
        guard output.ending.isSuccess else { throw failure(output.standardError) }
        return output.standardOutput
    }
}
