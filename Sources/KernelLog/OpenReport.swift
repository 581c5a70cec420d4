// SPDX-License-Identifier: Apache-2.0

/// A report whose lines are still coming in.
struct OpenReport {
    /// What a line turned out to be for a report.
    enum Acceptance {
        /// Part of the report, more may follow.
        case more
        /// The report's last line.
        case last
        /// Not part of the report, which had ended before.
        case foreign
    }

    private enum Trace { case before, inside, after }

    /// Lines kept of one report; a stall that dumps every task of a busy guest prints more.
    private static let lineLimit = 1500
    /// Frames kept of the first call trace.
    private static let frameLimit = 500
    /// Lines in a row that look like nothing a report contains, after which it is taken to have ended unseen.
    private static let strangerLimit = 30

    let index: Int
    private(set) var headline: Headline
    let text: String
    let time: Int?
    let followsFatal: Bool
    private(set) var lines: [String]
    private var frames: [StackFrame] = []
    private var instruction: StackFrame?
    /// The place that the report's text names as the culprit: where a lock is taken, the work item that does not end.
    private var named: StackFrame?
    private var access: String?
    private(set) var comm: String?
    private(set) var pid: Int?
    private var panics: [String] = []
    private var trace = Trace.before
    private var strangers = 0
    private var awaitsLockSite = false
    private var sawLocks = false
    /// The end marker was seen; only a trap's second register dump may still come.
    private var isSettled = false
    /// Whether the report makes other CPUs print their stacks, which then belong to it.
    private(set) var adoptsCPUs = false

    init(index: Int, headline: Headline, text: Substring, time: Int?, preamble: [String], followsFatal: Bool) {
        self.index = index
        self.headline = headline
        self.text = String(text)
        self.time = time
        self.followsFatal = followsFatal
        comm = headline.comm
        pid = headline.pid
        lines = preamble + [String(text)]
    }

    var start: ReportStart {
        ReportStart(index: index, kind: headline.kind, headline: text, isFatal: headline.isFatal)
    }

    /// Whether everything expected was seen, although something more could still follow.
    var isOver: Bool {
        switch headline.ending {
        case .line: true
        case .heldLocks: sawLocks
        case .separator, .kill: false
        case .endTrace: isSettled || trace == .after
        // kmemleak's traces have no end mark.
        case .callTrace where headline.kind == .memoryLeak: !frames.isEmpty
        case .callTrace, .panic: trace == .after
        }
    }

    // MARK: Lines

    /// Whether another headline is part of this report instead of beginning one.
    func includes(_ next: Headline) -> Bool {
        if next.isTrap {
            return headline.ending == .endTrace && !headline.isTrap && headline.kind != .warning && !isSettled
        }
        if headline.ending == .kill { return next.kind == .outOfMemory }
        // kmemleak.verbose=1: the objects came before their number.
        if headline.kind == .memoryLeak && headline.ending == .callTrace {
            return next.kind == .memoryLeak && next.ending == .line
        }
        return headline.ending == .line && next.ending == .line && next.phrase == headline.phrase
    }

    /// Takes a headline that ``includes(_:)`` said is part of this report.
    mutating func include(_ next: Headline, text: Substring) -> Acceptance {
        if next.isTrap { headline.isTrap = true }
        if headline.ending == .kill, next.comm != nil { (comm, pid) = (next.comm, next.pid) }
        keep(text)
        let isLast =
            headline.ending == .kill && next.comm != nil
            || headline.kind == .memoryLeak && headline.ending == .callTrace
        return isLast ? .last : .more
    }

    /// Attaches a panic that this report led to.
    mutating func attach(panic reason: String, text: Substring) {
        panics.append(reason)
        headline.ending = .panic
        headline.isFatal = true
        isSettled = false
        keep(text)
    }

