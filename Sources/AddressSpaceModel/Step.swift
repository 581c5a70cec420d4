// SPDX-License-Identifier: Apache-2.0

/// One thing that a process, or a device for it, does with the window: a few pages in a row that the model knows all of.
///
/// A plain value of a few bytes, so that it can go through a pipe to the process that does it.
public struct Step: Sendable, Hashable {
    /// What is done, with what it uses beside the range.
    public enum Verb: UInt8, CaseIterable, Sendable {
        /// New memory in place of what is there (`access`, `backing`, and `target`: the file's first page).
        case map
        /// The mapping goes.
        case unmap
        /// Other access (`access`).
        case protect
        /// The pages move to `target`; what is there goes, and nothing is left where they were.
        case move
        /// MADV_DONTNEED.
        case discard
        /// The CPU reads.
        case read
        /// The CPU writes (`stamp`).
        case write
        /// The kernel reads for the process, by get_user_pages().
        case copy
        /// The device takes the pages into its memory (`device`).
        case take
        /// The device gives back what it has of the pages (`device`).
        case giveBack
        /// The device reads (`device`).
        case deviceRead
        /// The device writes (`device`, `stamp`).
        case deviceWrite
        /// The device takes the CPU's access away (`device`).
        case seize
        /// The device looks at the page table (`device`).
        case snapshot
        /// Every page of the device goes to system memory, whoever has it (`device`; no range).
        case evict
        /// Process 0 makes process 1 (no range).
        case fork
        /// Process 1 ends (no range).
        case end
    }

    /// What a mapping shows.
    public enum Backing: UInt8, CaseIterable, Sendable {
        /// Private anonymous memory.
        case anonymous
        /// A private mapping of the file.
        case copied
        /// A shared mapping of the file.
        case shared
    }

    /// What a mapping allows.
    public enum Access: UInt8, CaseIterable, Sendable {
        case none
        case read
        case write
    }

    /// 0, or 1 between `fork` and `end`.
    public var process: UInt8
    /// What is done.
    public var verb: Verb
    /// The range: `count` pages from page `first` of the window.
    public var first: UInt16
    /// The range's length; 0 for a verb without a range.
    public var count: UInt16
    /// The number of the device's node.
    public var device: UInt8
    /// What the mapping allows.
    public var access: Access
    /// What the mapping shows.
    public var backing: Backing
    /// A page's number: see the verbs.
    public var target: UInt16
    /// What is written; below 2^24, and not 0.
    public var stamp: UInt32

    /// Makes a step; what its verb does not use stays as it is here.
    public init(
        _ verb: Verb, _ pages: Range<Int> = 0..<0, process: Int = 0, device: Int = 0, access: Access = .write,
        backing: Backing = .anonymous, target: Int = 0, stamp: Int = 0
    ) {
        self.verb = verb
        first = UInt16(clamping: pages.lowerBound)
        count = UInt16(clamping: pages.count)
        self.process = UInt8(clamping: process)
        self.device = UInt8(clamping: device)
        self.access = access
        self.backing = backing
        self.target = UInt16(clamping: target)
        self.stamp = UInt32(clamping: stamp)
    }

    /// The range as numbers of the window's pages.
    public var pages: Range<Int> { Int(first)..<Int(first) + Int(count) }
}
