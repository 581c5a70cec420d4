// SPDX-License-Identifier: Apache-2.0
public import DeviceMirror

/// /proc/PID/smaps (proc(5)): the kernel's own account of each mapping.
public struct Smaps: Sendable {
    /// One mapping.
    public struct Mapping: Sendable {
        /// The bytes, the end not included.
        public let bytes: Range<UInt64>
        /// The fields given in kB, in bytes.
        public let fields: [String: Int]
    }

    /// The mappings in the order of their addresses.
    public let mappings: [Mapping]

    /// Reads the file's text.
    public init(parsing text: String) {
        var mappings: [Mapping] = []
        var current: Range<UInt64>?
        var fields: [String: Int] = [:]
        func close() {
            if let current { mappings.append(Mapping(bytes: current, fields: fields)) }
            fields = [:]
        }
        for line in text.split(separator: "\n") {
            if let bytes = Smaps.header(line) {
                close()
                current = bytes
            } else if line.hasSuffix(" kB"), let colon = line.firstIndex(of: ":") {
                let value = line[line.index(after: colon)...].dropLast(3).drop { $0 == " " }
                fields[String(line[..<colon])] = Int(value).map { $0 * 1024 }
            }
        }
        close()
        self.mappings = mappings
    }

    private static func header(_ line: Substring) -> Range<UInt64>? {
        guard let gap = line.firstIndex(of: " "), let dash = line[..<gap].firstIndex(of: "-"),
            let first = UInt64(line[..<dash], radix: 16),
            let end = UInt64(line[line.index(after: dash)..<gap], radix: 16), first < end
        else { return nil }
        return first..<end
    }

    /// The sum of a field over all mappings that touch the range, in bytes.
    public func sum(_ field: String, over range: PageRange) -> Int {
        let bytes = range.address..<(range.address + range.byteCount)
        return mappings.filter { $0.bytes.overlaps(bytes) }.reduce(0) { $0 + ($1.fields[field] ?? 0) }
    }
}

extension PageRange {
    /// This process's smaps field over the range, in bytes; the range must be mappings of its own.
    public func smaps(_ field: String) throws(SystemCallError) -> Int {
        Smaps(parsing: try TextFile.read("/proc/self/smaps")).sum(field, over: self)
    }
}
