// SPDX-License-Identifier: Apache-2.0
import AddressSpaceModel
import Glibc
import GuestTestKit

/// How long a test of the suite explores: `HMMLAB_MODEL_SECONDS` where it is a number of at most a day.
let modelSeconds =
    getenv("HMMLAB_MODEL_SECONDS").flatMap { Int(String(cString: $0)) }.map { min(max($0, 1), 86_400) } ?? 10

/// Sequences that nobody has thought of, each compared with a model of the address space after every step.
let modelTests: [GuestTest] = [
    modelTest("model/private", "Private memory behaves as the model says", devices: [0, 1], flaws: known),
    modelTest("model/coherent", "Coherent memory behaves as the model says", devices: [2, 3]),
    modelTest("model/both", "Both kinds of memory behave as the model says", devices: [0, 2], flaws: known),
    modelTest("model/private-strict", "Private memory behaves as the model says, without exceptions", devices: [0, 1]),
]

/// What mainline does wrong: only ``modelTests``'s last one minds.
private let known: Model.Flaws = [.readOnlyPageStays, .faultsGoOn]

private func modelTest(
    _ id: String, _ summary: String, devices: [Int], flaws: Model.Flaws = [], file: String = #fileID, line: Int = #line
) -> GuestTest {
    let kinds: [Requirement] =
        (devices.contains { $0 < 2 } ? [.private] : []) + (devices.contains { $0 > 1 } ? [.coherent] : [])
    return GuestTest(
        id, summary, needs: kinds + [.ours], timeoutMilliseconds: modelSeconds * 2000 + 120_000, file: file, line: line
    ) {
        var seed = RandomSource.processSeed
        var clock = timespec()
        clock_gettime(CLOCK_MONOTONIC, &clock)
        let (begin, end) = (clock.tv_sec, clock.tv_sec + modelSeconds)
        var (steps, sequences) = (0, 0)
        while clock.tv_sec < end {
            var source = RandomSource(seed: seed)
            let size = [4, 16, 64].randomElement(using: &source) ?? 16
            let explorer = Explorer(setting: .init(size: size, devices: devices, flaws: flaws))
            // Before, so that the kernel's last words come behind it.
            Console.line("HMMLAB_SEED=\(seed): a window of \(size) pages")
            if let failure = try explorer.explore(seed: seed, length: 1000, done: &steps) {
                let shortest = try explorer.shrunk(failure, attempts: 1500)
                tell(shortest, id, explorer.setting)
                expect(false, "every step does what the model says", shortest.sentence, file: file, line: line)
                return
            }
            sequences += 1
            seed = RandomSource.next(after: seed)
            clock_gettime(CLOCK_MONOTONIC, &clock)
        }
        let seconds = max(1, clock.tv_sec - begin)
        Console.line("\(steps) steps in \(sequences) sequences, \(steps / seconds) each second")
        expect(steps > 0, "there is time for one sequence")
    }
}

/// Prints a sequence as a test that can be added as it is.
private func tell(_ failure: Explorer.Failure, _ id: String, _ setting: Explorer.Setting) {
    let flaws = "flaws: .init(rawValue: \(setting.flaws.rawValue))"
    let head = [
        "The shortest sequence that was found, as a test:", "modelReplay(",
        "    \"\(id)-NAME\", \"CLAIM\", size: \(setting.size), devices: \(setting.devices), \(flaws),", "    \"\"\"",
    ]
    for line in head + failure.steps.map({ "    \($0)" }) + ["    \"\"\"),"] { Console.line(line) }
}

/// A test that does the given steps, a line each, and compares with the model after each.
func modelReplay(
    _ id: String, _ summary: String, size: Int, devices: [Int], flaws: Model.Flaws, _ text: String,
    file: String = #fileID, line: Int = #line
) -> GuestTest {
    GuestTest(id, summary, needs: [.ours], file: file, line: line) {
        let lines = text.split(separator: "\n")
        let steps = lines.compactMap { Step(String($0)) }
        try require(steps.count == lines.count, "every line is a step", file: file, line: line)
        let explorer = Explorer(setting: .init(size: size, devices: devices, flaws: flaws))
        let failure = try explorer.replay(steps)
        expectNone(failure?.sentence, "every step does what the model says", file: file, line: line)
    }
}
