// SPDX-License-Identifier: Apache-2.0

/// The first line of a report, understood.
struct Headline {
    /// How a report of this form ends.
    enum Ending {
        /// With `---[ end trace ... ]---` (kernel/panic.c, `print_oops_end_marker`).
        case endTrace
        /// With a line of `=` (mm/kasan/report.c and the other sanitizers).
        case separator
        /// With its call trace.
        case callTrace
        /// With the list of held locks.
        case heldLocks
        /// With the line that names the victim.
        case kill
        /// With the end marker of a panic, or the end of the log.
        case panic
        /// At once; directly following lines of the same form are part of it.
        case line
    }

    /// Where the function to blame is found.
    enum Blame {
        /// In the headline, at the trapping instruction, else in the call trace.
        case trace
        /// Behind the report's first `at:`, which is where the offending lock is taken.
        case lockSite
        /// At the entry into the code that does not return: the innermost function differs from sample to sample.
        case stall
        /// In the list of busy workqueues, which names the work item in flight.
        case workItem
        /// Nowhere: the title is the phrase alone.
        case nobody
    }

    var kind: ReportKind
    /// The title without the function.
    var phrase: String
    var blame = Blame.trace
    var ending = Ending.callTrace
    /// The function that the headline itself names.
    var place: StackFrame?
    var location: String?
    var comm: String?
    var pid: Int?
    var isFatal: Bool
    /// Whether this line reports a processor trap, which also follows `kernel BUG at` and `BUG: unable to handle`.
    var isTrap = false

    init(
        _ kind: ReportKind, _ phrase: some StringProtocol, blame: Blame = .trace, ending: Ending = .callTrace,
        isFatal: Bool? = nil
    ) {
        self.kind = kind
        self.phrase = String(phrase)
        self.blame = blame
        self.ending = ending
        self.isFatal = isFatal ?? kind.isFatal
    }

    /// Understands a kernel line that begins a report; nil for every other line.
    ///
    /// It is framed if a line of `=` came just before, which is how lockdep and the sanitizers announce a report.
    static func recognise(_ line: Substring, isFramed: Bool) -> Headline? {
        let text = subject(of: line)
        // A rate limit's summary (mm/page_alloc.c, `bad_page`), no finding of its own.
        if text.ends(with: " messages suppressed") { return nil }
        return panic(text) ?? brokenAssertion(text) ?? sanitizer(text) ?? stall(text) ?? fault(text) ?? known(text)
            ?? warning(text, isFramed: isFramed) ?? slab(text) ?? memory(text) ?? anyBug(text)
    }

    /// Takes a subsystem's prefix (`watchdog: BUG: ...`) and lockdep's brackets (`[ BUG: ... ]`) off.
    private static func subject(of line: Substring) -> Substring {
        if let inside = line.dropping("[ "), inside.ends(with: " ]") { return inside.upTo(" ]") }
        guard let rest = line.after(": "), let first = line.utf8.first, first.isLetter else { return line }
        let prefix = line.upTo(": ")
        guard prefix.utf8.count <= 20, !prefix.has("BUG"), !prefix.has("WARNING"), !prefix.has("INFO") else {
            return line
        }
        let announces = ["BUG: ", "INFO: ", "WARNING: ", "PANIC: ", "Watchdog detected "].contains {
            rest.starts(with: $0)
        }
        return announces ? rest : line
    }

    // MARK: The families

    private static func panic(_ text: Substring) -> Headline? {
        guard let reason = text.dropping("Kernel panic - not syncing") else { return nil }
        let told = (reason.dropping(": ") ?? reason).trimmed
        if told.starts(with: "No working init found") {
            return Headline(.noInit, "kernel panic: No working init found", blame: .nobody, ending: .panic)
        }
        if told.starts(with: "VFS: Unable to mount root fs") {
            return Headline(.noRoot, "kernel panic: VFS: Unable to mount root fs", blame: .nobody, ending: .panic)
        }
        let phrase = told.isEmpty ? "kernel panic" : "kernel panic: \(Title.normalised(told.upTo(" exitcode=")))"
        return Headline(.panic, phrase, blame: .nobody, ending: .panic)
    }

