// SPDX-License-Identifier: Apache-2.0
import AddressSpaceModel
import GuestTestKit

/// Random sequences of steps, each compared with the model after every step.
struct Explorer {
    /// What a sequence is about.
    struct Setting: Sendable {
        /// The window's length in pages.
        var size: Int
        /// The nodes of the devices.
        var devices: [Int]
        /// What the running kernel is known to do wrong.
        var flaws: Model.Flaws
    }

    /// A sequence that has shown a difference.
    struct Failure {
        var steps: [Step]
        var sentence: String
    }

    let setting: Setting

    /// Does one random sequence.
    ///
    /// - Parameters:
    ///   - length: how many steps.
    ///   - done: counts the steps that were done.
    /// - Returns: nil when everything was as it should be.
    func explore(seed: UInt64, length: Int, done: inout Int) throws -> Failure? {
        var source = RandomSource(seed: seed)
        var count = 0
        let failure = try run { model in
            guard count < length else { return nil }
            count += 1
            return model.randomStep(using: &source, stamp: UInt32(count))
        }
        done += count
        return failure
    }

    /// Does a given sequence; steps that the model does not define where they stand are left out.
    func replay(_ steps: [Step]) throws -> Failure? {
        var rest = steps[...]
        return try run { model in
            while let step = rest.popFirst() {
                if model.defines(step) { return step }
            }
            return nil
        }
    }

    private func run(_ next: (Model) -> Step?) throws -> Failure? {
        let window = try Window(size: setting.size, devices: setting.devices)
        var model = Model(size: setting.size, devices: setting.devices, flaws: setting.flaws)
        var steps: [Step] = []
        do {
            while let step = next(model) {
                steps.append(step)
                try model.apply(step, try window.perform(step))
            }
            // What nobody has looked at for long is compared as well, in every sequence.
            for process in (0..<(model.hasChild ? 2 : 1)).reversed() {
                for page in 0..<setting.size {
                    let step = Step(.read, page..<page + 1, process: process)
                    try model.apply(step, try window.perform(step))
                }
            }
            if model.hasChild { try model.apply(Step(.end), try window.perform(Step(.end))) }
            return nil
        } catch let divergence as Divergence {
            return Failure(steps: steps, sentence: divergence.description)
        }
    }

    /// Looks for a shorter sequence that fails as well.
    func shrunk(_ failure: Failure, attempts: Int) throws -> Failure {
        var last = failure
        _ = try shrink(failure.steps, budget: attempts) { steps in
            guard let shorter = try replay(steps) else { return false }
            last = shorter
            return true
        }
        return last
    }
}
