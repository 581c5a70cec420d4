// SPDX-License-Identifier: Apache-2.0
import Foundation
import HarnessCore
import Pipeline

/// Shows a bisection: a line for each run, and on a terminal the range as a bar on the live line.
final class LiveBisection: Sendable {
    /// The widest bar, in characters.
    static let widest = 64

    private let terminal: Terminal
    private let count = LockedValue(0)
    private let folder = LockedValue<String?>(nil)

    init(_ terminal: Terminal) { self.terminal = terminal }

    /// The name by which the bisection can be continued; nil before it has begun.
    var name: String? { folder.withLock { $0 }.map { ($0 as NSString).lastPathComponent } }

    func show(_ event: BisectionEvent) {
        switch event {
        case .planned(let view, let folder):
            self.folder.withLock { $0 = folder }
            terminal.line(
                "\(view.noun.counted(view.steps.count)) between good and bad; the journal is \(folder)/journal")
            let earlier = view.tallies.reduce(0) { $0 + $1.runs }
            if earlier > 0 { terminal.line("going on after \(earlier.of("run"))") }
            count.withLock { $0 = earlier }
        case .began(let view, let run):
            let left = view.secondsLeft.map { ", about \(Self.time($0)) left" } ?? ""
            let text = "\(Self.bar(view)) \(Self.name(run.state, view))\(left)"
            if terminal.isTerminal { terminal.progress(.step(text)) } else { terminal.line(text) }
        case .ended(let view, let run, let observation):
            let number = count.withLock { count in
                count += 1
                return count
            }
            terminal.line(
                "run \(number): \(Self.name(run.state, view)): \(word(observation, run))\(Self.detail(run))")
            terminal.line("    \(Self.likeliest(view))")
        case .inert(let view, let step):
            terminal.line("\(view.noun) \(step) changes nothing in the kernel: it is not to blame")
        case .reverting(let step):
            terminal.progress(.step("Trying the tip without \(step.subject)"))
        case .reverted(let run, let observation):
            terminal.line("without it: \(word(observation, run))\(Self.detail(run))")
        case .note(let text): terminal.progress(.note(text))
        }
    }

    private func word(_ observation: Observation, _ run: StateRun) -> String {
        switch observation {
        case .good: terminal.colour("good", .green)
        case .bad: terminal.colour("bad", .red)
        case .unknown: terminal.colour(run.outcome == .failing ? "another failure" : "nothing to say", .yellow)
        }
    }

    private static func detail(_ run: StateRun) -> String {
        let times =
            (run.buildSeconds > 0 ? ["built in \(time(run.buildSeconds))"] : [])
            + (run.testSeconds > 0 ? ["ran \(time(run.testSeconds))"] : [])
        return (times.isEmpty ? "" : " (\(times.joined(separator: ", ")))")
            + (run.sentence.isEmpty ? "" : ": \(run.sentence)")
    }

    private static func name(_ state: Int, _ view: BisectionView) -> String {
        switch state {
        case 0: "the good end"
        case view.steps.count: "the bad end"
        default: "after \(view.noun) \(state)"
        }
    }

    private static func likeliest(_ view: BisectionView) -> String {
        guard let best = view.probabilities.indices.max(by: { view.probabilities[$0] < view.probabilities[$1] }) else {
            return ""
        }
        let share = BisectionReport.percent(view.probabilities[best])
        switch best {
        case 0: return "most likely the good end is bad (\(share))"
        case view.steps.count + 1: return "most likely the bad end is good (\(share))"
        default: return "most likely \(view.noun) \(best), \(view.steps[best - 1].subject) (\(share))"
        }
    }

    static func time(_ seconds: Double) -> String {
        seconds < 60 ? "\(Int(seconds.rounded())) s" : "\(Int((seconds / 60).rounded())) min"
    }

    /// The states from good to bad: `+` good, `x` bad, `~` both, `?` nothing to say, `*` running; a state that was not run
    /// shows how probable it is that the fault begins there.
    static func bar(_ view: BisectionView) -> String {
        let states = view.tallies.count
        let width = min(states, widest)
        let cells = (0..<width).map { cell -> Character in
            let part = (cell * states / width)..<max((cell + 1) * states / width, cell * states / width + 1)
            if part.contains(where: view.running.contains) { return "*" }
            let good = part.contains { view.tallies[$0].good > 0 }
            let bad = part.contains { view.tallies[$0].bad > 0 }
            switch (good, bad) {
            case (true, true): return "~"
            case (true, false): return "+"
            case (false, true): return "x"
            case (false, false): break
            }
            if part.contains(where: { view.tallies[$0].unknown > 0 }) { return "?" }
            let mass = part.reduce(0) { $0 + view.probabilities[$1] }
            let shades: [Character] = ["·", "░", "▒", "▓", "█"]
            return mass < 0.001 ? shades[0] : shades[min(1 + Int(mass * 12), 4)]
        }
        return "[" + String(cells) + "]"
    }
}
