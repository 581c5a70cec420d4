// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Small files of the kernel, read and written whole.
public enum TextFile {
    /// Reads a file to its end; files under /proc have no size to ask for.
    public static func read(
        _ path: String, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> String {
        let descriptor = try systemCall("open \(path)", file: file, line: line) { open(path, O_RDONLY | O_CLOEXEC) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = try systemCall("read \(path)", file: file, line: line) {
                Glibc.read(descriptor, &chunk, chunk.count)
            }
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk.prefix(count)
        }
    }

    /// Writes `text` in one call, as the settings of the kernel want it.
    public static func write(
        _ text: String, to path: String, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        let descriptor = try systemCall("open \(path)", file: file, line: line) { open(path, O_WRONLY | O_CLOEXEC) }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        try systemCall("write \(text) to \(path)", file: file, line: line) {
            Glibc.write(descriptor, bytes, bytes.count)
        }
    }
}

/// A setting of the kernel under /proc/sys or /sys, changed for as long as this value lives.
public struct KernelSetting: ~Copyable {
    private let path: String
    private let before: String

    /// Remembers what the file holds, a single number, and writes `value`.
    public init(_ path: String, _ value: Int, file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        let before = try TextFile.read(path, file: file, line: line)
        try TextFile.write("\(value)", to: path, file: file, line: line)
        self.path = path
        self.before = before
    }

    /// Writes the old number back now, which otherwise happens when this value goes away.
    public consuming func restore() {}

    deinit {
        // Nobody is left to tell; the host resets nothing, but each test that needs a setting makes it.
        try? TextFile.write(before, to: path)
    }
}
