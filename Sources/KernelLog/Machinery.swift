// SPDX-License-Identifier: Apache-2.0

/// Functions that stand above a mistake in a call trace without having made it.
///
/// Each list is a class of functions with one reason to be passed over; a trailing `*` stands for any ending.
enum Machinery {
    /// Prints the report, or belongs to the trap that led to it.
    private static let reporting = Patterns(
        "dump_stack*", "__dump_stack", "show_stack", "show_regs*", "panic", "vpanic", "die", "die_addr", "__die*",
        "oops_*",
        "print_report", "print_address_description*", "print_circular_bug*", "print_deadlock_bug*", "print_usage_bug*",
        "print_irq_inversion_bug*", "print_unlock_imbalance_bug*", "print_bad_pte*", "print_bad_page_map*",
        "__warn*", "warn_slowpath*", "report_bug", "handle_bug", "exc_*", "asm_exc_*", "check_panic_on_warn",
        "end_report",
        "kasan_*", "__kasan_*", "__asan_*", "__hwasan_*", "kmsan_*", "__msan_*", "kcsan_*", "__tsan_*", "kfence_*",
        "__kfence_*", "ubsan_*", "__ubsan_*", "lockdep_rcu_suspicious", "__schedule_bug", "check_preemption_disabled",
        "debug_smp_processor_id", "debug_print_object", "debug_check_no_*", "__debug_check_no_*", "debug_object_*",
        "spin_bug", "spin_dump", "rwlock_bug", "__stack_chk_fail", "nmi_cpu_backtrace*", "watchdog_*", "rcu_dump_*")

    /// Checks on behalf of the caller.
    private static let checking = Patterns(
        "refcount_*", "__refcount_*", "kref_*", "__list_add_valid*", "__list_del_entry_valid*", "list_add*",
        "list_del*",
        "list_move*", "list_splice*", "__fortify_*", "fortify_*", "usercopy_*",
        "__check_object_size", "check_heap_object", "__check_heap_object", "page_table_check_*", "__page_table_check_*",
        "set_pte*", "set_pmd*", "set_pud*", "ptep_*", "pmdp_*", "pudp_*", "__might_*", "might_*", "___might_*")

    /// Copies or compares what the caller passed.
    private static let copying = Patterns(
        "memcpy*", "__memcpy*", "memset*", "__memset*", "memmove*", "__memmove*", "memcmp", "memchr*", "strlen",
        "strnlen",
        "strcpy", "strncpy", "strscpy", "sized_strscpy", "strcmp", "strncmp", "strcat", "strchr", "strstr",
        "_copy_to_user",
        "_copy_from_user", "copy_user_*", "__copy_user*", "rep_movs_alternative", "rep_stos_alternative", "clear_user*",
        "__get_user_*", "__put_user_*", "copy_page", "copy_mc_*", "clear_page_*")

    /// Takes or drops the caller's lock.
    private static let locking = Patterns(
        "_raw_spin_*", "_raw_read_*", "_raw_write_*", "do_raw_*", "queued_spin_*", "native_queued_spin_*",
        "__pv_queued_*",
        "queued_read_*", "queued_write_*", "mutex_*", "__mutex_*", "ww_mutex_*", "__ww_mutex_*", "down", "down_*",
        "__down*",
        "up", "up_*", "__up_*", "rwsem_*", "percpu_down_*", "percpu_up_*", "rt_mutex_*", "__rt_mutex_*", "rt_spin_*",
        "osq_lock", "lock_acquire", "__lock_acquire", "lock_release", "lock_sync", "lock_is_held*",
        "register_lock_class",
        "mark_lock*", "check_noncircular", "lockdep_*", "reacquire_held_locks", "folio_lock*", "__folio_lock*",
        "bit_spin_*")

