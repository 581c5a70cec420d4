// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Testing

@testable import GuestTestKit

@Suite("Pagemap entries")
struct PagemapEntryTests {
    @Test("A present page has a frame and no swap entry")
    func present() {
        let entry = PagemapEntry(rawValue: 1 << 63 | 1 << 56 | 1 << 55 | 0x12345)
        #expect(entry.isPresent)
        #expect(entry.frame == 0x12345)
        #expect(entry.isExclusivelyMapped)
        #expect(entry.isSoftDirty)
        #expect(!entry.isFileOrShared)
        #expect(entry.swapType == nil)
        #expect(entry.swapOffset == nil)
        #expect(!entry.isEmpty)
    }

    @Test("An entry of swap format has a type and an offset and no frame")
    func swap() {
        let entry = PagemapEntry(rawValue: 1 << 62 | 1 << 61 | 0x3fff_ffff_f000 << 5 | 27)
        #expect(!entry.isPresent)
        #expect(entry.frame == nil)
        #expect(entry.swapType == 27)
        #expect(entry.swapOffset == 0x3fff_ffff_f000)
        #expect(entry.isFileOrShared)
        #expect(!entry.isSoftDirty)
    }

    @Test("An entry may be soft-dirty and empty at once")
    func empty() {
        let entry = PagemapEntry(rawValue: 1 << 55)
        #expect(entry.isEmpty)
        #expect(entry.isSoftDirty)
    }

    @Test("A pagemap that ends too early is an error and not a shorter list")
    func shortPagemap() {
        let beyond = PageRange(address: 0x00ff_ffff_ffff_f000, pageCount: 4)
        let error = #expect(throws: SystemCallError.self) { try beyond.pagemap() }
        #expect(error?.code.rawValue == 5)
    }

    @Test("The pagemap of this process shows what was touched and nothing else")
    func ownPagemap() throws {
        let buffer = try MappedBuffer.anonymous(pages: 4)
        buffer.range.page(2).fill(seed: 1)
        #expect(try buffer.range.pagemap().map(\.isPresent) == [false, false, true, false])
    }
}

@Suite("Places of pages")
struct PagePlaceTests {
    private let memory = PhysicalMemory(
        parsing: """
            00000000-00000fff : Reserved
            00100000-3fffffff : System RAM
              01000000-01ffffff : Kernel code
            40000000-7fffffff : Reserved
            ff000000-ff0fffff : some device
            3fff0000000-3ffffffffff : hmm_dmirror
            """)
    private let types = DeviceEntryTypes(kernel: 6, 12)

    private func place(_ raw: UInt64) -> PagePlace { PagePlace(PagemapEntry(rawValue: raw), memory, types) }

    @Test("A present page is system memory where the machine has RAM, and device memory elsewhere")
    func present() {
        #expect(place(1 << 63 | 0x2000) == .system(frame: 0x2000))
        #expect(place(1 << 63 | 0x1000) == .system(frame: 0x1000))
        #expect(place(1 << 63 | 0x40000) == .coherent(frame: 0x40000))
        #expect(place(1 << 63 | 0x2000).kind == .system)
    }

    @Test("A page of persistent memory is known by its region, not by what its driver calls a part of it")
    func persistent() {
        let memory = PhysicalMemory(
            parsing: """
                00100000-17ffffff : System RAM
                18000000-2fffffff : Persistent Memory (legacy)
                  18000000-2fffffff : namespace0.0
                """)
        #expect(memory.persistentRegion(holding: 0x18000)?.bytes == 0x1800_0000...0x2fff_ffff)
        #expect(memory.persistentRegion(holding: 0x2ffff)?.bytes.lowerBound == 0x1800_0000)
        #expect(memory.persistentRegion(holding: 0x17fff) == nil)
        #expect(memory.persistentRegion(holding: 0x30000) == nil)
    }

    @Test("A device-private entry counts only inside a driver's range")
    func devicePrivate() {
        let frame: UInt64 = 0x3fff_0000
        #expect(place(1 << 62 | frame << 5 | 27) == .privateMemory(frame: frame, writable: true))
        #expect(place(1 << 62 | frame << 5 | 28).kind == .privateReadOnly)
        #expect(place(1 << 62 | 0x2000 << 5 | 27).kind == .unknown)
    }

    @Test("Other entries of swap format keep their meaning")
    func others() {
        #expect(place(1 << 62 | 0x2000 << 5 | 29) == .exclusive(frame: 0x2000))
        #expect(place(1 << 62 | 0x2000 << 5 | 30).kind == .exclusive)
        #expect(place(1 << 62 | 0x77 << 5 | 0) == .swap)
        #expect(place(1 << 62 | 0x77 << 5 | 22) == .swap)
        #expect(place(1 << 62 | 0x77 << 5 | 23).kind == .unknown)
        #expect(place(1 << 62 | 0x77 << 5 | 25).kind == .unknown)
        #expect(place(0) == .nothing)
    }

