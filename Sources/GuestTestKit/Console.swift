// SPDX-License-Identifier: Apache-2.0
import Glibc
import Synchronization

/// Standard output, one whole line per write.
///
/// Nothing is buffered: a line is with the host before the next step runs, and a forked child never repeats its
/// parent's lines.
public enum Console {
    /// Where lines go instead while this is not nil: for the tests of this module.
    static let captured = Mutex<[String]?>(nil)

    /// Writes one line; line breaks inside are flattened, because the host reads by lines.
    public static func line(_ text: String) {
        let flat = String(text.map { $0.isNewline ? " " : $0 })
        let isCaptured = captured.withLock { lines in
            lines?.append(flat)
            return lines != nil
        }
        if isCaptured { return }
        var bytes = Array((flat + "\n").utf8)[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if written < 0 && errno == EINTR { continue }
            // A closed output cannot be reported anywhere; the exit status still tells the verdict.
            guard written > 0 else { return }
            bytes = bytes.dropFirst(written)
        }
    }
}
