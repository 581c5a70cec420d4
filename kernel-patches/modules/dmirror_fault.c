// SPDX-License-Identifier: GPL-2.0
/*
 * What the CPU's page table says goes into the device's.
 *
 * The pattern is that of Documentation/mm/hmm.rst: look at the CPU's page table,
 * take the lock, begin again if anything was invalidated meanwhile. Under the lock
 * and with a sequence that is still valid, a page that was found is mapped and
 * stays so until the lock is dropped.
 */
#include <linux/fs.h>
#include <linux/hmm.h>
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/magic.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "dmirror.h"

/* Room for the part of a range that one leaf covers. */
struct dmirror_step {
	struct hmm_range range;
	unsigned long pfns[DMIRROR_LEAF_ENTRIES];
};

/*
 * The base returns an entry of the device's own private memory as valid although
 * it is read-only and writing was asked for (after mprotect() there and back, or
 * fork()). The CPU's own fault for writing has to settle it. Returns 0 when every
 * page can be written, -EAGAIN when it has to be looked at again.
 */
static int upgrade_read_only(struct hmm_range *range)
{
	struct mm_struct *mm = range->notifier->mm;
	unsigned long addr, *pfn = range->hmm_pfns;
	struct vm_area_struct *vma;
	int ret, again = 0;

	for (addr = range->start; addr < range->end; addr += PAGE_SIZE, pfn++) {
		if ((*pfn & (HMM_PFN_VALID | HMM_PFN_WRITE)) != HMM_PFN_VALID)
			continue;
		vma = vma_lookup(mm, addr);
		if (!vma || !(vma->vm_flags & VM_WRITE))
			return -EPERM;
		ret = fixup_user_fault(mm, addr, FAULT_FLAG_WRITE | FAULT_FLAG_REMOTE, NULL);
		/* To hmm_range_fault(), too, any failure is a page that is not there. */
		if (ret)
			return ret == -ENOMEM ? -EFAULT : ret;
		again = -EAGAIN;
	}
	return again;
}

/*
 * One look at the CPU's page table; begun again when it is -EBUSY, or when the
 * notifier's sequence is not valid any more. The caller holds a reference to the mm.
 */
int dmirror_look_once(struct hmm_range *range, enum dmirror_fault how)
{
	struct mm_struct *mm = range->notifier->mm;
	unsigned long npages = (range->end - range->start) >> PAGE_SHIFT;
	unsigned int upgraded = 0;
	int ret;

again:
	/* Some flags of an entry are handed through to the result. */
	memset(range->hmm_pfns, 0, npages * sizeof(*range->hmm_pfns));
	if (how == DMIRROR_FAULT_READ_UNLOCKED)
		return compat_range_fault_unlocked(range,
						   msecs_to_jiffies(HMM_RANGE_DEFAULT_TIMEOUT));

	range->notifier_seq = mmu_interval_read_begin(range->notifier);
	mmap_read_lock(mm);
	ret = hmm_range_fault(range);
	if (!ret && how == DMIRROR_FAULT_WRITE)
		ret = upgrade_read_only(range);
	mmap_read_unlock(mm);
	if (ret != -EAGAIN)
		return ret;
	/* Once: after that it is somebody else who takes the pages away. */
	if (!upgraded++)
		goto again;
	return -EBUSY;
}

/* Looks until the result is valid; returns 0 with the lock held, or an error. */
static int look_and_lock(struct dmirror *m, struct dmirror_step *step, enum dmirror_fault how)
{
	unsigned long deadline = jiffies + msecs_to_jiffies(HMM_RANGE_DEFAULT_TIMEOUT);
	unsigned int attempts = 0;
	int ret;

	for (;;) {
		if (fatal_signal_pending(current))
			return -EINTR;
		ret = dmirror_look_once(&step->range, how);
		if (!ret) {
			mutex_lock(&m->lock);
			if (!mmu_interval_read_retry(step->range.notifier,
						     step->range.notifier_seq))
				return 0;
			mutex_unlock(&m->lock);
		} else if (ret != -EBUSY) {
			return ret;
		}
		dmirror_count(m->device, DMIRROR_RETRIES, 1);
		/* A busy machine may need all the time for one attempt. */
		if (++attempts >= DMIRROR_ATTEMPTS && time_after(jiffies, deadline))
			return -EBUSY;
		cond_resched();
	}
}

static struct dmirror_step *step_alloc(struct dmirror *m, unsigned long flags)
{
	struct dmirror_step *step = kmalloc(sizeof(*step), GFP_KERNEL);

	if (step)
		step->range = (struct hmm_range){
			.notifier = &m->notifier,
			.hmm_pfns = step->pfns,
			.default_flags = flags,
			.dev_private_owner = m->device->dm,
		};
	return step;
}

/*
 * Whether the CPU has an address for a page that was found. hmm_range_fault() also
 * hands out those of memfd_secret(), which are in no map of the kernel; without
 * this look the access would be an oops. The caller holds the lock under which the
 * page was found valid, so that it is still mapped.
 */
bool dmirror_is_addressable(struct page *page)
{
	struct address_space *mapping = folio_mapping(page_folio(page));

	return !mapping || !mapping->host || mapping->host->i_sb->s_magic != SECRETMEM_MAGIC;
}

/* Stores what was found; returns an error for the first page that is not as asked. */
static int install(struct dmirror *m, struct dmirror_step *step,
		   struct dmirror_leaf *leaf, enum dmirror_fault how)
{
	bool as_reported = test_bit(ilog2(HMM_DMIRROR_FLAG_AS_REPORTED), &m->flags);
	unsigned long addr, *pfn = step->pfns;
	unsigned int index = dmirror_leaf_index(step->range.start);
	unsigned long writable;
	struct page *page;
	int ret = 0;

