// SPDX-License-Identifier: Apache-2.0
import ContentDigest
import Foundation
import HarnessCore
import PatchModel
import PatchSeries

/// A base to work on.
public struct WorkBase: Sendable, Equatable, Codable {
    /// What people call it, such as `debian:6.12`.
    public var spec: String
    /// Its commit in the store, as a whole id.
    public var commit: String
    /// The kernel series.
    public var series: BaseSeries

    /// Makes a base.
    public init(spec: String, commit: String, series: BaseSeries) {
        self.spec = spec
        self.commit = commit
        self.series = series
    }
}

/// What a work folder was made from: the file `hmmlab-session.json` in its git directory.
struct WorkSession: Sendable, Equatable, Codable {
    /// What was known about a patch when it became a commit, or when its commit was last exported.
    struct Record: Sendable, Equatable, Codable {
        /// `topic/name`.
        var id: String
        /// The commit; nil for a patch that changes nothing on this base, and for one that was left out of a port.
        var commit: String?
        /// The commit's subject.
        var subject: String
        /// Names the commit's parts; line numbers and the like do not count.
        var digests: TextDigests
        /// Names the patch's text on this base in the model.
        var model: String
    }

    /// The form of the file.
    var schema = 1
    /// The base that the commits stand on.
    var base: WorkBase
    /// The model's folder, as an absolute path.
    var model: String
    /// The topics that were asked for; all for an empty list.
    var topics: [String]
    /// The patches of this base, in the order in which they were applied.
    var patches: [Record]
    /// A port that is not through; nil otherwise.
    var port: PortState?

    /// The branch that people work on.
    static func branch(_ base: WorkBase) -> String { "hmmlab/\(base.series)" }

    private static func path(_ folder: String) -> String { folder + "/.git/hmmlab-session.json" }

    /// Whether a folder is one that ``save(in:)`` has written to.
    static func exists(in folder: String) -> Bool { Files.exists(path(folder)) }

    /// Reads the session of a work folder.
    ///
    /// - Throws: ``LabError`` `session-missing`, `session-bad`.
    static func load(from folder: String) throws -> WorkSession {
        guard exists(in: folder) else {
            throw LabError(
                "session-missing", exit: .usage, "\(folder) was not made by hmmlab patches edit or port",
                cause: "There is no \(path(folder)).", next: "Make one: hmmlab patches edit --base debian:6.12 FOLDER.")
        }
        do {
            let session = try JSON.value(WorkSession.self, from: try Files.bytes(path(folder), exit: .usage))
            guard session.schema == 1 else { throw CocoaError(.coderReadCorrupt) }
            return session
        } catch let error as LabError {
            throw error
        } catch {
            throw LabError(
                "session-bad", exit: .usage, "\(path(folder)) cannot be understood", cause: "\(error)",
                next: "The commits are still there: git format-patch writes them, hmmlab patches import reads them.")
        }
    }

    /// Writes the session into a work folder.
    ///
    /// - Throws: ``LabError`` `file-unwritable`.
    func save(in folder: String) throws { try Files.write(try JSON.text(self), to: Self.path(folder)) }
}

/// Names the three parts of a patch that can change by themselves.
struct TextDigests: Sendable, Equatable, Codable {
    /// Name, address and date.
    var author: String
    /// Subject and body.
    var message: String
    /// The diff as ``PatchText`` compares it.
    var diff: String

    init(_ patch: Patch) {
        author = Digest(of: patch.author.map { "\($0.name)\n\($0.email)\n\($0.date ?? "")" } ?? "").hexadecimal
        message = Digest(of: patch.message).hexadecimal
        diff = Digest(of: PatchText.comparable(patch.diff)).hexadecimal
    }
}

extension ModelPatch {
    /// Names what a session works on: the text on its base, and the text that it would replace there.
    ///
    /// Other bases and their variants are not in it, so that a port elsewhere is no change of this one.
    func fingerprint(on base: BaseSeries) -> String {
        var signature = Signature()
        signature.add("patch", patch.digest.hexadecimal)
        signature.add("is for it", "\(metadata.bases.contains(base))")
        signature.add("variant", variants[base].map { Digest(of: $0).hexadecimal } ?? "none")
        return signature.digest.hexadecimal
    }
}
