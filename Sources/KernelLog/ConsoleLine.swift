// SPDX-License-Identifier: Apache-2.0

/// Who printed a kernel line, from CONFIG_PRINTK_CALLER's column (kernel/printk/printk.c, `print_caller`).
enum Caller: Hashable, Sendable {
    /// A task, by its global PID: `[   T48]`.
    case task(Int)
    /// A CPU outside task context: `[    C1]`.
    case cpu(Int)
}

/// One line as its printer meant it: the prefixes taken off, two printers on one console line separated.
struct ConsoleLine: Equatable {
    /// Whether the kernel printed it; otherwise it is a program's output or the firmware's.
    var isKernel = false
    /// Microseconds since boot, if the line carries a time stamp.
    var time: Int?
    /// The printer, if the kernel tells it.
    var caller: Caller?
    /// The line without its prefixes and control characters.
    var text: Substring

    /// Takes a console line apart.
    ///
    /// A console line holds several lines when a program wrote without a newline before the kernel did, or when a panic
    /// cut into a line that another CPU was printing: every time stamp begins a line of its own.
    ///
    /// Lines without a stamp are the kernel's only if it was booted with `printk.time=0`.
    static func split(_ raw: String, unstampedIsKernel: Bool) -> [ConsoleLine] {
        let line = cleaned(raw)
        var result: [ConsoleLine] = []
        var rest = line
        var from = line.startIndex
        while let open = rest.utf8[from...].firstIndex(of: UInt8(ascii: "[")) {
            guard let (prefix, end) = stamp(at: open, in: rest) else {
                from = rest.utf8.index(after: open)
                continue
            }
            let before = withoutLevel(rest[..<open])
            if let last = result.indices.last {
                result[last].text = before
            } else if !before.isEmpty {
                result.append(ConsoleLine(isKernel: unstampedIsKernel, text: before))
            }
            rest = rest[end...]
            from = rest.startIndex
            result.append(prefix)
            result[result.count - 1].text = rest
        }
        if result.isEmpty {
            let text = withoutLevel(line)
            result = [ConsoleLine(isKernel: unstampedIsKernel || text.startIndex != line.startIndex, text: text)]
        }
        return result
    }

    /// Reads `[   12.345678] ` and a caller column after it; the result ends where the text begins.
    private static func stamp(at open: Substring.Index, in text: Substring) -> (ConsoleLine, Substring.Index)? {
        let bytes = text.utf8
        var index = bytes.index(after: open)
        while index < bytes.endIndex, bytes[index] == 0x20 { index = bytes.index(after: index) }
        guard let seconds = number(&index, in: text, digits: 1...12), index < bytes.endIndex,
            bytes[index] == UInt8(ascii: ".")
        else { return nil }
        index = bytes.index(after: index)
        guard let fraction = number(&index, in: text, digits: 6...6), index < bytes.endIndex,
            bytes[index] == UInt8(ascii: "]")
        else { return nil }
        index = bytes.index(after: index)
        var line = ConsoleLine(isKernel: true, time: seconds * 1_000_000 + fraction, text: "")
        if let (caller, end) = callerColumn(at: index, in: text) {
            line.caller = caller
            index = end
        }
        if index < bytes.endIndex, bytes[index] == 0x20 { index = bytes.index(after: index) }
        return (line, index)
    }

    private static func callerColumn(at start: Substring.Index, in text: Substring) -> (Caller, Substring.Index)? {
        let bytes = text.utf8
        var index = start
        func skip(_ byte: UInt8) -> Bool {
            guard index < bytes.endIndex, bytes[index] == byte else { return false }
            index = bytes.index(after: index)
            return true
        }
        while skip(0x20) {}
        guard skip(UInt8(ascii: "[")) else { return nil }
        while skip(0x20) {}
        let isTask = skip(UInt8(ascii: "T"))
        guard isTask || skip(UInt8(ascii: "C")), let id = number(&index, in: text, digits: 1...10),
            skip(UInt8(ascii: "]"))
        else { return nil }
        return (isTask ? .task(id) : .cpu(id), index)
    }

    private static func number(_ index: inout Substring.Index, in text: Substring, digits: ClosedRange<Int>) -> Int? {
        let end = text.utf8[index...].firstIndex { !$0.isDigit } ?? text.utf8.endIndex
        let number = text[index..<end]
        guard digits.contains(number.utf8.count) else { return nil }
        index = end
        return Int(number)
    }

    /// Takes `<6>` off, which `console_msg_format=syslog` puts in front.
    private static func withoutLevel(_ text: Substring) -> Substring {
        guard let rest = text.dropping("<") else { return text }
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        guard (1...3).contains(digits.utf8.count) else { return text }
        return rest[digits.endIndex...].dropping(">") ?? text
    }

    /// Removes carriage returns, other control characters and terminal sequences (`ESC [ ... letter`) of the firmware.
    private static func cleaned(_ raw: String) -> Substring {
        guard raw.utf8.contains(where: { ($0 < 0x20 && $0 != 0x09) || $0 == 0x7f }) else { return raw[...] }
        var clean: [UInt8] = []
        var bytes = raw.utf8.makeIterator()
        while let byte = bytes.next() {
            if byte == 0x1b {
                guard bytes.next() == UInt8(ascii: "[") else { continue }
                while let parameter = bytes.next(), !parameter.isLetter {}
            } else if byte == 0x09 || (byte >= 0x20 && byte != 0x7f) {
                clean.append(byte)
            }
        }
        return String(decoding: clean, as: UTF8.self)[...]
    }
}
