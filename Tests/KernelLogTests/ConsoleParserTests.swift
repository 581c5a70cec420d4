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

    @Test("A program's own words are no report", arguments: [
        "BUG: unable to handle page fault for address: 0", warning, "Kernel panic - not syncing: no",
        "Kernel panic", "[ BUG: Invalid wait context ]", "[12.5] BUG: KASAN: x in y+0x1/0x2", "[ 1.234567 BUG: x",
        "test: WARNING: x", "Oops: general protection fault: 0000 [#1] SMP", "reboot: Power down",
    ])
    func programOutput(line: String) {
        #expect(events(["[    0.000000] Linux version 6.12", line]) == events(["[    0.000000] Linux version 6.12"]))
    }

    @Test("Every prefix that a kernel puts before a line is understood", arguments: [
        "[    1.234567] ", "<4>[    1.234567] ", "[    1.234567][    T7] ", "[    1.234567][ T7] ", "[    1.234567] [T7] ",
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
                .fact(.messagesDropped(17)), .fact(.lockdepOff), .fact(.restarting), .fact(.halted), .fact(.poweredDown),
            ])
    }
}

@Suite("Reports")
struct ReportTests {
    private func stamped(_ lines: [String], caller: String = "") -> [String] {
        lines.enumerated().map { "[    1.\(100_000 + $0.offset)]\(caller) \($0.element)" }
    }

    private let oops = [
        "BUG: kernel NULL pointer dereference, address: 0000000000000018", "#PF: supervisor write access in kernel mode",
        "Oops: Oops: 0002 [#1] SMP", "CPU: 1 UID: 0 PID: 43 Comm: my prog Not tainted 6.12.117 #2",
        "RIP: 0010:dmirror_write.constprop.0+0x4/0x10 [test_hmm]", "RSP: 0018:ff66fdc58014bc28 EFLAGS: 00000206", "Call Trace:",
        " <TASK>", " dmirror_fops_unlocked_ioctl+0x1/0x2 [test_hmm]", " __x64_sys_ioctl+0x1/0x2", " </TASK>",
        "Modules linked in: test_hmm", "---[ end trace 0000000000000000 ]---", "RIP: 0010:dmirror_write.constprop.0+0x4/0x10 [test_hmm]",
    ]

