// SPDX-License-Identifier: Apache-2.0

/// The ranges of physical addresses in /proc/iomem: what the machine has, and what drivers added to it.
public struct PhysicalMemory: Sendable {
    /// One line: a range of bytes, both ends inside, and its name.
    public struct Region: Sendable, Equatable {
        /// The bytes, both ends inside.
        public let bytes: ClosedRange<UInt64>
        /// The name, such as `System RAM`.
        public let name: String
    }

    /// The regions in the file's order, nested ones after the region that holds them.
    public let regions: [Region]

    /// Reads the text of /proc/iomem; lines of another form are left out.
    public init(parsing text: String) {
        regions = text.split(separator: "\n").compactMap { line in
            let trimmed = line.drop { $0 == " " }
            guard let gap = trimmed.firstIndex(of: " "), let dash = trimmed[..<gap].firstIndex(of: "-"),
                let first = UInt64(trimmed[..<dash], radix: 16),
                let last = UInt64(trimmed[trimmed.index(after: dash)..<gap], radix: 16), first <= last
            else { return nil }
            let name = trimmed[gap...].drop { $0 == " " || $0 == ":" }
            return Region(bytes: first...last, name: String(name))
        }
    }

    /// The running machine's; all addresses are 0 without CAP_SYS_ADMIN.
    public static func current() throws(SystemCallError) -> PhysicalMemory {
        PhysicalMemory(parsing: try TextFile.read("/proc/iomem"))
    }

    /// Whether a page frame is ordinary memory.
    public func isSystemMemory(frame: UInt64) -> Bool { isIn(frame: frame) { $0 == "System RAM" } }

    /// Whether a page frame lies in a range that a mirror driver asked for: private memory has no real address.
    public func isMirrorMemory(frame: UInt64) -> Bool { isIn(frame: frame) { $0.contains("dmirror") } }

    private func isIn(frame: UInt64, _ matches: (String) -> Bool) -> Bool {
        let address = frame << 12
        return regions.contains { $0.bytes.contains(address) && matches($0.name) }
    }
}
