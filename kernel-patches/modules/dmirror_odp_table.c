// SPDX-License-Identifier: GPL-2.0
/*
 * On-demand paging: the page table of a part of a region, how a page gets into it,
 * and its invalidation.
 *
 * A leaf is made before its part's lock is taken and stays until the part goes, so
 * that mapping a page never allocates memory of the driver. What the notifier has
 * cleared is unmapped; what is in the table is mapped for DMA and held by nothing.
 *
 * Memory of a device is not mapped for DMA. The engine reaches its own private and
 * coherent memory without a bus, and dma_map_page() has been no way to another
 * device's since 7.2 at the latest: it warns of every ZONE_DEVICE page under DMA_API_DEBUG.
 */
#include <linux/delay.h>
#include <linux/hmm.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "dmirror.h"

#define ODP_LEAF_ENTRIES	(PAGE_SIZE / sizeof(struct dmirror_odp_entry))
#define ODP_LEAF_SIZE		(ODP_LEAF_ENTRIES << PAGE_SHIFT)

/* Pages that are looked at together; a request has 17 at most. */
#define ODP_FAULT_PAGES		32

/* Attempts that follow each other at once, and the longest break between later ones. */
#define ODP_QUICK_ATTEMPTS	4
#define ODP_MAX_BREAK_US	1000

struct dmirror_odp_leaf {
	struct dmirror_odp_entry entry[ODP_LEAF_ENTRIES];
};

static struct dmirror_odp_leaf *leaf_get(struct dmirror_odp_part *part, unsigned long addr)
{
	unsigned long index = addr / ODP_LEAF_SIZE;
	struct dmirror_odp_leaf *leaf;
	int ret;

	leaf = xa_load(&part->leaves, index);
	if (leaf)
		return leaf;
	BUILD_BUG_ON(sizeof(*leaf) != sizeof(struct dmirror_leaf));
	leaf = kzalloc(sizeof(*leaf), GFP_KERNEL_ACCOUNT);
	if (!leaf)
		return ERR_PTR(-ENOMEM);
	/* Nobody else adds leaves: the region is the engine's, or not visible yet. */
	ret = xa_insert(&part->leaves, index, leaf, GFP_KERNEL_ACCOUNT);
	if (ret) {
		kfree(leaf);
		return ERR_PTR(ret);
	}
	atomic_long_inc(&part->region->m->nr_leaves);
	return leaf;
}

static struct dmirror_odp_entry *leaf_entry(struct dmirror_odp_leaf *leaf, unsigned long addr)
{
	return &leaf->entry[(addr >> PAGE_SHIFT) % ODP_LEAF_ENTRIES];
}

/* What the device knows of an address: 0, or a frame number and DMIRROR_PTE_*. */
unsigned long dmirror_odp_lookup(struct dmirror_odp_part *part, unsigned long addr)
{
	struct dmirror_odp_leaf *leaf;

	lockdep_assert_held(&part->lock);
	leaf = xa_load(&part->leaves, addr / ODP_LEAF_SIZE);
	return leaf ? leaf_entry(leaf, addr)->pte : 0;
}

/* A page that the device only reads is mapped as such: it may be the zero page. */
static enum dma_data_direction direction(unsigned long pte)
{
	return pte & DMIRROR_PTE_WRITE ? DMA_BIDIRECTIONAL : DMA_TO_DEVICE;
}

static void unmap_entry(struct dmirror_odp_part *part, struct dmirror_odp_entry *entry)
{
	if (!entry->pte)
		return;
	if (entry->dma != DMA_MAPPING_ERROR)
		dma_unmap_page_attrs(&part->region->m->device->dev, entry->dma, PAGE_SIZE,
				     direction(entry->pte), DMA_ATTR_SKIP_CPU_SYNC);
	dmirror_entry_set(&entry->pte, 0);
	dmirror_odp_count(part->region, DMIRROR_ODP_PRESENT, -1);
}

/*
 * Maps a page and enters it; -EIO when it cannot be mapped. What the engine does
 * with the page the CPU does in truth, so there is nothing to be synchronised.
 */
static int map_entry(struct dmirror_odp_part *part, struct dmirror_odp_entry *entry,
		     struct page *page, unsigned long flags)
{
	struct dmirror_device *device = part->region->m->device;
	unsigned long pte = dmirror_pte(device, page, flags);
	dma_addr_t dma = DMA_MAPPING_ERROR;

