// SPDX-License-Identifier: Apache-2.0
import Glibc

/// A system call that failed, as a sentence without a full stop.
struct SystemError: Error, CustomStringConvertible {
    let code: Int32
    let description: String

    /// Takes the reason from errno.
    init(_ what: String, code: Int32 = errno) {
        self.code = code
        description = "\(what): \(String(cString: strerror(code)))"
    }
}

/// The few system calls that need more than one line.
enum System {
    /// Milliseconds since the kernel started.
    static var uptime: Int {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    }

    static func sleep(milliseconds: Int) {
        usleep(UInt32(milliseconds) * 1000)
    }

    /// The running kernel's release, as `uname -r` prints it.
    static var kernelRelease: String {
        (try? read("/proc/sys/kernel/osrelease", limit: 256).bytes).map { bytes in
            String(decoding: bytes.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        } ?? "unknown"
    }

    /// A file's content up to a limit; files in /proc and /sys have no length to ask for first.
    static func read(_ path: String, limit: Int) throws(SystemError) -> (bytes: [UInt8], isCutOff: Bool) {
        let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError("\(path) cannot be opened") }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = Glibc.read(descriptor, &piece, piece.count)
            if count == 0 { return (content, false) }
            if count < 0 {
                if errno == EINTR { continue }
                // Such as /dev/kmsg after its newest line.
                if errno == EAGAIN { return (content, false) }
                throw SystemError("\(path) cannot be read")
            }
            content += piece[..<count]
            if content.count > limit { return (Array(content.prefix(limit)), true) }
        }
    }

    /// A small text file of /proc or /sys without its last newline; nil if it cannot be read.
    static func text(_ path: String) -> String? {
        guard var bytes = try? read(path, limit: 64 << 10).bytes else { return nil }
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Writes to a file that exists; one write(2), since a sysctl takes each as a value of its own.
    static func write(_ text: String, to path: String) throws(SystemError) {
        let descriptor = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC)
        guard descriptor >= 0 else { throw SystemError("\(path) cannot be opened") }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
            throw SystemError("\(path) cannot be written")
        }
    }

    /// The names in a folder, without `.` and `..`, in no order; empty if it cannot be read.
    static func names(in folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    /// One line in the kernel's log, and so on the console: the one place that a host without the protocol sees.
    ///
    /// Level 4 reaches the console of every kernel that shows warnings, which hmmlab's always do.
    static func log(_ text: String) {
        // Without the newline the kernel keeps the record open for a continuation, and no console shows it until the
        // next message comes (vprintk_store() in kernel/printk/printk.c).
        // A record holds 1024 bytes, and a newline in it would begin a line without a name.
        let flat = String(text.map { $0.isNewline ? " " : $0 })
        let line = "<12>hmmlab: " + String(decoding: flat.utf8.prefix(800), as: UTF8.self) + "\n"
        if (try? write(line, to: "/dev/kmsg")) == nil { print("hmmlab: \(text)") }
    }
}
