// SPDX-License-Identifier: Apache-2.0

/// One place in the kernel's code, as `%pS` prints it (`hmm_range_fault+0x1c/0x90 [module]`).
public struct StackFrame: Sendable, Equatable, Codable {
    /// The function as printed, compiler suffixes such as `.constprop.0` included.
    public var function: String
    /// Bytes from the function's start.
    public var offset: Int?
    /// The function's size in bytes.
    public var size: Int?
    /// The module that holds it; nil for the kernel image.
    public var module: String?
    /// False for entries with a question mark: text addresses on the stack that the unwinder could not follow.
    public var isReliable: Bool

    /// Makes a frame from its parts.
    public init(
        function: String, offset: Int? = nil, size: Int? = nil, module: String? = nil, isReliable: Bool = true
    ) {
        self.function = function
        self.offset = offset
        self.size = size
        self.module = module
        self.isReliable = isReliable
    }

    /// The function without the compiler's suffixes, so that two builds of one kernel agree on it.
    public var name: String {
        guard let dot = function.utf8.dropFirst().firstIndex(of: UInt8(ascii: ".")) else { return function }
        return String(function[..<dot])
    }

    /// Reads a line of a call trace; nil for any other line.
    public init?(traceLine: some StringProtocol) {
        var text = Substring(traceLine).trimmed
        var isReliable = true
        while let rest = text.dropping("[<"), let close = rest.after(">]") { text = close.trimmed }
        if let rest = text.dropping("? ") {
            isReliable = false
            text = rest.trimmed
        }
        guard let (frame, rest) = StackFrame.leading(text) else { return nil }
        let tail = rest.trimmed
        guard tail.isEmpty || tail.starts(with: "[") || tail.starts(with: "(") else { return nil }
        self = frame
        self.isReliable = isReliable
    }

    /// Finds the first place named anywhere in a line, such as the one in `RIP: 0010:foo+0x4/0x10 [module]`.
    static func first(in text: Substring) -> StackFrame? {
        var start = text.startIndex
        while let plus = text[start...].range(of: "+0x") {
            var begin = plus.lowerBound
            while begin > text.startIndex {
                let previous = text.utf8.index(before: begin)
                guard isSymbolByte(text.utf8[previous]) else { break }
                begin = previous
            }
            if let (frame, _) = leading(text[begin...]) { return frame }
            start = plus.upperBound
        }
        return nil
    }

    private static func isSymbolByte(_ byte: UInt8) -> Bool {
        byte.isLetter || byte.isDigit || byte == UInt8(ascii: "_") || byte == UInt8(ascii: ".")
            || byte == UInt8(ascii: "$")
    }

    /// Reads a place at the text's start, and tells what follows it.
    private static func leading(_ text: Substring) -> (StackFrame, Substring)? {
        let end = text.utf8.firstIndex { !isSymbolByte($0) } ?? text.utf8.endIndex
        let symbol = text[..<end]
        guard let first = symbol.utf8.first, !first.isDigit else { return nil }
        var frame = StackFrame(function: String(symbol))
        guard let digits = text[end...].dropping("+0x"), let offset = hexadecimal(digits),
            let length = offset.rest.dropping("/0x"), let size = hexadecimal(length)
        else { return nil }
        var rest = size.rest
        (frame.offset, frame.size) = (offset.value, size.value)
        // With CONFIG_STACKTRACE_BUILD_ID the brackets hold a build ID after the module's name.
        if let inside = rest.dropping(" ["), let name = inside.upTo("]").words.first {
            frame.module = String(name)
            rest = inside.after("]") ?? inside[inside.endIndex...]
        }
        return (frame, rest)
    }

    private static func hexadecimal(_ text: Substring) -> (value: Int, rest: Substring)? {
        let end = text.utf8.firstIndex { !$0.isHexDigit } ?? text.utf8.endIndex
        return Int(text[..<end], radix: 16).map { ($0, text[end...]) }
    }
}
