// SPDX-License-Identifier: Apache-2.0
import Foundation

/// Readers for what apt prints in the C locale; see apt-get(8), apt-cache(8) and apt's acquire-additional-files.md.
enum AptOutput {
    /// One row of ``indexFormat``.
    struct IndexTarget: Equatable {
        var address: String
        var release: String
        var component: String
        var origin: String
        var label: String
        var suite: String
        var codename: String
    }

    /// The `--format` for `apt-get indextargets` that ``indexTargets(_:)`` reads.
    static let indexFormat =
        "$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)\t$(ORIGIN)\t$(LABEL)\t$(SUITE)\t$(CODENAME)"

    /// Reads the rows of `apt-get indextargets --format`; apt leaves a placeholder as it is where it knows no value.
    static func indexTargets(_ text: String) -> [IndexTarget] {
        text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map {
                $0.hasPrefix("$(") ? "" : String($0)
            }
            guard fields.count == 7 else { return nil }
            return IndexTarget(
                address: fields[0], release: fields[1], component: fields[2], origin: fields[3], label: fields[4],
                suite: fields[5], codename: fields[6])
        }
    }

    /// Reads `apt-get --print-uris update`: the address and release of every configured suite.
    static func configuredSuites(_ text: String) -> [DebianSuite] {
        text.split(separator: "\n").compactMap { line in
            guard let match = line.firstMatch(of: #/^'(.+/)dists/(.+)/InRelease' /#) else { return nil }
            return DebianSuite(address: String(match.1), release: String(match.2))
        }
    }

    /// Why apt could not get something.
    struct Failure: Error, Equatable {
        enum Kind: Equatable {
            /// The server does not have it.
            case absent
            /// There was no talking to the server.
            case unreachable
            /// Anything else, such as a bad signature or a file of the wrong size.
            case refused
        }
        /// What apt wanted, such as `sid InRelease`.
        var item: String
        /// apt's own words.
        var reason: String
        var kind: Kind
    }

    /// What `apt-get update` or `apt-get download` achieved.
    struct Transfer: Sendable, Equatable {
        /// The suites whose signed release file is there and good.
        var reached: [String] = []
        /// What failed, in order.
        var failures: [Failure] = []
    }

    /// Reads apt's transfer lines: `Hit:`, `Get:` and `Err:`, the last with its reason on an indented line below.
    static func transfer(_ text: String) -> Transfer {
        var result = Transfer()
        var failing: (number: String, item: String)?
        var released: [(number: String, suite: String)] = []
        for line in text.split(separator: "\n") {
            if let open = failing, line.first == " " {
                let reason = line.trimmingCharacters(in: .whitespaces)
                result.failures.append(Failure(item: open.item, reason: reason, kind: kind(of: reason)))
                failing = nil
            } else if let match = line.firstMatch(of: /^(Hit|Get|Err|Ign):([0-9]+) [^ ]+ (.+)/) {
                let number = String(match.2)
                let item = String(match.3)
                // "Get" only announces; "Ign" or "Err" with the same number may follow.
                if match.1 == "Err" || match.1 == "Ign" {
                    failing = match.1 == "Err" ? (number, item) : nil
                    released.removeAll { $0.number == number }
                } else if let release = item.firstMatch(of: /^(.+) (InRelease|Release)( \[|$)/) {
                    released.append((number, String(release.1)))
                }
            }
        }
        for entry in released where !result.reached.contains(entry.suite) { result.reached.append(entry.suite) }
        return result
    }

    private static func kind(of reason: String) -> Failure.Kind {
        if reason.hasPrefix("404") || reason.hasPrefix("File not found") { return .absent }
        let silence = [
            "ould not connect", "nable to connect", "ould not resolve", "emporary failure resolving",
            "onnection failed",
            "annot initiate the connection", "etwork is unreachable", "o route to host", "onnection refused",
            "onnection reset", "onnection timed out", "imeout", "omething wicked happened",
        ]
        return silence.contains { reason.contains($0) } ? .unreachable : .refused
    }

    /// A version of a package and where it is, from `apt-cache madison`.
    struct Offer: Equatable {
        var package: String
        var version: String
        var release: String
    }

    /// Reads `package | version | address release/component architecture Packages`; apt sorts by version.
    static func offers(_ text: String) -> [Offer] {
        text.split(separator: "\n").compactMap { line in
            let fields = line.split(separator: "|").map { $0.trimmingCharacters(in: .whitespaces) }
            guard fields.count == 3, fields[2].hasSuffix(" Packages") else { return nil }
            let place = fields[2].split(separator: " ")
            guard place.count == 4, let slash = place[1].lastIndex(of: "/") else { return nil }
            return Offer(package: fields[0], version: fields[1], release: String(place[1][..<slash]))
        }
    }

    /// Reads the sizes in bytes from the stanzas of `apt-cache show`, by package and version.
    static func sizes(_ text: String) -> [[String]: Int64] {
        var sizes: [[String]: Int64] = [:]
        var fields: [Substring: String] = [:]
        // Two line ends finish the last stanza too.
        for line in (text + "\n\n").split(separator: "\n", omittingEmptySubsequences: false) {
            if line.isEmpty {
                if let package = fields["Package"], let version = fields["Version"], let size = fields["Size"] {
                    sizes[[package, version]] = Int64(size)
                }
                fields = [:]
            } else if line.first != " ", let colon = line.firstIndex(of: ":") {
                fields[line[..<colon]] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            }
        }
        return sizes
    }

    /// The fraction 0 to 1 in a line of APT::Status-Fd, `dlstatus:1:37.5:Retrieving ...`; nil for other lines.
    static func progress(_ line: String) -> Double? {
        let fields = line.split(separator: ":", maxSplits: 3)
        guard fields.count == 4, fields[0] == "dlstatus", let percent = Double(fields[2]) else { return nil }
        return percent / 100
    }
}