    /// `kernel BUG at mm/foo.c:12!` (lib/bug.c, `__report_bug`).
    private static func brokenAssertion(_ text: Substring) -> Headline? {
        guard let place = text.dropping("kernel BUG at ") else { return nil }
        let location = place.upTo("!")
        var headline = special(at: location) ?? Headline(.bug, "kernel BUG")
        headline.location = String(location)
        headline.ending = .endTrace
        headline.isFatal = true
        return headline
    }

    /// The two forms of `WARN()`'s line in kernel/panic.c, before and since 6.19, and lockdep's framed headlines.
    private static func warning(_ text: Substring, isFramed: Bool) -> Headline? {
        guard let rest = text.dropping("WARNING: ") else { return nil }
        let location = rest.words.first {
            $0.upTo(":").ends(with: ".c") || $0.upTo(":").ends(with: ".h") || $0.upTo(":").ends(with: ".rs")
        }
        let place = StackFrame.first(in: rest)
        guard location != nil || place != nil || rest.starts(with: "CPU: ") else {
            if isFramed { return Headline(.lockdep, Title.normalised(text), blame: .lockSite) }
            let isUnwinder = rest.starts(with: "kernel stack ") || rest.starts(with: "stack recursion ")
            return isUnwinder
                ? Headline(.warning, Title.normalised(text.upTo(" at ")), blame: .nobody, ending: .line) : nil
        }
        var headline = location.flatMap { special(at: $0) } ?? Headline(.warning, "WARNING")
        headline.location = location.map(String.init)
        headline.place = place
        headline.ending = .endTrace
        if let pid = rest.after("PID: ")?.leadingNumber { headline.pid = pid }
        if let task = rest.after("CPU#")?.after(": ") { headline.name(task: task, separator: "/") }
        return headline
    }

    /// Assertions whose file says more than their function.
    private static func special(at location: Substring) -> Headline? {
        let file = location.upTo(":")
        for (end, kind, phrase): (String, ReportKind, String) in [
            ("lib/refcount.c", .refcount, "refcount bug"),
            ("lib/list_debug.c", .listCorruption, "corrupted list"),
            ("mm/page_table_check.c", .pageTableCheck, "page table check failed"),
            ("kernel/locking/lockdep.c", .lockdep, "locking bug"),
            ("lib/debugobjects.c", .warning, "debug objects: bad use"),
            ("mm/usercopy.c", .bug, "bad copy to or from user space"),
        ] where file.ends(with: end) {
            return Headline(kind, phrase)
        }
        return nil
    }

    private static func sanitizer(_ text: Substring) -> Headline? {
        if let rest = text.dropping("UBSAN: ") {
            var headline = Headline(.ubsan, "UBSAN: \(rest.upTo(" in "))", ending: .endTrace)
            headline.location = rest.after(" in ").map { String($0.trimmed) }
            return headline
        }
        for (name, kind): (String, ReportKind) in [
            ("KASAN", .kasan), ("KFENCE", .kfence), ("KMSAN", .kmsan), ("KCSAN", .kcsan),
        ] {
            guard let rest = text.dropping("BUG: \(name): ") else { continue }
            if kind == .kcsan {
                return Headline(.kcsan, "KCSAN: \(Title.normalised(rest))", blame: .nobody, ending: .separator)
            }
            var headline = Headline(kind, "\(name): \(rest.upTo(" in "))", ending: .separator)
            headline.place = StackFrame.first(in: rest)
            return headline
        }
        return nil
    }

