// SPDX-License-Identifier: Apache-2.0
import DeviceMirror
import GuestTestKit

/// So many requests are made of each number.
private let requestsPerNumber = 10_000

/// Requests by the thousand that are nearly right, while descriptors close and mappings go.
let robustnessTests: [GuestTest] =
    DocumentedErrors.commands.map { command in
        robustnessTest(
            "robustness/\(command.name)", "Malformed requests of the command \(command.name) get documented errors",
            [command.number])
    } + [
        robustnessTest(
            "robustness/no-command", "Requests with a number that is no command are refused",
            (0x00...0x31).filter { number in !DocumentedErrors.commands.contains { $0.number == number } })
    ]

private func robustnessTest(
    _ id: String, _ summary: String, _ numbers: [UInt8], file: String = #fileID, line: Int = #line
) -> GuestTest {
    GuestTest(
        id, summary, needs: [.private, .coherent, .ours, .smp], timeoutMilliseconds: 600_000, file: file, line: line
    ) {
        let seed = RandomSource.processSeed
        Console.line("seed \(seed): HMMLAB_SEED=\(seed) makes the same requests again")
        let controls = try ControlDevices()
        try controls.makeWhole()
        defer { try? controls.makeWhole() }
        let inUse = (
            try controls.privateDevice.information().heldPages, try controls.coherentDevice.information().heldPages
        )
        for number in numbers {
            let answers = try requestStorm(
                number, requests: requestsPerNumber, seed: seed &+ UInt64(number) << 32, controls)
            check(answers, number)
            try controls.makeWhole()
        }
        try controls.privateDevice.expectHeld(inUse.0, "every private page that was handed out has been given back")
        try controls.coherentDevice.expectHeld(inUse.1, "so has every coherent one")
        let buffer = try MappedBuffer.filled(pages: 16, seed: 1)
        try controls.privateDevice.take(buffer.range, seed: 1)
        try controls.coherentDevice.expectReads(buffer.range, seed: 1, "the devices work as before")
        buffer.range.expectHolds(seed: 1, "the contents are right")
    }
}

private func check(_ answers: Answers, _ number: UInt8) {
    let words = answers.map { "\($0.key?.description ?? "done"): \($0.value)" }.sorted()
    let total = answers.values.reduce(0, +)
    Console.line("0x\(String(number, radix: 16)): \(total) requests: \(words.joined(separator: ", "))")
    let documented = DocumentedErrors.of(number)
    for case (let error?, let count) in answers where !documented.contains(error) {
        expect(false, "command 0x\(String(number, radix: 16)) gets documented errors only", "\(count) times \(error)")
    }
    expectEqual(total, requestsPerNumber, "every request is made and answered")
    // Requests that all fail for the same reason would be no test of what comes behind it.
    let done = answers[nil] ?? 0
    expect(
        isCommand(number) ? done >= total / 200 : done == 0, "commands are done, and only commands", "\(done) times")
    expect(answers[.invalidArgument] != nil, "malformed requests are refused")
}

/// Whether the running kernel's driver has a command of this number.
private func isCommand(_ number: UInt8) -> Bool {
    // What it needs came with 7.3: hmm_range_fault_unlocked_timeout().
    if number == 0x09 { return KernelVersion.running >= KernelVersion(7, 3) }
    return DocumentedErrors.commands.contains { $0.number == number }
}
