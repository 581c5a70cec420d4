// SPDX-License-Identifier: Apache-2.0
import CDeviceMirrorABI
import Glibc

/// Memory that the device's engine reaches by on-demand paging, until this value goes away: ODP_REG and ODP_DEREG.
///
/// It has a descriptor of its own for the device's open file, so that a ``MirrorDevice`` may be closed first without the
/// kernel ending the region early. A forked child must not end its copy: both name the same region.
public struct OnDemandRegion: ~Copyable, Sendable {
    private let device: MirrorDevice
    // A region that is over is not ended a second time: another one may have its number by then.
    private var isOver = false
    /// What work requests name the region by.
    public let handle: Handle

    /// A region's number in requests; it may outlive the region, which then refuses them.
    public struct Handle: RawRepresentable, Sendable, Hashable {
        /// The number, not 0 where the driver gave it.
        public let rawValue: UInt32
        /// Makes a handle from its number.
        public init(rawValue: UInt32) { self.rawValue = rawValue }
    }

    /// How a region is made.
    public struct Mode: OptionSet, Sendable, Hashable {
        /// The bits.
        public let rawValue: UInt32
        /// Makes a set from its bits.
        public init(rawValue: UInt32) { self.rawValue = rawValue }

        /// The device may write.
        public static let write = Mode(rawValue: hmm_dmirror_odp_write)
        /// What can be faulted in is faulted in at once; not for the whole address space.
        public static let prefetch = Mode(rawValue: hmm_dmirror_odp_prefetch)
    }

    /// What a region has seen.
    public struct Counters: Sendable, Hashable {
        /// Its notifiers: 1, or the parts of the whole address space that were made so far.
        public let parts: Int
        /// The requests done, also those that failed.
        public let requests: UInt64
        /// How often pages were faulted in.
        public let faults: UInt64
        /// Faults begun again after an invalidation.
        public let retries: UInt64
        /// The pages that the device has an entry for.
        public let presentPages: Int
        /// The longest fault with its retries in nanoseconds.
        public let longestFault: UInt64
        private let invalidations: [UInt64]

        /// How often an event changed the page table below the region.
        public func invalidations(by event: DeviceStatistics.Event) -> UInt64 { invalidations[event.rawValue] }

        init(_ answer: hmm_dmirror_odp_dereg) {
            parts = Int(answer.parts)
            requests = answer.requests
            faults = answer.faults
            retries = answer.retries
            presentPages = Int(clamping: answer.present)
            longestFault = answer.max_fault_ns
            invalidations = withUnsafeBytes(of: answer.invalidations) { Array($0.bindMemory(to: UInt64.self)) }
        }
    }

    fileprivate init(device: consuming MirrorDevice, handle: Handle) {
        self.device = device
        self.handle = handle
    }

    deinit {
        if !isOver { _ = try? ask(flags: 0, #fileID, #line) }
    }

    /// What the region has seen so far.
    public func counters(file: String = #fileID, line: Int = #line) throws(MirrorError) -> Counters {
        try ask(flags: hmm_dmirror_odp_query, file, line)
    }

    /// Ends the region now, after the requests that use it.
    ///
    /// - Returns: what it has seen.
    /// - Throws: `noEntry` when somebody has ended it already.
    public consuming func deregister(file: String = #fileID, line: Int = #line) throws(MirrorError) -> Counters {
        isOver = true
        return try ask(flags: 0, file, line)
    }

    /// Leaves the region to the last close of the device's file, which does not wait for requests that have not begun.
    public consuming func leaveToClose() { isOver = true }

    private func ask(flags: UInt32, _ file: String, _ line: Int) throws(MirrorError) -> Counters {
        var argument = hmm_dmirror_odp_dereg()
        argument.flags = flags
        argument.handle = handle.rawValue
        try device.perform(
            .deregisterRegion, hmm_dmirror_ioctl_odp_dereg, &argument, about: "region \(handle.rawValue)", file, line)
        return Counters(argument)
    }
}

extension MirrorDevice {
    /// The most regions of one descriptor.
    public static let mostRegions = Int(HMM_DMIRROR_ODP_REGIONS)

    /// Makes a region of the mirrored address space; nothing has to be mapped there yet.
    ///
    /// - Parameter retries: attempts of one fault before a request fails with `busy`, at most 65535; 0 leaves it to the
    ///   driver.
    /// - Throws: `noSpace` when the descriptor has ``mostRegions`` already.
    public func register(
        _ range: PageRange, _ mode: OnDemandRegion.Mode = .write, retries: UInt32 = 0, file: String = #fileID,
        line: Int = #line
    ) throws(MirrorError) -> OnDemandRegion {
        var argument = hmm_dmirror_odp_reg()
        argument.flags = mode.rawValue
        argument.addr = range.address
        argument.npages = range.pageCount
        argument.max_retries = retries
        return try register(&argument, "\(range)", file, line)
    }

    /// Makes a region of the whole address space, in parts that the device makes as it needs them.
    public func registerAddressSpace(
        _ mode: OnDemandRegion.Mode = .write, retries: UInt32 = 0, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> OnDemandRegion {
        var argument = hmm_dmirror_odp_reg()
        argument.flags = mode.rawValue | hmm_dmirror_odp_implicit
        argument.max_retries = retries
        return try register(&argument, "the whole address space", file, line)
    }

    private func register(
        _ argument: inout hmm_dmirror_odp_reg, _ subject: String, _ file: String, _ line: Int
    ) throws(MirrorError) -> OnDemandRegion {
        // F_DUPFD_CLOEXEC: dup(2) would let the copy through an execve(2).
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else {
            throw MirrorError(operation: .registerRegion, code: .current, target: path, file: file, line: line)
        }
        let device = MirrorDevice(adopting: copy)
        try perform(.registerRegion, hmm_dmirror_ioctl_odp_reg, &argument, about: subject, file, line)
        return OnDemandRegion(device: device, handle: .init(rawValue: argument.handle))
    }
}
