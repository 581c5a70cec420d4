// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore

/// The folder that mails are written to; it may hold several versions of a series.
public struct MailFolder: Sendable {
    /// The folder.
    public let path: String

    /// A folder, which need not exist yet.
    public init(_ path: String) { self.path = path }

    /// Writes a series; files that are there already with the same bytes are not touched.
    ///
    /// Files of other versions stay as they are, but for the list `series`, which is always that of the version written
    /// last. Files of this version that differ, or that the series does not have, are an error unless forced.
    ///
    /// - Returns: the names of the files that were written or removed.
    /// - Throws: ``LabError`` `mails-differ`, `folder-unwritable`, `file-unwritable`.
    @discardableResult
    public func write(_ series: MailSeries, force: Bool = false) throws -> [String] {
        try Files.makeFolder(path)
        let present = try names()
        let wanted = Set(series.files.map(\.name))
        let strays = present.filter { MailNames.parse($0)?.version == series.version && !wanted.contains($0) }
        let changed = try series.files.filter { file in
            guard present.contains(file.name) else { return true }
            return try Files.bytes("\(path)/\(file.name)", exit: .usage) != file.bytes
        }
        let lost = try strays + changed.filter { try present.contains($0.name) && !isOurList($0, series) }.map(\.name)
        guard force || lost.isEmpty else {
            throw LabError(
                "mails-differ", exit: .usage, "\(path) holds other files of version \(series.version)",
                cause: lost.sorted().joined(separator: "\n"),
                next: "Write the next version with -v \(series.version + 1), or take --force to replace them.")
        }
        // The list comes last: what it names is there.
        for file in changed { try Files.write(file.bytes, to: "\(path)/\(file.name)") }
        for name in strays { try FileManager.default.removeItem(atPath: "\(path)/\(name)") }
        return (changed.map(\.name) + strays).sorted()
    }

    /// Whether a file is the list of another version, which may go.
    private func isOurList(_ file: MailFile, _ series: MailSeries) throws -> Bool {
        guard file.kind == .series else { return false }
        return try Files.text("\(path)/\(file.name)", exit: .usage).split(separator: "\n").allSatisfy { line in
            MailNames.parse(String(line)).map { $0.version != series.version } ?? false
        }
    }

    private func names() throws -> Set<String> {
        do {
            return Set(try FileManager.default.contentsOfDirectory(atPath: path))
        } catch {
            throw Files.unreadable(path, exit: .usage, cause: error.localizedDescription)
        }
    }
}
