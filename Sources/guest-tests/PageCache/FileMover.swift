// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit
import Synchronization

/// Moves the pages of a file to and fro beside somebody who uses it, until that one is through, and counts.
final class FileMover: Sendable {
    private let isOver = Atomic(false)
    private let movedOut = Atomic(0)
    private let movedBack = Atomic(0)

    /// Ends what the other threads do.
    func stop() { isOver.store(true, ordering: .releasing) }

    /// Whether ``stop()`` was called.
    var isStopped: Bool { isOver.load(ordering: .acquiring) }

    /// Whether so much has moved that there is something to be said about it.
    var hasMovedEnough: Bool {
        movedOut.load(ordering: .relaxed) > 1000 && movedBack.load(ordering: .relaxed) > 500
    }

    /// What has moved, for whoever reads the log.
    var summary: String {
        "\(movedOut.load(ordering: .relaxed)) pages went to the device, \(movedBack.load(ordering: .relaxed)) were brought back"
    }

    /// Moves random parts of a mapping in all directions until it is over.
    ///
    /// - Parameter isWhole: whether the file never ends before the mapping, so that what nobody maps just now can be faulted
    ///   in and move, too.
    func move(_ range: PageRange, by mirror: borrowing MirrorDevice, isWhole: Bool = false, seed: UInt64) throws {
        var random = RandomSource(seed: seed)
        while !isStopped {
            let part = range.randomPart(&random)
            switch random.next() % 5 {
            case 0, 1:
                let result = try mirror.migrate(
                    part, .toDevice, prefault: isWhole && random.once(in: 2), files: true)
                movedOut.add(result.count(of: .moved), ordering: .relaxed)
            case 2:
                let result = try mirror.migrate(part, .toSystem)
                movedBack.add(result.count(of: .moved), ordering: .relaxed)
            case 3: _ = try mirror.migrate(part, .renew, files: true)
            default: movedBack.add(try mirror.evict(within: 0).pages, ordering: .relaxed)
            }
        }
    }

    /// Writes the file back and has its cache dropped in all ways until it is over.
    func writeBack(_ test: borrowing TestFile, every microseconds: UInt32 = 2000) throws {
        // The kernel's remark about each time is not wanted, and it makes none after this one.
        try TextFile.write("4", to: "/proc/sys/vm/drop_caches")
        var rounds = 0
        while !isStopped {
            rounds += 1
            try test.file.sync()
            try test.settle()
            try test.file.dropCache()
            if rounds % 50 == 0 { try TextFile.write("1", to: "/proc/sys/vm/drop_caches") }
            usleep(microseconds)
        }
    }
}
