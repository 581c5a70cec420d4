// SPDX-License-Identifier: Apache-2.0
import HarnessCore
import KernelBuild

@_exported import enum VirtualMachine.AcceleratorChoice

/// Which kernel to make: a base, a series on it, a configuration.
public struct KernelSelection: Sendable, Equatable {
    /// The base as typed, such as `debian:6.12`.
    public var base: String
    /// The series as typed; nil for the bare base.
    public var series: String?
    /// The last patch to apply, counted from 1; 0 for none, nil for all.
    public var upTo: Int?
    /// The flavour's name.
    public var flavour: String
    /// Fragments, or complete .config files, by path.
    public var configFiles: [String]
    /// Words such as `CONFIG_KSM=y`.
    public var settings: [String]
    /// Whether the archive is asked even if its index is young.
    public var refresh: Bool
    /// The patched source itself, where it is decided on already; base and series are only names then.
    var pinned: KernelInput?

    /// Makes a selection.
    public init(
        base: String = "debian:6.12", series: String? = nil, upTo: Int? = nil, flavour: String = "fast",
        configFiles: [String] = [], settings: [String] = [], refresh: Bool = false
    ) {
        self.base = base
        self.series = series
        self.upTo = upTo
        self.flavour = flavour
        self.configFiles = configFiles
        self.settings = settings
        self.refresh = refresh
    }
}

/// Which machine the guest gets, and which driver.
public struct GuestSelection: Sendable, Equatable {
    /// What answers behind `/dev/hmm_dmirrorN`.
    public enum Driver: String, Sendable, Codable, CaseIterable {
        /// The base's own lib/test_hmm.c.
        case testHmm = "test_hmm"
        /// Ours, from kernel-patches/modules, built against the kernel.
        case hmmDmirror = "hmm_dmirror"
        /// Nothing: for kernels that can have no such driver, and for tests that want none.
        case noDriver = "none"
    }

    /// A description's name in qemu/machines.
    public var machine: String
    /// CPUs; nil for the machine's own number.
    public var cpus: Int?
    /// Memory in MiB; nil for the machine's own.
    public var memoryMiB: Int?
    /// NUMA nodes; nil for one.
    public var nodes: Int?
    /// Words for the kernel command line.
    public var append: [String]
    /// How instructions are run.
    public var accelerator: AcceleratorChoice
    /// The driver.
    public var driver: Driver
    /// Shell lines that run in the guest before the tests; each has to succeed.
    public var preparations: [String] = []
    /// The seed of the tests' random requests and steps; nil for `HMMLAB_SEED`, or a new one for each test.
    public var seed: UInt64?

    /// Makes a selection.
    public init(
        machine: String = "q35", cpus: Int? = nil, memoryMiB: Int? = nil, nodes: Int? = nil, append: [String] = [],
        accelerator: AcceleratorChoice = .auto, driver: Driver = .testHmm
    ) {
        self.machine = machine
        self.cpus = cpus
        self.memoryMiB = memoryMiB
        self.nodes = nodes
        self.append = append
        self.accelerator = accelerator
        self.driver = driver
    }
}
