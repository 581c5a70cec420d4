// SPDX-License-Identifier: Apache-2.0
import AddressSpaceModel
import Testing

@Suite("Steps")
struct StepTests {
    @Test func everyVerbGoesThroughItsLine() throws {
        for verb in Step.Verb.allCases {
            let pages = verb.hasRange ? 3..<5 : 0..<0
            let step = Step(
                verb, pages, process: 1, device: 2, access: .read, backing: .copied, target: 7, stamp: 99)
            let read = try #require(Step(step.description), "\(step)")
            #expect(
                read.description == step.description && read.verb == verb && read.pages == pages && read.process == 1)
        }
        #expect(Step(.deviceWrite, 3..<5, device: 1, stamp: 17).description == "0 device-write 3+2 device 1 stamp 17")
        #expect(Step("0 map 0+4 access write backing shared target 2")?.target == 2)
    }

    @Test(arguments: [
        "", "0", "2 read 0+1", "0 jump 0+1", "0 read", "0 read 1", "0 read 0+0", "0 read -1+2", "0 read 0+1 device 1",
        "0 write 0+1", "0 write 0+1 stamp", "0 write 0+1 stamp x", "0 take 0+1 stamp 1", "0 fork 0+1",
        "0 protect 0+1 access all",
    ])
    func whatIsNoStep(_ line: String) {
        #expect(Step(line) == nil)
    }

    @Test func equalRandomNumbersGiveEqualSteps() {
        let model = Model(size: 16, devices: [0, 2])
        var verbs: Set<Step.Verb> = []
        var (one, other) = (Numbers(state: 1), Numbers(state: 1))
        for stamp in 1...500 as ClosedRange<UInt32> {
            let step = model.randomStep(using: &one, stamp: stamp)
            #expect(step == model.randomStep(using: &other, stamp: stamp))
            #expect(model.defines(step), "\(step)")
            #expect(Step(step.description) == step)
            verbs.insert(step.verb)
        }
        // What needs a mapping, or a second process, is not for an empty window.
        #expect(verbs.isDisjoint(with: [.move, .take, .giveBack, .seize, .end]))
        #expect(verbs.isSuperset(of: [.map, .unmap, .read, .write, .copy, .snapshot, .fork, .evict, .deviceRead]))
    }

    /// SplitMix64, so that the test does the same every time.
    private struct Numbers: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var word = state
            word = (word ^ word >> 30) &* 0xbf58_476d_1ce4_e5b9
            word = (word ^ word >> 27) &* 0x94d0_49bb_1331_11eb
            return word ^ word >> 31
        }
    }
}

@Suite("Making sequences shorter")
struct ShrinkingTests {
    private static let steps = (1...200).map { Step(.write, 0..<8, stamp: $0) }

    @Test func whatDoesNotMatterGoes() {
        var asked = 0
        let shortest = shrink(Self.steps, budget: 500) { steps in
            asked += 1
            let stamps = steps.map(\.stamp)
            // In this order, and with page 3 of the first.
            guard let first = steps.firstIndex(where: { $0.stamp == 17 && $0.pages.contains(3) }) else { return false }
            return stamps[first...].contains(160)
        }
        #expect(shortest.map(\.stamp) == [17, 160])
        #expect(asked <= 500)
        #expect(shortest[0].pages.contains(3) && shortest[1].pages.count < 8)
    }

    @Test func theBudgetIsKept() {
        var asked = 0
        let shortest = shrink(Self.steps, budget: 3) { _ in
            asked += 1
            return false
        }
        #expect(asked == 3 && shortest == Self.steps)
    }

    @Test func aSingleStepStays() {
        #expect(shrink([Step(.fork)], budget: 10) { !$0.isEmpty } == [Step(.fork)])
    }

    @Test func anErrorGoesThrough() {
        struct Gone: Error {}
        #expect(throws: Gone.self) { try shrink(Self.steps, budget: 10) { _ in throw Gone() } }
    }
}
