// SPDX-License-Identifier: Apache-2.0
import CGuestShims
import Glibc

/// A swap area that needs a second for each request, used before all others; gone when its owner is.
///
/// Pages that were reclaimed are still there while they are written, and whoever touches them gets them back.
public struct SlowSwap: ~Copyable {
    private static let device = "/dev/nullb0"
    private static let unload = "rmmod null_blk"

    /// Makes the area; needs ``Requirement/nullBlock``.
    public init(file: String = #fileID, line: Int = #line) throws(SystemCallError) {
        // Its contents are in memory, and a timer ends each request (Documentation/block/null_blk.rst).
        let parameters = "nr_devices=1 gb=1 memory_backed=1 irqmode=2 completion_nsec=1000000000"
        try Shell.run("modprobe null_blk \(parameters)", file: file, line: line)
        do {
            try Shell.run("mkswap \(Self.device) > /dev/null", file: file, line: line)
            try systemCall("swapon", file: file, line: line) { test_swap_on(Self.device, 100) }
        } catch {
            try? Shell.run(Self.unload)
            throw error
        }
    }

    deinit {
        // What lies there comes back.
        _ = test_swap_off(Self.device)
        try? Shell.run(Self.unload)
    }
}
