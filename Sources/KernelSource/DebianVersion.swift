// SPDX-License-Identifier: Apache-2.0
import ProcessRunner

/// Debian version numbers (deb-version(7)), compared by dpkg.
struct DebianVersions: Sendable {
    let runner: ProcessRunner

    /// Whether the first version is later than the second.
    ///
    /// - Throws: ``LabError`` `tool-missing`.
    func isLater(_ first: String, than second: String) async throws -> Bool {
        if first == second { return false }
        return try await runner.run(Command("dpkg", ["--compare-versions", first, "gt", second])).ending.isSuccess
    }

    /// The element with the latest version; the first of equals.
    func latest<Element>(of elements: [Element], by version: (Element) -> String) async throws -> Element? {
        guard var best = elements.first else { return nil }
        for element in elements.dropFirst() where try await isLater(version(element), than: version(best)) {
            best = element
        }
        return best
    }

    /// The version without the mark of a rebuild for an older release: `6.12.117-1~deb12u1` and `6.12.117-1~bpo12+1`
    /// are `6.12.117-1`.
    static func withoutRebuild(_ version: String) -> String {
        version.replacing(/~(deb[0-9]+u|bpo[0-9]+\+)[0-9]+$/, with: "")
    }

    /// The upstream version: everything before the last hyphen.
    static func upstream(_ version: String) -> String {
        version.lastIndex(of: "-").map { String(version[..<$0]) } ?? version
    }
}

extension BaseSpec.DebianChoice {
    /// Whether a linux-source version is one of those meant.
    func includes(_ version: String) -> Bool {
        switch self {
        case .latest:
            // 7.3~rc7 is a release candidate of 7.3.
            !DebianVersions.upstream(version).contains("~")
        case .series(let series):
            version.hasPrefix(series) && (version.dropFirst(series.count).first.map { ".-~".contains($0) } ?? false)
        case .version(let wanted):
            version == wanted || DebianVersions.withoutRebuild(version) == wanted
                || DebianVersions.upstream(version) == wanted
        }
    }
}
