// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import KernelBuild
import KernelSource

/// What to bisect, and how.
public struct BisectionSelection: Sendable {
    /// The range.
    public var space: BisectionSpace
    /// The base, the series and the configuration, as far as the range does not say.
    public var kernel: KernelSelection
    /// The machine and the driver.
    public var guest: GuestSelection
    /// What is looked for.
    public var predicate: BisectionPredicate
    /// How sure it has to be.
    public var options: BisectorOptions
    /// Whether every failure counts, whatever its symptoms.
    public var takesAnyFailure: Bool
    /// How many guests may run at the same time, from 1.
    public var parallel: Int
    /// The most runs, those of earlier parts of an interrupted bisection not counted; nil for no limit.
    public var mostRuns: Int?
    /// The most minutes, counted likewise; nil for no limit.
    public var mostMinutes: Int?
    /// The arguments that hmmlab was called with, for `--resume`.
    public var arguments: [String]

    /// Makes a selection.
    public init(
        space: BisectionSpace, kernel: KernelSelection, guest: GuestSelection, predicate: BisectionPredicate,
        options: BisectorOptions = BisectorOptions(), takesAnyFailure: Bool = false, parallel: Int = 1,
        mostRuns: Int? = nil, mostMinutes: Int? = nil, arguments: [String] = []
    ) {
        self.space = space
        self.kernel = kernel
        self.guest = guest
        self.predicate = predicate
        self.options = options
        self.takesAnyFailure = takesAnyFailure
        self.parallel = parallel
        self.mostRuns = mostRuns
        self.mostMinutes = mostMinutes
        self.arguments = arguments
    }
}

/// What is told while a bisection goes on.
public enum BisectionEvent: Sendable {
    /// The range is known.
    case planned(BisectionView, folder: String)
    /// A state is being built, booted or tested.
    case began(BisectionView, ProposedRun)
    /// A state was run; what it says beside the bad end.
    case ended(BisectionView, StateRun, Observation)
    /// Two neighbours turned out to be the same kernel.
    case inert(BisectionView, step: Int)
    /// The tip is run without the culprit.
    case reverting(BisectionStep)
    /// The tip without the culprit was run.
    case reverted(StateRun, Observation)
    /// Something that a person should know and that decides nothing.
    case note(String)
}

/// What a bisection knows at one moment.
public struct BisectionView: Sendable, Equatable {
    /// The steps of the range.
    public var steps: [BisectionStep]
    /// What a step is.
    public var noun: BisectionNoun
    /// The runs of each state, from the good end to the bad one.
    public var tallies: [Tally]
    /// States that are being run.
    public var running: [Int]
    /// The probability of each step to be the culprit; index 0 is the good end being bad, the last one the bad end being
    /// good.
    public var probabilities: [Double]
    /// Seconds that the search is likely to take from here; nil before anything was run.
    public var secondsLeft: Double?
}

/// What a bisection was, for going on with it.
public struct InterruptedBisection: Sendable {
    /// Its folder.
    public var folder: BisectionFolder
    /// The arguments behind `hmmlab`, as typed then.
    public var arguments: [String]
    /// The folder that relative paths among them start from.
    public var directory: String
    let header: BisectionHeader
    let entries: [HistoryEntry]
}

extension Lab {
    /// The bisection to go on with.
    ///
    /// - Parameter id: its name; nil or `latest` for the newest.
    /// - Throws: ``LabError`` `bisection-unknown`, `journal-damaged`.
    public func interruptedBisection(_ id: String?) throws -> InterruptedBisection {
        let folder = try BisectionFolder.find(id, in: cache)
        let (header, entries) = try BisectionJournal.read(folder.journal)
        return InterruptedBisection(
            folder: folder, arguments: header.arguments, directory: header.directory, header: header,
            entries: entries)
    }

    /// Finds the step of a range that brought a fault in.
    ///
    /// - Parameters:
    ///   - earlier: a bisection that was interrupted, to go on with; its journal is continued.
    ///   - onEvent: told about every run.
    /// - Returns: what was found, which is written into the bisection's folder as well.
    /// - Throws: ``LabError`` `range-empty`, `test-unknown`, `bisection-changed`, `bisection-busy`, and whatever keeps
    ///   every kernel from being run; a kernel that does not build or boot is no error.
    public func bisect(
        _ selection: BisectionSelection, continuing earlier: InterruptedBisection? = nil,
        onEvent: @escaping @Sendable (BisectionEvent) -> Void = { _ in }
    ) async throws -> BisectionReport {
        let catalog = try await catalog()
        let run = try selection.predicate.run(
            catalog, driver: selection.guest.driver,
            persistentMemory: hasPersistentMemory(selection.kernel, selection.guest))
        if case .build = run {} else { _ = try machine(selection.guest) }
        let folder = try earlier?.folder ?? BisectionFolder.make(in: cache)
        guard let lock = try FileLock.acquireNow(folder.path + "/lock") else {
            throw LabError(
                "bisection-busy", exit: .usage, "Another hmmlab is busy with the bisection \(folder.id)",
                next: "Wait for it.")
        }
        var kernel = selection.kernel
        if let base = earlier?.header.base { kernel.base = base }
        let range: BisectionRange
        do {
            range = try await self.range(
                earlier?.header.space ?? selection.space, kernel, folder: folder.path)
        } catch {
            // Nothing was found out yet that would be worth a folder.
            if earlier == nil { try? FileManager.default.removeItem(atPath: folder.path) }
            throw error
        }
        if let earlier, earlier.header.digest != range.digest {
            throw LabError(
                "bisection-changed", exit: .usage, "The bisection \(folder.id) was about another range",
                cause: "Its patches or commits have changed since.", next: "Begin a new one.")
        }
        if earlier == nil {
            let header = BisectionHeader(
                arguments: selection.arguments, directory: FileManager.default.currentDirectoryPath,
                base: range.base, space: range.space, digest: range.digest, started: Date())
            try JournalFile(creating: folder.journal).append(header)
        }
        let work = BisectionWork(
            lab: self, selection: selection, range: range, run: run, folder: folder, onEvent: onEvent)
        let report = try await work.find(earlier?.entries ?? [])
        _ = consume lock
        return report
    }
}
