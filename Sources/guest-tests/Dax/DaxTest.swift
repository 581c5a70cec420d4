// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Makes one test for each filesystem that maps its files from persistent memory, from one body.
///
/// The oracle of all of them, whatever the body looks at: no file is in use when the body is through, so that the
/// filesystem can be taken away, which makes the kernel look at the references of every page that a file had; pins are
/// as many as before; and so is locked memory.
func onEachDax(
    _ id: String, _ summary: String, needs requirements: [Requirement] = [], timeoutMilliseconds: Int = 60_000,
    file: String = #fileID, line: Int = #line, _ body: @escaping @Sendable (borrowing DaxFileSystem) throws -> Void
) -> [GuestTest] {
    DaxFileSystem.Format.allCases.map { format in
        GuestTest(
            "\(id)-\(format.rawValue)", "\(summary) (\(format.rawValue))", needs: format.requirements + requirements,
            timeoutMilliseconds: timeoutMilliseconds, file: file, line: line
        ) {
            let before = MemoryAccount()
            let disk = try DaxFileSystem(format, file: file, line: line)
            try body(disk)
            try disk.unmount(file: file, line: line)
            let after = MemoryAccount()
            expectEqual(after.pinned, before.pinned, "every pin is gone", file: file, line: line)
            expectEqual(after.locked, before.locked, "no more memory is locked than before", file: file, line: line)
        }
    }
}

/// Numbers of the whole system that a test leaves as they were.
struct MemoryAccount {
    /// Pins that were taken and not given back; nil where the kernel does not count.
    let pinned: Int?
    /// Memory that mlock(2) keeps, in kB.
    let locked: Int?
    /// Pages by what they are used for, which change with whatever else goes on.
    let pages: [String: Int]

    /// The numbers of now.
    init() {
        // What each processor has counted for itself is added up first.
        _ = try? TextFile.read("/proc/sys/vm/stat_refresh")
        let taken = KernelCounters.virtualMemory("nr_foll_pin_acquired")
        pinned = KernelCounters.virtualMemory("nr_foll_pin_released").flatMap { back in taken.map { $0 - back } }
        locked = KernelCounters.memory("Mlocked")
        let names = ["nr_mapped", "nr_anon_pages", "nr_file_pages", "nr_dirty", "nr_writeback", "nr_shmem"]
        pages = Dictionary(uniqueKeysWithValues: names.map { ($0, KernelCounters.virtualMemory($0) ?? 0) })
    }
}

extension DaxFileSystem {
    /// The path of the file that a test keeps across mounts and processes.
    var path: String { folder + "/file" }

    /// Opens that file, or makes it, with so many pages.
    func opened(
        pages: Int = span, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> ScratchFile {
        try ScratchFile(.named(path), pages: pages, file: file, line: line)
    }

    /// Opens that file, fills it with the pattern of seed 1 through write(2), and sees to it that it is mapped from the
    /// device: without that a test would be about the page cache.
    func filled(pages: Int = span, file: String = #fileID, line: Int = #line) throws -> ScratchFile {
        let scratch = try opened(pages: pages, file: file, line: line)
        try scratch.fill(seed: 1, pages: pages, pagesAtATime: pages, file: file, line: line)
        try require(
            try scratch.isDirectAccess(file: file, line: line), "files are mapped from the device (statx)", file: file,
            line: line)
        return scratch
    }
}

extension ScratchFile {
    /// read(2) finds the pattern.
    func expectContents(
        pages: Int = span, seed: UInt64, _ sentence: String, file: String = #fileID, line: Int = #line
    ) throws {
        let image = try contents(pages: pages, file: file, line: line)
        image.range.expectHolds(seed: seed, sentence, file: file, line: line)
    }
}

extension PageRange {
    /// Every page of the mapping is one of the device's own, and the device holds the pattern there.
    func expectOnDevice(
        seed: UInt64, firstPage: Int = 0, _ sentence: String, file: String = #fileID, line: Int = #line
    ) throws {
        guard let image = try DaxFileSystem.contents(of: self, file: file, line: line) else {
            expect(false, sentence, "a page is not in persistent memory", file: file, line: line)
            return
        }
        image.range.expectHolds(seed: seed, firstPage: firstPage, sentence, file: file, line: line)
    }
}

/// The page faults of this process so far (proc(5), stat): both kinds, since one that allocates space counts as major.
func faultCount(file: String = #fileID, line: Int = #line) throws -> Int {
    let text = try TextFile.read("/proc/self/stat", file: file, line: line)
    // The program's name may hold spaces; what follows it begins with the third field.
    let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
    let counts = [7, 9].compactMap { fields.indices.contains($0) ? Int(fields[$0]) : nil }
    try require(counts.count == 2, "the kernel counts page faults", file: file, line: line)
    return counts[0] + counts[1]
}