	/* It was there, and may be written still. */
	if ((entry->pte | DMIRROR_PTE_WRITE) == (pte | DMIRROR_PTE_WRITE) &&
	    (entry->pte & DMIRROR_PTE_WRITE || !(pte & DMIRROR_PTE_WRITE)))
		return 0;
	unmap_entry(part, entry);
	if (!is_zone_device_page(page)) {
		if (dmirror_is_nth(&device->map_nth))
			return -EIO;
		dma = dma_map_page_attrs(&device->dev, page, 0, PAGE_SIZE, direction(pte),
					 DMA_ATTR_SKIP_CPU_SYNC);
		if (dma_mapping_error(&device->dev, dma))
			return -EIO;
	}
	entry->dma = dma;
	dmirror_entry_set(&entry->pte, pte);
	dmirror_odp_count(part->region, DMIRROR_ODP_PRESENT, 1);
	return 0;
}

/* Clears the entries of frames @first to @last of the address space. */
static void clear_range(struct dmirror_odp_part *part, unsigned long first, unsigned long last,
			bool may_sleep)
{
	unsigned long i, index, from, to, base;
	struct dmirror_odp_leaf *leaf;

	xa_for_each_range(&part->leaves, index, leaf, first / ODP_LEAF_ENTRIES,
			  last / ODP_LEAF_ENTRIES) {
		base = index * ODP_LEAF_ENTRIES;
		from = max(first, base) - base;
		to = min(last - base, ODP_LEAF_ENTRIES - 1);
		for (i = from; i <= to; i++)
			unmap_entry(part, &leaf->entry[i]);
		if (may_sleep)
			cond_resched();
	}
}

/*
 * No event is passed over, also none that this device caused: as with the
 * descriptor's own table, what has moved is found again with one look.
 */
static bool odp_invalidate(struct mmu_interval_notifier *notifier,
			   const struct mmu_notifier_range *range, unsigned long cur_seq)
{
	struct dmirror_odp_part *part = container_of(notifier, struct dmirror_odp_part, notifier);
	u32 delay = READ_ONCE(part->region->m->device->notifier_delay_us);

	if (mmu_notifier_range_blockable(range)) {
		if (delay)
			fsleep(delay);
		mutex_lock(&part->lock);
	} else if (!mutex_trylock(&part->lock)) {
		return false;
	}
	mmu_interval_set_seq(notifier, cur_seq);
	if (range->event < 8)
		dmirror_odp_count(part->region, DMIRROR_ODP_INVALIDATIONS + range->event, 1);
	clear_range(part, range->start >> PAGE_SHIFT, (range->end - 1) >> PAGE_SHIFT,
		    mmu_notifier_range_blockable(range));
	mutex_unlock(&part->lock);
	return true;
}

static const struct mmu_interval_notifier_ops odp_ops = {
	.invalidate = odp_invalidate,
};

/* Makes a part that nobody can find yet; the caller holds a reference to the mm. */
struct dmirror_odp_part *dmirror_odp_part_add(struct dmirror_odp_region *region,
					      unsigned long start, unsigned long end)
{
	struct dmirror_odp_part *part;
	int ret;

	part = kzalloc(sizeof(*part), GFP_KERNEL_ACCOUNT);
	if (!part)
		return ERR_PTR(-ENOMEM);
	part->region = region;
	mutex_init(&part->lock);
	xa_init(&part->leaves);
	ret = mmu_interval_notifier_insert(&part->notifier, region->m->notifier.mm, start,
					   end - start, &odp_ops);
	if (ret) {
		kfree(part);
		return ERR_PTR(ret);
	}
	dmirror_odp_count(region, DMIRROR_ODP_PARTS, 1);
	return part;
}

/* The engine uses the part no more. */
void dmirror_odp_part_free(struct dmirror_odp_part *part)
{
	struct dmirror_odp_leaf *leaf;
	unsigned long index;

	/* While the notifier is still there: afterwards the pages may be anybody's. */
	mutex_lock(&part->lock);
	clear_range(part, 0, ULONG_MAX >> PAGE_SHIFT, true);
	mutex_unlock(&part->lock);
	mmu_interval_notifier_remove(&part->notifier);
	xa_for_each(&part->leaves, index, leaf) {
		kfree(leaf);
		atomic_long_dec(&part->region->m->nr_leaves);
	}
	xa_destroy(&part->leaves);
	kfree(part);
}

/* Until the storm lets up: at once, then after longer and longer breaks. */
static void back_off(unsigned int attempt)
{
	if (attempt < ODP_QUICK_ATTEMPTS)
		cond_resched();
	else
		fsleep(min(16U << min(attempt - ODP_QUICK_ATTEMPTS, 6U), ODP_MAX_BREAK_US));
}

/*
 * Looks until the result is valid; returns 0 with the part's lock held and the leaf,
 * or an error. Where nothing is found no leaf is made.
 */
static int look_and_lock(struct dmirror_odp_part *part, struct hmm_range *range,
			 enum dmirror_fault how, struct dmirror_odp_leaf **leaf)
{
	struct dmirror_odp_region *region = part->region;
	struct dmirror *m = region->m;
	unsigned int attempt;
	int ret;