    /// Sleeps on the caller's behalf.
    private static let waiting = Patterns(
        "schedule*", "__schedule*", "io_schedule*", "preempt_schedule*", "__cond_resched*", "context_switch",
        "__switch_to*",
        "wait_for_completion*", "wait_for_common*", "__wait_*", "wait_on_*", "wait_woken", "do_wait_*", "bit_wait*",
        "out_of_line_wait_*", "folio_wait_*",
        "msleep*", "usleep_range*", "prepare_to_wait*", "finish_wait", "synchronize_rcu*", "synchronize_srcu*",
        "__synchronize_srcu", "__flush_work", "flush_work", "__flush_workqueue", "cancel_work_sync",
        "cancel_delayed_work_sync",
        "kthread_stop")

    /// Gives out memory or takes it back.
    private static let allocating = Patterns(
        "kmemleak_*", "bad_page", "free_page*", "__free_page*", "free_unref_*", "__free_frozen_*", "free_frozen_*",
        "free_pcppages_*",
        "free_pages*", "__free_pages*", "free_tail_page_*", "kfree*", "kvfree*", "vfree*", "kmalloc*", "__kmalloc*",
        "__do_kmalloc*", "kvmalloc*", "__kvmalloc*", "krealloc*", "kmemdup*", "kstrdup*", "kvasprintf*", "kasprintf*",
        "kmem_cache_*", "slab_*", "__slab_*", "___slab_*", "vmalloc*", "__vmalloc*", "get_page_from_freelist",
        "post_alloc_hook", "prep_new_page", "check_new_page*", "rmqueue*", "__rmqueue*", "alloc_pages*",
        "__alloc_pages*",
        "__alloc_frozen_*", "alloc_frozen_*", "folio_alloc*", "__folio_alloc*", "vma_alloc_*", "__folio_put*",
        "folios_put*", "release_pages", "put_page*")

    /// Stands between an interrupt and the code it interrupted.
    private static let interrupting = Patterns(
        "sysvec_*", "__sysvec_*", "asm_sysvec_*", "asm_common_interrupt", "common_interrupt", "irqentry_*", "irq_exit*",
        "trace_hardirqs_*", "preempt_schedule_irq")

    /// Where generic code calls a subsystem: what comes above it in a trace belongs to that subsystem.
    private static let entries = Patterns(
        "do_syscall_*", "x64_sys_call", "__x64_sys_*", "__se_sys_*", "__do_sys_*", "ksys_*", "el0_svc*",
        "invoke_syscall",
        "vfs_*", "full_proxy_*", "do_one_initcall", "do_init_module", "process_one_work", "worker_thread", "kthread",
        "ret_from_fork*", "handle_mm_fault", "do_user_addr_fault", "task_work_run", "__fput", "do_exit",
        "handle_softirqs",
        "__do_softirq", "run_ksoftirqd", "call_timer_fn", "__run_timers", "smpboot_thread_fn", "cpu_startup_entry",
        "do_idle",
        "start_secondary", "start_kernel")

    /// Whether a function is to be passed over in reports of a kind.
    static func contains(_ function: String, whenBlamedFor kind: ReportKind) -> Bool {
        if [reporting, checking, copying, locking].contains(where: { $0.match(function) }) { return true }
        switch kind {
        case .hungTask: return waiting.match(function)
        case .atomicSleep: return waiting.match(function) || allocating.match(function)
        case .badPage, .memoryLeak, .kasan, .slabCorruption, .pageTableCheck, .lockdep:
            return allocating.match(function)
        default: return false
        }
    }

    /// Whether a function only stands on the stack of a task because that was preempted or sleeps.
    static func isSuspending(_ function: String) -> Bool { waiting.match(function) || interrupting.match(function) }

    /// Whether a function is generic code that dispatches to a subsystem.
    static func isEntry(_ function: String) -> Bool { entries.match(function) }

    private struct Patterns: Sendable {
        private let exact: Set<String>
        private let starts: [String]

        init(_ patterns: String...) {
            exact = Set(patterns.filter { !$0.hasSuffix("*") })
            starts = patterns.filter { $0.hasSuffix("*") }.map { String($0.dropLast()) }
        }

        func match(_ function: String) -> Bool {
            exact.contains(function) || starts.contains { function.utf8.starts(with: $0.utf8) }
        }
    }
}
