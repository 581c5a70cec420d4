// SPDX-License-Identifier: GPL-2.0
/*
 * crasher: makes a kernel complain in one chosen way, so that its console can be recorded.
 *
 * Loaded with how=NAME. Complements drivers/misc/lkdtm, which has no locking, RCU, page table or accounting mistakes.
 * Every mistake sits in a function of its own, called crash_NAME: that name is what a report has to blame.
 */
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/percpu_counter.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

static char *how = "";
module_param(how, charp, 0444);

static DEFINE_MUTEX(lock_a);
static DEFINE_MUTEX(lock_b);
static DEFINE_SPINLOCK(spin_a);
static DEFINE_RAW_SPINLOCK(raw_a);

/* Locking. */

static void crash_circular(void)
{
	mutex_lock(&lock_a);
	mutex_lock(&lock_b);
	mutex_unlock(&lock_b);
	mutex_unlock(&lock_a);

	mutex_lock(&lock_b);
	mutex_lock(&lock_a);
	mutex_unlock(&lock_a);
	mutex_unlock(&lock_b);
}

struct pair {
	struct mutex lock;
};

static void init_pair(struct pair *p)
{
	mutex_init(&p->lock);
}

static void crash_recursive(void)
{
	struct pair x, y;

	init_pair(&x);
	init_pair(&y);
	mutex_lock(&x.lock);
	mutex_lock(&y.lock);
	mutex_unlock(&y.lock);
	mutex_unlock(&x.lock);
}

static void take_in_timer(struct timer_list *unused)
{
	spin_lock(&spin_a);
	spin_unlock(&spin_a);
}
static DEFINE_TIMER(timer_a, take_in_timer);

static void crash_inconsistent(void)
{
	mod_timer(&timer_a, jiffies + 1);
	msleep(50);
	spin_lock(&spin_a);	/* a softirq may interrupt us and spin forever */
	spin_unlock(&spin_a);
}

static void crash_unlock_balance(void)
{
	mutex_lock(&lock_a);
	mutex_unlock(&lock_a);
	lock_release(&lock_a.dep_map, _THIS_IP_);
}

static void crash_held_freed(void)
{
	struct pair *p = kmalloc(sizeof(*p), GFP_KERNEL);

	init_pair(p);
	mutex_lock(&p->lock);
	kfree(p);
}

static void crash_user_return(void)
{
	mutex_lock(&lock_a);
}

static void __rcu *published;

static void crash_rcu_usage(void)
{
	void *p = rcu_dereference(published);

	pr_info("read %d\n", p != NULL);
}

static void crash_wait_context(void)
{
	raw_spin_lock(&raw_a);
	spin_lock(&spin_a);	/* sleeps on PREEMPT_RT */
	spin_unlock(&spin_a);
	raw_spin_unlock(&raw_a);
}

/* Scheduling. */

static void crash_sleep_atomic(void)
{
	spin_lock(&spin_a);
	mutex_lock(&lock_a);
	mutex_unlock(&lock_a);
	spin_unlock(&spin_a);
}

static void crash_sched_atomic(void)
{
	preempt_disable();
	schedule_timeout_uninterruptible(1);
	preempt_enable();
}

static noinline void spin_forever(void)
{
	for (;;)
		cpu_relax();
}

static void crash_rcu_stall(void)
{
	rcu_read_lock();
	spin_forever();
}

static void crash_soft_lockup(void)
{
	preempt_disable();
	spin_forever();
}

static int spin_with_irqs_off(void *unused)
{
	local_irq_disable();
	spin_forever();
	return 0;
}

static void crash_hard_lockup(void)
{
	struct task_struct *t = kthread_create(spin_with_irqs_off, NULL, "crash_hard");

	if (!IS_ERR(t)) {
		kthread_bind(t, 1);
		wake_up_process(t);
	}
	msleep(60 * 1000);
}

static int wait_for_lock_a(void *unused)
{
	mutex_lock(&lock_a);
	mutex_unlock(&lock_a);
	return 0;
}

static void crash_hung_task(void)
{
	mutex_lock(&lock_a);
	kthread_run(wait_for_lock_a, NULL, "crash_hung");
	msleep(60 * 1000);
	mutex_unlock(&lock_a);
}

static void block_the_pool(struct work_struct *unused)
{
	preempt_disable();
	mdelay(50 * 1000);
	preempt_enable();
}
static DECLARE_WORK(blocking_work, block_the_pool);

static void do_nothing(struct work_struct *unused)
{
}
static DECLARE_WORK(waiting_work, do_nothing);

static void crash_workqueue(void)
{
	queue_work_on(1, system_wq, &blocking_work);
	msleep(100);
	queue_work_on(1, system_wq, &waiting_work);
	msleep(60 * 1000);
}

/* Memory. */

static void crash_bad_page(void)
{
	struct page *page = alloc_page(GFP_KERNEL);

	if (!page)
		return;
	page->mapping = (struct address_space *)0x1000;
	__free_page(page);
}