    @Test("A panic right after an oops, or some lines later, belongs to it and replaces its report")
    func attachedPanic() {
        for between in [[], ["note: my prog[43] exited with irqs disabled"], ["usb 1-1: new device", "random: crng init done"]] {
            let told = events(stamped(oops + between + ["Kernel panic - not syncing: Fatal exception", "Kernel Offset: disabled"]))
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
        let found = reports(stamped(oops + ["usb 1-1: new device", "Kernel panic - not syncing: sysrq triggered crash"]))
        #expect(found.map(\.kind) == [.oops, .panic])
        #expect(found.map(\.followsFatal) == [false, true])
        #expect(reports(stamped(["Kernel panic - not syncing: Fatal exception"])).map(\.kind) == [.panic])
    }

    @Test("An init that exits is not blamed on a warning before, but on an oops")
    func killedInit() {
        let death = "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009"
        let warning = ["WARNING: CPU: 0 PID: 1 at a.c:1 f+0x1/0x2", "---[ end trace 0 ]---"]
        #expect(reports(stamped(warning + ["x", death])).map(\.title) == ["WARNING in f", "kernel panic: Attempted to kill init!"])
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

    @Test("Without caller columns, a warning inside a KASAN report is told apart and the rest goes back to KASAN")
    func nested() {
        let separator = String(repeating: "=", count: 66)
        let found = reports(
            stamped([
                separator, "BUG: KASAN: slab-out-of-bounds in foo+0x1/0x2", "Write of size 8 at addr ff110 by task a/1",
                "WARNING: CPU: 1 PID: 9 at b.c:1 bar+0x1/0x2", "CPU: 1 UID: 0 PID: 9 Comm: b Not tainted", "Call Trace:",
                " baz+0x1/0x2", "---[ end trace 0000000000000000 ]---", "CPU: 0 UID: 0 PID: 1 Comm: a Not tainted", "Call Trace:",
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
        let found = reports(["[    1.000000] BUG: KASAN: x in f+0x1/0x2"] + noise + ["[    3.000000] kernel BUG at a.c:1!"])
        #expect(found.map(\.kind) == [.kasan, .bug])
        #expect(found[0].lines.count < 100)
        let frames = (0..<20_000).map { "[    2.000000]  f\($0)+0x1/0x2" }
        let deep = reports(["[    1.000000] BUG: KASAN: x in f+0x1/0x2", "[    1.000000] Call Trace:"] + frames)
        #expect(deep[0].lines.count == 1500)
        #expect(deep[0].frames.count == 500)
    }
}

@Suite("Headlines")
struct HeadlineTests {
    /// First lines of reports, from the sources of 6.1 to 7.2, with what changes from run to run filled in twice.
    static let samples: [(String, String, ReportKind, Bool, String)] = [
        (
            "WARNING: CPU: 0 PID: 12 at mm/hmm.c:3 f+0x1/0x2 [m]", "WARNING: CPU: 1 PID: 9 at mm/hmm.c:5 f+0x3/0x4 [m]", .warning,
            false, "WARNING in f"
        ),
        ("WARNING: mm/hmm.c:3 at f+0x1/0x2, CPU#0: a/1", "WARNING: mm/hmm.c:4 at f+0x2/0x2, CPU#1: b/2", .warning, false, "WARNING in f"),
        ("WARNING: at f+0x1/0x2, CPU#0: a/1", "WARNING: CPU: 3 PID: 4 at f+0x1/0x2", .warning, false, "WARNING in f"),
        (
            "BUG: KASAN: use-after-free in f.isra.0+0x1/0x2", "BUG: KASAN: use-after-free in f+0x9/0x10", .kasan, true,
            "KASAN: use-after-free in f"
        ),
        (
            "BUG: KFENCE: use-after-free read in f+0x1/0x2", "BUG: KFENCE: use-after-free read in f+0x2/0x2", .kfence, true,
            "KFENCE: use-after-free read in f"
        ),
        ("BUG: KMSAN: uninit-value in f+0x1/0x2", "BUG: KMSAN: uninit-value in f+0x2/0x2", .kmsan, false, "KMSAN: uninit-value in f"),
        ("BUG: KCSAN: data-race in f / g", "BUG: KCSAN: data-race in f / g", .kcsan, false, "KCSAN: data-race in f / g"),
        (
            "UBSAN: shift-out-of-bounds in a.c:1:2", "UBSAN: shift-out-of-bounds in a.c:7:2", .ubsan, false,
            "UBSAN: shift-out-of-bounds"
        ),
        ("Oops: divide error: 0000 [#1] SMP", "divide error: 0000 [#3] PREEMPT SMP", .oops, true, "divide error"),
        (
            "general protection fault, probably for non-canonical address 0xdead: 0000 [#1]", "Oops: general protection fault: 0000 [#2]",
            .oops, true, "general protection fault"
        ),
        (
            "BUG: unable to handle page fault for address: ffffc8dead000000", "BUG: unable to handle page fault for address: 1",
            .oops, true, "BUG: unable to handle page fault"
        ),
        (
            "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008",
            "Unable to handle kernel NULL pointer dereference at virtual address 10", .oops, true,
            "BUG: Unable to handle kernel NULL pointer dereference"
        ),
        ("traps: PANIC: double fault, error_code: 0x0", "PANIC: double fault, error_code: 0x1", .oops, true, "PANIC: double fault"),
        (
            "BUG: stack guard page was hit at 1 (stack is 2..3)", "BUG: IRQ stack guard page was hit at 4 (stack is 5..6)", .oops,
            true, "BUG: stack guard page was hit"
        ),
        ("kernel BUG at mm/page_table_check.c:12!", "kernel BUG at mm/page_table_check.c:99!", .pageTableCheck, true, "page table check failed"),
        ("kernel BUG at lib/list_debug.c:12!", "kernel BUG at /src/lib/list_debug.c:1!", .listCorruption, true, "corrupted list"),
        ("kernel BUG at mm/rmap.c:12!", "kernel BUG at mm/rmap.c:1!", .bug, true, "kernel BUG"),
        (
            "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", "rcu: INFO: rcu_sched self-detected stall on CPU", .rcuStall, true,
            "INFO: rcu detected stall"
        ),
        (
            "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-.... } 21 jiffies s: 93 root: 0x2/.",
            "INFO: rcu_tasks detected stalls on tasks:", .rcuStall, true, "INFO: rcu detected stall"
        ),
        (
            "INFO: task a:b:12 blocked for more than 120 seconds.", "INFO: task c:1 blocked in I/O wait for more than 241 seconds.",
            .hungTask, true, "INFO: task hung"
        ),
        (
            "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [a:1]", "BUG: soft lockup - CPU#0 stuck for 9s! [b:2]", .softLockup, true,
            "BUG: soft lockup"
        ),
        (
            "watchdog: Watchdog detected hard LOCKUP on cpu 1", "NMI watchdog: Watchdog detected hard LOCKUP on cpu 0", .hardLockup, true,
            "hard lockup"
        ),
        (
            "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 30s!", "BUG: workqueue lockup - pool 3 stuck for 9s!",
            .workqueueLockup, true, "BUG: workqueue lockup"
        ),
        ("BUG: Bad page state in process a  pfn:1", "BUG: Bad page state in process b  pfn:2", .badPage, true, "BUG: Bad page state"),
        ("BUG: Bad page cache in process a  pfn:1", "BUG: Bad page cache in process b  pfn:2", .badPage, true, "BUG: Bad page cache"),
        (
            "BUG: non-zero pgtables_bytes on freeing mm: 4096", "BUG: non-zero pgtables_bytes on freeing mm: -4096", .badPage, true,
            "BUG: non-zero pgtables_bytes on freeing mm"
        ),
        (
            "BUG kmalloc-64 (Not tainted): Poison overwritten", "BUG vm_area_struct (Tainted: G    B): Poison overwritten",
            .slabCorruption, true, "slab corruption: Poison overwritten"
        ),
        (
            "BUG: spinlock bad magic on CPU#0, a/1", "BUG: spinlock bad magic on CPU#1, b/2", .spinlock, true, "BUG: spinlock bad magic"
        ),
        (
            "WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected", "WARNING: possible circular locking dependency detected",
            .lockdep, false, "possible deadlock"
        ),
        ("WARNING: a/1 still has locks held!", "WARNING: b/2 still has locks held!", .lockdep, false, "task exits with locks held"),
        ("INFO: trying to register non-static key.", "INFO: trying to register non-static key.", .lockdep, false, "non-static lock key"),
        ("BUG: MAX_LOCKDEP_ENTRIES too low!", "BUG: MAX_LOCK_DEPTH too low!", .lockdep, false, "lockdep ran out of table space"),
        (
            "BUG: workqueue leaked atomic, lock or RCU: a[1]", "BUG: workqueue leaked lock or atomic: b/0x00000000/2", .atomicSleep, false,
            "BUG: workqueue leaked a lock or atomic context"
        ),
        (
            "BUG: using smp_processor_id() in preemptible [00000000] code: a/1", "BUG: using __this_cpu_add() in preemptible [0] code: b/2",
            .unknown, false, "BUG: per-CPU access in preemptible code"
        ),
        ("BUG: Dentry 00000000a1b2c3d4 in use (3)", "BUG: Dentry 00000000ffffc3d4 in use (12)", .unknown, false, "BUG: Dentry ADDR in use (N)"),
        ("Kernel panic - not syncing: Out of memory: 5", "Kernel panic - not syncing: Out of memory: 17", .panic, true, "kernel panic: Out of memory: N"),
        ("Out of memory: Killed process 12 (a) total-vm:1kB", "Memory cgroup out of memory: Killed process 3 (a) x", .outOfMemory, false, "out of memory: killed a"),
        (
            "kmemleak: 3 new suspected memory leaks (see x)", "kmemleak: 1 new suspected memory leaks (see x)", .memoryLeak, false,
            "kmemleak: suspected memory leaks"
        ),
    ]

    @Test("Two occurrences of one bug have one title and kind", arguments: samples.indices)
    func titles(index: Int) {
        let (first, second, kind, isFatal, title) = Self.samples[index]
        for line in [first, second] {
            let found = ConsoleParser.reports(in: "[    1.000000] \(line)")
            #expect(found.map(\.kind) == [kind], "\(line)")
            #expect(found.map(\.isFatal) == [isFatal], "\(line)")
            #expect(found.map(\.title) == [title], "\(line)")
        }
    }

    @Test("A headline framed by a line of = that no rule knows is still a lockdep report")
    func framed() {
        let frame = "[    1.000000] " + String(repeating: "=", count: 30)
        #expect(ConsoleParser.reports(in: "\(frame)\n[    1.000000] WARNING: something new 12").map(\.title) == ["WARNING: something new N"])
        #expect(ConsoleParser.reports(in: "[    1.000000] WARNING: something new 12").isEmpty)
    }

    @Test("Kernel lines that only sound alarming are no report", arguments: [
        "init[1]: segfault at 5eaeb0 ip 000000000042ec4f sp 00007ff error 7 in busybox[2ec4f,401000+184000]",
        "traps: a[12] general protection fault ip:47b7a0 sp:7ffc error:0 in busybox[401000+184000]",
        "traps: a[12] trap divide error ip:1 sp:2 error:0", "INFO: NMI handler (f) took too long to run: 1.2 msecs",
        "ODEBUG: selftest passed", "DEBUG: x", "BUG: Bad page state: 12 messages suppressed",
        "WARNING: polling idle and HT enabled, performance may degrade", "Panic on oops is set", "debug: BUGs are fine",
        "kmemleak: Kernel memory leak detector initialized (mem pool available: 11441)", "INFO: Stall ended before state dump start",
        "rcu: INFO: Stall ended before state dump start", "hung_task: started", "FAULT_INJECTION: forcing a failure.",
        "a: page allocation failure: order:9, mode:0x1", "Oops counter is 0", "software bug fixed [#12]",
    ])
    func harmless(line: String) {
        #expect(ConsoleParser.reports(in: "[    1.000000] \(line)").isEmpty)
    }
}

@Suite("Stack frames")
struct StackFrameTests {
    @Test("Lines of a call trace, as the kernel prints them")
    func raw() throws {
        let frame = try #require(StackFrame(traceLine: " ? hmm_range_fault.cold+0x1c/0x90 [test_hmm a1b2c3d4]"))
        #expect(frame == StackFrame(function: "hmm_range_fault.cold", offset: 28, size: 144, module: "test_hmm", isReliable: false))
        #expect(frame.name == "hmm_range_fault")
        #expect(StackFrame(traceLine: "[<ffffffff81000000>] f+0x1/0x2")?.function == "f")
        #expect(StackFrame(traceLine: "       lock_acquire+0x1b8/0x4f0")?.isReliable == true)
        #expect(StackFrame(traceLine: " f+0x1/0x2 (P)")?.size == 2)
        for line in ["", " <TASK>", " ? 0xffffffffc00e9000", "RIP: 0033:0x47fbe9", " f+0x1", "f+0xg/0x2", "Comm: f+0x1/0x2", "f (not a place)"] {
            #expect(StackFrame(traceLine: line) == nil, "\(line)")
        }
    }

    @Test("Lines of a call trace, as scripts/decode_stacktrace.sh rewrites them")
    func decoded() throws {
        let inlined = try #require(StackFrame(traceLine: "? dmirror_fault (include/linux/mm.h:12 (discriminator 3) lib/test_hmm.c:612) test_hmm"))
        #expect(inlined.function == "dmirror_fault")
        #expect(inlined.sources == ["include/linux/mm.h:12", "lib/test_hmm.c:612"])
        #expect(inlined.module == "test_hmm")
        #expect(!inlined.isReliable)
        #expect(StackFrame(traceLine: "do_syscall_64 (arch/x86/entry/common.c:52 arch/x86/entry/common.c:83) ")?.module == nil)
    }
}
