// SPDX-License-Identifier: Apache-2.0
import Bisection

/// What a bisection does at one moment: one kernel is built at a time, and some guests run.
struct BisectionLanes: Sendable, Equatable {
    /// How many guests may run at the same time, from 1.
    ///
    /// With one, nothing goes on beside anything else.
    let guests: Int
    /// The state whose kernel is being built.
    var building: Int?
    /// The states that are being tested; one as often as it is.
    var testing: [Int] = []
    /// Whether the tip is being built without a step.
    var isReverting = false

    init(guests: Int) { self.guests = guests }

    /// Every state that is at work.
    var states: [Int] { (building.map { [$0] } ?? []) + testing }

    /// Whether a kernel can be built.
    var isBuilderFree: Bool { building == nil && !isReverting && (guests > 1 || testing.isEmpty) }

    /// Whether a guest can be started that nobody waits for: the kernel that is being built is going to need one.
    var hasFreeGuest: Bool { testing.count + (building == nil ? 0 : 1) < guests }

    /// Takes down that one of the runs of a state has ended.
    mutating func endTest(_ state: Int) {
        if let index = testing.firstIndex(of: state) { testing.remove(at: index) }
    }
}
