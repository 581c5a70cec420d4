// SPDX-License-Identifier: Apache-2.0
import ProcessRunner
import VirtualMachine

/// The names of a boot's files and sockets inside its run folder.
///
/// QEMU runs with that folder as its working directory and gets these names as they are, because a unix socket's path
/// is limited to 108 bytes (unix(7)) and a comma in a folder's name would need escapes.
public enum RunFile {
    /// All that the guest wrote on ttyS0.
    public static let console = "console.log"
    /// What QEMU itself had to say; only there if it said something.
    public static let emulator = "qemu.log"
    /// The socket of the protocol channel.
    public static let protocolSocket = "protocol.sock"
    /// The socket of the QEMU Machine Protocol.
    public static let monitorSocket = "qmp.sock"
    /// The socket of the second console.
    public static let shellSocket = "shell.sock"
}

/// The name of the virtio-serial port that carries the protocol, as the guest reads it from
/// `/sys/class/virtio-ports/*/name`.
public let protocolPortName = "hmmlab.protocol"

/// The name of the port that carries an interactive session's raw bytes.
public let terminalPortName = "hmmlab.terminal"

/// QEMU's arguments for a boot, without the program's own name; QEMU has to run in the request's run folder.
///
/// Sockets are `server=on,wait=off`, so that the line also runs by itself in a shell.
public func argv(for request: BootRequest) -> [String] {
    let settings = request.machine.accelerators[request.accelerator]
    var words = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    words += ["-machine", request.machine.type]
    words += ["-accel", settings?.options ?? request.accelerator.rawValue]
    if let cpu = settings?.cpu { words += ["-cpu", cpu] }
    words += ["-smp", "\(request.cpus)", "-m", "\(request.memoryMiB)M"]
    words += nodes(request)
    words += ["-kernel", request.kernel]
    if let initrd = request.initrd { words += ["-initrd", initrd] }
    words += ["-append", request.kernelCommandLine]
    words += ["-chardev", "file,id=console,path=\(RunFile.console)", "-serial", "chardev:console"]
    words += ["-chardev", socket("qmp", RunFile.monitorSocket), "-mon", "chardev=qmp,mode=control"]
    words += ["-device", "virtio-serial-pci,id=serial"]
    words += ["-chardev", socket("protocol", RunFile.protocolSocket)]
    words += ["-device", "virtserialport,bus=serial.0,nr=1,chardev=protocol,name=\(protocolPortName)"]
    if request.hasShell {
        // A plain port and not a virtconsole: hvc0 drops output that the host is slow to take.
        words += ["-chardev", socket("shell", RunFile.shellSocket)]
        words += ["-device", "virtserialport,bus=serial.0,nr=2,chardev=shell,name=\(terminalPortName)"]
    }
    for device in request.machine.devices { words += ["-device", device] }
    return words
}

/// The whole command for a boot, runnable as it is once the run folder exists.
public func launchCommand(for request: BootRequest) -> Command {
    Command(request.machine.emulator, argv(for: request), in: request.runFolder)
}

/// NUMA nodes with equal parts of memory and CPUs; the last ones have none of these where there are more nodes than CPUs.
private func nodes(_ request: BootRequest) -> [String] {
    guard request.nodes > 1 else { return [] }
    // Whole units of the kernel's memory subsections, and what is left for the last.
    let part = request.memoryMiB / request.nodes & ~1
    return (0..<request.nodes).flatMap { node in
        let size = node < request.nodes - 1 ? part : request.memoryMiB - part * (request.nodes - 1)
        let (first, end) = (request.cpus * node / request.nodes, request.cpus * (node + 1) / request.nodes)
        return [
            "-object", "memory-backend-ram,id=ram\(node),size=\(size)M", "-numa",
            "node,nodeid=\(node),memdev=ram\(node)" + (first < end ? ",cpus=\(first)-\(end - 1)" : ""),
        ]
    }
}

private func socket(_ id: String, _ path: String) -> String {
    "socket,id=\(id),path=\(path),server=on,wait=off"
}