    private static func stall(_ text: Substring) -> Headline? {
        if text.starts(with: "INFO: rcu"), text.has("detected "), text.has("stall") {
            return Headline(.rcuStall, "INFO: rcu detected stall", blame: .stall)
        }
        if let rest = text.dropping("INFO: task "), rest.has(" blocked "), rest.has("for more than") {
            var headline = Headline(.hungTask, "INFO: task hung")
            headline.name(task: rest.upTo(" blocked "), separator: ":")
            return headline
        }
        if text.starts(with: "BUG: soft lockup") {
            var headline = Headline(.softLockup, "BUG: soft lockup", blame: .stall)
            if let task = text.after("! [")?.upTo("]") { headline.name(task: task, separator: ":") }
            return headline
        }
        if text.starts(with: "Watchdog detected hard LOCKUP") {
            return Headline(.hardLockup, "hard lockup", blame: .stall)
        }
        if text.starts(with: "BUG: workqueue lockup") {
            return Headline(.workqueueLockup, "BUG: workqueue lockup", blame: .workItem)
        }
        return nil
    }

    /// Processor traps: `Oops: general protection fault, ...: 0000 [#1] SMP` and what x86 and arm64 print before it.
    private static func fault(_ text: Substring) -> Headline? {
        if let trap = ["PANIC: double fault", "PANIC: early exception"].first(where: { text.starts(with: $0) }) {
            return Headline(.oops, trap, ending: .endTrace)
        }
        if text.starts(with: "BUG: "), text.has("stack guard page was hit") {
            return Headline(.oops, "BUG: stack guard page was hit", ending: .endTrace)
        }
        if let rest = text.dropping("BUG: ") ?? (text.starts(with: "Unable to handle kernel ") ? text : nil),
            rest.starts(with: "kernel NULL pointer dereference") || rest.starts(with: "unable to handle ")
                || rest.starts(with: "Unable to handle ")
        {
            let what = rest.upTo(" for address").upTo(" at ").upTo(",")
            return Headline(.oops, "BUG: \(what)", ending: .endTrace)
        }
        guard let count = text.after(" [#"), count.leadingNumber != nil else { return nil }
        let words = text.upTo(" [#").words
        guard let code = words.last, words.count > 1, code.utf8.allSatisfy(\.isHexDigit),
            [4, 8, 16].contains(code.utf8.count)
        else { return nil }
        let what = text.upTo(" \(code) [#")
        let cause = (what.dropping("Oops: ") ?? what).upTo(", ").upTo(":")
        var headline = Headline(.oops, cause.isEmpty ? "Oops" : cause, ending: .endTrace)
        headline.isTrap = true
        return headline
    }

    private static func slab(_ text: Substring) -> Headline? {
        guard let rest = text.dropping("BUG "), rest.has(" ("), let what = rest.after("): ") else { return nil }
        return Headline(.slabCorruption, "slab corruption: \(Title.normalised(what))", blame: .nobody)
    }

    private static func memory(_ text: Substring) -> Headline? {
        if text.has(" invoked oom-killer: ") {
            return Headline(.outOfMemory, "out of memory", blame: .nobody, ending: .kill)
        }
        if text.has("ut of memory"), let victim = text.after(": Killed process ") {
            var headline = Headline(.outOfMemory, "out of memory", blame: .nobody, ending: .line)
            headline.pid = victim.leadingNumber
            headline.comm = victim.after("(").map { String($0.upTo(")")) }
            return headline
        }
        if let rest = text.dropping("kmemleak: ") {
            if rest.has(" new suspected memory leaks") {
                return Headline(.memoryLeak, "kmemleak: suspected memory leaks", blame: .nobody, ending: .line)
            }
            if rest.starts(with: "unreferenced object ") { return Headline(.memoryLeak, "memory leak") }
        }
        return nil
    }

    /// A `BUG:` line that no rule knows, so that nothing is lost.
    private static func anyBug(_ text: Substring) -> Headline? {
        guard let rest = text.dropping("BUG:") else { return nil }
        let what = Title.normalised(rest.trimmed)
        return Headline(.unknown, what.isEmpty ? "BUG" : "BUG: \(what)", blame: .nobody)
    }

    /// Reads `comm/123` or `comm:123`; a comm may hold the separator itself.
    mutating func name(task: Substring, separator: Character) {
        guard let split = task.lastIndex(of: separator), let pid = task[task.index(after: split)...].leadingNumber
        else { return }
        comm = String(task[..<split])
        self.pid = pid
    }
}
