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
    /// A file that is written back to a disk, with buffers attached to its pages.
    case ext4

    /// What a file of the kind needs.
    var requirements: [Requirement] { self == .ext4 ? [.ext4] : [] }
    /// Whether its pages are counted as shared memory.
    var isShmem: Bool { self != .ext4 }
}

/// A file with the filesystem that it needs, gone together.
struct TestFile: ~Copyable, Sendable {
    /// Where it is kept.
    let kind: FileKind
    /// The file; it goes before its filesystem.
    let file: ScratchFile
    private let disk: DiskFileSystem?

    /// Makes an empty file of so many pages.
    init(
        _ kind: FileKind, pages: Int, file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) {
        switch kind {
        case .memfd:
            self.init(kind, try ScratchFile(.memory, pages: pages, file: file, line: line), on: nil)
        case .tmpfs:
            self.init(kind, try ScratchFile(.tmpfs, pages: pages, file: file, line: line), on: nil)
        case .ext4:
            let disk = try DiskFileSystem(file: file, line: line)
            let opened = try ScratchFile(.folder(disk.folder), pages: pages, file: file, line: line)
            self.init(kind, opened, on: consume disk)
        }
    }

    private init(_ kind: FileKind, _ file: consuming ScratchFile, on disk: consuming DiskFileSystem?) {
        self.kind = kind
        self.file = file
        self.disk = disk
    }

    /// The file's pages, mapped.
    func mapped(
        pages: Int = span, shared: Bool = true, _ protection: MappedBuffer.Protection = .readWrite,
        file: String = #fileID, line: Int = #line
    ) throws(SystemCallError) -> MappedBuffer {
        try MappedBuffer.file(
            self.file.descriptor, pages: pages, shared: shared, protection, file: file, line: line)
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
        try self.file.sync(file: file, line: line)
        let disk = try self.file.contentsOnDisk(pages: pages, file: file, line: line)
        disk.range.expectHolds(seed: seed, sentence, file: file, line: line)
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
            try test.file.fill(seed: 1, pages: span, file: file, line: line)
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
        try mirror.takeFile(buffer.range, file: file, line: line)
        try body(test, buffer, mirror)
    }
}

extension MirrorDevice {
    /// Every page of the range, which maps a file, moves to the device.
    func takeFile(_ range: PageRange, file: String = #fileID, line: Int = #line) throws {
        try moveFile(range, .toDevice, file: file, line: line)
        try range.expectPlace(.coherent, "the page cache is on the device", file: file, line: line)
    }

    /// Moves every page of the range, and tries again for a while where the kernel writes one back by itself or has it in
    /// a list for later.
    func moveFile(
        _ range: PageRange, _ direction: Migration.Direction, file: String = #fileID, line: Int = #line
    ) throws {
        let files = direction != .toSystem
        var outcomes: [Migration.Outcome?] = []
        for attempt in 0..<50 {
            if attempt > 0 { usleep(20_000) }
            range.touch()
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
