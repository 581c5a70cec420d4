// SPDX-License-Identifier: Apache-2.0

/// Finds a kernel's complaints in its console, line by line, while the guest runs.
///
/// Only the kernel's own lines count: those with its time stamp. A line is assigned to the report that its printer has
/// open. CONFIG_PRINTK_CALLER names the printer; without it a report that is interrupted by another is set aside until
/// that one has ended, and the PIDs in both tell their stacks apart.
///
/// Memory is bounded: reports are handed out when they end, and a report keeps at most 1500 lines.
public struct ConsoleParser: Sendable {
    /// Lines before a headline that may belong to it, such as the message of a `WARN()` or a page dump.
    private static let preambleLines = 12
    /// They follow each other within this time, in microseconds.
    private static let preambleGap = 10_000
    /// Printers whose last lines are remembered; with caller columns every task of a long run is one.
    private static let printerLimit = 64

    private struct Recent {
        var time: Int?
        var text: String
    }

    /// The open reports of each printer; the last one is being printed, those before it were interrupted.
    private var open: [Caller?: [OpenReport]] = [:]
    private var recent: [Caller?: [Recent]] = [:]
    /// The report that ended last in this boot, to which a panic may still have to be attached.
    private var latest: OpenReport?
    private var nextIndex = 0
    private var sawFatal = false
    private var sawStamp = false
    private var isUnstamped = false
    private var events: [ConsoleEvent] = []

    /// A parser at the start of a console.
    public init() {}

    /// Takes the next line, without its newline; returns what it told.
    public mutating func feed(line: String) -> [ConsoleEvent] {
        events = []
        for piece in ConsoleLine.split(line, unstampedIsKernel: isUnstamped) {
            if piece.time != nil { sawStamp = true }
            // printk.time=0: the first thing a kernel prints is its version. A program can print that too, but not before.
            if !sawStamp && piece.text.starts(with: "Linux version ") { isUnstamped = true }
            if piece.isKernel || isUnstamped {
                take(piece)
            } else if let count = piece.text.dropping("** ")?.leadingNumber, piece.text.has(" printk messages dropped ")
            {
                events.append(.fact(.messagesDropped(count)))
            }
        }
        return events
    }

    /// Ends every report that is still open, since the guest is gone.
    public mutating func finish() -> [ConsoleEvent] {
        events = []
        closeAll()
        return events
    }

