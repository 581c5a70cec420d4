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

    static func value(of field: String, in text: String) -> Int? {
        for line in text.split(separator: "\n") {
            let words = line.split { $0 == " " || $0 == ":" }
            if words.count >= 2, words[0] == field { return Int(words[1]) }
        }
        return nil
    }
}
