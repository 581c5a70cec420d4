// SPDX-License-Identifier: Apache-2.0
import CDeviceMirrorABI

/// What the device saw of one page in a SNAPSHOT: the byte `HMM_DMIRROR_PROT_*` of hmm_dmirror_uapi.h, decoded.
public struct SnapshotEntry: Sendable, Hashable, RawRepresentable {
    /// What backs a page: bits 4 to 7, a number and not a set.
    public enum Backing: UInt8, Sendable {
        /// System memory, or nothing at all when the page is neither readable nor writable.
        case system = 0x00
        /// The shared zero page.
        case zeroPage = 0x10
        /// Private memory of the device that was asked.
        case privateLocal = 0x20
        /// Private memory of another device.
        case privateRemote = 0x30
        /// Coherent memory of the device that was asked.
        case coherentLocal = 0x40
        /// Coherent memory of another device.
        case coherentRemote = 0x50
    }

    /// How a page is mapped: bits 0 to 3.
    public struct Mapping: OptionSet, Sendable, Hashable {
        /// The bits.
        public let rawValue: UInt8
        /// Makes a set from its bits.
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// Readable and not writable.
        public static let read = Mapping(rawValue: UInt8(HMM_DMIRROR_PROT_READ))
        /// Readable and writable.
        public static let write = Mapping(rawValue: UInt8(HMM_DMIRROR_PROT_WRITE))
        /// Part of a page of PMD size, mapped as a whole.
        public static let pmd = Mapping(rawValue: UInt8(HMM_DMIRROR_PROT_PMD))
        /// Part of a page of PUD size, mapped as a whole.
        public static let pud = Mapping(rawValue: UInt8(HMM_DMIRROR_PROT_PUD))
    }

    /// The byte as the kernel wrote it.
    public let rawValue: UInt8

    /// Makes an entry from the kernel's byte.
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Makes the entry that the kernel writes for a page with this backing, mapped this way.
    public init(_ backing: Backing, _ mapping: Mapping) { rawValue = backing.rawValue | mapping.rawValue }

    /// There is no mapping at this address, or one without any access.
    public static let error = SnapshotEntry(rawValue: UInt8(HMM_DMIRROR_PROT_ERROR))
    /// There is a mapping, and no page the device could use without a fault.
    public static let none = SnapshotEntry(rawValue: UInt8(HMM_DMIRROR_PROT_NONE))
    /// System memory, readable.
    public static let readable = SnapshotEntry(.system, .read)
    /// System memory, writable.
    public static let writable = SnapshotEntry(.system, .write)

    /// What backs the page; nil for an error and for a number this version does not know.
    public var backing: Backing? { self == .error ? nil : Backing(rawValue: rawValue & 0xf0) }

    /// How the page is mapped; empty for an error.
    public var mapping: Mapping { self == .error ? [] : Mapping(rawValue: rawValue & 0x0f) }
}

extension SnapshotEntry: CustomStringConvertible {
    /// The entry in words, such as `privateLocal write` or `system write pmd`.
    public var description: String {
        if self == .error { return "error" }
        if self == .none { return "none" }
        let names: [(Mapping, String)] = [(.read, "read"), (.write, "write"), (.pmd, "pmd"), (.pud, "pud")]
        let words = names.filter { mapping.contains($0.0) }.map(\.1)
        let place = backing.map { "\($0)" } ?? "unknown 0x\(String(rawValue, radix: 16))"
        return ([place] + words).joined(separator: " ")
    }
}
