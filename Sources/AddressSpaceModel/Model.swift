// SPDX-License-Identifier: Apache-2.0

/// A window of one or two address spaces: what is mapped, what it holds and where that is, and what each step may change of it.
///
/// The model follows frames, not page tables: after fork(2) two processes use one frame until one of them writes. It knows
/// nothing of the kernel's own choices, such as whether a page that was never written is the zero page.
public struct Model: Sendable {
    /// What the running kernel does that others do not, so that a bug that is known does not hide the ones that are not.
    public struct Flaws: OptionSet, Sendable, Hashable {
        /// The bits.
        public let rawValue: UInt8
        /// Makes a set from its bits.
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// The device's write fails on a page of its private memory that had become read-only
        /// (`mainline/write-read-only-page` mends it).
        public static let readOnlyPageStays = Flaws(rawValue: 1)
        /// A page of the device's own private memory goes to system memory when the device looks for it together with one before
        /// it that has to be faulted in (hmm_vma_handle_pte() in mm/hmm.c faults all that follows as well).
        public static let faultsGoOn = Flaws(rawValue: 2)
    }

    /// What a page of a mapping is.
    struct Area: Sendable, Equatable {
        var backing: Step.Backing
        var access: Step.Access
        /// The page of the file; of no meaning for anonymous memory.
        var filePage: Int
        /// Pages in a row with one number are one VMA: they were mapped by one step, and all that followed was done to all of
        /// them alike.
        var group: Int
    }

    /// A page of a process.
    struct Entry: Sendable, Equatable {
        var area: Area?
        /// The frame's place in ``frames``; nil for what holds zeros because nobody has written yet.
        var frame: Int?
        /// A device has the frame to itself.
        var isSeized = false
        /// Whether it still has is seen only afterwards.
        var maySeizureEnd = false
    }

    /// A page of memory.
    struct Frame: Sendable, Equatable {
        var content = Content.zero
        /// The device whose memory it is in; nil for ordinary memory.
        var device: Int?
        /// Whether it is still there is seen only afterwards: otherwise it is in ordinary memory.
        var mayLeave = false
        /// How many entries use it.
        var users = 0
        /// It is the file's.
        var isFile = false
        /// Its number, as far as it has been seen since it last moved.
        var number: UInt64?
        /// Its entries may have lost the right to be written since somebody has last written.
        var mayBeReadOnly = false
        /// The batches of a CPU may hold it since get_user_pages() has touched it (folio_activate() in mm/swap.c), and keep it
        /// from moving.
        var mayBeHeld = false
    }

    /// The window's length in pages, at most 1024.
    public let size: Int
    /// The numbers of the devices' nodes.
    public let devices: [Int]
    /// What the kernel is known to do wrong.
    public let flaws: Flaws

    var processes: [[Entry]]
    var frames: [Frame] = []
    private var freeFrames: [Int] = []
    /// The frames of the file's pages that somebody has touched.
    var file: [Int?]
    /// Which device's memory a piece of 256 MiB is, as far as pages have been seen in it.
    var pieces: [UInt64: Int] = [:]
    private var lastGroup = 0

    /// Makes a window with nothing in it, in one process, and a file of the same length that holds zeros.
    public init(size: Int, devices: [Int], flaws: Flaws = []) {
        self.size = size
        self.devices = devices
        self.flaws = flaws
        processes = [[Entry](repeating: Entry(), count: size)]
        file = [Int?](repeating: nil, count: size)
    }

    /// Whether there is a second process.
    public var hasChild: Bool { processes.count == 2 }

    /// Private memory is that of the nodes 0 and 1, which the CPU does not reach.
    func isPrivate(_ device: Int) -> Bool { device < 2 }

    // MARK: - Frames

    mutating func newFrame(_ content: Content = .zero, isFile: Bool = false) -> Int {
        let frame = Frame(content: content, isFile: isFile)
        if let free = freeFrames.popLast() {
            frames[free] = frame
            return free
        }
        frames.append(frame)
        return frames.count - 1
    }

    /// Takes what a page shows away from it.
    mutating func drop(_ process: Int, _ page: Int) {
        guard let frame = processes[process][page].frame else { return }
        processes[process][page].frame = nil
        processes[process][page].isSeized = false
        frames[frame].users -= 1
        if frames[frame].users == 0, !frames[frame].isFile { freeFrames.append(frame) }
    }

    mutating func show(_ frame: Int, _ process: Int, _ page: Int) {
        drop(process, page)
        processes[process][page].frame = frame
        frames[frame].users += 1
    }

    /// Puts a frame elsewhere.
    mutating func place(_ frame: Int, on device: Int?) {
        frames[frame].device = device
        frames[frame].number = nil
        frames[frame].mayBeHeld = false
    }

    /// The frame that reading finds, which for a file's page comes from the file; nil for zeros.
    mutating func frameToRead(_ process: Int, _ page: Int) -> Int? {
        let entry = processes[process][page]
        if entry.frame != nil { return entry.frame }
        guard let area = entry.area, area.backing != .anonymous else { return nil }
        let frame = file[area.filePage] ?? newFrame(isFile: true)
        file[area.filePage] = frame
        show(frame, process, page)
        return frame
    }

    /// The frame that writing changes, which for private memory is nobody else's.
    mutating func frameToWrite(_ process: Int, _ page: Int) -> Int {
        let found = frameToRead(process, page)
        let isShared = processes[process][page].area?.backing == .shared
        if let found, isShared || (!frames[found].isFile && frames[found].users == 1) {
            // The kernel may copy a page that nobody else has any more.
            if frames[found].mayBeReadOnly, frames[found].device == nil { frames[found].number = nil }
            return found
        }
        let frame = newFrame(found.map { frames[$0].content } ?? .zero)
        show(frame, process, page)
        return frame
    }

    /// What a page holds.
    func content(_ process: Int, _ page: Int) -> Content {
        let entry = processes[process][page]
        if let frame = entry.frame { return frames[frame].content }
        guard let area = entry.area, area.backing != .anonymous else { return .zero }
        return file[area.filePage].map { frames[$0].content } ?? .zero
    }

    mutating func newGroup() -> Int {
        lastGroup += 1
        return lastGroup
    }

    mutating func endChild() {
        for page in 0..<size { drop(1, page) }
        processes.removeLast()
    }

    mutating func makeChild() {
        for page in 0..<size {
            // The kernel gives a seized page back to the CPU before it copies the entry (copy_nonpresent_pte() in mm/memory.c).
            processes[0][page].isSeized = false
            guard let frame = processes[0][page].frame else { continue }
            frames[frame].users += 1
            frames[frame].mayBeReadOnly = true
        }
        processes.append(processes[0])
    }
}
