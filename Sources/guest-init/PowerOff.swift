// SPDX-License-Identifier: Apache-2.0
import CGuestShims
import Glibc

/// The one way out of PID 1.
enum PowerOff {
    /// Ends every process, syncs, and powers off; neither a hanging disk nor a failing ACPI keeps the guest alive.
    static func now() -> Never {
        kill(-1, SIGKILL)
        sync(waitMilliseconds: 3000)
        shim_power_off()
        // Both ways failed. Ending PID 1 panics the kernel, which ends the guest as well.
        exit(1)
    }

    /// Runs sync(2) on a thread of its own, since it waits for ever on a filesystem that hangs.
    private static func sync(waitMilliseconds: Int32) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return }
        let done = UnsafeMutableRawPointer(bitPattern: UInt(ends[1]) + 1)
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { argument in
                Glibc.sync()
                close(Int32(Int(bitPattern: argument)) - 1)
                return nil
            }, done)
        guard status == 0 else { return }
        var end = pollfd(fd: ends[0], events: Int16(POLLIN), revents: 0)
        poll(&end, 1, waitMilliseconds)
    }
}
