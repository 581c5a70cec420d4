// SPDX-License-Identifier: Apache-2.0

/// A sequence that fails, made shorter as long as it goes on failing: whole parts first, then single steps, then shorter ranges (the
/// idea is Zeller's and Hildebrandt's, Simplifying and isolating failure-inducing input).
///
/// - Parameters:
///   - budget: how often `fails` is asked at most.
///   - fails: whether a sequence fails; what its steps meet may be something that ``Model/defines(_:)`` does not know, and is left out then.
/// - Returns: the shortest sequence that was seen to fail.
public func shrink(_ steps: [Step], budget: Int, fails: ([Step]) throws -> Bool) rethrows -> [Step] {
    var best = steps
    var budget = budget
    func isBetter(_ candidate: [Step]) throws -> Bool {
        guard budget > 0, !candidate.isEmpty else { return false }
        budget -= 1
        return try fails(candidate)
    }
    var part = max(1, best.count / 2)
    while budget > 0 {
        var hasShrunk = false
        // From the end, since what a step needs lies before it.
        var end = best.count
        while end > 0, budget > 0 {
            let start = max(0, end - part)
            let candidate = Array(best[..<start] + best[end...])
            if try isBetter(candidate) {
                best = candidate
                hasShrunk = true
            }
            end = start
        }
        if part == 1, !hasShrunk { break }
        if !hasShrunk || part > best.count { part = max(1, part / 2) }
    }
    for index in best.indices where best[index].count > 1 {
        for range in [best[index].pages.prefix(1), best[index].pages.dropFirst(), best[index].pages.dropLast()] {
            var candidate = best
            candidate[index].first = UInt16(clamping: range.lowerBound)
            candidate[index].count = UInt16(clamping: range.count)
            if try isBetter(candidate) {
                best = candidate
                break
            }
        }
    }
    return best
}
