// SPDX-License-Identifier: Apache-2.0
import Foundation
import SystemPackage

/// A file of JSON values, one a line, each on the disk before the call that appends it returns (fsync(2)).
///
/// A process that is killed leaves at most one torn line, its last: without the newline a line does not count, and it is
/// cut off when the file is opened again.
public final class JournalFile: Sendable {
    private let descriptor: FileDescriptor
    private let path: String

    /// Makes a new file.
    ///
    /// - Throws: ``LabError`` `journal-unwritable`, also if there is one already.
    public convenience init(creating path: String) throws {
        try self.init(path, [.create, .exclusiveCreate, .closeOnExec], length: nil)
    }

    /// Opens a file to go on behind its whole lines.
    ///
    /// - Throws: ``LabError`` `journal-unwritable`, `file-unreadable`.
    public convenience init(continuing path: String) throws {
        let length = try Self.lines(at: path).reduce(0) { $0 + $1.count + 1 }
        try self.init(path, [.closeOnExec], length: length)
    }

    private init(_ path: String, _ options: FileDescriptor.OpenOptions, length: Int?) throws {
        self.path = path
        do {
            let descriptor = try FileDescriptor.open(
                path, .writeOnly, options: options, permissions: [.ownerReadWrite, .groupRead, .otherRead])
            self.descriptor = descriptor
            do {
                if let length { try descriptor.resize(to: Int64(length)) }
                try descriptor.seek(offset: 0, from: .end)
            } catch {
                try? descriptor.close()
                throw error
            }
        } catch {
            throw Self.unwritable(path, "\(error)")
        }
    }

    deinit { try? descriptor.close() }

    /// The whole lines of a file, without their newlines.
    ///
    /// - Throws: ``LabError`` if it cannot be read.
    public static func lines(at path: String) throws -> [Data] {
        let newline = UInt8(ascii: "\n")
        let lines = try Files.bytes(path).split(separator: newline, omittingEmptySubsequences: false)
        return lines.dropLast().map { Data($0) }
    }

    /// Appends a value as a line and waits until the disk has it.
    ///
    /// - Throws: ``LabError`` `journal-unwritable`; `EncodingError`.
    public func append(_ value: some Encodable) throws {
        let line = try JSON.line(value)
        do {
            _ = try descriptor.writeAll(line)
        } catch {
            throw Self.unwritable(path, "\(error)")
        }
        guard fsync(descriptor.rawValue) == 0 else { throw Self.unwritable(path, String(cString: strerror(errno))) }
    }

    private static func unwritable(_ path: String, _ cause: String) -> LabError {
        LabError(
            "journal-unwritable", "The journal \(path) cannot be written", cause: cause,
            next: "Make room there, and go on with --resume.")
    }
}
