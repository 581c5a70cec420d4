// SPDX-License-Identifier: Apache-2.0
import KernelLog
import Testing

/// The events of some console lines, the end of the log included.
func events(_ lines: [String]) -> [ConsoleEvent] {
    var parser = ConsoleParser()
    return lines.flatMap { parser.feed(line: $0) } + parser.finish()
}

private func reports(_ lines: [String]) -> [KernelReport] { ConsoleParser.reports(in: lines.joined(separator: "\n")) }

@Suite("Console lines")
struct ConsoleLineTests {
    private static let warning = "WARNING: CPU: 0 PID: 7 at mm/hmm.c:12 hmm_range_fault+0x1/0x2"

    @Test(
        "A program's own words are no report",
        arguments: [
            "BUG: unable to handle page fault for address: 0", warning, "Kernel panic - not syncing: no",
            "Kernel panic", "[ BUG: Invalid wait context ]", "[12.5] BUG: KASAN: x in y+0x1/0x2", "[ 1.234567 BUG: x",
            "test: WARNING: x", "Oops: general protection fault: 0000 [#1] SMP", "reboot: Power down",
        ])
    func programOutput(line: String) {
        #expect(events(["[    0.000000] Linux version 6.12", line]) == events(["[    0.000000] Linux version 6.12"]))
    }

    @Test(
        "Every prefix that a kernel puts before a line is understood",
        arguments: [
            "[    1.234567] ", "<4>[    1.234567] ", "[    1.234567][    T7] ", "[    1.234567][ T7] ",
            "[    1.234567] [T7] ",
            "[    1.234567][    C1] ", "[123456.234567] ", "login: [    1.234567] ", "\r[    1.234567] ",
            "\u{1b}[2J\u{1b}[01;31m[    1.234567] ", "\0[    1.234567] ", "<4>",
        ])
    func prefixes(prefix: String) {
        let found = reports([prefix + Self.warning + "\r"])
        #expect(found.map(\.title) == ["WARNING in hmm_range_fault"])
        #expect(found.first?.headline == Self.warning)
    }

    @Test("A kernel without time stamps is recognised by its version line, which a program cannot imitate later")
    func unstamped() {
        #expect(reports(["Linux version 6.12.1 (x@y)", Self.warning]).count == 1)
        #expect(reports(["[    0.000000] Linux version 6.12.1", "Linux version 6.12.1", Self.warning]).isEmpty)
    }

    @Test("A panic that cuts into another CPU's line is seen")
    func cutLine() {
        let found = reports(["[    1.000000] Call Tr[    1.000100] Kernel panic - not syncing: dead"])
        #expect(found.map(\.title) == ["kernel panic: dead"])
    }

    @Test("Facts")
    func facts() {
        let lines = [
            "[    0.000000] Linux version 6.12.117 (a@b)", "[    0.900000] Run /init as init process",
            "** 17 printk messages dropped **", "[    1.000000] INFO: lockdep is turned off.",
            "[    1.000000] reboot: Restarting system", "[    1.000000] reboot: System halted",
            "[    1.000000] reboot: Power down",
        ]
        #expect(
            events(lines) == [
                .fact(.kernelStarted(version: "6.12.117 (a@b)")), .fact(.initStarted(path: "/init")),
                .fact(.messagesDropped(17)), .fact(.lockdepOff), .fact(.restarting), .fact(.halted),
                .fact(.poweredDown),
            ])
    }
}

@Suite("Reports")
struct ReportTests {
    private func stamped(_ lines: [String], caller: String = "") -> [String] {
        lines.enumerated().map { "[    1.\(100_000 + $0.offset)]\(caller) \($0.element)" }
    }

    private let oops = [
        "BUG: kernel NULL pointer dereference, address: 0000000000000018",
        "#PF: supervisor write access in kernel mode",
        "Oops: Oops: 0002 [#1] SMP", "CPU: 1 UID: 0 PID: 43 Comm: my prog Not tainted 6.12.117 #2",
        "RIP: 0010:dmirror_write.constprop.0+0x4/0x10 [test_hmm]", "RSP: 0018:ff66fdc58014bc28 EFLAGS: 00000206",
        "Call Trace:",
        " <TASK>", " dmirror_fops_unlocked_ioctl+0x1/0x2 [test_hmm]", " __x64_sys_ioctl+0x1/0x2", " </TASK>",
        "Modules linked in: test_hmm", "---[ end trace 0000000000000000 ]---",
        "RIP: 0010:dmirror_write.constprop.0+0x4/0x10 [test_hmm]",
    ]

    @Test("A panic right after an oops, or some lines later, belongs to it and replaces its report")
    func attachedPanic() {
        for between in [
            [], ["note: my prog[43] exited with irqs disabled"], ["usb 1-1: new device", "random: crng init done"],
        ] {
            let told = events(
                stamped(oops + between + ["Kernel panic - not syncing: Fatal exception", "Kernel Offset: disabled"]))
            let ended = told.compactMap { if case .ended(let report) = $0 { report } else { nil } }
            #expect(Set(ended.map(\.index)) == [0])
            #expect(ended.last?.panics == ["Fatal exception"])
            #expect(ended.last?.title == "BUG: kernel NULL pointer dereference in dmirror_write")
            #expect(ended.last?.comm == "my prog")
            #expect(ended.last?.lines.last == "Kernel Offset: disabled")
            #expect(told.contains(.fact(.panicked(reason: "Fatal exception"))))
        }
    }

