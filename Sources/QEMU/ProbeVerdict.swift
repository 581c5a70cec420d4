// SPDX-License-Identifier: Apache-2.0
import HarnessCore
import VirtualMachine

/// How far a boot without an initramfs came: a kernel that works ends in a panic that names the missing root.
enum ProbeOutcome: Sendable, Equatable {
    /// The kernel brought itself up and found no root filesystem or no init, as it has to.
    case reachedUserspace
    /// The emulator gave up, with its own words.
    case emulatorFailed(String)
    /// The time was over, or the guest ended, before that; with the last line on the console, if there was one.
    case stuck(lastLine: String?)

    /// Whether a line of the console says that the kernel has come to where it needs a root filesystem.
    ///
    /// The sentences are those of init/do_mounts.c and init/main.c of the kernel, unchanged for twenty years.
    static func provesUserspace(_ line: String) -> Bool {
        line.contains("Kernel panic - not syncing: VFS: Unable to mount root fs")
            || line.contains("Kernel panic - not syncing: No working init found")
    }
}

/// What probe boots say about KVM on this host.
enum ProbeVerdict: Sendable, Equatable {
    /// KVM boots kernels.
    case usable
    /// KVM does not, for this reason.
    case unusable(String)
    /// It cannot be told, because the kernel at hand boots nowhere.
    case unclear(String)

    /// Judges a boot under KVM; `control` boots the same kernel under TCG and is only asked where a kernel may be to
    /// blame for what was seen.
    static func judge(kvm: ProbeOutcome, control: () async throws -> ProbeOutcome) async rethrows -> ProbeVerdict {
        let reason: String
        switch kvm {
        case .reachedUserspace: return .usable
        case .emulatorFailed(let words): return .unusable(words)
        case .stuck(nil): reason = "the guest wrote nothing on its console"
        case .stuck(let line?): reason = "the guest got no further than: \(line)"
        }
        return try await control() == .reachedUserspace ? .unusable(reason) : .unclear(reason)
    }
}

/// What a remembered answer depends on: with any of these changed, KVM is probed again.
struct ProbeFacts: Sendable, Equatable, Codable {
    /// The host's kernel, as `uname -r` says.
    var kernelRelease: String
    /// The host's CPU, as /proc/cpuinfo says.
    var cpuModel: String
    /// The emulator: its path, size and modification time, which change with its version and cost no start of it.
    var emulator: String
    /// The CPU model and options that the machine asks KVM for.
    var settings: AcceleratorSettings?
    /// Whether this process may use /dev/kvm.
    var mayUseDevice: Bool
}

/// An answer as it lies in the cache.
struct ProbeRecord: Sendable, Equatable, Codable {
    var facts: ProbeFacts
    var isUsable: Bool
    /// Why not, where it is not.
    var reason: String?
}