    /// Offers a line of the report's own printer.
    mutating func accept(_ text: Substring) -> Acceptance {
        if text.starts(with: "---[ end ") {
            keep(text)
            if headline.ending == .panic { return .last }
            isSettled = true
            // A trap prints its registers once more below the marker, and may panic after that.
            return headline.isTrap ? .more : .last
        }
        switch headline.ending {
        case .separator where OpenReport.isSeparator(text):
            keep(text)
            return .last
        case .line:
            return .foreign
        case .heldLocks where sawLocks && !text.starts(with: " #"):
            return .foreign
        default:
            break
        }
        if isSettled && !OpenReport.isTail(text) { return .foreign }
        read(text)
        if headline.ending == .callTrace && trace == .after {
            // What dump_stack() printed ends here; the reports that dump several tasks go on, and may say so much later.
            if text.starts(with: " </TASK>") && !dumpsSeveral {
                keep(text)
                return .last
            }
            if !OpenReport.isTail(text) && !continues(with: text) { return .foreign }
        }
        strangers = OpenReport.looksFamiliar(text) ? 0 : strangers + 1
        if strangers > OpenReport.strangerLimit { return .foreign }
        keep(text)
        return .more
    }

    private mutating func keep(_ text: Substring) {
        if lines.count < OpenReport.lineLimit { lines.append(String(text)) }
    }

    /// Learns from a line of the body.
    private mutating func read(_ text: Substring) {
        if text.starts(with: "Sending NMI from CPU") { adoptsCPUs = true }
        if text.starts(with: " #0: ") { sawLocks = true }
        readTask(text)
        readNamed(text)
        if access == nil, headline.kind == .kasan {
            access = ["Read", "Write"].first {
                text.starts(with: "\($0) of size ") || text.starts(with: "\($0) at addr ")
            }
        }
        let body = text.dropping("kmemleak: ") ?? text
        switch trace {
        case .before:
            let isInstruction = text.starts(with: "RIP: 0010:") || text.starts(with: "pc : ")
            if instruction == nil, isInstruction { instruction = StackFrame.first(in: text) }
            if OpenReport.beginsTrace(body) { trace = .inside }
        case .inside:
            if let frame = StackFrame(traceLine: body) {
                if frames.count < OpenReport.frameLimit { frames.append(frame) }
            } else if text.starts(with: " </TASK>") || !OpenReport.isInsideTrace(body) {
                trace = .after
            }
        case .after:
            // Frames are those of the first trace that has any; NMI backtraces may begin with an empty one.
            if frames.isEmpty, OpenReport.beginsTrace(body) { trace = .inside }
        }
    }

    private mutating func readTask(_ text: Substring) {
        guard comm == nil else { return }
        if text.starts(with: "CPU: "), let name = text.after(" Comm: ") {
            comm = String(name.upTo(" Tainted: ").upTo(" Not tainted").trimmed)
            pid = text.after(" PID: ")?.leadingNumber
        } else if headline.kind == .lockdep, let end = text.range(of: " is ") ?? text.range(of: " ["), text.has("/") {
            // `insmod/49 is leaving the kernel with locks still held!`, `insmod/49 [HC0[0]:SC0[0]:HE1:SE1] takes:`
            headline.name(task: text[..<end.lowerBound], separator: "/")
            (comm, pid) = (headline.comm, headline.pid)
        }
    }

    private mutating func readNamed(_ text: Substring) {
        guard named == nil else { return }
        switch headline.blame {
        case .lockSite:
            if let place = text.after(", at: ") {
                named = StackFrame.first(in: place)
            } else if awaitsLockSite {
                named = StackFrame.first(in: text)
            }
            // `x/1 is trying to release lock (name) at:` has its place on the next line.
            awaitsLockSite = text.ends(with: ") at:")
        case .workItem:
            // `    in-flight: 35:block_the_pool [module], 36:another`
            guard let words = text.after("in-flight: ")?.upTo(",").words, let item = words.first?.after(":") else {
                return
            }
            let module = words.count > 1 ? words[1].dropping("[")?.upTo("]") : nil
            named = StackFrame(function: String(item), module: module.map(String.init))
        case .trace, .stall, .nobody:
            break
        }
    }

    private var dumpsSeveral: Bool {
        [.rcuStall, .softLockup, .hardLockup, .workqueueLockup, .hungTask, .slabCorruption].contains(headline.kind)
    }

