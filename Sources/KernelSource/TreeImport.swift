// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// A folder's content as git objects.
struct ImportedTree: Sendable, Equatable {
    /// The parentless commit.
    let commit: String
    /// Its tree.
    let tree: String
}

extension ObjectStore {
    /// Space that an import may take, in bytes: a kernel is about 350 MB in the store, and a repack needs it twice.
    static let importSpace: Int64 = 1 << 30

    /// Stores every regular file and symbolic link of a folder, byte by byte, and commits the tree without a parent.
    ///
    /// What git would ignore is stored too, `.git` is not, whatever its kind or depth. The commit depends only on
    /// the content and the message. The caller holds the store's lock.
    ///
    /// - Parameters:
    ///   - folder: an absolute path.
    ///   - name: what people call it.
    ///   - index: the index file; one that a former import of the same folder left saves reading unchanged files.
    ///   - message: the commit's message.
    /// - Returns: the commit and its tree.
    /// - Throws: ``LabError`` `disk-full`, `import-failed`.
    func importFolder(_ folder: String, named name: String, index: String, message: String) async throws -> ImportedTree
    {
        try Files.requireSpace(Self.importSpace, at: gitDirectory, for: "the import of \(name)")
        sweepTemporaryFiles()
        try await clearGitLock(of: index)
        try makeFolder((index as NSString).deletingLastPathComponent)
        do {
            do {
                return try await commitFolder(folder, index, message)
            } catch let error as LabError where error.code == "tool-failed" && Files.exists(index) {
                // The index may be torn, or speak of objects that are gone.
                try? FileManager.default.removeItem(atPath: index)
                return try await commitFolder(folder, index, message)
            }
        } catch let error as LabError where error.code == "tool-failed" {
            throw LabError(
                "import-failed", "\(name) could not be imported", cause: error.cause,
                next: "Make every file of it readable, and see that the disk is not full.")
        }
    }

    private func commitFolder(_ folder: String, _ index: String, _ message: String) async throws -> ImportedTree {
        let isFirst = !Files.exists(index)
        let list = try cache.stagingFolder()
        defer { try? FileManager.default.removeItem(atPath: list) }
        // Paths never pass through Swift strings: they may be any bytes. What the index already has is listed too, so
        // that update-index notices what is gone. Sorted, because git appends to an index faster than it inserts.
        let collect = command(
            [
                "-ec",
                """
                find . -name .git -prune -o \\( -type f -o -type l \\) -printf '%P\\0' >"$1/found"
                git ls-files -z >>"$1/found"
                LC_ALL=C sort -zu -o "$1/sorted" "$1/found"
                """, "sh", list,
            ], index: index, workTree: folder)
        try await runner.check(collect.running("sh"))
        var arguments = ["-ec", "list=$1; shift; exec git \"$@\" <\"$list\"", "sh", list + "/sorted"]
        // Beyond the threshold, git streams blobs into one pack instead of 80,000 loose files. A handful of changed
        // files is better off loose.
        if isFirst { arguments += ["-c", "core.bigFileThreshold=1"] }
        arguments += ["update-index", "--add", "--remove", "--replace", "-z", "--stdin"]
        let add = command(
            arguments, index: index, workTree: folder,
            // One zlib state per file would otherwise be returned to the kernel each time: a fifth of the time.
            environment: ["MALLOC_TOP_PAD_": "\(64 << 20)"])
        try await runner.check(add.running("sh"))
        let tree = try await line(command(["write-tree"], index: index))
        let identity = [
            "GIT_AUTHOR_NAME": "hmmlab", "GIT_AUTHOR_EMAIL": "hmmlab@localhost", "GIT_AUTHOR_DATE": "946684800 +0000",
            "GIT_COMMITTER_NAME": "hmmlab", "GIT_COMMITTER_EMAIL": "hmmlab@localhost",
            "GIT_COMMITTER_DATE": "946684800 +0000",
        ]
        let commit = try await line(command(["commit-tree", "-m", message, tree], environment: identity))
        try await tidy()
        return ImportedTree(commit: commit, tree: tree)
    }

    private func line(_ command: Command) async throws -> String {
        try await runner.check(command).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    /// Puts loose objects and small packs together once there are many; a geometric repack keeps what is unreachable.
    func tidy() async throws {
        var counts: [Substring: Int] = [:]
        for line in try await runner.check(command(["count-objects", "-v"])).split(separator: "\n") {
            let parts = line.split(separator: ":")
            if parts.count == 2 { counts[parts[0]] = Int(parts[1].trimmingCharacters(in: .whitespaces)) }
        }
        guard counts["count", default: 0] > 2000 || counts["packs", default: 0] > 20 else { return }
        try await runner.check(command(["repack", "--geometric=2", "-d", "-q", "-n"]))
    }

    /// Removes packs that a killed git never finished; packs are only written under the store's lock.
    private func sweepTemporaryFiles() {
        let folder = gitDirectory + "/objects/pack"
        for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        where name.hasPrefix("tmp_") || name.hasPrefix(".tmp-") {
            let path = folder + "/" + name
            let written = (try? FileManager.default.attributesOfItem(atPath: path))?[.modificationDate] as? Date
            if let written, written.timeIntervalSinceNow < -600 { try? FileManager.default.removeItem(atPath: path) }
        }
    }
}

extension Command {
    /// The same command with another program in its place.
    func running(_ program: String) -> Command {
        var copy = self
        copy.executable = program
        return copy
    }
}
