// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import HarnessCore
import Pipeline

/// What every command takes.
struct CommonOptions: ParsableArguments {
    @Flag(name: .shortAndLong, help: "Say nothing but warnings, errors and results.")
    var quiet = false
}

/// Which kernel: a base, a series on it, a configuration.
struct KernelOptionGroup: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The base: debian:6.12, debian:latest, debian:6.12.117-1, git:PATH@REV, dir:PATH or tar:FILE.",
            valueName: "base"))
    var base = "debian:6.12"

    @Option(
        help: ArgumentHelp(
            "Patches to apply: a folder, a quilt series file, an mbox, or git:PATH@BASE..TIP.", valueName: "series"))
    var series: String?

    @Option(
        name: .customLong("upto"),
        help: ArgumentHelp("Stop after this patch of the series; 0 is the bare base.", valueName: "n"))
    var upTo: Int?

    @Option(help: "The flavour of the configuration (see hmmlab list flavours).", completion: .custom(completeFlavours))
    var flavour = "fast"

    @Option(
        name: .customLong("config"),
        help: ArgumentHelp(
            "A configuration fragment to merge over the flavour, or a complete .config to start from; repeatable.",
            valueName: "file"), completion: .file())
    var configFiles: [String] = []

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("Set one symbol, such as CONFIG_KSM=y; repeatable.", valueName: "symbol=value"))
    var settings: [String] = []

    @Flag(help: "Look for a newer base in the archive now, whatever the age of the index.")
    var refresh = false

    func selection() throws -> KernelSelection {
        if let upTo, upTo < 0 { throw ValidationError("--upto takes a number from 0, not \(upTo).") }
        if upTo != nil && series == nil { throw ValidationError("--upto needs --series.") }
        return KernelSelection(
            base: base, series: series, upTo: upTo, flavour: flavour, configFiles: configFiles, settings: settings,
            refresh: refresh)
    }
}

/// Which machine the guest gets.
struct GuestOptionGroup: ParsableArguments {
    @Option(help: ArgumentHelp("The machine description from qemu/machines.", valueName: "name"))
    var machine = "q35"

    @Option(help: ArgumentHelp("CPUs of the guest.", valueName: "n"))
    var cpus: Int?

    @Option(help: ArgumentHelp("Memory of the guest in MiB.", valueName: "mib"))
    var memory: Int?

    @Option(help: ArgumentHelp("NUMA nodes of the guest, with equal parts of memory and CPUs.", valueName: "n"))
    var nodes: Int?

    @Option(
        help: ArgumentHelp("Words for the kernel's command line; repeatable, later ones win.", valueName: "words"))
    var append: [String] = []

    @Option(help: "auto, kvm or tcg; auto takes KVM only after a short boot has proved that it works here.")
    var accel = AcceleratorChoice.auto

    @Option(
        help: ArgumentHelp(
            "The driver behind the device nodes; none for kernels without CONFIG_DEVICE_PRIVATE. (default: test_hmm; "
                + "with mutate, hmm_dmirror for hmmlab's own suites)", valueName: "name"))
    var driver: GuestSelection.Driver?

    func selection() throws -> GuestSelection {
        if let cpus, cpus < 1 { throw ValidationError("--cpus takes a number from 1, not \(cpus).") }
        if let nodes, nodes < 1 { throw ValidationError("--nodes takes a number from 1, not \(nodes).") }
        return GuestSelection(
            machine: machine, cpus: cpus, memoryMiB: memory, nodes: nodes,
            append: append.flatMap { $0.split(separator: " ").map(String.init) }, accelerator: accel,
            driver: driver ?? .testHmm)
    }
}

extension AcceleratorChoice: ExpressibleByArgument {}
extension GuestSelection.Driver: ExpressibleByArgument {}

/// Flavours for shell completion; none where the clone cannot be found.
private func completeFlavours(_ words: [String], _ index: Int, _ prefix: String) -> [String] {
    (try? Lab.flavourNames()) ?? []
}
