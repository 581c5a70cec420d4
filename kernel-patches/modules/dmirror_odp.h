/* SPDX-License-Identifier: GPL-2.0 */
/*
 * On-demand paging: regions with page tables of their own, and an engine that
 * works on them. Nothing here holds a reference to a page.
 *
 * Locks, from the outside in:
 *
 *   poll_lock (mutex)   hands out completions one by one; user memory is touched
 *                       under it
 *   mmap_lock (read)    while a fault looks at the CPU's page table
 *   part.lock (mutex)   the entries of one part; taken in its invalidation, so it
 *                       obeys the rules of dmirror.lock. Never two at once.
 *   queue_lock (spin)   the lists of requests
 *
 * Regions, parts and leaves are found in xarrays, which lock themselves. Notifiers
 * are removed with none of these held.
 */
#ifndef DMIRROR_ODP_H
#define DMIRROR_ODP_H

#include <linux/dma-mapping.h>
#include <linux/list.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

struct dmirror;

/* What one part of an implicit region covers, at a multiple of it. */
#define DMIRROR_ODP_PART_SIZE	(16UL << 20)

/**
 * struct dmirror_odp - on-demand paging of one descriptor
 * @regions: by handle; each entry holds a reference
 * @poll_lock: see above
 * @queue_lock: protects @queued, @completed, @nr_taken, @nr_pending
 * @queued: requests the engine has not begun
 * @completed: requests that are done and not polled
 * @nr_taken: places of the queue in use, from before a request is made until it is
 *	polled
 * @nr_pending: requests posted and not done
 * @wait: woken up when a request is done or a region loses a reference
 * @engine: does the requests, one after the other
 * @closing: the descriptor is being closed: the engine shall stop
 */
struct dmirror_odp {
	struct xarray regions;
	struct mutex poll_lock; /* see above */
	spinlock_t queue_lock; /* see above */
	struct list_head queued;
	struct list_head completed;
	unsigned int nr_taken;
	unsigned int nr_pending;
	wait_queue_head_t wait;
	struct work_struct engine;
	bool closing;
};

/* What a region counts. */
enum dmirror_odp_stat {
	DMIRROR_ODP_REQUESTS,
	DMIRROR_ODP_FAULTS,
	DMIRROR_ODP_RETRIES,
	DMIRROR_ODP_PRESENT,
	DMIRROR_ODP_MAX_FAULT_NS,
	DMIRROR_ODP_PARTS,
	DMIRROR_ODP_INVALIDATIONS,
	DMIRROR_ODP_NR_STATS = DMIRROR_ODP_INVALIDATIONS + 8,
};

/**
 * struct dmirror_odp_region - memory that the engine may reach
 * @m: the descriptor
 * @start: first byte
 * @end: first byte behind it
 * @flags: HMM_DMIRROR_ODP_*
 * @max_retries: attempts of one fault
 * @refs: one for the handle, one for each request that is not done
 * @parts: struct dmirror_odp_part by address / DMIRROR_ODP_PART_SIZE, or one at 0 for
 *	an explicit region; only the engine adds to it
 * @stats: by enum dmirror_odp_stat
 */
struct dmirror_odp_region {
	struct dmirror *m;
	unsigned long start;
	unsigned long end;
	u32 flags;
	u32 max_retries;
	refcount_t refs;
	struct xarray parts;
	atomic64_t stats[DMIRROR_ODP_NR_STATS];
};

/**
 * struct dmirror_odp_part - what one notifier of a region covers
 * @notifier: covers the part
 * @region: whose it is
 * @lock: protects the entries and what they point to: the invalidation takes it, so
 *	a page found in the table under it is mapped, and once the invalidation has
 *	had it the engine has left the range
 * @leaves: the page table; see dmirror_odp_table.c
 */
struct dmirror_odp_part {
	struct mmu_interval_notifier notifier;
	struct dmirror_odp_region *region;
	struct mutex lock; /* see above */
	struct xarray leaves;
};

/**
 * struct dmirror_odp_entry - one page of a part
 * @pte: as in the descriptor's page table: 0, or a frame number and DMIRROR_PTE_*
 * @dma: the page's address for the device; DMA_MAPPING_ERROR for memory of a device
 */
struct dmirror_odp_entry {
	unsigned long pte;
	dma_addr_t dma;
};

/**
 * struct dmirror_odp_walk - one request's way through a region
 * @part: the part it has come to
 * @end: first byte behind what it wants
 * @write: it writes
 * @faults: times it faulted pages in
 * @unmappable: page that could not be mapped for DMA, or ULONG_MAX
 */
struct dmirror_odp_walk {
	struct dmirror_odp_part *part;
	unsigned long end;
	bool write;
	u32 faults;
	unsigned long unmappable;
};

static inline void dmirror_odp_count(struct dmirror_odp_region *region,
				     enum dmirror_odp_stat stat, s64 n)
{
	atomic64_add(n, &region->stats[stat]);
}

/* dmirror_odp.c */
void dmirror_odp_init(struct dmirror *m);
void dmirror_odp_exit(struct dmirror *m);
struct dmirror_odp_region *dmirror_odp_region_get(struct dmirror *m, u32 handle);
void dmirror_odp_region_put(struct dmirror_odp_region *region);

/* dmirror_odp_table.c */
struct dmirror_odp_part *dmirror_odp_part_add(struct dmirror_odp_region *region,
					      unsigned long start, unsigned long end);
void dmirror_odp_part_free(struct dmirror_odp_part *part);
unsigned long dmirror_odp_lookup(struct dmirror_odp_part *part, unsigned long addr);
int dmirror_odp_fault(struct dmirror_odp_walk *walk, unsigned long addr);

/* dmirror_odp_access.c */
int dmirror_odp_transfer(struct dmirror_odp_region *region,
			 const struct hmm_dmirror_odp_request *request, u32 op,
			 unsigned long addr, void *buffer,
			 struct hmm_dmirror_odp_completion *result);

/* dmirror_odp_engine.c */
extern struct workqueue_struct *dmirror_odp_engines;
void dmirror_odp_engine_init(struct dmirror *m);
void dmirror_odp_engine_exit(struct dmirror *m);

#endif
