// SPDX-License-Identifier: Apache-2.0

/// What the processes of the guest are doing; for the post-mortem of a run that hangs.
enum Processes {
    private static let mostThreads = 16

    /// One line for each thread of each user process but PID 1, with where it hangs in the kernel.
    static var description: String {
        var lines: [String] = []
        let pids = System.names(in: "/proc").compactMap { Int($0) }.filter { $0 > 1 }.sorted()
        for pid in pids {
            guard let status = System.text("/proc/\(pid)/status"), !isKernelThread(pid, status) else { continue }
            let threads = System.names(in: "/proc/\(pid)/task").compactMap { Int($0) }.sorted()
            for thread in threads {
                if lines.count >= mostThreads { return (lines + ["..."]).joined(separator: "\n") }
                lines.append(describe("/proc/\(pid)/task/\(thread)", thread))
            }
        }
        return lines.joined(separator: "\n")
    }

    private static func describe(_ folder: String, _ thread: Int) -> String {
        let status = System.text(folder + "/status") ?? ""
        let stack = (System.text(folder + "/stack") ?? "").split(separator: "\n").map { line in
            // Each line is `[<0>] function+offset/size`, and the module in brackets if it is in one.
            String(line.split(separator: " ", maxSplits: 1).last ?? "")
        }
        let name = field("Name", status) ?? "?"
        let state = field("State", status) ?? "?"
        return "\(name) (\(thread)), \(state)" + (stack.isEmpty ? "" : ": " + stack.joined(separator: " < "))
    }

    /// Kernel threads are the children of kthreadd, which is PID 2.
    private static func isKernelThread(_ pid: Int, _ status: String) -> Bool {
        pid == 2 || field("PPid", status) == "2"
    }

    private static func field(_ name: String, _ status: String) -> String? {
        status.split(separator: "\n").first { $0.hasPrefix(name + ":") }?
            .dropFirst(name.count + 1).drop { $0 == "\t" || $0 == " " }.description
    }
}
