// SPDX-License-Identifier: Apache-2.0
import CDeviceMirrorABI

/// What a device is made to do wrong, for everyone who uses it: the argument of INJECT.
public struct Injection: Sendable, Hashable {
    /// The nth allocation from now on for a page that moves fails, once; 0: none.
    public var failingAllocation: UInt64
    /// The nth page from now on that is copied or cleared fails, once; 0: none.
    public var failingCopy: UInt64
    /// The nth page from now on that the on-demand engine maps for DMA fails, once; 0: none.
    public var failingMapping: UInt64
    /// Microseconds before each batch is copied, and before each page of EXCLUSIVE is unlocked, at most 1000000.
    public var copyDelay: UInt32
    /// Microseconds before each invalidation that may sleep, at most 1000000.
    public var notifierDelay: UInt32
    /// The device is lost: nothing can be copied.
    public var isLost: Bool
    /// A CPU fault for a private page ends in SIGBUS.
    public var refusesFaults: Bool
    /// What cannot be copied to system memory is lost; few kernels know what to do then.
    public var losesContents: Bool
    /// Each page that the engine copies gets the complement of its source's last word for its own, so that a copy by the
    /// CPU after that shows.
    public var marksCopies: Bool

    /// Makes a set of failures; without arguments, none.
    public init(
        failingAllocation: UInt64 = 0, failingCopy: UInt64 = 0, failingMapping: UInt64 = 0, copyDelay: UInt32 = 0,
        notifierDelay: UInt32 = 0, isLost: Bool = false, refusesFaults: Bool = false,
        losesContents: Bool = false, marksCopies: Bool = false
    ) {
        self.failingAllocation = failingAllocation
        self.failingCopy = failingCopy
        self.failingMapping = failingMapping
        self.copyDelay = copyDelay
        self.notifierDelay = notifierDelay
        self.isLost = isLost
        self.refusesFaults = refusesFaults
        self.losesContents = losesContents
        self.marksCopies = marksCopies
    }
}

/// A piece of device memory.
public struct DeviceChunk: Sendable, Hashable {
    /// The number of its first frame.
    public let firstFrame: UInt64
    /// Its length in pages.
    public let pages: Int

    /// Names a piece; nothing is checked.
    public init(firstFrame: UInt64, pages: Int) {
        self.firstFrame = firstFrame
        self.pages = pages
    }

    /// The numbers of its frames.
    public var frames: Range<UInt64> { firstFrame..<(firstFrame + UInt64(pages)) }
}

/// What became of a piece of device memory that was to go.
public enum ChunkRemoval: Sendable, Hashable {
    /// The device has it no more.
    case removed
    /// The time was up; this many of its pages were still in use, and it stays (EBUSY).
    case inUse(pages: Int)
}

/// Failures on request, and the device's memory as a whole.
extension MirrorDevice {
    /// Makes the device fail; replaces all that was set before.
    ///
    /// - Throws: `notSupported` when contents are to be lost and the kernel cannot take such pages from a device.
    public func inject(_ injection: Injection, file: String = #fileID, line: Int = #line) throws(MirrorError) {
        var argument = hmm_dmirror_inject()
        argument.flags =
            (injection.isLost ? hmm_dmirror_inject_lost : 0)
            | (injection.refusesFaults ? hmm_dmirror_inject_fault_sigbus : 0)
            | (injection.losesContents ? hmm_dmirror_inject_contents_lost : 0)
            | (injection.marksCopies ? hmm_dmirror_inject_mark_copies : 0)
        argument.alloc_nth = injection.failingAllocation
        argument.copy_nth = injection.failingCopy
        argument.map_nth = injection.failingMapping
        argument.copy_delay_us = injection.copyDelay
        argument.notifier_delay_us = injection.notifierDelay
        try perform(.inject, hmm_dmirror_ioctl_inject, &argument, file, line)
    }

    /// Adds memory to the device.
    ///
    /// Coherent memory has one place only: it is added whole, after it was removed.
    ///
    /// - Parameter pages: a multiple of those in 2 MiB, at most those in 1 GiB.
    /// - Throws: `busy` when coherent memory is there already, `noDevice` while the device is lost or unplugged,
    ///   `noMemory`.
    public func addChunk(
        pages: Int, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> DeviceChunk {
        var argument = hmm_dmirror_chunk()
        argument.npages = UInt64(pages)
        try perform(.addChunk, hmm_dmirror_ioctl_chunk_add, &argument, about: "\(pages) pages", file, line)
        return DeviceChunk(firstFrame: argument.first_pfn, pages: pages)
    }

    /// Moves the pages of a piece of memory away, whoever maps them, and takes it from the device.
    ///
    /// - Parameter milliseconds: how long to try again for pages that others hold, at most 60000.
    /// - Throws: `noEntry` when the device has no such piece.
    public func removeChunk(
        _ chunk: DeviceChunk, within milliseconds: UInt32 = 10_000, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> ChunkRemoval {
        var argument = hmm_dmirror_chunk()
        argument.first_pfn = chunk.firstFrame
        argument.timeout_ms = milliseconds
        let subject = "the chunk at frame 0x\(String(chunk.firstFrame, radix: 16))"
        do {
            try perform(.removeChunk, hmm_dmirror_ioctl_chunk_remove, &argument, about: subject, file, line)
            return .removed
        } catch {
            guard error.code == .busy else { throw error }
            return .inUse(pages: Int(clamping: argument.left))
        }
    }

    /// Takes the device away: its pages are brought back first, or, with `surprise`, it is lost before that.
    ///
    /// - Parameter milliseconds: how long to wait for pages in use, for each piece of memory, at most 60000.
    /// - Throws: `busy` when pages are still in use afterwards; the device is unplugged all the same.
    public func unplug(
        surprise: Bool = false, within milliseconds: UInt32 = 10_000, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) {
        var argument = hmm_dmirror_unplug()
        argument.flags = surprise ? hmm_dmirror_unplug_surprise : 0
        argument.timeout_ms = milliseconds
        try perform(.unplug, hmm_dmirror_ioctl_unplug, &argument, file, line)
    }

    /// Ends the state that ``unplug(surprise:within:file:line:)`` began.
    public func replug(file: String = #fileID, line: Int = #line) throws(MirrorError) {
        var argument = hmm_dmirror_unplug()
        argument.flags = hmm_dmirror_unplug_replug
        try perform(.unplug, hmm_dmirror_ioctl_unplug, &argument, file, line)
    }
}
