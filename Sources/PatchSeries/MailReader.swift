// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// Takes mbox files apart with git-mailsplit(1) and decodes each mail with git-mailinfo(1).
struct MailReader {
    struct File {
        var id: Int
        var path: String
        /// Whether the mail itself has CR LF at its line ends; if not, a CR is content and stays.
        var hasCarriageReturns: Bool
    }

    let git: Git
    let staging: String

    /// All files in one shell, for a thousand mails need two thousand short-lived processes.
    ///
    /// `--mboxrd` undoes the escaping of `>From `, which never begins a line of a diff. `-b` takes a mail without an
    /// mbox line. `-u` asks for UTF-8; `--encoding=UTF-8` leaves everything as it is in git 2.39. A mail that cannot be
    /// decoded leaves a `.bad` file, which tells it from one that is merely strange.
    private static let work = """
        # $1: the step for one file, $2: all of them; two processors are common.
        each() {
            step=$1
            shift
            for half in 0 1; do
                (
                    n=0
                    for file; do
                        n=$(((n + 1) % 2))
                        [ $n != $half ] || "$step" "$file"
                    done
                ) &
                [ $half = 1 ] || first=$!
            done
            wait $first
            wait $!
        }
        split() {
            id=${1#in/}
            case $id in *-crlf) keep= ;; *) keep=--keep-cr ;; esac
            mkdir "out/$id"
            "$git" mailsplit -b --mboxrd $keep -d6 -o"out/$id" "$1" >/dev/null
        }
        decode() {
            "$git" mailinfo -k -u "$1.msg" "$1.diff" <"$1" >"$1.info" 2>"err.$half" || mv "err.$half" "$1.bad"
        }
        each split in/*
        each decode out/*/*
        """

    /// The mails of each file, by the file's id.
    ///
    /// - Throws: ``LabError`` `series-unreadable`, `series-too-large`.
    func read(_ files: [File]) async throws -> [Int: [Mail]] {
        guard !files.isEmpty else { return [:] }
        let folder = staging + "/mail"
        do {
            for name in ["in", "out"] {
                try FileManager.default.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
            }
            for file in files {
                try FileManager.default.createSymbolicLink(
                    atPath: "\(folder)/in/\(name(file))", withDestinationPath: URL(fileURLWithPath: file.path).path)
            }
        } catch {
            throw LabError(
                "cache-unwritable", "\(folder) cannot be written", cause: (error as NSError).localizedDescription,
                next: "Set XDG_CACHE_HOME to a folder that you can write.")
        }
        let output = try await git.runner.run(git.script(Self.work, directory: nil, in: folder))
        guard output.ending.isSuccess else {
            throw LabError(
                "series-unreadable", exit: .usage,
                "The mails of \(files.map(\.path).prefix(3).joined(separator: ", ")) cannot be told apart",
                cause: output.standardError.trimmingCharacters(in: .whitespacesAndNewlines),
                next: "Check that the file is an mbox; git mailsplit shows the same.")
        }
        var mails: [Int: [Mail]] = [:]
        for file in files { mails[file.id] = try self.mails(of: file, in: "\(folder)/out/\(name(file))") }
        return mails
    }

    private func name(_ file: File) -> String { "\(file.id)\(file.hasCarriageReturns ? "-crlf" : "")" }

    private func mails(of file: File, in folder: String) throws -> [Mail] {
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { !$0.contains(".") }
        let sorted = names.sorted { (Int($0) ?? 0) < (Int($1) ?? 0) }
        guard sorted.count <= 4 * SeriesReader.mostPatches else { throw SeriesReader.tooMany(file.path) }
        return try sorted.enumerated().map { index, name in
            let path = "\(folder)/\(name)"
            if Files.exists(path + ".bad") {
                let said = try Files.text(path + ".bad").split(separator: "\n").suffix(4).joined(separator: "\n")
                throw LabError(
                    "series-unreadable", exit: .usage, "Mail \(index + 1) of \(file.path) cannot be decoded",
                    cause: Printable.text(said), next: "Get the mail again in its original form.")
            }
            let limit = SeriesReader.largestPatch
            let code = "patch-too-large"
            let message = try BoundedFile.read(path + ".msg", limit: limit, code: code)
            return Mail(
                number: index + 1, info: try Files.text(path + ".info"), body: String(decoding: message, as: UTF8.self),
                patch: try BoundedFile.read(path + ".diff", limit: limit, code: code),
                raw: try BoundedFile.read(path, limit: limit, code: code))
        }
    }
}

extension Mail {
    /// Puts a mail together from what git-mailinfo(1) prints: `Author:`, `Email:`, `Subject:` and `Date:` lines.
    init(number: Int, info: String, body: String, patch: Data, raw: Data) {
        var fields: [Substring: String] = [:]
        for line in info.split(separator: "\n") {
            guard let colon = line.range(of: ": ") else { continue }
            fields[line[..<colon.lowerBound]] = String(line[colon.upperBound...])
        }
        let email = CommitText.identity(fields["Email"] ?? "")
        let name = CommitText.identity(fields["Author"] ?? "")
        self.init(
            number: number, title: CommitText.line(fields["Subject"] ?? ""),
            author: email.isEmpty && name.isEmpty
                ? nil
                : Patch.Author(
                    name: name.isEmpty ? email : name, email: email, date: fields["Date"].flatMap(CommitText.date)),
            body: CommitText.body(body), patch: patch, raw: raw)
    }
}
