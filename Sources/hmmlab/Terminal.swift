// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Rainbow

/// Everything that people see: progress on standard error, results on standard output.
///
/// On a terminal the running step is one live line that is replaced; elsewhere every step is a line of its own, so that
/// a CI log stays readable. Colours are off where `NO_COLOR` is set (no-color.org) or the stream is no terminal.
final class Terminal: Sendable {
    private struct State {
        var step = ""
        var isLiveLineShown = false
        var lastUpdate = ContinuousClock.now
    }

    let isTerminal: Bool
    let usesColour: Bool
    let isQuiet: Bool
    private let state = LockedValue(State())

    init(environment: [String: String] = ProcessInfo.processInfo.environment, quiet: Bool = false) {
        let plain = environment["TERM"] == "dumb" || environment["TERM"] == nil
        isTerminal = isatty(STDERR_FILENO) == 1 && !plain
        usesColour = isTerminal && (environment["NO_COLOR"] ?? "").isEmpty
        isQuiet = quiet
    }

    /// Receives the pipeline's progress.
    var progress: ProgressHandler { { [self] event in show(event) } }

    private func show(_ event: ProgressEvent) {
        switch event {
        case .step(let text):
            state.withLock { $0.step = text }
            if isTerminal { live(text) } else { line("\(text) ...") }
        case .update(let text, let fraction):
            guard isTerminal else { return }
            let step = state.withLock { state -> String? in
                let now = ContinuousClock.now
                guard now - state.lastUpdate > .milliseconds(80) else { return nil }
                state.lastUpdate = now
                return state.step
            }
            guard let step else { return }
            let share = fraction.map { " \(Int($0 * 100)) %" } ?? ""
            live("\(step)\(share)  \(text)")
        case .note(let text): line(text)
        case .warning(let text): line(colour("warning: ", .yellow) + text, always: true)
        }
    }

    /// A line that stays.
    func line(_ text: String, always: Bool = false) {
        if isQuiet && !always { return }
        state.withLock { state in
            let clear = state.isLiveLineShown ? "\r\u{1b}[K" : ""
            state.isLiveLineShown = false
            write(clear + text + "\n")
        }
    }

    /// Takes the live line away, before something else uses the terminal.
    func clear() {
        state.withLock { state in
            if state.isLiveLineShown { write("\r\u{1b}[K") }
            state.isLiveLineShown = false
        }
    }

    func show(_ error: LabError) {
        clear()
        var text = colour("error: ", .red) + error.sentence + "\n"
        if let cause = error.cause, !cause.isEmpty {
            text += cause.split(separator: "\n", omittingEmptySubsequences: false).map { "    \($0)\n" }.joined()
        }
        if let next = error.nextStep, !next.isEmpty { text += colour("next: ", .green) + next + "\n" }
        write(text)
    }

    enum Colour { case red, green, yellow }

    func colour(_ text: String, _ colour: Colour) -> String {
        guard usesColour else { return text }
        // Rainbow looks at standard output on its own; the decision was made above.
        let code: UInt8 =
            switch colour {
            case .red: NamedColor.red.value.first ?? 0
            case .green: NamedColor.green.value.first ?? 0
            case .yellow: NamedColor.yellow.value.first ?? 0
            }
        return "\u{1b}[\(code)m\(text)\u{1b}[0m"
    }

    private func live(_ text: String) {
        guard !isQuiet else { return }
        var size = winsize()
        let width = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
        state.withLock { state in
            state.isLiveLineShown = true
            write("\r\u{1b}[K" + text.prefix(max(width - 1, 10)))
        }
    }

    private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}

/// Standard output, where results and JSON go.
func printResult(_ text: String) {
    FileHandle.standardOutput.write(Data((text.hasSuffix("\n") ? text : text + "\n").utf8))
}

/// Writes a result to the file that a person named, or to standard output for `-`.
func writeResult(_ text: String, to path: String) throws {
    if path == "-" { printResult(text) } else { try Files.writeResult(text, to: path) }
}
