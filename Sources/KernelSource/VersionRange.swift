// SPDX-License-Identifier: Apache-2.0
import HarnessCore

extension KernelSources {
    /// The versions of linux-source between two, in their order, as far as the archive or the store has them.
    ///
    /// Versions that differ only by the mark of a rebuild are one.
    ///
    /// - Parameters:
    ///   - good: a version such as `6.12.94-1`.
    ///   - bad: a later one, or an earlier one for a fault that went away.
    /// - Throws: ``LabError`` `base-unknown` if one of them cannot be had.
    public func versions(from good: String, to bad: String, refresh: RefreshPolicy) async throws -> [String] {
        let listing = try await list(refresh: refresh)
        let all = Set(
            (listing.offered.map(\.version) + listing.cached.compactMap(\.debianVersion)).map(
                DebianVersions.withoutRebuild))
        let (good, bad) = (DebianVersions.withoutRebuild(good), DebianVersions.withoutRebuild(bad))
        for version in [good, bad] where !all.contains(version) {
            throw LabError(
                "base-unknown", exit: .usage, "There is no linux-source \(version) to be had",
                cause: listing.problem?.sentence,
                next: "hmmlab base list shows what the archive offers and what the cache holds.")
        }
        let order = DebianVersions(runner: runner)
        let isRising = try await order.isLater(bad, than: good)
        let (low, high) = isRising ? (good, bad) : (bad, good)
        var between: [String] = []
        for version in all {
            if try await order.isLater(low, than: version) { continue }
            if try await order.isLater(version, than: high) { continue }
            var place = between.count
            while place > 0 {
                guard try await order.isLater(between[place - 1], than: version) else { break }
                place -= 1
            }
            between.insert(version, at: place)
        }
        return isRising ? between : between.reversed()
    }
}
