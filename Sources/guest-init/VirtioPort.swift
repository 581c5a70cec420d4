// SPDX-License-Identifier: Apache-2.0
import Glibc

/// The virtio-serial ports, which QEMU names (`-device virtserialport,name=`) and the kernel numbers.
enum VirtioPort {
    /// Finds a port by its name and opens it, non-blocking.
    ///
    /// The kernel learns of ports, and then of their names, by messages from QEMU that may still be under way.
    static func open(_ name: String, waitMilliseconds: Int) throws(SystemError) -> Int32 {
        let folder = "/sys/class/virtio-ports"
        let deadline = System.uptime + waitMilliseconds
        while true {
            let ports = System.names(in: folder)
            if let port = ports.first(where: { System.text("\(folder)/\($0)/name") == name }) {
                let descriptor = Glibc.open("/dev/\(port)", O_RDWR | O_NONBLOCK | O_CLOEXEC)
                guard descriptor >= 0 else { throw SystemError("/dev/\(port) cannot be opened") }
                return descriptor
            }
            guard System.uptime < deadline else {
                throw SystemError("The virtio-serial port \(name) was not found", code: ENODEV)
            }
            System.sleep(milliseconds: 2)
        }
    }

    /// Waits until the host has opened its side of a port; false if it does not in time.
    static func waitForHost(_ descriptor: Int32, milliseconds: Int) -> Bool {
        let deadline = System.uptime + milliseconds
        while true {
            var port = pollfd(fd: descriptor, events: 0, revents: 0)
            poll(&port, 1, 0)
            if Int32(port.revents) & POLLHUP == 0 { return true }
            guard System.uptime < deadline else { return false }
            System.sleep(milliseconds: 5)
        }
    }
}