    @Test("A panic that nothing before explains is a report of its own")
    func ownPanic() {
        let found = reports(
            stamped(oops + ["usb 1-1: new device", "Kernel panic - not syncing: sysrq triggered crash"]))
        #expect(found.map(\.kind) == [.oops, .panic])
        #expect(found.map(\.followsFatal) == [false, true])
        #expect(reports(stamped(["Kernel panic - not syncing: Fatal exception"])).map(\.kind) == [.panic])
    }

    @Test("An init that exits is not blamed on a warning before, but on an oops")
    func killedInit() {
        let death = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009"
        let warning = ["WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2", "---[ end trace 0 ]---"]
        #expect(
            reports(stamped(warning + ["x", death])).map(\.title) == [
                "WARNING in f", "kernel panic: Attempted to kill init!",
            ])
        #expect(reports(stamped(oops + ["x", death])).map(\.panics.count) == [1])
    }

    @Test("Another boot begins afresh")
    func reboot() {
        let boot = "[    0.000000] Linux version 6.12"
        let found = reports([boot] + stamped(oops) + [boot] + stamped(["Kernel panic - not syncing: Fatal exception"]))
        #expect(found.map(\.kind) == [.oops, .panic])
        #expect(found.map(\.followsFatal) == [false, false])
        #expect(found.map(\.panics) == [[], []])
    }

    @Test("The host hears of a report at its first line")
    func firstLine() {
        var parser = ConsoleParser()
        let told = stamped(oops).prefix(1).flatMap { parser.feed(line: $0) }
        #expect(told == [.began(ReportStart(index: 0, kind: .oops, headline: oops[0], isFatal: true))])
    }

    @Test("UBSAN blames the function that its instrumentation sits in")
    func ubsan() {
        let found = reports(
            stamped([
                "------------[ cut here ]------------", "UBSAN: array-index-out-of-bounds in mm/hmm.c:12:3",
                "index 9 is out of range for type 'int [8]'", "CPU: 0 UID: 0 PID: 7 Comm: a Not tainted 6.12.117 #1",
                "Call Trace:", " <TASK>", " dump_stack_lvl+0x1/0x2", " ubsan_epilogue+0x1/0x2",
                " __ubsan_handle_out_of_bounds+0x1/0x2", " hmm_vma_walk_hole+0x1/0x2", " </TASK>",
                "---[ end trace ]---",
            ]))
        #expect(found.map(\.title) == ["UBSAN: array-index-out-of-bounds in hmm_vma_walk_hole"])
        #expect(found.map(\.location) == ["mm/hmm.c:12:3"])
        #expect(found.map(\.isComplete) == [true])
    }

    @Test("Without caller columns, a warning inside a KASAN report is told apart and the rest goes back to KASAN")
    func nested() {
        let separator = String(repeating: "=", count: 66)
        let found = reports(
            stamped([
                separator, "BUG: KASAN: slab-out-of-bounds in foo+0x1/0x2", "Write of size 8 at addr ff110 by task a/1",
                "WARNING: CPU: 1 PID: 9 at b.c:1 bar+0x1/0x2", "CPU: 1 UID: 0 PID: 9 Comm: b Not tainted",
                "Call Trace:",
                " baz+0x1/0x2", "---[ end trace 0000000000000000 ]---", "CPU: 0 UID: 0 PID: 1 Comm: a Not tainted",
                "Call Trace:",
                " foo+0x1/0x2", "The buggy address belongs to the variable:", separator,
            ]))
        #expect(found.map(\.title) == ["KASAN: slab-out-of-bounds Write in foo", "WARNING in bar"])
        #expect(found.map(\.comm) == ["a", "b"])
        #expect(found.map(\.isComplete) == [true, true])
        #expect(found[0].lines.last == separator)
        #expect(found[0].frames.map(\.function) == ["foo"])
        #expect(found[1].frames.map(\.function) == ["baz"])
    }

    @Test("Without caller columns, the PID tells whose stack comes")
    func interleavedByPID() {
        let found = reports(
            stamped([
                "WARNING: CPU: 0 PID: 8 at a.c:1 one+0x1/0x2", "WARNING: CPU: 1 PID: 9 at b.c:1 two+0x1/0x2",
                "CPU: 0 UID: 0 PID: 8 Comm: first Not tainted", "Call Trace:", " caller_of_one+0x1/0x2",
                "---[ end trace 0000000000000000 ]---", "CPU: 1 UID: 0 PID: 9 Comm: second Not tainted", "Call Trace:",
                " caller_of_two+0x1/0x2", "---[ end trace 0000000000000000 ]---",
            ]))
        #expect(found.map(\.comm) == ["first", "second"])
        #expect(found.map { $0.frames.first?.function } == ["caller_of_one", "caller_of_two"])
        #expect(found.map(\.isComplete) == [true, true])
    }

    @Test("A flood of lines neither fills the memory nor hides the next report")
    func flood() {
        let noise = (0..<20_000).map { "[    2.000000] noise \($0)" }
        let found = reports(
            ["[    1.000000] BUG: KASAN: x in f+0x1/0x2"] + noise + ["[    3.000000] kernel BUG at a.c:1!"])
        #expect(found.map(\.kind) == [.kasan, .bug])
        #expect(found[0].lines.count < 100)
        let frames = (0..<20_000).map { "[    2.000000]  f\($0)+0x1/0x2" }
        let deep = reports(["[    1.000000] BUG: KASAN: x in f+0x1/0x2", "[    1.000000] Call Trace:"] + frames)
        #expect(deep[0].lines.count == 1500)
        #expect(deep[0].frames.count == 500)
    }
}
