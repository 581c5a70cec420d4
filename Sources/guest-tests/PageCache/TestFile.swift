// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// The kinds of files whose page cache goes to the device.
enum FileKind: String, Sendable, CaseIterable {
    /// A memory file, which nobody else can open by name.
    case memfd
    /// A file of tmpfs.
    case tmpfs
    /// A file that is written back to a disk, with buffers attached to its pages; ext4 with its default, `data=ordered`.
    case ext4
    /// The same with `data=journal`: what is written goes to the journal first, and stays where it is until it has gone
    /// from there to its place on the disk (``TestFile/settle(file:line:)``).
    case ext4Journal = "ext4-journal"
    /// A file that is written back to a disk from folios of all sizes with nothing attached to the small ones.
    ///
    /// Large folios do not move, so that the tests take care to have small ones; `file/large-xfs` is about the others.
    case xfs

    /// The kinds that a disk has.
    static let onDisk: [FileKind] = [.ext4, .ext4Journal, .xfs]

    /// What a file of the kind needs.
    var requirements: [Requirement] {
        switch self {
        case .memfd, .tmpfs: []
        case .ext4, .ext4Journal: [.mkfsExt4]
        case .xfs: [.xfs]
        }
    }

    /// What it lies on; nil for what is on no disk.
    var format: DiskFileSystem.Format? {
        switch self {
        case .memfd, .tmpfs: nil
        case .ext4: .ext4
        case .ext4Journal: .ext4Journal
        case .xfs: .xfs
        }
    }

    /// Whether its pages are counted as shared memory.
    var isShmem: Bool { format == nil }
}

/// A file with the filesystem that it needs, gone together.
struct TestFile: ~Copyable, Sendable {
    /// Where it is kept.
    let kind: FileKind
    /// The file; it goes before its filesystem.
    let file: ScratchFile
    /// Where its filesystem is mounted; that of tmpfs for memory files, too.
    let folder: String
    private let disk: DiskFileSystem?
    // The disk itself; of no use where there is none.
    private let image: String

    /// Makes an empty file of so many pages.
    init(
        _ kind: FileKind, pages: Int, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        if let format = kind.format {
            let disk = try DiskFileSystem(format, file: file, line: line)
            let opened = try ScratchFile(.folder(disk.folder), pages: pages, file: file, line: line)
            // The size of folios that are read is the reader's guess of what is read next, which this forbids.
            if kind == .xfs { try opened.expectRandomAccess(file: file, line: line) }
            let (folder, image) = (disk.folder, disk.image)
            self.init(kind, opened, folder, image, on: consume disk)
        } else {
            let place: ScratchFile.Place = kind == .memfd ? .memory : .tmpfs
            self.init(kind, try ScratchFile(place, pages: pages, file: file, line: line), "/tmp", "", on: nil)
        }
    }

    /// Opens another file in the filesystem of one that lives longer; one that is named stays there.
    init(
        in other: borrowing TestFile, named path: String? = nil, pages: Int, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        let place = path.map { ScratchFile.Place.named($0) } ?? .folder(other.folder)
        let opened = try ScratchFile(place, pages: pages, file: file, line: line)
        if other.kind == .xfs { try opened.expectRandomAccess(file: file, line: line) }
        self.init(other.kind, opened, other.folder, other.image, on: nil)
    }

    private init(
        _ kind: FileKind, _ file: consuming ScratchFile, _ folder: String, _ image: String,
        on disk: consuming DiskFileSystem?
    ) {
        self.kind = kind
        self.file = file
        self.folder = folder
        self.image = image
        self.disk = disk
    }

    /// Writes the pattern with pwrite(2), in such a way that every page is a folio of its own.
    func fill(
        seed: UInt64, pages: Int = span, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        // A write of one page makes no folio that is larger.
        try self.file.fill(seed: seed, pages: pages, file: file, line: line)
    }

    /// Does what has to be done before pages that were written can move: for `data=journal` all of the journal goes to its
    /// place on the disk; for the others there is nothing to do, and nothing is done.
    func settle(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        guard kind == .ext4Journal else { return }
        try self.file.sync(file: file, line: line)
        try self.file.checkpoint(file: file, line: line)
    }

