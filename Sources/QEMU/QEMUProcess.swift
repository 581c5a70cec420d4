// SPDX-License-Identifier: Apache-2.0
import HarnessCore
import ProcessRunner

/// One QEMU: started, ending, ended.
final class QEMUProcess: Sendable {
    /// How much of QEMU's own output is kept, in bytes: the last 16 KiB.
    private static let wordsLimit = 1 << 14

    private enum Outcome: Sendable {
        case ended(Ending)
        case forced
        case unstartable(LabError)
    }

    private let command: Command
    private let runner: ProcessRunner
    private let outcome = Promise<Outcome>()
    private let output = LockedValue([UInt8]())
    private let (kills, killing) = AsyncStream.makeStream(of: Never.self)

    init(_ command: Command, runner: ProcessRunner) {
        self.command = command
        self.runner = runner
    }

    /// Runs QEMU to its end; cancelling the task ends QEMU, by force if need be.
    ///
    /// The guest waits for the monitor's `cont`: one that ends within milliseconds would otherwise be gone before
    /// anybody could hear how.
    func run() async {
        outcome.fulfil(
            await withTaskGroup(of: Outcome?.self) { group in
                group.addTask { await self.stream() }
                group.addTask {
                    for await _ in self.kills {}
                    return nil
                }
                // Whichever is first ends the other.
                var outcome = await group.next() ?? nil
                group.cancelAll()
                while let next = await group.next() { outcome = outcome ?? next }
                return outcome ?? .forced
            })
    }

    /// Ends QEMU by force; ``waitForEnd()`` tells when it is gone.
    func kill() { killing.finish() }

    /// Whether QEMU is gone.
    var hasEnded: Bool { outcome.current != nil }

    /// What QEMU has printed so far.
    var words: String { output.withLock { String(decoding: $0, as: UTF8.self) } }

    /// Waits until QEMU is gone; cancelling does not end the wait, but it ends QEMU.
    func waitForEnd() async { _ = await outcome.value() }

    /// The error for a QEMU that ended although nobody asked it to, with its own words.
    var failure: LabError {
        let how: String
        switch outcome.current {
        case .unstartable(let error)?: return error
        case .ended(.exited(let status))?: how = "ended with status \(status)"
        case .ended(.signalled(let number))?: how = "was ended by signal \(number)"
        case .forced?, nil: how = "was ended"
        }
        let said = words.split(separator: "\n").suffix(12).joined(separator: "\n")
        return LabError(
            "qemu-failed", "\(command.executable) \(how)", cause: said.isEmpty ? command.shellText : said,
            next: Self.advice(said) ?? "To see it by itself, run: \(command.shellText)")
    }

    /// What to do about the failures that people meet.
    private static func advice(_ said: String) -> String? {
        if said.contains("annot set up guest memory") || said.contains("Cannot allocate memory") {
            return "Give the guest less with --memory, or free some of the host's memory."
        }
        if said.contains("without PVH ELF Note") {
            return "Build the kernel with CONFIG_PVH=y, or boot its bzImage."
        }
        return nil
    }

    private func stream() async -> Outcome {
        var paused = command
        paused.arguments.append("-S")
        do {
            let ending = try await runner.stream(paused) { [output] _, bytes in
                output.withLock { output in
                    output += bytes
                    if output.count > Self.wordsLimit { output.removeFirst(output.count - Self.wordsLimit) }
                }
            }
            return .ended(ending)
        } catch let error as LabError {
            return .unstartable(error)
        } catch {
            return .forced
        }
    }
}
