// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import ProcessRunner

/// The shared libraries that programs need, found as the host's own dynamic loader finds them.
struct SharedLibraries {
    /// A library, or the loader itself.
    struct Library: Hashable {
        /// Where it is on the host.
        let source: String
        /// Where the guest's loader looks for it.
        let destination: String
    }

    let runner: ProcessRunner

    /// What a program needs; empty for a static program and for a script.
    ///
    /// Programs name their loader by its path, so that it keeps it. Libraries go by name, and all of them move to the
    /// folder that libc is in: the loader always searches it, so that a library from a compiler's own folder is found
    /// too.
    ///
    /// - Throws: ``LabError`` `library-missing`, `file-unreadable`, `tool-failed`, `tool-missing`.
    func needed(by program: String) async throws -> [Library] {
        guard try isDynamic(program) else { return [] }
        // An LD_LIBRARY_PATH would be the person's, not the guest's.
        let command = Command("ldd", [program], environment: ["LD_LIBRARY_PATH": nil, "LD_PRELOAD": nil])
        let listing = try await runner.check(command)
        return try Self.parse(listing, of: program)
    }

    /// Reads what ldd(1) prints: `NAME => PATH (ADDRESS)`, `NAME => not found`, or `PATH (ADDRESS)` for the loader.
    static func parse(_ listing: String, of program: String) throws -> [Library] {
        var loaders: [String] = []
        var libraries: [(name: String, path: String)] = []
        for line in listing.split(separator: "\n") {
            let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
            if words.count >= 3, words[1] == "=>" {
                guard words[2].hasPrefix("/") else {
                    throw LabError(
                        "library-missing", "The shared library \(words[0]) was not found",
                        cause: "\(program) needs it.",
                        next: "Run scripts/hmmlab doctor, which lists what is missing and installs it.")
                }
                libraries.append((words[0], words[2]))
            } else if let path = words.first, path.hasPrefix("/") {
                loaders.append(path)
            }
        }
        let home = libraries.first { $0.name.hasPrefix("libc.so") }.map {
            ($0.path as NSString).deletingLastPathComponent
        }
        return loaders.map { Library(source: $0, destination: $0) }
            + libraries.map { name, path in
                Library(source: path, destination: "\(home ?? (path as NSString).deletingLastPathComponent)/\(name)")
            }
    }

    /// Whether a file is an ELF program that names a loader: whether it has a PT_INTERP segment (elf(5)).
    ///
    /// ldd cannot be asked, as it fails for static programs and for unreadable ones in the same way.
    private func isDynamic(_ program: String) throws -> Bool {
        let bytes = try Files.bytes(program)
        // 64 bits, little endian: everything that Debian's x86-64 and arm64 run.
        guard bytes.starts(with: [0x7f, 0x45, 0x4c, 0x46, 2, 1]), bytes.count >= 64 else { return false }
        func number(_ offset: Int, _ size: Int) -> Int {
            guard offset >= 0, offset + size <= bytes.count else { return 0 }
            return (0..<size).reversed().reduce(0) { $0 << 8 | Int(bytes[bytes.startIndex + offset + $1]) }
        }
        let headers = number(32, 4)
        let size = number(54, 2)
        return (0..<number(56, 2)).contains { number(headers + $0 * size, 4) == 3 }
    }
}
