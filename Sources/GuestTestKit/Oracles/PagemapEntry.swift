// SPDX-License-Identifier: Apache-2.0
public import DeviceMirror
import Glibc

/// One entry of /proc/PID/pagemap (Documentation/admin-guide/mm/pagemap.rst): what the page table holds for one page.
public struct PagemapEntry: Sendable, Hashable, RawRepresentable {
    /// The 64 bits.
    public let rawValue: UInt64

    /// Makes an entry from the kernel's 64 bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Bit 63: the page is in memory that the CPU addresses.
    public var isPresent: Bool { bit(63) }
    /// Bit 62: the page table holds an entry of swap format, which device-private pages use as well.
    public var isSwapFormat: Bool { bit(62) }
    /// Bit 61: a page of a file or of shared anonymous memory.
    public var isFileOrShared: Bool { bit(61) }
    /// Bit 56: mapped by this process only, and once.
    public var isExclusivelyMapped: Bool { bit(56) }
    /// Bit 55: written to since /proc/PID/clear_refs was told 4.
    public var isSoftDirty: Bool { bit(55) }
    /// Bits 0 to 54 of a present page: its page frame number; 0 without CAP_SYS_ADMIN.
    public var frame: UInt64? { isPresent ? rawValue & (1 << 55 - 1) : nil }
    /// Bits 0 to 4 of an entry of swap format: the kind of entry, or the swap area's number.
    public var swapType: UInt8? { isSwapFormat ? UInt8(rawValue & 0x1f) : nil }
    /// Bits 5 to 54 of an entry of swap format: a place in the swap area, or a page frame number.
    public var swapOffset: UInt64? { isSwapFormat ? rawValue >> 5 & (1 << 50 - 1) : nil }
    /// Nothing is mapped here.
    public var isEmpty: Bool { !isPresent && !isSwapFormat }

    private func bit(_ number: Int) -> Bool { rawValue >> number & 1 == 1 }
}

/// The kinds of swap-format entries that stand for device memory, numbered from the top of the five bits
/// (include/linux/swap.h, with CONFIG_DEVICE_PRIVATE and PTE markers).
///
/// Up to 6.14 there are four: device write, device read, exclusive write, exclusive read. Since 6.15 exclusive has one.
/// What lies above them is the PTE marker, and before 6.2 also an entry of its own for a failed swap-in.
public struct DeviceEntryTypes: Sendable, Equatable {
    /// A device-private page that may be written.
    public let privateWritable: UInt8
    /// A device-private page that may only be read.
    public let privateReadOnly: UInt8
    /// A page that a device holds exclusively.
    public let exclusive: ClosedRange<UInt8>

    /// The numbering of a kernel version.
    public init(kernel major: Int, _ minor: Int) {
        if (major, minor) < (6, 2) {
            (privateWritable, privateReadOnly, exclusive) = (26, 27, 28...29)
        } else if (major, minor) < (6, 15) {
            (privateWritable, privateReadOnly, exclusive) = (27, 28, 29...30)
        } else {
            (privateWritable, privateReadOnly, exclusive) = (28, 29, 30...30)
        }
    }

    /// Below this number lie the swap areas: between them and the devices there is one kind for poisoned memory and
    /// there are three for migration.
    public var firstSpecial: UInt8 { privateWritable - 4 }

    /// The numbering of the running kernel.
    public static let running: DeviceEntryTypes = {
        let version = KernelVersion.running
        return DeviceEntryTypes(kernel: version.major, version.minor)
    }()
}

/// The first two numbers of a kernel version.
public struct KernelVersion: Sendable, Equatable, Comparable {
    /// The 6 of 6.12.
    public let major: Int
    /// The 12 of 6.12.
    public let minor: Int

    /// Names a version.
    public init(_ major: Int, _ minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// Reads a release such as `6.12.117-1-amd64`; what is missing or not a number counts as 0.
    public init(release: String) {
        let numbers = release.split(separator: ".").prefix(2).map { Int($0.prefix { $0.isNumber }) ?? 0 }
        major = numbers.first ?? 0
        minor = numbers.dropFirst().first ?? 0
    }

    /// The older version is the smaller one.
    public static func < (left: KernelVersion, right: KernelVersion) -> Bool {
        (left.major, left.minor) < (right.major, right.minor)
    }

    /// The running kernel's version (uname(2)).
    public static let running: KernelVersion = {
        var name = utsname()
        uname(&name)
        return KernelVersion(
            release: withUnsafeBytes(of: &name.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) })
    }()
}

extension PageRange {
    /// Reads this process's pagemap for the range.
    ///
    /// - Returns: one entry for each page, never fewer.
    /// - Throws: EIO when the kernel gave fewer entries than there are pages.
    public func pagemap(file: String = #fileID, line: Int = #line) throws(SystemCallError) -> [PagemapEntry] {
        // Opened every time: the descriptor stays with the address space it was opened in, also after a fork.
        let descriptor = try systemCall("open /proc/self/pagemap", file: file, line: line) {
            open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)
        }
        defer { close(descriptor) }
        var entries = [UInt64](repeating: 0, count: count)
        let bytes = count * MemoryLayout<UInt64>.size
        let offset = Int(address) / PageRange.pageSize * MemoryLayout<UInt64>.size
        let read = try systemCall("pread /proc/self/pagemap", file: file, line: line) {
            pread(descriptor, &entries, bytes, offset)
        }
        // A check of every page would hold for those that are left out.
        guard read == bytes else {
            let call = "pread of \(bytes) bytes of /proc/self/pagemap gave \(read), which"
            throw SystemCallError(call: call, code: Errno(rawValue: EIO), file: file, line: line)
        }
        return entries.map(PagemapEntry.init(rawValue:))
    }
}
