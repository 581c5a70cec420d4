// SPDX-License-Identifier: Apache-2.0
import CGuestShims
import DeviceMirror
import Glibc

/// Something a test needs from its environment; the host knows the same words.
public enum Requirement: String, Sendable, CaseIterable {
    /// Mirror devices 0 and 1, with private memory.
    case `private`
    /// Mirror devices 2 and 3, with coherent memory.
    case coherent
    /// At least two free hugetlb pages of the default size.
    case hugetlb
    /// Transparent huge pages, at least for those who ask.
    case thp
    /// A swap area in use.
    case swap
    /// `/sys/kernel/debug/gup_test`.
    case gupTest = "gup_test"
    /// More than one processor.
    case smp

    /// Why the requirement is not met here; nil when it is.
    public func missing() -> String? {
        switch self {
        case .private: missingDevice([0, 1])
        case .coherent: missingDevice([2, 3])
        case .hugetlb:
            (KernelCounters.memory("HugePages_Free") ?? 0) >= 2 ? nil : "fewer than two free hugetlb pages"
        case .thp:
            (try? TextFile.read("/sys/kernel/mm/transparent_hugepage/enabled"))?.contains("[never]") == false
                ? nil : "no transparent huge pages"
        case .swap:
            ((try? TextFile.read("/proc/swaps"))?.split(separator: "\n").count ?? 0) > 1
                ? nil : "no swap area is in use"
        case .gupTest:
            access("/sys/kernel/debug/gup_test", R_OK | W_OK) == 0 ? nil : "no /sys/kernel/debug/gup_test"
        case .smp:
            sysconf(Int32(_SC_NPROCESSORS_ONLN)) > 1 ? nil : "only one processor"
        }
    }

    private func missingDevice(_ units: [Int]) -> String? {
        for unit in units {
            do {
                _ = try MirrorDevice(unit: unit)
            } catch {
                return "\(error)"
            }
        }
        return nil
    }
}
