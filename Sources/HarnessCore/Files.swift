// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Small file operations whose failures are sentences.
public enum Files {
    /// Whether something exists at a path.
    public static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    /// Whether a path names a folder.
    public static func isFolder(_ path: String) -> Bool {
        var folder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &folder) && folder.boolValue
    }

    /// A file's text, with bytes that are not UTF-8 replaced by U+FFFD.
    ///
    /// - Throws: ``LabError`` `file-unreadable`.
    public static func text(_ path: String) throws -> String {
        String(decoding: try bytes(path), as: UTF8.self)
    }

    /// A file's bytes.
    ///
    /// - Throws: ``LabError`` `file-unreadable`.
    public static func bytes(_ path: String) throws -> Data {
        do {
            return try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            throw LabError("file-unreadable", exit: .usage, "\(path) cannot be read", cause: reason(error))
        }
    }

    /// Writes a file so that readers see the old content or the new, never a part (write beside it, then rename(2)).
    ///
    /// - Throws: ``LabError`` `file-unwritable`.
    public static func write(_ text: String, to path: String) throws {
        try write(Data(text.utf8), to: path)
    }

    /// Writes a file so that readers see the old content or the new, never a part.
    ///
    /// - Throws: ``LabError`` `file-unwritable`.
    public static func write(_ data: Data, to path: String) throws {
        do {
            let folder = (path as NSString).deletingLastPathComponent
            if !folder.isEmpty {
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            }
            try data.write(to: URL(fileURLWithPath: path), options: .atomic)
        } catch {
            throw LabError("file-unwritable", "\(path) cannot be written", cause: reason(error))
        }
    }

    /// Free space in bytes on the filesystem that holds a path; nil if it cannot be told (statvfs(3)).
    public static func freeSpace(at path: String) -> Int64? {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return nil }
        return Int64(status.f_bavail) * Int64(status.f_frsize)
    }

    /// Fails with a sentence if a path's filesystem has less room than a step needs.
    ///
    /// - Throws: ``LabError`` `disk-full`.
    public static func requireSpace(_ bytes: Int64, at path: String, for purpose: String) throws {
        guard let free = freeSpace(at: path), free < bytes else { return }
        throw LabError(
            "disk-full", "There is not enough disk space for \(purpose)",
            cause: "\(path) has \(free >> 20) MiB free, \(bytes >> 20) MiB are needed",
            next: "Free some space, or set XDG_CACHE_HOME to a folder on a larger disk.")
    }

    /// The underlying reason of a Foundation error, such as "No such file or directory".
    private static func reason(_ error: any Error) -> String {
        let error = error as NSError
        if let inner = error.userInfo[NSUnderlyingErrorKey] as? NSError, inner.domain == NSPOSIXErrorDomain {
            return String(cString: strerror(Int32(inner.code)))
        }
        return error.localizedDescription
    }
}
