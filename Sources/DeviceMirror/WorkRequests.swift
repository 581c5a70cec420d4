// SPDX-License-Identifier: Apache-2.0
import CDeviceMirrorABI

/// Bytes of a region: where a work request reads or writes.
public struct RegionBytes: Sendable, Hashable {
    /// The region.
    public var region: OnDemandRegion.Handle
    /// The first byte's address.
    public var address: UInt64
    /// How many bytes there are, 1 to ``MirrorDevice/mostRequestBytes``.
    public var count: UInt64

    /// Names some bytes; nothing is checked.
    public init(_ region: OnDemandRegion.Handle, _ address: UInt64, count: UInt64) {
        self.region = region
        self.address = address
        self.count = count
    }
}

/// Work for the device's engine.
///
/// Its buffers must stay until the request's completion was polled (READ), or until it was posted (WRITE).
public struct WorkRequest {
    /// What the engine does.
    public enum Operation {
        /// Memory to a buffer, which gets the bytes when the completion is polled.
        case read(RegionBytes, into: UnsafeMutableRawPointer?)
        /// A buffer, which is read when the request is posted, to memory.
        case write(RegionBytes, from: UnsafeRawPointer?)
        /// Adds to one aligned 64-bit word, atomically for the CPU as well, and wraps around.
        case fetchAdd(UInt64, to: OnDemandRegion.Handle, at: UInt64)
        /// Memory to memory; the two may not overlap.
        case copy(RegionBytes, to: OnDemandRegion.Handle, at: UInt64)
    }

    /// What comes back with the completion.
    public var id: UInt64
    /// What is to be done.
    public var operation: Operation

    /// Makes a request.
    public init(_ id: UInt64, _ operation: Operation) {
        self.id = id
        self.operation = operation
    }

    /// The request as the driver gets it.
    var encoded: hmm_dmirror_odp_request {
        var request = hmm_dmirror_odp_request()
        request.id = id
        let number: Int
        var (handle, address, length): (OnDemandRegion.Handle, UInt64, UInt64)
        switch operation {
        case .read(let bytes, let buffer):
            number = Int(HMM_DMIRROR_ODP_OP_READ)
            (handle, address, length) = (bytes.region, bytes.address, bytes.count)
            request.data = UInt64(UInt(bitPattern: buffer))
        case .write(let bytes, let buffer):
            number = Int(HMM_DMIRROR_ODP_OP_WRITE)
            (handle, address, length) = (bytes.region, bytes.address, bytes.count)
            request.data = UInt64(UInt(bitPattern: buffer))
        case .fetchAdd(let operand, let region, let word):
            number = Int(HMM_DMIRROR_ODP_OP_FETCH_ADD)
            (handle, address, length) = (region, word, 8)
            request.data = operand
        case .copy(let bytes, let region, let target):
            number = Int(HMM_DMIRROR_ODP_OP_COPY)
            (handle, address, length) = (bytes.region, bytes.address, bytes.count)
            request.to_handle = region.rawValue
            request.data = target
        }
        request.op = UInt32(number)
        request.handle = handle.rawValue
        request.addr = address
        request.length = length
        return request
    }
}

/// How a work request ended.
public struct WorkCompletion: Sendable, Hashable {
    /// The request's own.
    public let id: UInt64
    /// Why it failed; nil when it did not.
    ///
    /// `badAddress`: no mapping, or one that may not be read. `notPermitted`: a mapping or a region that may not be
    /// written. `busy`: invalidations did not let a fault succeed. `noProcess`: the address space is gone. `noDevice`: the
    /// device is lost. `inputOutput`: a page could not be mapped for DMA. `noMemory`.
    public let error: Errno?
    /// How often pages were faulted in for it.
    public let faults: Int
    /// The bytes done, also after an error.
    public let bytes: UInt64
    /// The word before an addition; else 0.
    public let old: UInt64
    /// How long it took, from its beginning to its end.
    public let nanoseconds: UInt64

    init(_ completion: hmm_dmirror_odp_completion) {
        id = completion.id
        error = completion.status == 0 ? nil : Errno(rawValue: 0 &- completion.status)
        faults = Int(completion.faults)
        bytes = completion.done
        old = completion.value
        nanoseconds = completion.ns
    }
}

/// What a poll found.
public struct PolledCompletions: Sendable, Hashable {
    /// The completions, in the order of their requests; none when the time was up.
    public let completions: [WorkCompletion]
    /// The requests that are not done.
    public let pending: Int

    /// Names an answer, to compare with.
    public init(completions: [WorkCompletion], pending: Int) {
        self.completions = completions
        self.pending = pending
    }
}

/// The engine's queue, one for each open file.
extension MirrorDevice {
    /// The most requests that may be posted and not yet polled.
    public static let queueLength = Int(HMM_DMIRROR_ODP_QUEUE)
    /// The most bytes of one request.
    public static let mostRequestBytes = UInt64(HMM_DMIRROR_ODP_LENGTH)

    /// Queues requests, which the engine does in this order.
    ///
    /// - Returns: how many were queued. Fewer than all when one after the first was refused; as with write(2), posting
    ///   the rest tells why.
    /// - Throws: when the first one was refused: `tryAgain` while the queue is full, `noEntry` for a region that is not
    ///   there, `invalidArgument` for bytes that are not the region's, `badAddress` for a buffer that cannot be read.
    public func post(
        _ requests: [WorkRequest], file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> Int {
        var argument = hmm_dmirror_odp_post()
        argument.count = UInt32(clamping: requests.count)
        // The closure of withUnsafeBufferPointer would lose the error's type.
        let outcome = requests.map(\.encoded).withUnsafeBufferPointer { places -> Result<Void, MirrorError> in
            argument.ptr = UInt64(UInt(bitPattern: places.baseAddress))
            return Result { () throws(MirrorError) in
                try perform(
                    .post, hmm_dmirror_ioctl_odp_post, &argument, about: "\(requests.count) requests", file, line)
            }
        }
        if argument.posted == 0 { try outcome.get() }
        return Int(argument.posted)
    }

    /// Takes completions, and waits for the first if there is none.
    ///
    /// - Parameters:
    ///   - most: how many to take, 1 to ``queueLength``.
    ///   - milliseconds: how long to wait, at most 60000.
    /// - Throws: `badAddress` when the buffer of a READ cannot be written; its completion stays.
    public func poll(
        most: Int = MirrorDevice.queueLength, within milliseconds: UInt32 = 0, file: String = #fileID, line: Int = #line
    ) throws(MirrorError) -> PolledCompletions {
        var argument = hmm_dmirror_odp_poll()
        argument.count = UInt32(clamping: most)
        argument.timeout_ms = milliseconds
        var found = [hmm_dmirror_odp_completion](repeating: .init(), count: max(most, 0))
        let outcome = found.withUnsafeMutableBufferPointer { places -> Result<Void, MirrorError> in
            argument.ptr = UInt64(UInt(bitPattern: places.baseAddress))
            return Result { () throws(MirrorError) in
                try perform(.poll, hmm_dmirror_ioctl_odp_poll, &argument, file, line)
            }
        }
        try outcome.get()
        return PolledCompletions(
            completions: found.prefix(Int(argument.polled)).map(WorkCompletion.init), pending: Int(argument.pending))
    }
}
