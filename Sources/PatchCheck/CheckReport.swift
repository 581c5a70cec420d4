// SPDX-License-Identifier: Apache-2.0
import HarnessCore

/// What is looked at.
public enum CheckName: String, Sendable, Codable, CaseIterable {
    /// The patch goes onto the base behind the ones before it.
    case applies
    /// The texts by which a base that contains the patch is told from one that does not.
    case probe
    /// `scripts/checkpatch.pl --strict` of the base.
    case checkpatch
    /// Subject, wrapping and trailers of the message.
    case message
    /// The touched objects compile after each patch, with no new warning, in every configuration that matters.
    case build
    /// sparse has nothing new to say about the touched objects.
    case sparse
    /// The base's semantic patches have nothing new to say about the touched files.
    case coccicheck
    /// kernel-doc has nothing new to say about the touched files.
    case kernelDoc = "kernel-doc"
}

/// How a check of one patch ended.
public enum CheckStatus: String, Sendable, Codable {
    /// Nothing was found.
    case ok
    /// Something that deserves a look.
    case warn
    /// Something that must not be mailed.
    case fail
    /// It could not be judged, or nobody asked for it.
    case notChecked = "not-checked"
}

/// One thing that was found.
public struct Finding: Sendable, Codable, Equatable {
    /// Whether the check fails because of it.
    public var isFailure: Bool
    /// What was found, with the file and line in front where there are some.
    public var text: String
    /// The configuration in which it was found; nil if it does not depend on one.
    public var configuration: String?
    /// The checker's own name for it, such as checkpatch's `LONG_LINE`.
    public var type: String?

    /// Makes a finding.
    public init(isFailure: Bool, _ text: String, configuration: String? = nil, type: String? = nil) {
        self.isFailure = isFailure
        self.text = text
        self.configuration = configuration
        self.type = type
    }
}

/// What one check says about one patch on one base.
public struct CheckResult: Sendable, Codable, Equatable {
    /// The check.
    public var check: CheckName
    /// How it ended.
    public var status: CheckStatus
    /// What was found.
    public var findings: [Finding]
    /// What was left out and why, such as objects that a configuration does not have.
    public var notes: [String]
    /// Why nothing was judged; nil unless the status is ``CheckStatus/notChecked``.
    public var notChecked: String?
    /// Whether all of it was known from an earlier run.
    public var isCached: Bool

    /// A check that was made.
    public init(_ check: CheckName, _ findings: [Finding], notes: [String] = [], isCached: Bool = false) {
        self.check = check
        self.findings = findings
        self.notes = notes
        self.isCached = isCached
        status = findings.contains(where: \.isFailure) ? .fail : findings.isEmpty ? .ok : .warn
    }

    /// A check that was not made.
    public init(_ check: CheckName, notChecked reason: String, isCached: Bool = false) {
        self.init(check, [], isCached: isCached)
        status = .notChecked
        notChecked = reason
    }

    /// The word for a table: `ok`, `cached` (which is `ok` by an earlier run), `warn`, `FAIL` or `not checked`.
    public var word: String {
        switch status {
        case .ok: isCached ? "cached" : "ok"
        case .warn: "warn"
        case .fail: "FAIL"
        case .notChecked: "not checked"
        }
    }
}

/// What the checks say about one patch on one base.
public struct PatchReport: Sendable, Codable, Equatable {
    /// The base as it was asked for.
    public var base: String
    /// The kernel's version.
    public var kernelVersion: String
    /// The patch's place among those applied to the base, from 1; nil for one that the base contains.
    public var number: Int?
    /// The patch: `topic/name`, or its origin for a series without a model.
    public var patch: String
    /// The first line of its message.
    public var subject: String
    /// The checks, in a fixed order.
    public var checks: [CheckResult]

    /// Makes a report.
    public init(
        base: String, kernelVersion: String, number: Int?, patch: String, subject: String, checks: [CheckResult]
    ) {
        self.base = base
        self.kernelVersion = kernelVersion
        self.number = number
        self.patch = patch
        self.subject = subject
        self.checks = checks
    }
}

/// What the checks say about all patches on all bases.
public struct CheckReport: Sendable, Codable, Equatable {
    /// How often each ending came.
    public struct Summary: Sendable, Codable, Equatable {
        /// Pairs of a patch and a base.
        public var patches: Int
        /// Checks that found nothing.
        public var ok: Int
        /// Checks with warnings only.
        public var warn: Int
        /// Checks that failed.
        public var fail: Int
        /// Checks that were not made.
        public var notChecked: Int
        /// Checks whose result was known from an earlier run, whatever it is.
        public var cached: Int
    }

    /// The patches by base, in the order of the bases and then of the patches.
    public var patches: [PatchReport]
    /// How often each ending came.
    public var summary: Summary

    /// Puts reports together.
    public init(_ patches: [PatchReport]) {
        self.patches = patches
        let all = patches.flatMap(\.checks)
        func count(_ status: CheckStatus) -> Int { all.count { $0.status == status } }
        summary = Summary(
            patches: patches.count, ok: count(.ok), warn: count(.warn), fail: count(.fail),
            notChecked: count(.notChecked), cached: all.count(where: \.isCached))
    }

    /// Whether no check failed; warnings do not count.
    public var hasPassed: Bool { summary.fail == 0 }
}
