// SPDX-License-Identifier: Apache-2.0

/// Numbers that the kernel keeps for the whole system.
public enum KernelCounters {
    /// A field of /proc/meminfo, in its own unit (kB, or pages for HugePages_*); nil when there is no such field.
    public static func memory(_ field: String) -> Int? {
        (try? TextFile.read("/proc/meminfo")).flatMap { value(of: field, in: $0) }
    }

    /// A number of /proc/vmstat; nil when there is no such number.
    public static func virtualMemory(_ field: String) -> Int? {
        (try? TextFile.read("/proc/vmstat")).flatMap { value(of: field, in: $0) }
    }

    /// A file with a single number.
    public static func number(_ path: String, file: String = #fileID, line: Int = #line) throws -> Int {
        let text = try TextFile.read(path, file: file, line: line)
        return try requireValue(
            Int(text.prefix { $0.isNumber }), "\(path) holds a number", file: file, line: line)
    }

    static func value(of field: String, in text: String) -> Int? {
        for line in text.split(separator: "\n") {
            let words = line.split { $0 == " " || $0 == ":" }
            if words.count >= 2, words[0] == field { return Int(words[1]) }
        }
        return nil
    }
}