	lockdep_assert_held(&m->lock);
	for (addr = step->range.start; addr < step->range.end; addr += PAGE_SIZE, pfn++, index++) {
		if ((*pfn & HMM_PFN_ERROR) || !(*pfn & HMM_PFN_VALID)) {
			ret = ret ?: how == DMIRROR_MAP_OURS ? -ENOENT : -EFAULT;
			continue;
		}
		page = as_reported ? hmm_pfn_to_page(*pfn) : compat_hmm_page(*pfn, addr);
		if (how == DMIRROR_MAP_OURS && !hmm_devmem_page_is_ours(m->device->dm, page)) {
			ret = ret ?: -ENOENT;
			continue;
		}
		if (!dmirror_is_addressable(page)) {
			ret = ret ?: -EFAULT;
			continue;
		}
		writable = *pfn & HMM_PFN_WRITE ? DMIRROR_PTE_WRITE : 0;
		dmirror_entry_set(&leaf->entry[index], dmirror_pte(m->device, page, writable));
	}
	return ret;
}

/*
 * Maps a range for the device. Returns 0; -EFAULT for a page that is not there or
 * may not be accessed, also when the address space has gone; -EPERM for a write
 * to a read-only mapping; -ENOENT, see DMIRROR_MAP_OURS; -EBUSY when invalidations
 * did not let up for a second; -EINTR; -ENOMEM. What came before an error is mapped.
 */
int dmirror_fault(struct dmirror *m, unsigned long start, unsigned long end,
		  enum dmirror_fault how)
{
	struct mm_struct *mm = m->notifier.mm;
	u64 begin = ktime_get_ns();
	struct dmirror_step *step;
	struct dmirror_leaf *leaf;
	unsigned long addr, flags;
	int ret = 0, err;

	flags = how == DMIRROR_MAP_OURS ? 0 : HMM_PFN_REQ_FAULT;
	if (how == DMIRROR_FAULT_WRITE)
		flags |= HMM_PFN_REQ_WRITE;
	step = step_alloc(m, flags);
	if (!step)
		return -ENOMEM;
	if (!mmget_not_zero(mm)) {
		kfree(step);
		return -EFAULT;
	}
	for (addr = start; addr < end; addr = step->range.end) {
		step->range.start = addr;
		step->range.end = dmirror_leaf_end(addr, end);
		leaf = dmirror_leaf_get(m, addr);
		if (IS_ERR(leaf)) {
			ret = PTR_ERR(leaf);
			break;
		}
		err = look_and_lock(m, step, how);
		if (!err) {
			err = install(m, step, leaf, how);
			mutex_unlock(&m->lock);
		}
		ret = ret ?: err;
		/* The rest is still worth mapping when only some pages are elsewhere. */
		if (ret && ret != -ENOENT)
			break;
		cond_resched();
	}
	mmput(mm);
	kfree(step);
	if (how != DMIRROR_MAP_OURS) {
		dmirror_count(m->device, DMIRROR_DEVICE_FAULTS, 1);
		dmirror_took(m->device, DMIRROR_LONGEST_FAULT, ktime_get_ns() - begin);
	}
	return ret;
}

/**
 * struct dmirror_look - a notifier for a range that is only looked at
 * @notifier: covers that range, so that changes elsewhere do not disturb the look
 * @m: whose range it is
 */
struct dmirror_look {
	struct mmu_interval_notifier notifier;
	struct dmirror *m;
};

/* The table is the business of the descriptor's own notifier. */
static bool look_invalidate(struct mmu_interval_notifier *notifier,
			    const struct mmu_notifier_range *range, unsigned long cur_seq)
{
	struct dmirror *m = container_of(notifier, struct dmirror_look, notifier)->m;

	if (mmu_notifier_range_blockable(range))
		mutex_lock(&m->lock);
	else if (!mutex_trylock(&m->lock))
		return false;
	mmu_interval_set_seq(notifier, cur_seq);
	mutex_unlock(&m->lock);
	return true;
}

static const struct mmu_interval_notifier_ops look_ops = {
	.invalidate = look_invalidate,
};

/*
 * Calls @fn under the lock for every page of a range, with what hmm_range_fault()
 * says without faulting anything in. The caller holds a reference to the mm, and
 * the range lies in one leaf. Returns 0, -EBUSY, -EINTR, -EINVAL or -ENOMEM.
 */
int dmirror_look(struct dmirror *m, unsigned long start, unsigned long end,
		 dmirror_look_fn fn, void *arg)
{
	struct dmirror_look look = { .m = m };
	struct dmirror_step *step;
	unsigned long addr, *pfn;
	int ret;

	step = step_alloc(m, 0);
	if (!step)
		return -ENOMEM;
	ret = mmu_interval_notifier_insert(&look.notifier, m->notifier.mm, start,
					   end - start, &look_ops);
	if (ret)
		goto out;
	step->range.notifier = &look.notifier;
	step->range.start = start;
	step->range.end = end;
	ret = look_and_lock(m, step, DMIRROR_MAP_OURS);
	if (!ret) {
		pfn = step->pfns;
		for (addr = start; addr < end; addr += PAGE_SIZE)
			fn(m, addr, *pfn++, arg);
		mutex_unlock(&m->lock);
	}
	mmu_interval_notifier_remove(&look.notifier);
out:
	kfree(step);
	return ret;
}