static unsigned long map_anonymous(void)
{
	return vm_mmap(NULL, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
}

static int map_page_again(pte_t *pte, unsigned long addr, void *data)
{
	struct page *page = data;

	set_pte_at(current->mm, addr, pte, mk_pte(page, PAGE_SHARED));
	return 0;
}

/* Maps one anonymous page writable at two addresses without any rmap. */
static void crash_page_table(void)
{
	unsigned long once = map_anonymous(), twice = map_anonymous();
	struct page *page;

	if (get_user_pages_fast(once, 1, FOLL_WRITE, &page) == 1)
		apply_to_page_range(current->mm, twice, PAGE_SIZE, map_page_again, page);
}

static void crash_rss_counter(void)
{
	percpu_counter_add(&current->mm->rss_stat[MM_ANONPAGES], 3);
	percpu_counter_add(&current->mm->rss_stat[MM_SWAPENTS], 1);
}

static int set_absurd_pte(pte_t *pte, unsigned long addr, void *unused)
{
	set_pte(pte, pfn_pte(0xfffffff, PAGE_SHARED));
	return 0;
}

static void crash_bad_map(void)
{
	unsigned long addr = map_anonymous();

	apply_to_page_range(current->mm, addr, PAGE_SIZE, set_absurd_pte, NULL);
	vm_munmap(addr, PAGE_SIZE);
}

static void *volatile last;

static void crash_leak(void)
{
	int i;

	for (i = 0; i < 3; i++)
		last = kmalloc(64, GFP_KERNEL);
	last = NULL;
}

static void crash_use_after_free(void)
{
	volatile char *p = kmalloc(40, GFP_KERNEL);

	kfree((void *)p);
	pr_info("read %d\n", p[8]);
}

static void crash_double_free(void)
{
	last = kmalloc(40, GFP_KERNEL);
	kfree(last);
	kfree(last);
}

static void crash_vmalloc_oob(void)
{
	volatile char *p = vmalloc(PAGE_SIZE - 100);

	p[PAGE_SIZE - 90] = 1;
	vfree((void *)p);
}

static void crash_bug_on_folio(void)
{
	struct page *page = alloc_page(GFP_KERNEL);

	VM_BUG_ON_PAGE(page_ref_count(page) == 1, page);
}

/* Traps. */

static void crash_null(void)
{
	*(volatile int *)0x18 = 1;
}

static void crash_page_fault(void)
{
	pr_info("read %d\n", *(volatile int *)0xffffc8dead000000);
}

static void crash_protection(void)
{
	*(volatile int *)0xdead4ead00000018 = 1;
}

static void crash_divide(void)
{
	static volatile int one = 1, zero;

	pr_info("got %d\n", one / zero);
}

static void crash_opcode(void)
{
	asm volatile(".byte 0x06");	/* push %es: not in 64-bit mode */
}

static void call_nothing(void (*fn)(void))
{
	fn();
}

static void crash_jump(void)
{
	call_nothing((void (*)(void))0x10);
}

/* Two things at once. */

static atomic_t arrived;

static void meet(int others)
{
	atomic_inc(&arrived);
	while (atomic_read(&arrived) < others)
		cpu_relax();
}

static int warn_one(void *unused)
{
	int round;

	for (round = 1; round <= 3; round++) {
		meet(2 * round);
		WARN_ON(1);
	}
	return 0;
}

static int warn_two(void *unused)
{
	int round;

	for (round = 1; round <= 3; round++) {
		meet(2 * round);
		WARN(1, "the second of two");
	}
	return 0;
}

static void crash_interleaved(void)
{
	struct task_struct *one = kthread_create(warn_one, NULL, "crash_one");
	struct task_struct *two = kthread_create(warn_two, NULL, "crash_two");

	if (IS_ERR(one) || IS_ERR(two))
		return;
	kthread_bind(one, 0);
	kthread_bind(two, 1);
	wake_up_process(one);
	wake_up_process(two);
	msleep(500);
}

static void first_warning(void)
{
	WARN_ON(1);
}

static void second_warning(void)
{
	WARN(1, "value %d is out of range", 42);
}

static void crash_two(void)
{
	first_warning();
	pr_info("still alive\n");
	second_warning();
	crash_rcu_usage();
}

#define MISTAKE(name) { #name, crash_##name }
static const struct {
	const char *name;
	void (*make)(void);
} mistakes[] = {
	MISTAKE(circular), MISTAKE(recursive), MISTAKE(inconsistent), MISTAKE(unlock_balance), MISTAKE(held_freed),
	MISTAKE(user_return), MISTAKE(rcu_usage), MISTAKE(wait_context),
	MISTAKE(sleep_atomic), MISTAKE(sched_atomic), MISTAKE(rcu_stall), MISTAKE(soft_lockup), MISTAKE(hard_lockup),
	MISTAKE(hung_task), MISTAKE(workqueue),
	MISTAKE(bad_page), MISTAKE(page_table), MISTAKE(rss_counter), MISTAKE(bad_map), MISTAKE(leak),
	MISTAKE(use_after_free), MISTAKE(double_free), MISTAKE(vmalloc_oob), MISTAKE(bug_on_folio),
	MISTAKE(null), MISTAKE(page_fault), MISTAKE(protection), MISTAKE(divide), MISTAKE(opcode), MISTAKE(jump),
	MISTAKE(interleaved), MISTAKE(two),
};

static int __init crasher_init(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(mistakes); i++) {
		if (!strcmp(how, mistakes[i].name)) {
			mistakes[i].make();
			return 0;
		}
	}
	return -EINVAL;
}
module_init(crasher_init);

MODULE_DESCRIPTION("Makes a kernel complain in one chosen way");
MODULE_LICENSE("GPL");
