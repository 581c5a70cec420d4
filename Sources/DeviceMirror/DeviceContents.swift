// SPDX-License-Identifier: Apache-2.0
import CDeviceMirrorABI

/// What an atomic operation of the device found.
public struct AtomicAnswer: Sendable, Hashable {
    /// The word before the operation.
    public let old: UInt64
    /// How often the device had to fault the page in.
    public let faults: Int
}

/// What lies in the device's memory, and single words.
extension MirrorDevice {
    /// Reads what the device's memory holds for a range, without the CPU's page table, into `buffer`, which must hold
    /// the range.
    ///
    /// - Returns: the frame number of each page.
    /// - Throws: `noEntry` when a page of the range is not in the device's memory.
    public func readContents(
        of range: PageRange, into buffer: UnsafeMutableRawPointer?, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> [UInt64] {
        var argument = hmm_dmirror_devmem()
        argument.addr = range.address
        argument.npages = range.pageCount
        argument.ptr = UInt64(UInt(bitPattern: buffer))
        // What no frame number is, so that one the driver leaves out shows.
        var frames = [UInt64](repeating: .max, count: range.count)
        // The closure of withUnsafeMutableBufferPointer would lose the error's type.
        let outcome = frames.withUnsafeMutableBufferPointer { places -> Result<Void, MirrorError> in
            argument.pfns = UInt64(UInt(bitPattern: places.baseAddress))
            return Result { () throws(MirrorError) in
                try perform(.readContents, hmm_dmirror_ioctl_devmem_read, &argument, about: "\(range)", file, line)
            }
        }
        try outcome.get()
        return frames
    }

    /// Reads device pages by their frame numbers into `buffer`, which must hold `pages` pages.
    ///
    /// - Throws: `noEntry` for a page that is not this device's or that nobody uses.
    public func readContents(
        ofFrame frame: UInt64, pages: Int = 1, into buffer: UnsafeMutableRawPointer?, file: String = #fileID,
        line: Int = #line
    ) throws(MirrorError) {
        var argument = hmm_dmirror_devmem()
        argument.flags = hmm_dmirror_devmem_pfn
        argument.addr = frame
        argument.npages = UInt64(pages)
        argument.ptr = UInt64(UInt(bitPattern: buffer))
        let subject = "\(pages) frames at 0x\(String(frame, radix: 16))"
        try perform(.readContents, hmm_dmirror_ioctl_devmem_read, &argument, about: subject, file, line)
    }

    /// The device adds to a 64-bit word, atomically, and wraps around.
    ///
    /// - Parameter address: a multiple of 8.
    public func fetchAdd(
        _ operand: UInt64, at address: UInt64, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> AtomicAnswer {
        try atomic(UInt32(HMM_DMIRROR_ATOMIC_FETCH_ADD), operand, compare: 0, at: address, file, line)
    }

    /// The device puts `new` in place of a 64-bit word, atomically, if the word is `expected`.
    ///
    /// - Parameter address: a multiple of 8.
    public func compareExchange(
        _ expected: UInt64, with new: UInt64, at address: UInt64, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> AtomicAnswer {
        try atomic(UInt32(HMM_DMIRROR_ATOMIC_CMPXCHG), new, compare: expected, at: address, file, line)
    }

    private func atomic(
        _ op: UInt32, _ operand: UInt64, compare: UInt64, at address: UInt64, _ file: String, _ line: Int
    ) throws(MirrorError) -> AtomicAnswer {
        var argument = hmm_dmirror_atomic()
        argument.addr = address
        argument.op = op
        argument.operand = operand
        argument.compare = compare
        let subject = "the word at 0x\(String(address, radix: 16))"
        try perform(.atomic, hmm_dmirror_ioctl_dev_atomic, &argument, about: subject, file, line)
        return AtomicAnswer(old: argument.old, faults: Int(argument.faults))
    }
}
