// SPDX-License-Identifier: Apache-2.0

/// What a kernel complained about; raw values are stable names for JSON and the command line.
public enum ReportKind: String, Sendable, Codable, CaseIterable {
    /// `Kernel panic - not syncing` that no earlier report explains.
    case panic
    /// A trap in kernel mode: NULL dereference, page fault, general protection, divide error, double fault, guard page.
    case oops
    /// `kernel BUG at file:line!`.
    case bug
    /// `WARN_ON` and its kin.
    case warning
    /// Kernel Address Sanitizer.
    case kasan
    /// Kernel Electric Fence.
    case kfence
    /// Kernel Memory Sanitizer.
    case kmsan
    /// Kernel Concurrency Sanitizer.
    case kcsan
    /// Undefined Behaviour Sanitizer.
    case ubsan
    /// The lock validator, suspicious RCU usage included.
    case lockdep
    /// CONFIG_DEBUG_SPINLOCK: bad magic, wrong owner, lockup suspected.
    case spinlock
    /// RCU waits for a CPU or task that does not pass a quiescent state.
    case rcuStall = "rcu-stall"
    /// A task that sleeps uninterruptibly for too long.
    case hungTask = "hung-task"
    /// A CPU that does not schedule.
    case softLockup = "soft-lockup"
    /// A CPU that does not take interrupts.
    case hardLockup = "hard-lockup"
    /// A worker pool that makes no progress.
    case workqueueLockup = "workqueue-lockup"
    /// Bad page state, page map, page cache, RSS counter or page table accounting.
    case badPage = "bad-page"
    /// SLUB's own consistency checks.
    case slabCorruption = "slab-corruption"
    /// refcount_t saturated or used after free.
    case refcount
    /// CONFIG_PAGE_TABLE_CHECK: a page mapped where it must not be.
    case pageTableCheck = "page-table-check"
    /// Sleeping or scheduling in atomic context.
    case atomicSleep = "atomic-sleep"
    /// A linked list whose neighbours disagree.
    case listCorruption = "list-corruption"
    /// kmemleak found unreferenced objects.
    case memoryLeak = "memory-leak"
    /// The OOM killer ended a process.
    case outOfMemory = "out-of-memory"
    /// No program could be started as PID 1.
    case noInit = "no-init"
    /// There is no root filesystem to start PID 1 from.
    case noRoot = "no-root"
    /// A `BUG:` line that is none of the above.
    case unknown

    /// Whether the guest cannot be trusted, or does not get on, after such a report.
    ///
    /// A report may turn fatal later, when a panic follows from it: see ``KernelReport/isFatal``.
    public var isFatal: Bool {
        switch self {
        case .panic, .oops, .bug, .kasan, .kfence, .spinlock, .rcuStall, .hungTask, .softLockup, .hardLockup,
            .workqueueLockup, .badPage, .slabCorruption, .pageTableCheck, .noInit, .noRoot:
            true
        case .warning, .kmsan, .kcsan, .ubsan, .lockdep, .refcount, .atomicSleep, .listCorruption, .memoryLeak,
            .outOfMemory, .unknown:
            false
        }
    }
}
