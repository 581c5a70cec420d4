// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import Glibc
import GuestTestKit

/// Parts of tests that need a fresh program: run as `guest-tests helper NAME ARGUMENT...`, never by the host.
enum Helper: String {
    /// Checks a descriptor and an address of the program that this one replaced.
    case afterExec = "after-exec"
    /// Checks a long argument that the program that this one replaced had on a device.
    case longArgument = "long-argument"

    /// Replaces this program; returns only by throwing.
    func become(arguments: [String], file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        let words = ["guest-tests", "helper", rawValue] + arguments
        var pointers = words.map { strdup($0) } + [nil]
        try systemCall("execve", file: file, line: line) { execve("/proc/self/exe", &pointers, environ) }
    }

    /// Runs the helper's checks.
    func run(arguments: [String]) throws {
        switch self {
        case .longArgument:
            expectEqual(arguments.count, 1, "the helper got one argument")
            expect(arguments.first == String(repeating: "x", count: 6000), "every byte of it is right")
        case .afterExec:
            let descriptor = try requireValue(arguments.first.flatMap { Int32($0) }, "the helper got a descriptor")
            let address = try requireValue(arguments.last.flatMap { UInt64($0) }, "the helper got an address")
            let mirror = MirrorDevice(adopting: descriptor)
            let old = PageRange(address: address, pageCount: 4)
            try mirror.expectReadRefused(.badAddress, old, "the old program's memory is gone")
            let buffer = try MappedBuffer.filled(pages: 4, seed: 2)
            try mirror.expectReadRefused(.badAddress, buffer.range, "the new program's memory is not mirrored")
            try mirror.expectWriteRefused(.badAddress, buffer.range, "nor written")
            buffer.range.expectHolds(seed: 2, "the new program's memory is as it was")
            let own = try MirrorDevice(unit: 0)
            try own.expectReads(buffer.range, seed: 2, "a new descriptor mirrors the new program")
            try buffer.range.expectPlace(.system, "the new program's pages are in system memory")
        }
    }
}