	for (attempt = 1;; attempt++) {
		if (READ_ONCE(m->odp.closing) || fatal_signal_pending(current))
			return -EINTR;
		if (hmm_devmem_is_lost(m->device->dm))
			return -ENODEV;
		ret = dmirror_look_once(range, how);
		if (!ret) {
			*leaf = leaf_get(part, range->start);
			if (IS_ERR(*leaf))
				return PTR_ERR(*leaf);
			mutex_lock(&part->lock);
			if (!mmu_interval_read_retry(range->notifier, range->notifier_seq))
				return 0;
			mutex_unlock(&part->lock);
		} else if (ret != -EBUSY) {
			return ret;
		}
		if (attempt >= region->max_retries)
			return -EBUSY;
		dmirror_odp_count(region, DMIRROR_ODP_RETRIES, 1);
		dmirror_count(m->device, DMIRROR_RETRIES, 1);
		back_off(attempt);
	}
}

/*
 * Enters what was found. Only the first page has to be as asked: the walk comes
 * to the others later.
 */
static int install(struct dmirror_odp_walk *walk, struct dmirror_odp_leaf *leaf,
		   const struct hmm_range *range)
{
	bool writable = walk->part->region->flags & HMM_DMIRROR_ODP_WRITE;
	unsigned long addr, flags, *pfn = range->hmm_pfns;
	struct page *page;
	int ret;

	for (addr = range->start; addr < range->end; addr += PAGE_SIZE, pfn++) {
		if ((*pfn & HMM_PFN_ERROR) || !(*pfn & HMM_PFN_VALID))
			return addr == range->start ? -EFAULT : 0;
		page = compat_hmm_page(*pfn, addr);
		if (!dmirror_is_addressable(page))
			return addr == range->start ? -EFAULT : 0;
		flags = *pfn & HMM_PFN_WRITE && writable ? DMIRROR_PTE_WRITE : 0;
		ret = map_entry(walk->part, leaf_entry(leaf, addr), page, flags);
		if (ret) {
			/* The walk ends there, when all before it has been done. */
			walk->unmappable = addr;
			return addr == range->start ? ret : 0;
		}
	}
	return 0;
}

static void count_fault(struct dmirror_odp_walk *walk, u64 ns)
{
	struct dmirror_odp_region *region = walk->part->region;
	atomic64_t *longest = &region->stats[DMIRROR_ODP_MAX_FAULT_NS];

	walk->faults++;
	dmirror_odp_count(region, DMIRROR_ODP_FAULTS, 1);
	/* One task at a time faults for a region. */
	if (ns > atomic64_read(longest))
		atomic64_set(longest, ns);
	dmirror_count(region->m->device, DMIRROR_DEVICE_FAULTS, 1);
	dmirror_took(region->m->device, DMIRROR_LONGEST_FAULT, ns);
}

/*
 * Enters the page at an address, and what follows of the walk's range as far as one
 * look reaches. The caller holds a reference to the mm. Returns 0 with the part's
 * lock held and the page in the table; -EFAULT for a page that is not there or may
 * not be read; -EPERM for a write to one that may not be written; -EBUSY when
 * invalidations did not let up; -EIO when it cannot be mapped for DMA; -ENODEV;
 * -ENOMEM; -EINTR when it does not matter any more.
 */
int dmirror_odp_fault(struct dmirror_odp_walk *walk, unsigned long addr)
{
	enum dmirror_fault how = walk->write ? DMIRROR_FAULT_WRITE : DMIRROR_FAULT_READ;
	unsigned long length = min3(PAGE_ALIGN(walk->end - addr),
				    ODP_LEAF_SIZE - addr % ODP_LEAF_SIZE,
				    (unsigned long)ODP_FAULT_PAGES << PAGE_SHIFT);
	unsigned long pfns[ODP_FAULT_PAGES];
	struct dmirror_odp_part *part = walk->part;
	struct hmm_range range = {
		.notifier = &part->notifier,
		.start = addr,
		.end = addr + length,
		.hmm_pfns = pfns,
		.default_flags = HMM_PFN_REQ_FAULT | (walk->write ? HMM_PFN_REQ_WRITE : 0),
		.dev_private_owner = part->region->m->device->dm,
	};
	u64 begin = ktime_get_ns();
	struct dmirror_odp_leaf *leaf;
	int ret;

	if (addr == walk->unmappable)
		return -EIO;
	ret = look_and_lock(part, &range, how, &leaf);
	/* An error belongs to any of the pages: it counts when it is the first one's. */
	if ((ret == -EFAULT || ret == -EPERM) && length > PAGE_SIZE) {
		range.end = addr + PAGE_SIZE;
		ret = look_and_lock(part, &range, how, &leaf);
	}
	if (!ret) {
		ret = install(walk, leaf, &range);
		if (ret)
			mutex_unlock(&part->lock);
	}
	count_fault(walk, ktime_get_ns() - begin);
	return ret;
}
