// SPDX-License-Identifier: Apache-2.0
import Foundation
import SystemPackage

/// Small file operations whose failures are sentences.
public enum Files {
    /// Whether something exists at a path.
    public static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    /// Whether a path names a folder.
    public static func isFolder(_ path: String) -> Bool {
        var folder: ObjCBool = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &folder) && folder.boolValue
    }

    /// Whether a path names a regular file that is not empty.
    ///
    /// A crash of the host can leave a file's name without its content, so that ``exists(_:)`` says too little about
    /// what lies in the cache.
    public static func hasContent(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && status.st_size > 0
    }

    /// A path whose leading `~/` stands for the home folder, which no shell replaces behind `git:`; others stay.
    public static func expandingHome(in path: String, home: String = NSHomeDirectory()) -> String {
        path == "~" || path.hasPrefix("~/") ? home + path.dropFirst() : path
    }

    /// Makes a folder that a person named, and those above it.
    ///
    /// - Throws: ``LabError`` `folder-unwritable`.
    public static func makeFolder(_ path: String) throws {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw LabError(
                "folder-unwritable", exit: .usage, "The folder \(path) cannot be made", cause: reason(error),
                next: "Choose a folder that you can write.")
        }
    }

    /// A file's text, with bytes that are not UTF-8 replaced by U+FFFD.
    ///
    /// - Parameters:
    ///   - path: the file.
    ///   - exit: `.usage` for a file that a person named; the others are hmmlab's own.
    /// - Throws: ``LabError`` `file-unreadable`.
    public static func text(_ path: String, exit: ExitCode = .unavailable) throws -> String {
        String(decoding: try bytes(path, exit: exit), as: UTF8.self)
    }

    /// A file's bytes.
    ///
    /// - Parameters:
    ///   - path: the file.
    ///   - exit: `.usage` for a file that a person named; the others are hmmlab's own.
    /// - Throws: ``LabError`` `file-unreadable`.
    public static func bytes(_ path: String, exit: ExitCode = .unavailable) throws -> Data {
        do {
            return try Data(contentsOf: URL(fileURLWithPath: path))
        } catch {
            throw unreadable(path, exit: exit, cause: reason(error))
        }
    }

    /// The error for a file or folder that cannot be read.
    ///
    /// - Parameters:
    ///   - path: the file or folder.
    ///   - exit: `.usage` for one that a person named; the others are hmmlab's own.
    ///   - cause: why, if it is known.
    public static func unreadable(_ path: String, exit: ExitCode = .unavailable, cause: String?) -> LabError {
        LabError(
            "file-unreadable", exit: exit, "\(path) cannot be read", cause: cause,
            next: exit == .usage
                ? "Check the path and its permissions."
                : "What lies in the cache may be removed and is made again; the rest is a part of hmmlab's clone.")
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

    /// Writes a result to where a person wants it, as a shell's redirection would: a device, a FIFO or a symbolic link
    /// stays what it is, and a FIFO is waited for until somebody reads it; anything else is replaced as a whole.
    ///
    /// - Throws: ``LabError`` `file-unwritable`.
    public static func writeResult(_ text: String, to path: String) throws {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_mode & S_IFMT != S_IFREG else { return try write(text, to: path) }
        do {
            let file = try FileDescriptor.open(
                path, .writeOnly, options: [.create, .truncate, .closeOnExec],
                permissions: [.ownerReadWrite, .groupRead, .otherRead])
            try file.closeAfter { _ = try file.writeAll(text.utf8) }
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

    /// The underlying reason of an error, such as "No such file or directory".
    private static func reason(_ error: any Error) -> String {
        if let error = error as? Errno { return error.description }
        let error = error as NSError
        // Not `as? NSError`, which is never true of what Foundation keeps there.
        if let inner = (error.userInfo[NSUnderlyingErrorKey] as? any Error).map({ $0 as NSError }),
            inner.domain == NSPOSIXErrorDomain
        {
            return String(cString: strerror(Int32(inner.code)))
        }
        return error.localizedDescription
    }
}
