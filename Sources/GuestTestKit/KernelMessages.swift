// SPDX-License-Identifier: Apache-2.0
import Glibc

/// What the kernel logs from the moment this value was made, as /dev/kmsg tells it.
public struct KernelMessages: ~Copyable {
    private let descriptor: Int32

    /// Begins behind the last message.
    public init(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        descriptor = try systemCall("open /dev/kmsg", file: file, line: line) {
            open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC)
        }
        lseek(descriptor, 0, SEEK_END)
    }

    deinit { close(descriptor) }

    /// The messages since then that were not read yet, without what stands before their text.
    public borrowing func next(file: String = #fileID, line: Int = #line) throws(SystemCallError) -> [String] {
        var messages: [String] = []
        var record = [UInt8](repeating: 0, count: 8192)
        while true {
            let count = read(descriptor, &record, record.count)
            // Messages that were overwritten before they were read (EPIPE) are not passed over in silence.
            if count < 0, errno == EAGAIN { return messages }
            try systemCall("read /dev/kmsg", file: file, line: line) { count }
            let text = String(decoding: record.prefix(count), as: UTF8.self)
            messages.append(String(text.drop { $0 != ";" }.dropFirst().prefix { !$0.isNewline }))
        }
    }
}
