// SPDX-License-Identifier: Apache-2.0

/// One complaint of a kernel, from its first line on the console to its last.
public struct KernelReport: Sendable, Equatable, Codable {
    /// The report's number in its log, from 0 in the order of the first lines.
    public var index: Int
    /// What the kernel complained about.
    public var kind: ReportKind
    /// A name for the bug that two occurrences of it share: no address, PID, CPU number, time or offset.
    public var title: String
    /// The line that gave the report away, without the console's prefixes.
    public var headline: String
    /// The function to look at first, without compiler suffixes: not the one that noticed, but the one that was wrong.
    public var function: String?
    /// The module that holds ``function``; nil for the kernel image.
    public var module: String?
    /// The source line that the headline names, such as `mm/hmm.c:612`.
    public var location: String?
    /// The task that was running (`Comm:`).
    public var comm: String?
    /// That task's PID.
    public var pid: Int?
    /// Whether the guest cannot be trusted after it, or was ended by a panic that followed from it.
    public var isFatal: Bool
    /// Whether a fatal report of the same boot came before, so that this one may be nothing but its consequence.
    public var followsFatal: Bool
    /// The instruction that trapped, if the kernel was interrupted: `RIP:` on x86, `pc :` on arm64.
    public var instruction: StackFrame?
    /// The first call trace of the report, innermost function first.
    public var frames: [StackFrame]
    /// Panics that followed from the report, such as `Fatal exception`; the text after `not syncing: `.
    public var panics: [String]
    /// Microseconds since boot at the first line; nil if the kernel prints no time stamps.
    public var time: Int?
    /// The report's lines without the console's prefixes, the few lines before the headline that belong to it included.
    public var lines: [String]
    /// False if the log ended, or the next report began, before this one did.
    public var isComplete: Bool

    /// The report's lines as one text, which is what the kernel's scripts/decode_stacktrace.sh takes.
    public var text: String { lines.joined(separator: "\n") + "\n" }
}

/// What is known when a report's first line arrives, so that the host can act before the rest is printed.
public struct ReportStart: Sendable, Equatable {
    /// The number that the complete report will have.
    public var index: Int
    /// What the kernel complains about.
    public var kind: ReportKind
    /// The line that gave it away.
    public var headline: String
    /// Whether the guest is lost already.
    public var isFatal: Bool

    /// Makes a start from its parts.
    public init(index: Int, kind: ReportKind, headline: String, isFatal: Bool) {
        self.index = index
        self.kind = kind
        self.headline = headline
        self.isFatal = isFatal
    }
}

/// Something a host wants to know that is not a complaint.
public enum ConsoleFact: Sendable, Equatable {
    /// A kernel began to run; the text after `Linux version `.
    case kernelStarted(version: String)
    /// The kernel starts PID 1.
    case initStarted(path: String)
    /// `reboot: Power down`.
    case poweredDown
    /// `reboot: Restarting system`.
    case restarting
    /// `reboot: System halted`.
    case halted
    /// A panic, whether or not it was attached to a report; the text after `not syncing: `.
    case panicked(reason: String)
    /// The console was too slow, and this many messages are missing from it.
    case messagesDropped(Int)
    /// The lock validator switched itself off: later locking mistakes stay unseen.
    case lockdepOff
}

/// What ``ConsoleParser`` tells about a line.
public enum ConsoleEvent: Sendable, Equatable {
    /// A report's first line was seen.
    case began(ReportStart)
    /// A report is complete. It comes again with the same index, and replaces the former, when a panic follows from it.
    case ended(KernelReport)
    /// Something else worth knowing.
    case fact(ConsoleFact)
}
