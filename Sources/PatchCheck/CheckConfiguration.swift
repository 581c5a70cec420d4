// SPDX-License-Identifier: Apache-2.0
import KernelBuild

/// A configuration that patches have to compile with.
public struct CheckConfiguration: Sendable {
    /// What people read: the symbol that makes the difference.
    public var name: String
    /// What is asked of Kconfig.
    public var request: ConfigRequest

    /// Makes a configuration.
    public init(name: String, request: ConfigRequest) {
        self.name = name
        self.request = request
    }

    /// The configurations that matter to HMM and ZONE_DEVICE: everything there, and each of the things without which mm
    /// compiles other code.
    ///
    /// What depends on a symbol that is off cannot be had; what is selected by such a thing alone (HMM_MIRROR by
    /// TEST_HMM) is not asked for.
    ///
    /// - Parameter fragments: of the flavour to start from.
    public static func all(_ fragments: [Fragment]) -> [CheckConfiguration] {
        [
            make("DEVICE_PRIVATE=y", "check", fragments, off: [], withdrawn: []),
            make(
                "DEVICE_PRIVATE=n", "check-device-private", fragments, off: ["DEVICE_PRIVATE", "TEST_HMM"],
                withdrawn: ["HMM_MIRROR", "MMU_NOTIFIER"]),
            make(
                "ZONE_DEVICE=n", "check-zone-device", fragments,
                off: ["ZONE_DEVICE", "DEVICE_PRIVATE", "TEST_HMM", "PCI_P2PDMA"],
                withdrawn: ["HMM_MIRROR", "MMU_NOTIFIER"]),
            make("SHMEM=n", "check-shmem", fragments, off: ["SHMEM", "TMPFS"], withdrawn: ["MEMFD_CREATE"]),
        ]
    }

    private static func make(
        _ name: String, _ folder: String, _ fragments: [Fragment], off: [String], withdrawn: [String]
    ) -> CheckConfiguration {
        let gone = Set((off + withdrawn).map { "CONFIG_" + $0 })
        var kept = fragments.map { fragment in
            Fragment(name: fragment.name, lines: fragment.lines.filter { !gone.contains($0.symbol) })
        }
        if !off.isEmpty { kept.append(Fragment(name: name, lines: off.map { ConfigLine("CONFIG_" + $0, nil) })) }
        return CheckConfiguration(name: name, request: ConfigRequest(flavour: folder, fragments: kept))
    }
}
