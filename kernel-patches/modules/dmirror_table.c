// SPDX-License-Identifier: GPL-2.0
/*
 * The device's page table: leaves of one page, each for as many pages as it has
 * entries. A leaf is made before its lock is taken and stays until the descriptor
 * is closed, so that mapping a page never allocates. Entries hold no reference:
 * the notifier clears them before a page can go away.
 *
 * No event is passed over because this device caused it: a second descriptor of
 * the same address space has a table, too, and what has moved is found again
 * with one look at the CPU's page table.
 */
#include <linux/delay.h>
#include <linux/slab.h>

#include "dmirror.h"

/* Finds or makes the leaf for an address. */
struct dmirror_leaf *dmirror_leaf_get(struct dmirror *m, unsigned long addr)
{
	unsigned long index = addr / DMIRROR_LEAF_SIZE;
	struct dmirror_leaf *leaf, *old;

	leaf = xa_load(&m->leaves, index);
	if (leaf)
		return leaf;
	leaf = kzalloc(sizeof(*leaf), GFP_KERNEL_ACCOUNT);
	if (!leaf)
		return ERR_PTR(-ENOMEM);
	old = xa_cmpxchg(&m->leaves, index, NULL, leaf, GFP_KERNEL_ACCOUNT);
	if (old) {
		kfree(leaf);
		return xa_is_err(old) ? ERR_PTR(xa_err(old)) : old;
	}
	atomic_long_inc(&m->nr_leaves);
	return leaf;
}

/*
 * Changes an entry; the caller holds the lock that protects it. A page of the device
 * is still its own then: it is mapped for as long as the entry is there.
 */
void dmirror_entry_set(unsigned long *entry, unsigned long value)
{
	if (value & DMIRROR_PTE_OURS)
		dmirror_count_entry(dmirror_pte_page(value), 1);
	if (*entry & DMIRROR_PTE_OURS)
		dmirror_count_entry(dmirror_pte_page(*entry), -1);
	*entry = value;
}

/* The entry for an address, or 0. */
unsigned long dmirror_lookup(struct dmirror *m, unsigned long addr)
{
	struct dmirror_leaf *leaf;

	lockdep_assert_held(&m->lock);
	leaf = xa_load(&m->leaves, addr / DMIRROR_LEAF_SIZE);
	return leaf ? leaf->entry[dmirror_leaf_index(addr)] : 0;
}

/* First address of the range without an entry that has all of @flags, or @end. */
unsigned long dmirror_find_missing(struct dmirror *m, unsigned long start,
				   unsigned long end, unsigned long flags)
{
	unsigned long addr, next;

	for (addr = start; addr < end; addr = next) {
		next = dmirror_leaf_end(addr, end);
		mutex_lock(&m->lock);
		for (; addr < next; addr += PAGE_SIZE)
			if ((dmirror_lookup(m, addr) & flags) != flags)
				break;
		mutex_unlock(&m->lock);
		if (addr < next)
			break;
	}
	return addr;
}

bool dmirror_any_exclusive(struct dmirror *m, unsigned long start, unsigned long end)
{
	unsigned long index, first = start >> PAGE_SHIFT, last = (end - 1) >> PAGE_SHIFT;
	struct dmirror_leaf *leaf;
	bool found = false;
	unsigned int i;

	mutex_lock(&m->lock);
	xa_for_each_range(&m->leaves, index, leaf, first / DMIRROR_LEAF_ENTRIES,
			  last / DMIRROR_LEAF_ENTRIES) {
		for (i = 0; i < DMIRROR_LEAF_ENTRIES && !found; i++)
			found = (leaf->entry[i] & DMIRROR_PTE_EXCLUSIVE) &&
				index * DMIRROR_LEAF_ENTRIES + i >= first &&
				index * DMIRROR_LEAF_ENTRIES + i <= last;
		if (found)
			break;
	}
	mutex_unlock(&m->lock);
	return found;
}

static void clear_range(struct dmirror *m, unsigned long start, unsigned long end)
{
	unsigned long index, first = start >> PAGE_SHIFT, last = (end - 1) >> PAGE_SHIFT;
	unsigned long i, to, base;
	struct dmirror_leaf *leaf;

	lockdep_assert_held(&m->lock);
	xa_for_each_range(&m->leaves, index, leaf, first / DMIRROR_LEAF_ENTRIES,
			  last / DMIRROR_LEAF_ENTRIES) {
		base = index * DMIRROR_LEAF_ENTRIES;
		to = min(last - base, DMIRROR_LEAF_ENTRIES - 1);
		for (i = max(first, base) - base; i <= to; i++)
			dmirror_entry_set(&leaf->entry[i], 0);
	}
}

/* While the notifier is still there: afterwards the pages may be anybody's. */
void dmirror_table_clear(struct dmirror *m)
{
	mutex_lock(&m->lock);
	clear_range(m, 0, ULONG_MAX);
	mutex_unlock(&m->lock);
}

void dmirror_table_free(struct dmirror *m)
{
	struct dmirror_leaf *leaf;
	unsigned long index;

	xa_for_each(&m->leaves, index, leaf)
		kfree(leaf);
	xa_destroy(&m->leaves);
}

static bool dmirror_invalidate(struct mmu_interval_notifier *notifier,
			       const struct mmu_notifier_range *range,
			       unsigned long cur_seq)
{
	struct dmirror *m = container_of(notifier, struct dmirror, notifier);
	struct dmirror_device *device = m->device;
	u32 delay = READ_ONCE(device->notifier_delay_us);

	if (range->event < 8)
		dmirror_count(device, DMIRROR_INVALIDATIONS + range->event, 1);
	/* Taking a page for this descriptor: the sequence has to stay valid for it. */
	if (range->event == MMU_NOTIFY_EXCLUSIVE && range->owner == m)
		return true;

	if (mmu_notifier_range_blockable(range)) {
		if (delay)
			fsleep(delay);
		mutex_lock(&m->lock);
	} else if (!mutex_trylock(&m->lock)) {
		return false;
	}
	mmu_interval_set_seq(notifier, cur_seq);
	clear_range(m, range->start, range->end);
	mutex_unlock(&m->lock);
	return true;
}

const struct mmu_interval_notifier_ops dmirror_notifier_ops = {
	.invalidate = dmirror_invalidate,
};