    /// The reports of a whole log, each once and with the panics that followed from it.
    public static func reports(in log: some StringProtocol) -> [KernelReport] {
        var parser = ConsoleParser()
        var events: [ConsoleEvent] = []
        for line in log.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline) {
            events += parser.feed(line: String(line))
        }
        events += parser.finish()
        var reports: [Int: KernelReport] = [:]
        for case .ended(let report) in events { reports[report.index] = report }
        return reports.values.sorted { $0.index < $1.index }
    }

    // MARK: One kernel line

    private mutating func take(_ line: ConsoleLine) {
        if let version = line.text.dropping("Linux version ") {
            closeAll()
            events.append(.fact(.kernelStarted(version: String(version))))
            return
        }
        if let fact = ConsoleParser.fact(line.text) { events.append(.fact(fact)) }
        guard let headline = Headline.recognise(line.text, isFramed: isFramed(line.caller)) else {
            deliver(line)
            return
        }
        if headline.ending == .panic, attachPanic(line) { return }
        if open[line.caller]?.last?.includes(headline) == true {
            let acceptance = withCurrent(of: line.caller) { $0.include(headline, text: line.text) }
            if acceptance == .last { endCurrent(of: line.caller, isComplete: true) }
            return
        }
        begin(headline, line)
    }

    private static func fact(_ text: Substring) -> ConsoleFact? {
        if text.starts(with: "reboot: Power down") { return .poweredDown }
        if text.starts(with: "reboot: Restarting system") { return .restarting }
        if text.starts(with: "reboot: System halted") { return .halted }
        if text.starts(with: "INFO: lockdep is turned off") || text.starts(with: "Disabling lock debugging") {
            return .lockdepOff
        }
        if let path = text.dropping("Run "), path.ends(with: " as init process") {
            return .initStarted(path: String(path.upTo(" as init process")))
        }
        if let reason = text.dropping("Kernel panic - not syncing") {
            return .panicked(reason: String((reason.dropping(": ") ?? reason).trimmed))
        }
        return nil
    }

    private mutating func begin(_ headline: Headline, _ line: ConsoleLine) {
        let caller = line.caller
        if open[caller]?.last?.isOver == true { endCurrent(of: caller, isComplete: true) }
        let report = OpenReport(
            index: nextIndex, headline: headline, text: line.text, time: line.time, preamble: takePreamble(line),
            followsFatal: sawFatal)
        nextIndex += 1
        if headline.isFatal { sawFatal = true }
        open[caller, default: []].append(report)
        events.append(.began(report.start))
    }

    /// Gives a line to the report it belongs to, if there is one.
    private mutating func deliver(_ line: ConsoleLine) {
        var caller = line.caller
        if open[caller] == nil, case .cpu? = caller,
            let adopter = open.filter({ $0.value.last?.adoptsCPUs == true }).max(by: {
                newest($0.value) < newest($1.value)
            })
        {
            caller = adopter.key
        }
        resume(line.text, of: caller)
        while let acceptance = withCurrent(of: caller, { $0.accept(line.text) }) {
            switch acceptance {
            case .more: return
            case .last:
                endCurrent(of: caller, isComplete: true)
                return
            case .foreign: endCurrent(of: caller, isComplete: open[caller]?.last?.isOver ?? false)
            }
        }
        remember(line)
    }

    /// Without caller columns, `CPU: 1 UID: 0 PID: 50 ...` tells whose report goes on.
    private mutating func resume(_ text: Substring, of caller: Caller?) {
        guard let reports = open[caller], reports.count > 1, text.starts(with: "CPU: "),
            let pid = text.after(" PID: ")?.leadingNumber,
            let position = reports.lastIndex(where: { $0.pid == pid }), position != reports.count - 1
        else { return }
        open[caller]?.append(reports[position])
        open[caller]?.remove(at: position)
    }

    // MARK: Panics

    /// Panics that some earlier report led to: how their reasons begin.
    ///
    /// Read from kernel/panic.c, kernel/exit.c, kernel/hung_task.c, kernel/watchdog.c, kernel/rcu/tree_stall.h,
    /// mm/oom_kill.c, mm/kasan/report.c and arch/x86/kernel/dumpstack.c of 6.12.
    private static let consequences = [
        "Fatal exception", "Attempted to kill init!", "Attempted to kill the idle task!",
        "Aiee, killing interrupt handler!",
        "hung_task: blocked tasks", "softlockup: hung tasks", "Hard LOCKUP", "RCU Stall", "Oopsed too often",
        "Oops failed to kill thread", "System is deadlocked on memory", "workqueue: panic on", "kasan.fault=panic",
        "panic_on_taint set", "Out of memory",
    ]

    /// Attaches a panic to the report that caused it; false if the panic is a report of its own.
    private mutating func attachPanic(_ line: ConsoleLine) -> Bool {
        guard let rest = line.text.dropping("Kernel panic - not syncing") else { return false }
        let reason = (rest.dropping(": ") ?? rest).trimmed
        let isConsequence =
            ConsoleParser.consequences.contains { reason.starts(with: $0) } || reason.has("panic_on_warn set")
            || reason.has("system warned too often")
        // An init that exits on its own is no consequence of a warning some time before.
        let mayCause: (OpenReport) -> Bool = { !reason.starts(with: "Attempted to kill init!") || $0.headline.isFatal }
        var caller = line.caller
        if let current = open[caller]?.last, isConsequence || !current.isOver {
            guard mayCause(current) else { return false }
        } else if isConsequence,
            let other = open.filter({ $0.value.last.map(mayCause) ?? false }).max(by: {
                newest($0.value) < newest($1.value)
            })
        {
            caller = other.key
        } else if isConsequence, let ended = latest, mayCause(ended) {
            latest = nil
            open[caller, default: []].append(ended)
        } else {
            return false
        }
        sawFatal = true
        return withCurrent(of: caller) { $0.attach(panic: String(reason), text: line.text) } != nil
    }

    private func newest(_ reports: [OpenReport]) -> Int { reports.map(\.index).max() ?? -1 }

    // MARK: Ends

    /// Changes a printer's current report in place, so that its lines are not copied; nil if there is none.
    private mutating func withCurrent<Result>(
        of caller: Caller?, _ body: (inout OpenReport) -> Result
    ) -> Result? {
        guard let position = open[caller]?.indices.last else { return nil }
        return body(&open[caller, default: []][position])
    }

    private mutating func endCurrent(of caller: Caller?, isComplete: Bool) {
        guard let report = open[caller]?.popLast() else { return }
        if open[caller]?.isEmpty == true { open[caller] = nil }
        latest = report
        events.append(.ended(report.report(isComplete: isComplete)))
    }

    private mutating func closeAll() {
        let reports = open.values.joined().sorted { $0.index < $1.index }
        for report in reports { events.append(.ended(report.report(isComplete: report.isOver))) }
        open = [:]
        recent = [:]
        latest = nil
        sawFatal = false
    }

    // MARK: The lines before a report

    private mutating func remember(_ line: ConsoleLine) {
        if recent.count > ConsoleParser.printerLimit { recent = recent.filter { $0.key == line.caller } }
        recent[line.caller, default: []].append(Recent(time: line.time, text: String(line.text)))
        if let count = recent[line.caller]?.count, count > ConsoleParser.preambleLines {
            recent[line.caller]?.removeFirst()
        }
    }

    private func isFramed(_ caller: Caller?) -> Bool {
        recent[caller]?.last.map { OpenReport.isSeparator($0.text[...]) } ?? false
    }

    /// The lines just before a headline: the message of a `WARN()`, a page dump, the separator.
    private mutating func takePreamble(_ line: ConsoleLine) -> [String] {
        let lines = recent.removeValue(forKey: line.caller) ?? []
        guard var next = line.time else { return lines.suffix(3).map(\.text) }
        let connected = lines.reversed().prefix { earlier in
            let isNear = (earlier.time ?? 0) >= next - ConsoleParser.preambleGap
            next = earlier.time ?? 0
            return isNear
        }
        return connected.reversed().map(\.text)
    }
}