    /// The file's pages, mapped.
    func mapped(
        pages: Int = span, shared: Bool = true, _ protection: MappedBuffer.Protection = .readWrite,
        file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer {
        let buffer = try MappedBuffer.file(
            self.file.descriptor, pages: pages, shared: shared, protection, file: file, line: line)
        // As for read(2), where it was opened.
        if kind == .xfs { try buffer.advise(.random, file: file, line: line) }
        return buffer
    }

    /// read(2) finds the pattern.
    func expectContents(
        pages: Int = span, seed: UInt64, _ sentence: String, file: String = #fileID, line: Int = #line
    ) throws {
        let image = try self.file.contents(pages: pages, file: file, line: line)
        image.range.expectHolds(seed: seed, sentence, file: file, line: line)
    }

    /// The disk has the pattern, once all is written back.
    func expectOnDisk(
        pages: Int = span, seed: UInt64, _ sentence: String, file: String = #fileID, line: Int = #line
    ) throws {
        let disk = try contentsOnDisk(pages: pages, file: file, line: line)
        disk.range.expectHolds(seed: seed, sentence, file: file, line: line)
    }

    /// What the disk has, once all is written back.
    func contentsOnDisk(
        pages: Int = span, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer {
        try self.file.sync(file: file, line: line)
        // ext4 reads through the page cache in spite of O_DIRECT when data is in the journal.
        guard kind == .ext4Journal else {
            return try self.file.contentsOnDisk(pages: pages, file: file, line: line)
        }
        try settle(file: file, line: line)
        return try self.file.contentsOfBlocks(pages: pages, onDisk: image, file: file, line: line)
    }
}

/// Makes one test for each kind of file from one body, which gets a file of ``span`` pages with the pattern of seed 1 and
/// the coherent device.
///
/// The oracle of all of them is that of ``onOwnDevice(_:_:on:needs:timeoutMilliseconds:file:line:_:)``: when the file is
/// gone, so are its pages on the device.
func onEachFile(
    _ id: String, _ summary: String, kinds: [FileKind] = FileKind.allCases, needs requirements: [Requirement] = [],
    timeoutMilliseconds: Int = 60_000, file: String = #fileID, line: Int = #line,
    _ body: @escaping @Sendable (borrowing TestFile, borrowing MirrorDevice) throws -> Void
) -> [GuestTest] {
    kinds.flatMap { kind in
        onOwnDevice(
            "\(id)-\(kind.rawValue)", "\(summary) (\(kind.rawValue))", on: [.coherent],
            needs: requirements + kind.requirements, timeoutMilliseconds: timeoutMilliseconds, file: file, line: line
        ) { _, mirror in
            let test = try TestFile(kind, pages: span, file: file, line: line)
            try test.fill(seed: 1, file: file, line: line)
            try test.settle(file: file, line: line)
            try body(test, mirror)
        }
    }
}

/// As ``onEachFile(_:_:kinds:needs:timeoutMilliseconds:file:line:_:)``, with the file mapped and its pages on the device.
func onTakenFile(
    _ id: String, _ summary: String, kinds: [FileKind] = FileKind.allCases, needs requirements: [Requirement] = [],
    timeoutMilliseconds: Int = 60_000, file: String = #fileID, line: Int = #line,
    _ body: @escaping @Sendable (borrowing TestFile, borrowing MappedBuffer, borrowing MirrorDevice) throws -> Void
) -> [GuestTest] {
    onEachFile(
        id, summary, kinds: kinds, needs: [.filesOnDevice] + requirements, timeoutMilliseconds: timeoutMilliseconds,
        file: file, line: line
    ) { test, mirror in
        let buffer = try test.mapped(file: file, line: line)
        try mirror.takeFile(buffer.range, of: test, file: file, line: line)
        try body(test, buffer, mirror)
    }
}

extension MirrorDevice {
    /// Every page of the range, which maps the file, moves to the device; what is written of it settles first.
    func takeFile(
        _ range: PageRange, of test: borrowing TestFile, file: String = #fileID, line: Int = #line
    ) throws {
        try moveFile(range, .toDevice, of: test, file: file, line: line)
        try range.expectPlace(.coherent, "the page cache is on the device", file: file, line: line)
    }

    /// Every page of the range, which maps a file that has nothing to settle, moves to the device.
    func takeFile(_ range: PageRange, file: String = #fileID, line: Int = #line) throws {
        try moveFile(range, .toDevice, file: file, line: line)
        try range.expectPlace(.coherent, "the page cache is on the device", file: file, line: line)
    }

    /// Moves every page of the range, which maps the file; what is written of it settles first.
    func moveFile(
        _ range: PageRange, _ direction: Migration.Direction, of test: borrowing TestFile, file: String = #fileID,
        line: Int = #line
    ) throws {
        try moveFile(range, direction, file: file, line: line) { try test.settle(file: file, line: line) }
    }

    /// Moves every page of the range, which maps a file that has nothing to settle.
    func moveFile(
        _ range: PageRange, _ direction: Migration.Direction, file: String = #fileID, line: Int = #line
    ) throws {
        try moveFile(range, direction, file: file, line: line) {}
    }

    /// Moves every page of the range, and tries again for a while where the kernel writes one back by itself or has it in
    /// a list for later.
    private func moveFile(
        _ range: PageRange, _ direction: Migration.Direction, file: String, line: Int, settling: () throws -> Void
    ) throws {
        let files = direction != .toSystem
        var outcomes: [Migration.Outcome?] = []
        for attempt in 0..<50 {
            if attempt > 0 { usleep(20_000) }
            range.touch()
            try settling()
            outcomes = try migrate(range, direction, files: files, file: file, line: line).outcomes
            if outcomes.allSatisfy({ $0 == .moved || $0 == .there }) { return }
            // Once renewed, a page would move again with every attempt.
            if direction == .renew { break }
        }
        let wrong = outcomes.firstIndex { $0 != .moved && $0 != .there } ?? 0
        let found = outcomes[wrong].map { "\($0)" } ?? "an unknown outcome"
        expect(false, "every page of the file moves", "page \(wrong): \(found)", file: file, line: line)
    }
}
