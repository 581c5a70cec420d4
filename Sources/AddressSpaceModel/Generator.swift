// SPDX-License-Identifier: Apache-2.0

extension Model {
    /// One of the steps that could be next.
    ///
    /// Equal random numbers and equal states give equal steps.
    public func randomStep(using source: inout some RandomNumberGenerator, stamp: UInt32) -> Step {
        while true {
            var step = Step(Self.verbs.randomElement(using: &source) ?? .read)
            step.process = hasChild ? UInt8.random(in: 0...1, using: &source) : 0
            step.device = UInt8(clamping: devices.randomElement(using: &source) ?? 0)
            step.stamp = stamp
            step.access = Self.accesses.randomElement(using: &source) ?? .write
            step.backing = Self.backings.randomElement(using: &source) ?? .anonymous
            if step.verb.hasRange {
                // Mostly a few pages, so that there are several mappings at a time.
                let longest = Bool.random(using: &source) ? 4 : size / 2
                let count = Int.random(in: 1...min(longest, size), using: &source)
                let first = Int.random(in: 0...(size - count), using: &source)
                (step.first, step.count) = (UInt16(clamping: first), UInt16(clamping: count))
                step.target = UInt16.random(in: 0...UInt16(clamping: size - count), using: &source)
            }
            // A process that forks all the time does nothing else.
            if step.verb == .fork || step.verb == .end {
                step.process = 0
                if Int.random(in: 0..<4, using: &source) != 0 { continue }
            }
            if defines(step) { return step.plain }
        }
    }

    /// How often each verb is tried, of which those that meet nothing they could be done to are dropped.
    private static let verbs: [Step.Verb] =
        [
            .map, .map, .unmap, .protect, .protect, .move, .move, .discard, .read, .read, .copy, .snapshot, .snapshot,
            .evict,
        ]
        + [.write, .write, .write, .take, .take, .take, .take, .giveBack, .deviceRead, .deviceRead]
        + [.deviceWrite, .deviceWrite, .seize, .seize, .fork, .end]
    private static let accesses: [Step.Access] = [.none, .read, .write, .write, .write, .write]
    private static let backings: [Step.Backing] = [.anonymous, .anonymous, .anonymous, .copied, .shared]
}

extension Step {
    /// The step without what its verb does not use, as its line has it.
    var plain: Step { Step(description) ?? self }
}
