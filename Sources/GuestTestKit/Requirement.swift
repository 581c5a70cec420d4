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
    /// Our own driver, which has more commands than test_hmm; the host runs a suite that needs it with no other.
    case ours
    /// At least two free hugetlb pages of the default size.
    case hugetlb
    /// Transparent huge pages, at least for those who ask.
    case thp
    /// A swap area in use.
    case swap
    /// The null_blk driver, a block device that can be slow.
    case nullBlock = "null_blk"
    /// `/sys/kernel/debug/gup_test`.
    case gupTest = "gup_test"
    /// A `gup_test` that holds pages with a long-term pin, which it does since 6.2.
    case longTermPin = "long_term_pin"
    /// A driver that knows the command FLAGS, which test_hmm does since 6.19.
    case flags
    /// A driver that knows the command READ_UNLOCKED, which test_hmm does since 7.3.
    case unlockedRead = "unlocked_read"
    /// The ext4 driver and loop devices, which the requirement loads.
    case ext4
    /// ``ext4``, and Debian's own program that makes such filesystems.
    case mkfsExt4 = "mkfs_ext4"
    /// The XFS driver and loop devices, which the requirement loads, and the program that makes such filesystems.
    case xfs = "mkfs_xfs"
    /// fio, which writes and verifies files in ways of its own.
    case fio
    /// More than one processor.
    case smp
    /// A kernel that fails the nth allocation of a thread, as CONFIG_FAILSLAB and CONFIG_FAIL_PAGE_ALLOC make it.
    case failingAllocations = "failing_allocations"
    /// memfd_secret(2); 6.1 wants `secretmem.enable` for it.
    case secretMemory = "secret_memory"
    /// A kernel with CONFIG_IA32_EMULATION: 32-bit programs run, and a 64-bit one can make their system calls.
    case calls32 = "calls_32"
    /// A kernel that takes pages whose contents are lost from a device, as our series `errors` makes it.
    case contentsLost = "contents_lost"
    /// A kernel that lets page cache go to coherent memory, as our series `file` makes it.
    case filesOnDevice = "files_on_device"

    /// A persistent memory device, which the kernel makes of the memory that a word of its command line names.
    case persistentMemory = "pmem"

    /// Why the requirement is not met here; nil when it is.
    public func missing() -> String? {
        switch self {
        case .private: missingDevice([0, 1])
        case .coherent: missingDevice([2, 3])
        case .ours: missingCommand { device throws(MirrorError) in _ = try device.information() }
        case .hugetlb:
            (KernelCounters.memory("HugePages_Free") ?? 0) >= 2 ? nil : "fewer than two free hugetlb pages"
        case .thp:
            (try? TextFile.read("/sys/kernel/mm/transparent_hugepage/enabled"))?.contains("[never]") == false
                ? nil : "no transparent huge pages"
        case .swap:
            ((try? TextFile.read("/proc/swaps"))?.split(separator: "\n").count ?? 0) > 1
                ? nil : "no swap area is in use"
        case .nullBlock:
            (try? Shell.run("grep -q '/null_blk.ko:' /lib/modules/$(uname -r)/modules.dep")) == nil
                ? "no null_blk module" : nil
        case .gupTest:
            access("/sys/kernel/debug/gup_test", R_OK | W_OK) == 0 ? nil : "no /sys/kernel/debug/gup_test"
        case .longTermPin: missingLongTermPin()
        case .flags: missingCommand { device throws(MirrorError) in try device.setFlags(.failAllocation) }
        case .unlockedRead:
            missingCommand { device throws(MirrorError) in
                _ = try device.readUnlocked(PageRange(address: 0, pageCount: 1), into: nil)
            }
        case .ext4:
            (try? Shell.run(Self.load("ext4"))) == nil ? "no ext4 filesystem or no loop device" : nil
        case .mkfsExt4: Self.missingProgram("mkfs.ext4") ?? Self.ext4.missing()
        case .xfs:
            Self.missingProgram("mkfs.xfs")
                ?? ((try? Shell.run(Self.load("xfs"))) == nil ? "no XFS filesystem or no loop device" : nil)
        case .fio: Self.missingProgram("fio")
        case .failingAllocations:
            FailingAllocations.areThere ? nil : "a kernel without CONFIG_FAILSLAB and CONFIG_FAIL_PAGE_ALLOC"
        case .secretMemory:
            (try? ScratchFile(.secret, pages: 1)) == nil ? "no memfd_secret()" : nil
        case .calls32:
            test_has_calls_32() ? nil : "no system calls of 32-bit programs: a kernel without CONFIG_IA32_EMULATION"
        case .contentsLost:
            missingAbility(.loseContents, "the kernel cannot take a page whose contents are lost from a device")
        case .filesOnDevice: missingAbility(.takeFiles, "the kernel keeps page cache from devices")
        case .persistentMemory:
            access(DaxFileSystem.device, R_OK | W_OK) == 0
                ? nil : "no \(DaxFileSystem.device): a kernel without CONFIG_X86_PMEM_LEGACY, or no memmap=SIZE!START"
        case .smp:
            sysconf(Int32(_SC_NPROCESSORS_ONLN)) > 1 ? nil : "only one processor"
        }
    }

    private static func load(_ filesystem: String) -> String {
        "{ grep -qw \(filesystem) /proc/filesystems || modprobe \(filesystem); } "
            + "&& { test -e /dev/loop-control || modprobe loop; }"
    }

    /// Why a program that the host brings along where it has it is not here.
    private static func missingProgram(_ name: String) -> String? {
        (try? Shell.run("command -v \(name) > /dev/null")) == nil
            ? "no \(name), which the host did not have either" : nil
    }

    private func missingLongTermPin() -> String? {
        do {
            // Lets go of what it holds, which is nothing: only a kernel without the request refuses that.
            try GupTestDevice().unpin()
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// Tries a command on a descriptor of its own, which is closed at once: nothing is left of it.
    private func missingCommand(_ command: (borrowing MirrorDevice) throws(MirrorError) -> Void) -> String? {
        do throws(MirrorError) {
            try command(MirrorDevice(unit: 0))
            return nil
        } catch {
            // A driver that knows the command and has nothing to read at address 0.
            return error.code == .badAddress ? nil : "\(error)"
        }
    }

    private func missingAbility(_ ability: DeviceInformation.Abilities, _ sentence: String) -> String? {
        (try? MirrorDevice(unit: 0).information().abilities.contains(ability)) == true ? nil : sentence
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
