// SPDX-License-Identifier: GPL-2.0
/*
 * Pages for the device alone: the CPU's access faults, and ends that.
 */
#include <linux/hmm.h>
#include <linux/jiffies.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "dmirror.h"

static int exclusive_page(struct dmirror *m, unsigned long addr, struct dmirror_leaf *leaf)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(HMM_RANGE_DEFAULT_TIMEOUT);
	struct mm_struct *mm = m->notifier.mm;
	unsigned int attempts = 0;
	unsigned long seq;
	struct page *page;
	bool valid;

	do {
		if (fatal_signal_pending(current))
			return -EINTR;
		/*
		 * A page that is elsewhere, or exclusive already, comes back
		 * first: that is an invalidation, which must not happen below.
		 * What cannot be written is refused below.
		 */
		mmap_read_lock(mm);
		fixup_user_fault(mm, addr, FAULT_FLAG_WRITE | FAULT_FLAG_REMOTE, NULL);
		mmap_read_unlock(mm);

		seq = mmu_interval_read_begin(&m->notifier);
		mmap_read_lock(mm);
		page = compat_make_exclusive(mm, addr, m);
		mmap_read_unlock(mm);
		if (IS_ERR(page))
			return PTR_ERR(page);

		mutex_lock(&m->lock);
		valid = !mmu_interval_read_retry(&m->notifier, seq);
		if (valid)
			dmirror_entry_set(&leaf->entry[dmirror_leaf_index(addr)],
					  dmirror_pte(m->device, page, DMIRROR_PTE_WRITE |
						      DMIRROR_PTE_EXCLUSIVE));
		mutex_unlock(&m->lock);
		/* As a device whose page table takes its time: the page stays locked. */
		dmirror_delay_engine(m->device);
		unlock_page(page);
		put_page(page);
		if (valid)
			return 0;
	} while (++attempts < DMIRROR_ATTEMPTS || time_before(jiffies, deadline));
	return -EBUSY;
}

int dmirror_exclusive(struct dmirror *m, struct hmm_dmirror_cmd *cmd)
{
	unsigned long addr = cmd->addr, end = addr + (cmd->npages << PAGE_SHIFT);
	struct dmirror_leaf *leaf;
	int ret = 0;

	if (!mmget_not_zero(m->notifier.mm))
		return -EINVAL;
	for (; !ret && addr < end; addr += PAGE_SIZE) {
		leaf = dmirror_leaf_get(m, addr);
		ret = IS_ERR(leaf) ? PTR_ERR(leaf) : exclusive_page(m, addr, leaf);
		cond_resched();
	}
	mmput(m->notifier.mm);
	return ret ?: dmirror_read_mapped(m, cmd);
}