    @Test("The numbering of device entries changed in 6.2 and in 6.15")
    func numbering() {
        #expect(DeviceEntryTypes(kernel: 6, 1).privateWritable == 26)
        #expect(DeviceEntryTypes(kernel: 6, 1).privateReadOnly == 27)
        #expect(DeviceEntryTypes(kernel: 6, 1).exclusive == 28...29)
        #expect(DeviceEntryTypes(kernel: 6, 2) == DeviceEntryTypes(kernel: 6, 12))
        #expect(DeviceEntryTypes(kernel: 6, 12).privateWritable == 27)
        #expect(DeviceEntryTypes(kernel: 6, 14).exclusive == 29...30)
        #expect(DeviceEntryTypes(kernel: 6, 15).privateWritable == 28)
        #expect(DeviceEntryTypes(kernel: 7, 2) == DeviceEntryTypes(kernel: 6, 15))
    }

    @Test("Pages on a device tell its piece of memory, others none")
    func pieces() {
        #expect(place(1 << 63 | 0x40000).devicePiece == 4)
        #expect(place(1 << 63 | 0x4ffff).devicePiece == 4)
        #expect(place(1 << 62 | 0x3fff_0000 << 5 | 28).devicePiece == 0x3fff)
        #expect(place(1 << 63 | 0x2000).devicePiece == nil)
        #expect(place(1 << 62 | 0x2000 << 5 | 29).devicePiece == nil)
    }

    @Test("No pages are in no place")
    func noPages() throws {
        #expect(try PageRange(address: 0, pageCount: 0).misplaced(.system) != nil)
    }

    @Test("Versions are compared by both numbers")
    func order() {
        #expect(KernelVersion(6, 1) < KernelVersion(6, 12))
        #expect(KernelVersion(6, 12) < KernelVersion(7, 2))
        #expect(!(KernelVersion(7, 2) < KernelVersion(6, 12)))
        #expect(!(KernelVersion(6, 12) < KernelVersion(6, 12)))
    }

    @Test(
        "A release is read up to what is not a number",
        arguments: [("6.12.117-1-amd64", 6, 12), ("7.2.13", 7, 2), ("6.1", 6, 1), ("6.15-rc3", 6, 15), ("", 0, 0)])
    func release(text: String, major: Int, minor: Int) {
        let version = KernelVersion(release: text)
        #expect(version.major == major)
        #expect(version.minor == minor)
    }

    @Test("Lines that are not a range are left out")
    func badLines() {
        let parsed = PhysicalMemory(
            parsing: "nonsense\n10-f : backwards\n00-0f : fine: and more\n\nxy-zz : no number\n")
        #expect(parsed.regions == [PhysicalMemory.Region(bytes: 0...15, name: "fine: and more")])
    }
}

@Suite("The kernel's text files")
struct TextFormatTests {
    private let smaps = Smaps(
        parsing: """
            55d0c8a00000-55d0c8a02000 r--p 00000000 08:01 1234                       /bin/a b-c
            Size:                  8 kB
            Rss:                   8 kB
            VmFlags: rd mr mw me
            7f0000000000-7f0000010000 rw-p 00000000 00:00 0
            Size:                 64 kB
            Rss:                  12 kB
            Swap:                  4 kB
            THPeligible:           0
            7f0000010000-7f0000011000 ---p 00000000 00:00 0
            Rss:                   0 kB
            """)

    @Test("Each mapping has its bytes and its fields in bytes")
    func mappings() {
        #expect(smaps.mappings.count == 3)
        #expect(smaps.mappings[0].bytes == 0x55d0_c8a0_0000..<0x55d0_c8a0_2000)
        #expect(smaps.mappings[1].fields == ["Size": 65536, "Rss": 12288, "Swap": 4096])
    }

    @Test("A sum takes every mapping that the range touches and no other")
    func sums() {
        #expect(smaps.sum("Rss", over: PageRange(address: 0x7f00_0000_0000, pageCount: 17)) == 12288)
        #expect(smaps.sum("Rss", over: PageRange(address: 0x7f00_0001_0000, pageCount: 1)) == 0)
        #expect(smaps.sum("Rss", over: PageRange(address: 0x55d0_c8a0_1000, pageCount: 1)) == 8192)
        #expect(smaps.sum("Locked", over: PageRange(address: 0x7f00_0000_0000, pageCount: 1)) == 0)
    }

    @Test("A buffer is a mapping of its own in this process's smaps")
    func ownSmaps() throws {
        let buffer = try MappedBuffer.anonymous(pages: 8)
        let neighbour = try MappedBuffer.filled(pages: 8, seed: 1)
        #expect(try buffer.range.smaps("Rss") == 0)
        buffer.range.pages(from: 0, count: 3).fill(seed: 1)
        #expect(try buffer.range.smaps("Rss") == 3 * PageRange.pageSize)
        #expect(try neighbour.range.smaps("Size") == 8 * PageRange.pageSize)
    }

    @Test("A counter is found by its whole name")
    func counters() {
        let text = "HugePages_Total:      64\nHugePages_Free:       62\nnr_free_pages 17\n"
        #expect(KernelCounters.value(of: "HugePages_Free", in: text) == 62)
        #expect(KernelCounters.value(of: "nr_free_pages", in: text) == 17)
        #expect(KernelCounters.value(of: "HugePages", in: text) == nil)
    }
}
