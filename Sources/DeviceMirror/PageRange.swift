// SPDX-License-Identifier: Apache-2.0
import Glibc

/// A run of pages in a process's address space.
///
/// A plain value that promises nothing: the range may be unmapped, unaligned or absurd, which is what tests of argument
/// checks need.
public struct PageRange: Sendable, Hashable {
    /// The size of a page in bytes (sysconf(3), `_SC_PAGESIZE`).
    public static let pageSize = Int(sysconf(Int32(_SC_PAGESIZE)))

    /// The first byte.
    public var address: UInt64
    /// The length in pages.
    public var pageCount: UInt64

    /// Makes a range from its first byte and its length in pages.
    public init(address: UInt64, pageCount: UInt64) {
        self.address = address
        self.pageCount = pageCount
    }

    /// The length in pages, for use as an index; `Int.max` where it does not fit.
    public var count: Int { Int(clamping: pageCount) }

    /// The length in bytes, wrapped around as the kernel would compute it.
    public var byteCount: UInt64 { pageCount &* UInt64(PageRange.pageSize) }

    /// The address of the page at `index`, counted from the start.
    public func address(ofPage index: Int) -> UInt64 {
        address &+ UInt64(bitPattern: Int64(index)) &* UInt64(PageRange.pageSize)
    }

    /// A part of the range: `pages` pages from page `first` on, neither checked against the range.
    public func pages(from first: Int, count pages: Int) -> PageRange {
        PageRange(address: address(ofPage: first), pageCount: UInt64(pages))
    }

    /// The one page at `index`.
    public func page(_ index: Int) -> PageRange { pages(from: index, count: 1) }
}

extension PageRange: CustomStringConvertible {
    /// The range as `N pages at 0xADDRESS`.
    public var description: String {
        "\(pageCount) page\(pageCount == 1 ? "" : "s") at 0x\(String(address, radix: 16))"
    }
}
