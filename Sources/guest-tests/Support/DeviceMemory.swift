// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// The two kinds of device memory, and what differs between them as far as the tests can see.
enum DeviceMemory: String, Sendable, CaseIterable {
    /// The CPU cannot address it: a CPU access brings the page back.
    case `private`
    /// The CPU reads and writes it in place.
    case coherent

    var requirement: Requirement {
        switch self {
        case .private: .private
        case .coherent: .coherent
        }
    }

    /// Where a writable page is once it has migrated.
    var place: PagePlace.Kind {
        switch self {
        case .private: .privateWritable
        case .coherent: .coherent
        }
    }

    /// Opens the first or the second device with this kind of memory.
    func open(second: Bool = false, file: String = #fileID, line: Int = #line) throws(MirrorError) -> MirrorDevice {
        let first =
            switch self {
            case .private: 0
            case .coherent: 2
            }
        return try MirrorDevice(unit: second ? first + 1 : first, file: file, line: line)
    }
}

/// Makes one test for each kind of device memory from one body.
func onBothMemories(
    _ id: String, _ summary: String, needs requirements: [Requirement] = [], timeoutMilliseconds: Int = 30_000,
    file: String = #fileID, line: Int = #line, _ body: @escaping @Sendable (DeviceMemory) throws -> Void
) -> [GuestTest] {
    DeviceMemory.allCases.map { memory in
        GuestTest(
            "\(id)-\(memory.rawValue)", "\(summary) (\(memory.rawValue) memory)",
            needs: [memory.requirement] + requirements, timeoutMilliseconds: timeoutMilliseconds, file: file,
            line: line
        ) { try body(memory) }
    }
}

/// Makes one test for each kind of device memory from one body, which gets ``span`` pages with the pattern of seed 1 and
/// the device that has taken all of them.
func onDevicePages(
    _ id: String, _ summary: String, needs requirements: [Requirement] = [], timeoutMilliseconds: Int = 30_000,
    file: String = #fileID, line: Int = #line,
    _ body: @escaping @Sendable (DeviceMemory, borrowing MappedBuffer, borrowing MirrorDevice) throws -> Void
) -> [GuestTest] {
    onBothMemories(
        id, summary, needs: requirements, timeoutMilliseconds: timeoutMilliseconds, file: file, line: line
    ) { memory in
        let buffer = try MappedBuffer.filled(pages: span, seed: 1, file: file, line: line)
        let mirror = try memory.open(file: file, line: line)
        try mirror.take(buffer.range, seed: 1, file: file, line: line)
        try body(memory, buffer, mirror)
    }
}

/// More than two batches of the drivers, which work 64 pages at a time, and no multiple of a batch.
let span = 150
