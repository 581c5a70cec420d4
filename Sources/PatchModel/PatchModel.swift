// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import PatchSeries

/// A folder of topics, each a list of patches that live on several bases at once (docs/patch-model.md).
///
/// The folder's file `topics` names the topics in the order in which they are applied, one per line.
public struct PatchModel: Sendable, Equatable {
    /// The folder.
    public let folder: String
    /// The topics, in the order in which they are applied.
    public var topics: [Topic]

    /// Makes a model from its parts.
    public init(folder: String, topics: [Topic]) {
        self.folder = folder
        self.topics = topics
    }

    /// All patches in the order in which they are applied.
    public var patches: [ModelPatch] { topics.flatMap(\.patches) }

    /// The topics with these names, in the model's order; all for an empty list.
    ///
    /// - Throws: ``LabError`` `topic-unknown`.
    public func topics(named names: [String]) throws -> [Topic] {
        for name in names where !topics.contains(where: { $0.name == name }) {
            let known = topics.map(\.name).joined(separator: ", ")
            throw LabError(
                "topic-unknown", exit: .usage, "There is no topic \(name) in \(folder)",
                next: known.isEmpty ? "Import patches first: hmmlab patches import." : "The topics are: \(known).")
        }
        return names.isEmpty ? topics : topics.filter { names.contains($0.name) }
    }

    /// Every base that some patch is for or contained in, oldest first.
    public var bases: [BaseSeries] {
        Set(patches.flatMap { $0.metadata.bases + $0.metadata.contained }).sorted()
    }
}

/// A list of patches with one purpose, which is mailed as one series.
public struct Topic: Sendable, Equatable {
    /// The name of its folder: letters, digits, `-`, `_` and `.`.
    public var name: String
    /// What the cover letter's subject says.
    public var title: String
    /// What the cover letter says, as paragraphs.
    public var text: String
    /// The bases of patches that name none of their own; the first one is the home of their `.patch` files.
    public var bases: [BaseSeries]
    /// The patches, in the order in which they are applied.
    public var patches: [ModelPatch]

    /// Makes a topic.
    public init(name: String, title: String, text: String, bases: [BaseSeries], patches: [ModelPatch] = []) {
        self.name = name
        self.title = title
        self.text = text
        self.bases = bases
        self.patches = patches
    }
}

/// One patch: its text, what is known about it, and other diffs for the bases where the text differs.
public struct ModelPatch: Sendable, Equatable {
    /// The topic's name.
    public var topic: String
    /// The file's name without `.patch`: letters, digits, `-`, `_` and `.`.
    public var name: String
    /// Author, message and diff, the latter for the home base.
    public var patch: Patch
    /// What its author says about it.
    public var metadata: PatchMetadata
    /// The diffs for bases where the text differs; the message is the same everywhere.
    public var variants: [BaseSeries: Data]

    /// Makes a patch of a topic.
    public init(
        topic: String, name: String, patch: Patch, metadata: PatchMetadata, variants: [BaseSeries: Data] = [:]
    ) {
        self.topic = topic
        self.name = name
        self.patch = patch
        self.metadata = metadata
        self.variants = variants
    }

    /// What commits and messages call it: `topic/name`.
    public var id: String { "\(topic)/\(name)" }

    /// The base whose text the `.patch` file has.
    public var home: BaseSeries? { metadata.bases.first }

    /// The patch as it is applied to a base: the variant's diff if there is one, with the same author and message.
    ///
    /// Its origin is ``id``, with `@base` for a variant.
    ///
    /// - Throws: ``LabError`` `patch-malformed` for a variant that is no diff.
    public func patch(on base: BaseSeries) throws -> Patch {
        guard let diff = variants[base] else { return patch.named(id) }
        return try patch.replacingDiff(diff, origin: "\(id)@\(base)")
    }
}

/// What is known about a patch beside its text; the file `NAME.toml`.
public struct PatchMetadata: Sendable, Equatable {
    /// The bases that the patch is for; the first one is the home of its text.
    public var bases: [BaseSeries]
    /// The bases that contain it already.
    public var contained: [BaseSeries]
    /// How a base that contains the patch is told from one that does not: each of these texts is in its sources.
    public var probes: [Probe]
    /// Names or ids (`topic/name`) of patches that have to be applied before.
    public var depends: [String]
    /// The tests that fail before the patch and pass after it.
    public var reproducers: [Reproducer]

    /// Makes metadata.
    public init(
        bases: [BaseSeries], contained: [BaseSeries] = [], probes: [Probe] = [], depends: [String] = [],
        reproducers: [Reproducer] = []
    ) {
        self.bases = bases
        self.contained = contained
        self.probes = probes
        self.depends = depends
        self.reproducers = reproducers
    }

    /// A text by which a base that contains the patch is recognised.
    public struct Probe: Sendable, Equatable, Codable {
        /// A file of the sources.
        public var file: String
        /// A text within one or more of its lines, byte for byte.
        public var text: String

        /// Makes a probe.
        public init(file: String, text: String) {
            self.file = file
            self.text = text
        }
    }

    /// A test that the patch makes pass.
    public struct Reproducer: Sendable, Equatable, Codable {
        /// The test's identifier, or a pattern with `*`.
        public var test: String
        /// The suite it belongs to.
        public var suite: String
        /// The flavour it needs to fail; `fast` if absent.
        public var flavour: String?
        /// The driver it runs with; `test_hmm` if absent.
        public var driver: String?
        /// The only bases on which it shows the problem; all if absent.
        public var bases: [BaseSeries]?

        /// Makes a reproducer.
        public init(
            test: String, suite: String, flavour: String? = nil, driver: String? = nil, bases: [BaseSeries]? = nil
        ) {
            self.test = test
            self.suite = suite
            self.flavour = flavour
            self.driver = driver
            self.bases = bases
        }
    }
}

/// A kernel series such as 6.12: what patches are written for, whatever the stable release.
public struct BaseSeries: Sendable, Hashable, Comparable, Codable, CustomStringConvertible {
    /// VERSION of the kernel's Makefile.
    public let major: Int
    /// PATCHLEVEL of the kernel's Makefile.
    public let minor: Int

    /// Reads `6.12`; nil for anything else.
    public init?(_ text: some StringProtocol) {
        guard let match = String(text).wholeMatch(of: /([0-9]{1,4})\.([0-9]{1,4})/), let major = Int(match.1),
            let minor = Int(match.2)
        else { return nil }
        (self.major, self.minor) = (major, minor)
    }

    /// The series of a kernel version such as `6.12.117` or `7.3.0-rc7`; nil if it has no two numbers in front.
    public init?(ofKernel version: String) {
        guard let match = version.prefixMatch(of: /[0-9]+\.[0-9]+/) else { return nil }
        self.init(match.output)
    }

    /// The order of releases.
    public static func < (one: Self, other: Self) -> Bool { (one.major, one.minor) < (other.major, other.minor) }

    /// As it is written: `6.12`.
    public var description: String { "\(major).\(minor)" }

    /// Reads the description.
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let series = Self(text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "\"\(text)\" is no kernel series such as 6.12"))
        }
        self = series
    }

    /// Writes the description.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