    /// Whether a line after the first trace opens another part of a report of this kind.
    private func continues(with text: Substring) -> Bool {
        switch headline.kind {
        case .rcuStall, .softLockup, .hardLockup, .workqueueLockup, .hungTask:
            return OpenReport.looksFamiliar(text) || text.starts(with: "Showing ") || text.starts(with: "task:")
                || text.starts(with: "rcu: ") || text.starts(with: "Future hung task reports")
                || text.starts(with: "Sending NMI") || text.starts(with: "NMI backtrace")
                || text.has(" held by ") || OpenReport.isSeparator(text)
        case .slabCorruption:
            return text.starts(with: "FIX ")
        default:
            return false
        }
    }

    // MARK: The forms of lines

    /// A heading of frames: x86's and arm64's spelling, kmemleak's.
    static func beginsTrace(_ text: Substring) -> Bool {
        text.starts(with: "Call Trace:") || text.starts(with: "Call trace:") || text.trimmed.starts(with: "backtrace")
    }

    private static func isInsideTrace(_ text: Substring) -> Bool {
        let body = text.trimmed
        return body.isEmpty || body.starts(with: "<") || body.starts(with: "? 0x") || body.starts(with: "0x")
            || isRegister(text)
    }

    /// `RIP: 0010:...`, `R10: ...`, `CR2: ...`, `Code: ...` on x86; `pc : ...`, `x29: ...`, `pstate: ...` on arm64.
    private static func isRegister(_ text: Substring) -> Bool {
        guard text.has(":") else { return false }
        let name = text.upTo(":").trimmed
        if registers.contains(name) { return true }
        return (2...3).contains(name.utf8.count) && (name.starts(with: "R") || name.starts(with: "x"))
            && name.dropFirst().utf8.allSatisfy(\.isDigit)
    }

    private static let registers: Set<Substring> = [
        "RIP", "Code", "RSP", "RAX", "RBX", "RCX", "RDX", "RSI", "RDI", "RBP", "FS", "CS", "CR2", "DR0", "DR3", "PKRU",
        "pc", "lr", "sp", "pstate",
    ]

    /// Lines that may follow a call trace and still belong to the report.
    private static func isTail(_ text: Substring) -> Bool {
        text.isEmpty || text.starts(with: " ") || isRegister(text) || text.starts(with: "Modules linked in:")
            || text.starts(with: "Disabling lock debugging") || text.starts(with: "note: ")
            || text.starts(with: "Kernel Offset:") || text.starts(with: "Rebooting in ")
            || text.starts(with: "irq event stamp:") || text.starts(with: "hardirqs last ")
            || text.starts(with: "softirqs last ")
    }

    private static func looksFamiliar(_ text: Substring) -> Bool {
        isTail(text) || text.starts(with: "CPU: ") || text.starts(with: "Tainted: ")
            || text.starts(with: "Hardware name: ")
            || beginsTrace(text) || text.starts(with: "\t") || text.starts(with: ">") || text.starts(with: "#")
            || text.starts(with: "[<") || StackFrame(traceLine: text) != nil
    }

    /// A line of `=`, as long as lockdep and the sanitizers draw it at least.
    static func isSeparator(_ text: Substring) -> Bool {
        text.utf8.count >= 20 && text.utf8.allSatisfy { $0 == UInt8(ascii: "=") }
    }

    // MARK: The result

    /// The report as far as it was seen.
    func report(isComplete: Bool) -> KernelReport {
        let candidates = [named, headline.place, instruction].compactMap { $0 } + frames
        let culprit =
            headline.blame == .stall ? Title.stalled(candidates) : Title.culprit(candidates, kind: headline.kind)
        var title = headline.phrase
        if let access { title += " \(access)" }
        if headline.kind == .outOfMemory, let comm { title += ": killed \(comm)" }
        if headline.blame != .nobody, let culprit { title += " in \(culprit.name)" }
        // The stack of an exhausted memory or a missing root filesystem says nothing about who did it.
        let isTelling = headline.blame != .nobody || headline.kind == .panic
        return KernelReport(
            index: index, kind: headline.kind, title: title, headline: text, function: isTelling ? culprit?.name : nil,
            module: isTelling ? culprit?.module : nil, location: headline.location, comm: comm, pid: pid,
            isFatal: headline.isFatal,
            followsFatal: followsFatal, instruction: instruction, frames: frames, panics: panics, time: time,
            lines: lines, isComplete: isComplete)
    }
}
