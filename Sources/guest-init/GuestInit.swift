// SPDX-License-Identifier: Apache-2.0
import CGuestShims
import Glibc

/// PID 1 of the guest: it sets the machine up, does what the host asks, and always powers off.
///
/// - Kernel command line: `hmmlab.shell=DEVICE` runs a shell on a terminal such as `ttyS0` without any host, and powers
///   off when it ends.
/// - A failure inside this program traps; the kernel panics without its PID 1, which ends the guest as well.
@main
struct GuestInit {
    static func main() {
        guard getpid() == 1 else {
            print("guest-init is the first process of hmmlab's guests; anywhere else it does nothing")
            exit(64)
        }
        let problems = Mounts.mountAll() + bringUpProcessors() + calmKhugepaged()
        raiseConsoleLevel()
        prepareProcess()
        let agent = Agent(signals: blockSignals(), shellDevice: shellDevice())
        agent.run(reporting: problems)
    }

    /// Lets the console show everything down to information, whatever `quiet` or `loglevel=4` asked for.
    ///
    /// The marks between tests are warnings, and the host waits for them; stacks of hung tasks are information. A
    /// higher level is somebody's wish.
    private static func raiseConsoleLevel() {
        let path = "/proc/sys/kernel/printk"
        let level = System.text(path)?.split(whereSeparator: { " \t".contains($0) }).first.flatMap { Int($0) } ?? 0
        if level < 7 { try? System.write("7", to: path) }
    }

    /// Brings up the CPUs that `maxcpus=` kept off while the kernel booted: under TCG the kernel must not patch its own
    /// code on one CPU while another runs it (docs/findings.md).
    ///
    /// - Returns: a sentence for each that did not come.
    private static func bringUpProcessors() -> [String] {
        let folder = "/sys/devices/system/cpu"
        return System.names(in: folder).sorted().compactMap { name in
            let path = "\(folder)/\(name)/online"
            // CPU 0 has no such file.
            guard name.wholeMatch(of: /cpu[0-9]+/) != nil, System.text(path)?.first == "0" else { return nil }
            do {
                try System.write("1", to: path)
                return nil
            } catch {
                return "\(name) cannot be brought up: \(error)"
            }
        }
    }

    /// - Returns: a sentence if it cannot be done.
    private static func calmKhugepaged() -> [String] {
        do throws(SystemError) {
            try Khugepaged.sleepForGood()
            return []
        } catch {
            return [error.description]
        }
    }

    private static func prepareProcess() {
        // The kernel lets ten lines through /dev/kmsg and then drops some, unless told otherwise.
        try? System.write("on", to: "/proc/sys/kernel/printk_devkmsg")
        try? System.write("hmmlab", to: "/proc/sys/kernel/hostname")
        mkdir("/root", 0o700)
        for (name, value) in Spawn.environment { setenv(name, value, 1) }
        // A fork bomb must not keep PID 1 from running. Its children are ordinary processes again.
        var parameters = sched_param(sched_priority: 1)
        sched_setscheduler(0, SCHED_RR | Int32(SHIM_SCHED_RESET_ON_FORK), &parameters)
    }

    /// Turns the signals that PID 1 heeds into a descriptor: ended children, and busybox's reboot, halt and poweroff.
    private static func blockSignals() -> Int32 {
        var signals = sigset_t()
        sigemptyset(&signals)
        for signal in [SIGCHLD, SIGTERM, SIGUSR1, SIGUSR2] { sigaddset(&signals, signal) }
        sigprocmask(SIG_BLOCK, &signals, nil)
        return shim_signal_descriptor(&signals)
    }

    private static func shellDevice() -> String? {
        let words = (System.text("/proc/cmdline") ?? "").split(separator: " ")
        return words.last { $0.hasPrefix("hmmlab.shell=") }.map { "/dev/" + $0.dropFirst("hmmlab.shell=".count) }
    }
}
