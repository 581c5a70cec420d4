// SPDX-License-Identifier: Apache-2.0

extension Headline {
    /// Headlines that are the same in every report: how they begin, and what they are.
    ///
    /// Read from kernel/locking/lockdep.c, kernel/locking/spinlock_debug.c, kernel/sched/core.c, kernel/workqueue.c,
    /// lib/smp_processor_id.c, kernel/fork.c, mm/page_alloc.c, mm/memory.c and mm/filemap.c of 6.12.
    private static let fixed: [(start: String, make: @Sendable () -> Headline)] = [
        ("WARNING: possible circular locking dependency detected", { deadlock }),
        ("WARNING: possible recursive locking detected", { deadlock }),
        ("WARNING: possible irq lock inversion dependency detected", { deadlock }),
        ("WARNING: inconsistent lock state", { lock("inconsistent lock state") }),
        ("WARNING: bad unlock balance detected", { lock("bad unlock balance") }),
        ("WARNING: bad contention detected", { lock("bad contention") }),
        ("WARNING: held lock freed", { lock("held lock freed") }),
        ("WARNING: Nested lock was not taken", { lock("nested lock was not taken") }),
        (
            "WARNING: lock held when returning to user space",
            { Headline(.lockdep, "lock held when returning to user space", blame: .lockSite, ending: .heldLocks) }
        ),
        ("WARNING: suspicious RCU usage", { Headline(.lockdep, "suspicious RCU usage") }),
        ("BUG: Invalid wait context", { lock("invalid wait context") }),
        ("INFO: trying to register non-static key", { Headline(.lockdep, "non-static lock key") }),
        ("BUG: MAX_", { Headline(.lockdep, "lockdep ran out of table space", blame: .nobody) }),
        ("BUG: spinlock ", { Headline(.spinlock, "BUG: spinlock") }),
        ("BUG: rwlock ", { Headline(.spinlock, "BUG: rwlock") }),
        (
            "BUG: sleeping function called from invalid context",
            { Headline(.atomicSleep, "BUG: sleeping function called from invalid context") }
        ),
        ("BUG: scheduling while atomic", { Headline(.atomicSleep, "BUG: scheduling while atomic") }),
        (
            "BUG: scheduling in a non-blocking section",
            { Headline(.atomicSleep, "BUG: scheduling in a non-blocking section") }
        ),
        (
            "BUG: workqueue leaked",
            { Headline(.atomicSleep, "BUG: workqueue leaked a lock or atomic context", blame: .nobody) }
        ),
        ("BUG: using ", { Headline(.unknown, "BUG: per-CPU access in preemptible code") }),
        ("BUG: Bad page state in", { Headline(.badPage, "BUG: Bad page state") }),
        ("BUG: Bad page map in", { Headline(.badPage, "BUG: Bad page map", blame: .nobody) }),
        ("BUG: Bad page cache in", { Headline(.badPage, "BUG: Bad page cache", blame: .nobody) }),
        (
            "BUG: Bad rss-counter state",
            { Headline(.badPage, "BUG: Bad rss-counter state", blame: .nobody, ending: .line) }
        ),
        (
            "BUG: non-zero pgtables_bytes on freeing mm",
            { Headline(.badPage, "BUG: non-zero pgtables_bytes on freeing mm", blame: .nobody, ending: .line) }
        ),
    ]

    private static var deadlock: Headline { lock("possible deadlock") }

    private static func lock(_ phrase: String) -> Headline { Headline(.lockdep, phrase, blame: .lockSite) }

    /// Understands a headline of the table, and lockdep's two whose beginning varies.
    static func known(_ text: Substring) -> Headline? {
        if text.starts(with: "WARNING: ") {
            if text.ends(with: "-unsafe lock order detected") { return deadlock }
            if text.ends(with: " still has locks held!") {
                return Headline(.lockdep, "task exits with locks held", blame: .lockSite, ending: .heldLocks)
            }
        }
        guard var headline = fixed.first(where: { text.starts(with: $0.start) })?.make() else { return nil }
        switch headline.kind {
        case .spinlock:
            headline.phrase = String(text.upTo(" on CPU#"))
        case .atomicSleep where text.has(" at "):
            headline.location = text.after(" at ").map(String.init)
        case .atomicSleep:
            // `BUG: scheduling while atomic: comm/pid/0x00000002`
            if let task = text.after(": ")?.after(": "), let end = task.lastIndex(of: "/") {
                headline.name(task: task[..<end], separator: "/")
            }
        default:
            break
        }
        return headline
    }
}
