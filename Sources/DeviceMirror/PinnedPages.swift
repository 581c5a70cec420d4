// SPDX-License-Identifier: Apache-2.0
import CDeviceMirrorABI
import Glibc

/// Pages that the driver holds as one with long DMA does, until this value goes away: PIN and UNPIN.
///
/// It has a descriptor of its own for the device's open file, so that a ``MirrorDevice`` may be closed first without the
/// kernel letting go early. A forked child must not let go of its copy: both name the same pin.
public struct PinnedPages: ~Copyable, Sendable {
    private let descriptor: Int32
    private let handle: UInt32
    /// The pages that are system memory.
    public let systemPages: Int
    /// The pages that are a device's coherent memory.
    public let coherentPages: Int

    /// How pages are held.
    public struct Mode: OptionSet, Sendable, Hashable {
        /// The bits.
        public let rawValue: UInt32
        /// Makes a set from its bits.
        public init(rawValue: UInt32) { self.rawValue = rawValue }

        /// For writing.
        public static let write = Mode(rawValue: hmm_dmirror_pin_write)
        /// For long, which brings coherent memory back first.
        public static let longTerm = Mode(rawValue: hmm_dmirror_pin_longterm)
    }

    fileprivate init(descriptor: Int32, answer: hmm_dmirror_pin) {
        self.descriptor = descriptor
        handle = answer.handle
        systemPages = Int(clamping: answer.system)
        coherentPages = Int(clamping: answer.coherent)
    }

    deinit { _ = Self.unpin(descriptor, handle) }

    /// Lets go now.
    ///
    /// - Throws: `noEntry` when somebody has let go already.
    public consuming func release(file: String = #fileID, line: Int = #line) throws(MirrorError) {
        let (descriptor, handle) = (descriptor, handle)
        discard self
        if let code = Self.unpin(descriptor, handle) {
            throw MirrorError(operation: .unpin, code: code, target: "pin \(handle)", file: file, line: line)
        }
    }

    private static func unpin(_ descriptor: Int32, _ handle: UInt32) -> Errno? {
        let device = MirrorDevice(adopting: descriptor)
        var argument = hmm_dmirror_unpin()
        argument.handle = handle
        do throws(MirrorError) {
            try device.perform(.unpin, hmm_dmirror_ioctl_unpin, &argument, #fileID, #line)
            return nil
        } catch {
            return error.code
        }
    }
}

extension MirrorDevice {
    /// The most pages of one pin.
    public static let mostPinnedPages = Int(HMM_DMIRROR_PIN_PAGES)

    /// Holds the pages of a range, faulting in what is not there.
    ///
    /// - Throws: `badAddress` for a range without a mapping, or without the access that `mode` asks for.
    public func pin(
        _ range: PageRange, _ mode: PinnedPages.Mode = [.write, .longTerm], file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> PinnedPages {
        // F_DUPFD_CLOEXEC: dup(2) would let the copy through an execve(2).
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else {
            throw MirrorError(operation: .pin, code: .current, target: path, file: file, line: line)
        }
        var argument = hmm_dmirror_pin()
        argument.flags = mode.rawValue
        argument.addr = range.address
        argument.npages = range.pageCount
        do throws(MirrorError) {
            try perform(.pin, hmm_dmirror_ioctl_pin, &argument, about: "\(range)", file, line)
        } catch {
            close(copy)
            throw error
        }
        return PinnedPages(descriptor: copy, answer: argument)
    }
}
