// SPDX-License-Identifier: Apache-2.0
import HarnessCore
import KernelSource
import Mutation
import PatchModel

extension Lab {
    /// The suites that are asked for without `--suite`: ours on our driver, and upstream's on upstream's.
    ///
    /// - Parameters:
    ///   - kernel: the kernel without a fault; some suites need a flavour of it.
    ///   - guest: the machine.
    /// - Throws: ``LabError`` `catalog-unreadable`, `flavour-unknown`.
    public func mutationColumns(
        _ kernel: KernelSelection, _ guest: GuestSelection
    ) async throws -> [MutationSelection.Column] {
        let ours = try await catalog().suites(
            for: .hmmDmirror, persistentMemory: hasPersistentMemory(kernel, guest)
        ).filter { $0 != SuiteCatalog.kselftest }
        return [
            .init(suites: ours, driver: .hmmDmirror), .init(suites: [SuiteCatalog.kselftest], driver: .testHmm),
        ]
    }

    /// Plants one fault after the other into a kernel, or into our driver, and finds out which suites notice.
    ///
    /// The kernel without a fault has to pass first. Of each mutant a column's tests run until the first that fails; the
    /// next mutant's kernel is built meanwhile. What was found out is kept under everything that it depends on, so that
    /// the same call goes on where it was interrupted.
    ///
    /// - Parameters:
    ///   - selection: the mutants, the kernel and the suites.
    ///   - onEvent: told about every trial.
    /// - Throws: ``LabError`` `mutant-bad`, `mutant-unknown`, `mutants-none`, `control-fails`, and what building and
    ///   booting the kernel without a fault throws; a mutant that does not build is no error.
    public func mutate(
        _ selection: MutationSelection, onEvent: @escaping @Sendable (MutationEvent) -> Void = { _ in }
    ) async throws -> MutationReport {
        let catalog = try await catalog()
        let persistentMemory = try hasPersistentMemory(selection.kernel, selection.guest)
        for column in selection.columns {
            try catalog.check(suites: column.suites, for: column.driver, persistentMemory: persistentMemory)
        }
        _ = try machine(selection.guest)
        let base = try await sources.resolve(try BaseSpec(parsing: selection.kernel.base))
        let series = try base.series
        let corpus = selection.corpus ?? installation.kernelPatches + "/mutants/\(series)"
        var mutants = try Mutant.all(in: corpus)
        for name in selection.only where !mutants.contains(where: { $0.id == name }) {
            throw LabError(
                "mutant-unknown", exit: .usage, "There is no mutant \(name) in \(corpus)",
                next: "There are \(mutants.map(\.id).sorted().joined(separator: ", ")).")
        }
        if !selection.only.isEmpty { mutants = mutants.filter { selection.only.contains($0.id) } }
        return try await MutationWork(lab: self, selection: selection, onEvent: onEvent).run(mutants)
    }
}
