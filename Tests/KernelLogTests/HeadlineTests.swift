// SPDX-License-Identifier: Apache-2.0
import KernelLog
import Testing

@Suite("Headlines")
struct HeadlineTests {
    /// First lines of reports, from the sources of 6.12 and the forms of older and newer kernels, with what changes from run to run filled in twice.
    static let samples: [(String, String, ReportKind, Bool, String)] = [
        (
            "WARNING: CPU: 0 PID: 12 at mm/hmm.c:3 f+0x1/0x2 [m]", "WARNING: CPU: 1 PID: 9 at mm/hmm.c:5 f+0x3/0x4 [m]",
            .warning,
            false, "WARNING in f"
        ),
        (
            "WARNING: mm/hmm.c:3 at f+0x1/0x2, CPU#0: a/1", "WARNING: mm/hmm.c:4 at f+0x2/0x2, CPU#1: b/2", .warning,
            false, "WARNING in f"
        ),
        ("WARNING: at f+0x1/0x2, CPU#0: a/1", "WARNING: CPU: 3 PID: 4 at f+0x1/0x2", .warning, false, "WARNING in f"),
        (
            "BUG: KASAN: use-after-free in f.isra.0+0x1/0x2", "BUG: KASAN: use-after-free in f+0x9/0x10", .kasan, true,
            "KASAN: use-after-free in f"
        ),
        (
            "BUG: KFENCE: use-after-free read in f+0x1/0x2", "BUG: KFENCE: use-after-free read in f+0x2/0x2", .kfence,
            true,
            "KFENCE: use-after-free read in f"
        ),
        (
            "BUG: KMSAN: uninit-value in f+0x1/0x2", "BUG: KMSAN: uninit-value in f+0x2/0x2", .kmsan, false,
            "KMSAN: uninit-value in f"
        ),
        (
            "BUG: KCSAN: data-race in f / g", "BUG: KCSAN: data-race in f / g", .kcsan, false,
            "KCSAN: data-race in f / g"
        ),
        (
            "UBSAN: shift-out-of-bounds in a.c:1:2", "UBSAN: shift-out-of-bounds in a.c:7:2", .ubsan, false,
            "UBSAN: shift-out-of-bounds"
        ),
        ("Oops: divide error: 0000 [#1] SMP", "divide error: 0000 [#3] PREEMPT SMP", .oops, true, "divide error"),
        (
            "general protection fault, probably for non-canonical address 0xdead: 0000 [#1]",
            "Oops: general protection fault: 0000 [#2]",
            .oops, true, "general protection fault"
        ),
        (
            "BUG: unable to handle page fault for address: ffffc8dead000000",
            "BUG: unable to handle page fault for address: 1",
            .oops, true, "BUG: unable to handle page fault"
        ),
        (
            "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008",
            "Unable to handle kernel NULL pointer dereference at virtual address 10", .oops, true,
            "BUG: Unable to handle kernel NULL pointer dereference"
        ),
        (
            "traps: PANIC: double fault, error_code: 0x0", "PANIC: double fault, error_code: 0x1", .oops, true,
            "PANIC: double fault"
        ),
        (
            "BUG: stack guard page was hit at 1 (stack is 2..3)",
            "BUG: IRQ stack guard page was hit at 4 (stack is 5..6)", .oops,
            true, "BUG: stack guard page was hit"
        ),
        (
            "kernel BUG at mm/page_table_check.c:12!", "kernel BUG at mm/page_table_check.c:99!", .pageTableCheck, true,
            "page table check failed"
        ),
        (
            "kernel BUG at lib/list_debug.c:12!", "kernel BUG at /src/lib/list_debug.c:1!", .listCorruption, true,
            "corrupted list"
        ),
        ("kernel BUG at mm/rmap.c:12!", "kernel BUG at mm/rmap.c:1!", .bug, true, "kernel BUG"),
        (
            "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", "rcu: INFO: rcu_sched self-detected stall on CPU",
            .rcuStall, true,
            "INFO: rcu detected stall"
        ),
        (
            "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-.... } 21 jiffies s: 93 root: 0x2/.",
            "INFO: rcu_tasks detected stalls on tasks:", .rcuStall, true, "INFO: rcu detected stall"
        ),
        (
            "INFO: task a:b:12 blocked for more than 120 seconds.",
            "INFO: task c:1 blocked in I/O wait for more than 241 seconds.",
            .hungTask, true, "INFO: task hung"
        ),
        (
            "watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [a:1]", "BUG: soft lockup - CPU#0 stuck for 9s! [b:2]",
            .softLockup, true,
            "BUG: soft lockup"
        ),
        (
            "watchdog: Watchdog detected hard LOCKUP on cpu 1", "NMI watchdog: Watchdog detected hard LOCKUP on cpu 0",
            .hardLockup, true,
            "hard lockup"
        ),
        (
            "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 30s!",
            "BUG: workqueue lockup - pool 3 stuck for 9s!",
            .workqueueLockup, true, "BUG: workqueue lockup"
        ),
        (
            "BUG: Bad page state in process a  pfn:1", "BUG: Bad page state in process b  pfn:2", .badPage, true,
            "BUG: Bad page state"
        ),
        (
            "BUG: Bad page cache in process a  pfn:1", "BUG: Bad page cache in process b  pfn:2", .badPage, true,
            "BUG: Bad page cache"
        ),
        (
            "BUG: non-zero pgtables_bytes on freeing mm: 4096", "BUG: non-zero pgtables_bytes on freeing mm: -4096",
            .badPage, true,
            "BUG: non-zero pgtables_bytes on freeing mm"
        ),
        (
            "BUG kmalloc-64 (Not tainted): Poison overwritten",
            "BUG vm_area_struct (Tainted: G    B): Poison overwritten",
            .slabCorruption, true, "slab corruption: Poison overwritten"
        ),
        (
            "BUG: spinlock bad magic on CPU#0, a/1", "BUG: spinlock bad magic on CPU#1, b/2", .spinlock, true,
            "BUG: spinlock bad magic"
        ),
        (
            "WARNING: SOFTIRQ-safe -> SOFTIRQ-unsafe lock order detected",
            "WARNING: possible circular locking dependency detected",
            .lockdep, false, "possible deadlock"
        ),
        (
            "WARNING: a/1 still has locks held!", "WARNING: b/2 still has locks held!", .lockdep, false,
            "task exits with locks held"
        ),
        (
            "INFO: trying to register non-static key.", "INFO: trying to register non-static key.", .lockdep, false,
            "non-static lock key"
        ),
        (
            "BUG: MAX_LOCKDEP_ENTRIES too low!", "BUG: MAX_LOCK_DEPTH too low!", .lockdep, false,
            "lockdep ran out of table space"
        ),
        (
            "BUG: workqueue leaked atomic, lock or RCU: a[1]", "BUG: workqueue leaked lock or atomic: b/0x00000000/2",
            .atomicSleep, false,
            "BUG: workqueue leaked a lock or atomic context"
        ),
        (
            "BUG: using smp_processor_id() in preemptible [00000000] code: a/1",
            "BUG: using __this_cpu_add() in preemptible [0] code: b/2",
            .unknown, false, "BUG: per-CPU access in preemptible code"
        ),
        (
            "BUG: Dentry 00000000a1b2c3d4 in use (3)", "BUG: Dentry 00000000ffffc3d4 in use (12)", .unknown, false,
            "BUG: Dentry ADDR in use (N)"
        ),
        (
            "Kernel panic - not syncing: Out of memory: 5", "Kernel panic - not syncing: Out of memory: 17", .panic,
            true, "kernel panic: Out of memory: N"
        ),
        (
            "Out of memory: Killed process 12 (a) total-vm:1kB", "Memory cgroup out of memory: Killed process 3 (a) x",
            .outOfMemory, false, "out of memory: killed a"
        ),
        (
            "kmemleak: 3 new suspected memory leaks (see x)", "kmemleak: 1 new suspected memory leaks (see x)",
            .memoryLeak, false,
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
        #expect(
            ConsoleParser.reports(in: "\(frame)\n[    1.000000] WARNING: something new 12").map(\.title) == [
                "WARNING: something new N"
            ])
        #expect(ConsoleParser.reports(in: "[    1.000000] WARNING: something new 12").isEmpty)
    }

    @Test(
        "Kernel lines that only sound alarming are no report",
        arguments: [
            "init[1]: segfault at 5eaeb0 ip 000000000042ec4f sp 00007ff error 7 in busybox[2ec4f,401000+184000]",
            "traps: a[12] general protection fault ip:47b7a0 sp:7ffc error:0 in busybox[401000+184000]",
            "traps: a[12] trap divide error ip:1 sp:2 error:0", "INFO: NMI handler (f) took too long to run: 1.2 msecs",
            "ODEBUG: selftest passed", "DEBUG: x", "BUG: Bad page state: 12 messages suppressed",
            "WARNING: polling idle and HT enabled, performance may degrade", "Panic on oops is set",
            "debug: BUGs are fine",
            "kmemleak: Kernel memory leak detector initialized (mem pool available: 11441)",
            "INFO: Stall ended before state dump start",
            "rcu: INFO: Stall ended before state dump start", "hung_task: started",
            "FAULT_INJECTION: forcing a failure.",
            "a: page allocation failure: order:9, mode:0x1", "Oops counter is 0", "software bug fixed [#12]",
        ])
    func harmless(line: String) {
        #expect(ConsoleParser.reports(in: "[    1.000000] \(line)").isEmpty)
    }
}
