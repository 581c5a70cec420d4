// SPDX-License-Identifier: Apache-2.0
import CGuestShims
public import DeviceMirror
import Glibc

/// One access of the CPU that is allowed to fault.
public enum FaultProbe: Sendable, Equatable {
    /// The access went through; for a read or a write this is the byte, for an addition the word before it.
    case done(UInt64)
    /// SIGSEGV with this `si_code`, at this address.
    case segmentationFault(code: Int32, address: UInt64)
    /// SIGBUS with this `si_code`, at this address.
    case busError(code: Int32, address: UInt64)

    /// Reads the first byte of the range.
    public static func read(_ range: PageRange) -> FaultProbe {
        var (value, code, address): (UInt64, Int32, UInt) = (0, 0, 0)
        let signal = test_probe_read(UInt(range.address), &value, &code, &address)
        return FaultProbe(signal, value, code, address)
    }

    /// Writes the first byte of the range.
    public static func write(_ value: UInt8, to range: PageRange) -> FaultProbe {
        var (code, address): (Int32, UInt) = (0, 0)
        let signal = test_probe_write(UInt(range.address), value, &code, &address)
        return FaultProbe(signal, UInt64(value), code, address)
    }

    /// Adds to the first word of the range atomically, and wraps around.
    public static func add(_ operand: UInt64, to range: PageRange) -> FaultProbe {
        var (value, code, address): (UInt64, Int32, UInt) = (operand, 0, 0)
        let signal = test_probe_add(UInt(range.address), &value, &code, &address)
        return FaultProbe(signal, value, code, address)
    }

    /// Tells the kernel of an error in the page (MADV_HWPOISON), which may answer with a signal at once; ``done(_:)`` has the
    /// error number where it does not.
    public static func poison(_ range: PageRange) -> FaultProbe {
        var (value, code, address): (UInt64, Int32, UInt) = (0, 0, 0)
        let signal = test_probe_poison(UInt(range.address), &value, &code, &address)
        return FaultProbe(signal, value, code, address)
    }

    private init(_ signal: Int32, _ value: UInt64, _ code: Int32, _ address: UInt) {
        switch signal {
        case SIGSEGV: self = .segmentationFault(code: code, address: UInt64(address))
        case SIGBUS: self = .busError(code: code, address: UInt64(address))
        default: self = .done(value)
        }
    }

    /// No mapping at the address (`SEGV_MAPERR` of sigaction(2)).
    public static func unmapped(_ range: PageRange) -> FaultProbe {
        .segmentationFault(code: 1, address: range.address)
    }

    /// A mapping that does not allow the access (`SEGV_ACCERR` of sigaction(2)).
    public static func forbidden(_ range: PageRange) -> FaultProbe {
        .segmentationFault(code: 2, address: range.address)
    }

    /// A mapping without anything behind it, such as beyond a file's end (`BUS_ADRERR` of sigaction(2)).
    public static func beyondFile(_ range: PageRange) -> FaultProbe { .busError(code: 2, address: range.address) }

    /// A mapping whose contents the kernel cannot bring (`BUS_ADRERR` of sigaction(2)).
    public static func unreachable(_ range: PageRange) -> FaultProbe { .busError(code: 2, address: range.address) }

    /// A page whose contents are lost (`BUS_MCEERR_AR` of sigaction(2)).
    public static func contentsLost(_ range: PageRange) -> FaultProbe { .busError(code: 4, address: range.address) }
}

extension PageRange {
    /// Adds 1 to the first word of the range atomically, `times` times in a row.
    public func countUp(_ times: UInt32) { test_count_up(UInt(address), times) }
}
