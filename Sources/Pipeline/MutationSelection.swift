// SPDX-License-Identifier: Apache-2.0
import Mutation

@_exported import struct Mutation.Mutant
@_exported import struct Mutation.MutationReport
@_exported import struct Mutation.Trial

/// Which faults to plant into which kernel, and who is to notice them.
public struct MutationSelection: Sendable {
    /// Suites that run together, and the driver they run on.
    public struct Column: Sendable, Equatable {
        /// The suites by name.
        public var suites: [String]
        /// The driver.
        public var driver: GuestSelection.Driver

        /// Makes a column.
        public init(suites: [String], driver: GuestSelection.Driver) {
            self.suites = suites
            self.driver = driver
        }

        /// The suites as one word.
        public var name: String { suites.joined(separator: ",") }
    }

    /// The folder of mutants; nil for hmmlab's own for the base's series.
    public var corpus: String?
    /// Only the mutants of these names; all for an empty list.
    public var only: [String]
    /// The kernel without a fault.
    public var kernel: KernelSelection
    /// The machine; its driver is not looked at.
    public var guest: GuestSelection
    /// Who is to notice, each by itself.
    public var columns: [Column]
    /// Only tests whose name matches this regular expression; nil for all.
    public var filter: String?
    /// Whether what is known from an earlier run is found out again.
    public var again: Bool

    /// Makes a selection.
    public init(
        corpus: String? = nil, only: [String] = [], kernel: KernelSelection, guest: GuestSelection,
        columns: [Column], filter: String? = nil, again: Bool = false
    ) {
        self.corpus = corpus
        self.only = only
        self.kernel = kernel
        self.guest = guest
        self.columns = columns
        self.filter = filter
        self.again = again
    }
}

/// What is told while mutants are tried.
public enum MutationEvent: Sendable {
    /// The mutants are known, and how many trials of them are from an earlier run.
    case planned(mutants: Int, trials: Int, known: Int)
    /// The kernel without a fault is tested.
    case control(String)
    /// A mutant is built or tested, as its number from 1.
    case began(Int, Mutant, String)
    /// A trial has ended.
    case ended(Mutant, Trial)
}

extension GuestSelection.Driver {
    /// The driver that suites are run on without further words: upstream's for upstream's tests, ours for ours.
    public static func usual(for suites: [String]) -> Self {
        suites.allSatisfy { $0 == SuiteCatalog.kselftest } ? .testHmm : .hmmDmirror
    }
}
