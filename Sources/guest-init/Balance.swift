// SPDX-License-Identifier: Apache-2.0

/// What the kernel and hmmlab's driver count and no program takes along when it ends: what a program has grown by it has
/// leaked, or the kernel has.
///
/// Sources: /proc/vmstat, summed up over the CPUs with /proc/sys/vm/stat_refresh (Documentation/admin-guide/sysctl/vm.rst),
/// and `pages_in_use` of hmm_dmirror's devices.
struct Balance {
    private enum Count: String, CaseIterable {
        case pinned = "pages that are pinned (FOLL_PIN)"
        case isolated = "pages that are isolated from the LRU"
        case locked = "pages that are locked in memory"
        case onDevices = "pages of devices that are handed out"

        /// Whether less than before is wrong as well: of the others something else may have given some back meanwhile.
        var isExact: Bool { self == .pinned || self == .locked }
    }

    private var counts: [Count: Int] = [:]

    /// How things stand now.
    static func now() -> Balance {
        // What the CPUs have not added up is no count.
        let isFresh = (try? System.write("1", to: "/proc/sys/vm/stat_refresh")) != nil
        let numbers = isFresh ? System.text("/proc/vmstat").map(numbers) ?? [:] : [:]
        func sum(_ plus: [String], minus: [String] = []) -> Int? {
            let (plus, minus) = (plus.compactMap { numbers[$0] }, minus.compactMap { numbers[$0] })
            return plus.isEmpty ? nil : plus.reduce(0, +) - minus.reduce(0, +)
        }
        var balance = Balance()
        balance.counts[.pinned] = sum(["nr_foll_pin_acquired"], minus: ["nr_foll_pin_released"])
        balance.counts[.isolated] = sum(["nr_isolated_anon", "nr_isolated_file"])
        balance.counts[.locked] = sum(["nr_mlock"])
        let devices = (0..<4).compactMap { unit in
            System.text("/sys/devices/hmm_dmirror\(unit)/pages_in_use").flatMap { Int($0) }
        }
        if !devices.isEmpty { balance.counts[.onDevices] = devices.reduce(0, +) }
        return balance
    }

    /// What a program has left behind since, a line for each; what comes and goes by itself gets a while for it.
    func remains() -> [String] {
        let deadline = System.uptime + 2000
        var isDrained = false
        while true {
            let lines = lines(Balance.now())
            if lines.isEmpty || System.uptime >= deadline { return lines }
            if !isDrained {
                // Empties the batches of all CPUs, where pages wait to be freed; 4: without a word in the log.
                try? System.write("5", to: "/proc/sys/vm/drop_caches")
                isDrained = true
            }
            System.sleep(milliseconds: 50)
        }
    }

    private func lines(_ now: Balance) -> [String] {
        Count.allCases.compactMap { count in
            // A driver that has come or gone meanwhile has nothing to compare.
            guard let before = counts[count], let after = now.counts[count] else { return nil }
            guard count.isExact ? after != before : after > before else { return nil }
            return "\(count.rawValue): \(before) before it, \(after) after it"
        }
    }

    private static func numbers(_ text: String) -> [String: Int] {
        var numbers: [String: Int] = [:]
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            if words.count == 2, let number = Int(words[1]) { numbers[String(words[0])] = number }
        }
        return numbers
    }
}
