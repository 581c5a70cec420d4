// SPDX-License-Identifier: Apache-2.0
import HarnessCore

/// Picks the compiler's own lines out of what make printed.
struct BuildFailure: Equatable {
    /// The lines worth reading: each error with the source lines and carets that follow it, linker and modpost errors.
    var lines: [String] = []
    /// Files named in errors, relative to the source tree, in the order of appearance.
    var files: [String] = []
    /// The line that shows that the host failed, not the kernel: a full disk, or a compiler killed for want of memory.
    var hostProblem: String?
    /// Whether a signal ended something that make itself had started, whose half-written files make may not know of.
    var wasKilled = false

    /// The most lines kept: enough for several errors, few enough to read.
    static let lineLimit = 40

    /// Reads make's output.
    ///
    /// - Parameter source: the source folder; its prefix is removed from file names.
    init(log: some Sequence<Substring>, source: String) {
        var following = 0
        var fallback: [String] = []
        for line in log {
            let isKilled = Self.isKilledRule(line)
            wasKilled = wasKilled || isKilled
            if hostProblem == nil, isKilled || Self.isHostProblem(line) { hostProblem = String(line) }
            if let (file, isError) = Self.diagnostic(line, source), isError {
                if !files.contains(file) { files.append(file) }
                following = 6
                lines.append(String(line))
            } else if Self.isLinkerOrModpost(line) {
                lines.append(String(line))
            } else if following > 0, line.hasPrefix(" ") || line.contains("note:") {
                following -= 1
                lines.append(String(line))
            } else {
                following = 0
                if line.contains("*** ") { fallback.append(String(line)) }
            }
        }
        if lines.isEmpty { lines = fallback }
        if lines.count > Self.lineLimit {
            lines =
                Array(lines.prefix(Self.lineLimit)) + [
                    "... \(lines.count - Self.lineLimit) more lines in the build log"
                ]
        }
    }

    /// `file:line:column: error: text` of gcc and clang.
    private static func diagnostic(_ line: Substring, _ source: String) -> (String, Bool)? {
        guard let first = line.firstIndex(of: ":") else { return nil }
        let rest = line[line.index(after: first)...]
        guard let number = rest.first, number.isNumber else { return nil }
        return (Diagnostic.relative(line[..<first], to: source), rest.contains(" error: "))
    }

    /// strerror(3) of ENOSPC and EDQUOT, and what gcc's and clang's drivers say of a compiler that was killed.
    private static func isHostProblem(_ line: Substring) -> Bool {
        line.hasSuffix("No space left on device") || line.hasSuffix("Disk quota exceeded")
            || line.contains("fatal error: Killed signal terminated program")
            || line.contains("unable to execute command: Killed")
    }

    /// make's word for a rule that SIGKILL ended (strsignal(3)), or whose shell saw it end a program (128 + 9).
    private static func isKilledRule(_ line: Substring) -> Bool {
        line.contains("*** [") && (line.hasSuffix("] Killed") || line.hasSuffix("] Error 137"))
    }

    private static func isLinkerOrModpost(_ line: Substring) -> Bool {
        line.contains("undefined reference to") || line.hasPrefix("ERROR: modpost") || line.contains("ld: ")
            || line.contains("multiple definition of") || line.contains("Kconfig:") && line.contains("error")
            || line.contains("No rule to make target")
    }
}
