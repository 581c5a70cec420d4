// SPDX-License-Identifier: Apache-2.0
public import DeviceMirror

/// Where one page of this process is, by /proc/self/pagemap and /proc/iomem alone: nothing that the driver says.
public enum PagePlace: Sendable, Hashable {
    /// The page table holds nothing.
    case nothing
    /// Ordinary memory, with its frame number.
    case system(frame: UInt64)
    /// Memory that the CPU reaches and that is not ordinary: a coherent device's.
    case coherent(frame: UInt64)
    /// Memory of a device that the CPU does not reach.
    case privateMemory(frame: UInt64, writable: Bool)
    /// Ordinary memory that the CPU may not touch before a fault, because a device has it to itself.
    case exclusive(frame: UInt64)
    /// A swap area.
    case swap
    /// An entry of a kind that belongs to none of the above, or a private page outside every driver's range.
    case unknown(rawValue: UInt64)

    /// Reads an entry.
    public init(_ entry: PagemapEntry, _ memory: PhysicalMemory, _ types: DeviceEntryTypes = .running) {
        if let frame = entry.frame {
            self = memory.isSystemMemory(frame: frame) ? .system(frame: frame) : .coherent(frame: frame)
        } else if let type = entry.swapType, let offset = entry.swapOffset {
            switch type {
            case types.privateWritable, types.privateReadOnly:
                self =
                    memory.isMirrorMemory(frame: offset)
                    ? .privateMemory(frame: offset, writable: type == types.privateWritable)
                    : .unknown(rawValue: entry.rawValue)
            case types.exclusive: self = .exclusive(frame: offset)
            case ..<types.firstSpecial: self = .swap
            default: self = .unknown(rawValue: entry.rawValue)
            }
        } else {
            self = .nothing
        }
    }

    /// The frame number, where there is one.
    public var frame: UInt64? {
        switch self {
        case .system(let frame), .coherent(let frame), .privateMemory(let frame, _), .exclusive(let frame): frame
        case .nothing, .swap, .unknown: nil
        }
    }

    /// The 256 MiB of device memory that the page lies in; nil for a page that is not on a device.
    ///
    /// Drivers take device memory in aligned pieces of that size (`DEVMEM_CHUNK_SIZE` in lib/test_hmm.c), so that two
    /// pages of one piece are on the same device, and pages of two devices are never in the same piece.
    public var devicePiece: UInt64? {
        switch self {
        case .coherent(let frame), .privateMemory(let frame, _): frame >> 16
        case .system, .exclusive, .nothing, .swap, .unknown: nil
        }
    }

    /// The place without its number.
    public enum Kind: String, Sendable, Hashable {
        /// See ``PagePlace/nothing``.
        case nothing
        /// See ``PagePlace/system(frame:)``.
        case system = "system memory"
        /// See ``PagePlace/coherent(frame:)``.
        case coherent = "coherent device memory"
        /// See ``PagePlace/privateMemory(frame:writable:)``, writable.
        case privateWritable = "private device memory"
        /// See ``PagePlace/privateMemory(frame:writable:)``, not writable.
        case privateReadOnly = "private device memory, read-only"
        /// See ``PagePlace/exclusive(frame:)``.
        case exclusive = "held exclusively by a device"
        /// See ``PagePlace/swap``.
        case swap
        /// See ``PagePlace/unknown(rawValue:)``.
        case unknown
    }

    /// The place without its number.
    public var kind: Kind {
        switch self {
        case .nothing: .nothing
        case .system: .system
        case .coherent: .coherent
        case .privateMemory(_, let writable): writable ? .privateWritable : .privateReadOnly
        case .exclusive: .exclusive
        case .swap: .swap
        case .unknown: .unknown
        }
    }
}

extension PageRange {
    /// Where each page of the range is.
    public func places(file: String = #fileID, line: Int = #line) throws(SystemCallError) -> [PagePlace] {
        let memory = try PhysicalMemory.current()
        return try pagemap(file: file, line: line).map { PagePlace($0, memory) }
    }

    /// Complains about the first page that is not where all should be; nil when all are, of at least one.
    public func misplaced(
        _ kind: PagePlace.Kind, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> String? {
        let kinds = try places(file: file, line: line).map(\.kind)
        if kinds.isEmpty { return "there are no pages to look at" }
        guard let first = kinds.firstIndex(where: { $0 != kind }) else { return nil }
        let wrong = kinds.count { $0 != kind }
        return "\(wrong) of \(kinds.count) pages are not in \(kind.rawValue), the first is page \(first): "
            + kinds[first].rawValue
    }
}
