// SPDX-License-Identifier: Apache-2.0
import CDeviceMirrorABI

/// What became of the pages of a range that was to move: the answer to MIGRATE2.
public struct Migration: Sendable, Equatable {
    /// Where a range is to go.
    public enum Direction: Sendable {
        /// Into the device's memory.
        case toDevice
        /// This device's pages, back to system memory.
        case toSystem
        /// Pages of system memory, to other such pages.
        case renew
    }

    /// What became of one page: `HMM_DMIRROR_PAGE_*` of hmm_dmirror_uapi.h.
    public enum Outcome: UInt8, Sendable, CaseIterable {
        /// It moved.
        case moved
        /// It was where it should go.
        case there
        /// There is no page.
        case none
        /// Somebody else holds a reference.
        case pinned
        /// It is being written to disk.
        case writeback
        /// It belongs to a file or is shared memory.
        case mapping
        /// It is part of a large folio that stayed whole.
        case large
        /// There is no memory where it should go.
        case noMemory
        /// The device could not copy it.
        case copyFailed
        /// Another device holds it.
        case otherDevice
        /// It was locked or in use by something else.
        case other
        /// It left the device without its contents.
        case contentsLost
    }

    /// What became of each page, in their order; nil for an outcome that this program does not know.
    public let outcomes: [Outcome?]
    private let counts: [UInt64]

    /// How many pages had this outcome, by the device's own count.
    public func count(of outcome: Outcome) -> Int { Int(clamping: counts[Int(outcome.rawValue)]) }

    /// The sum of the device's counts, also of outcomes that this program does not know.
    public var countedPages: Int { Int(clamping: counts.reduce(0, &+)) }

    init(bytes: some Sequence<UInt8>, counts: [UInt64]) {
        outcomes = bytes.map(Outcome.init(rawValue:))
        self.counts = counts
    }
}

/// What EVICT achieved.
public struct Eviction: Sendable, Hashable {
    /// The pages that moved, with their contents.
    public let pages: Int
    /// Whether no page of the range was in use at the end; false when the time was up before (EBUSY).
    public let isComplete: Bool

    /// Names an answer, to compare with.
    public init(pages: Int, isComplete: Bool) {
        self.pages = pages
        self.isComplete = isComplete
    }
}

/// Moving pages, with an answer for each.
extension MirrorDevice {
    /// Moves a range and says what became of each page; that one does not move is no error.
    ///
    /// - Parameters:
    ///   - prefault: whether what is not there is faulted in first, for reading.
    ///   - files: whether page cache moves, too; not with ``Migration/Direction/toSystem``, which brings it back anyway.
    ///     With ``Migration/Direction/renew`` it is damaged by a kernel without our series `file`.
    /// - Throws: `notSupported` for `files` where the kernel cannot put page cache on a device; `invalidArgument` for a
    ///   range that has no mapping or is of a kind that never moves; `noDevice` while the device is lost or unplugged.
    public func migrate(
        _ range: PageRange, _ direction: Migration.Direction, prefault: Bool = false, files: Bool = false,
        file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> Migration {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: range.count, alignment: 1)
        defer { bytes.deallocate() }
        // A value that is no outcome, so that a page the driver leaves out shows.
        bytes.initializeMemory(as: UInt8.self, repeating: 0xff)
        var argument = hmm_dmirror_migrate()
        argument.flags =
            switch direction {
            case .toDevice: hmm_dmirror_migrate_device
            case .toSystem: hmm_dmirror_migrate_system
            case .renew: hmm_dmirror_migrate_renew
            }
        if prefault { argument.flags |= hmm_dmirror_migrate_prefault }
        if files { argument.flags |= hmm_dmirror_migrate_file }
        argument.addr = range.address
        argument.npages = range.pageCount
        argument.ptr = UInt64(UInt(bitPattern: bytes.baseAddress))
        try perform(.migrate, hmm_dmirror_ioctl_migrate2, &argument, about: "\(range)", file, line)
        let counts = withUnsafeBytes(of: argument.counts) { Array($0.bindMemory(to: UInt64.self)) }
        return Migration(bytes: bytes, counts: counts)
    }

    /// Moves device pages to system memory, whoever maps them, and tries again for those that others hold.
    ///
    /// - Parameters:
    ///   - frames: the frame numbers, of which those that are not the device's are passed over; nil for all pages.
    ///   - milliseconds: how long to try again, at most 60000.
    /// - Throws: `noDevice` while the device is lost.
    public func evict(
        frames: Range<UInt64>? = nil, within milliseconds: UInt32 = 0, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> Eviction {
        var argument = hmm_dmirror_evict()
        argument.timeout_ms = milliseconds
        var subject = "all pages"
        if let frames {
            argument.first_pfn = frames.lowerBound
            argument.npages = frames.upperBound - frames.lowerBound
            subject = "\(argument.npages) frames at 0x\(String(frames.lowerBound, radix: 16))"
        } else {
            argument.flags = hmm_dmirror_evict_all
        }
        var isComplete = true
        do {
            try perform(.evict, hmm_dmirror_ioctl_evict, &argument, about: subject, file, line)
        } catch {
            guard error.code == .busy else { throw error }
            isComplete = false
        }
        return Eviction(pages: Int(clamping: argument.evicted), isComplete: isComplete)
    }
}
