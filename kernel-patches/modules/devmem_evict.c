// SPDX-License-Identifier: GPL-2.0
/*
 * Device pages go back to system memory, whoever maps them.
 */
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>

#include "devmem_internal.h"

static struct folio *alloc_for(struct hmm_devmem *dm, unsigned int order)
{
	gfp_t gfp = GFP_HIGHUSER_MOVABLE | __GFP_NOWARN;

	if (!devmem_may_alloc(dm, order, NULL))
		return NULL;
	/* Without a whole folio a large one cannot leave: the core splits none here. */
	if (order)
		gfp |= __GFP_RETRY_MAYFAIL;
	return folio_alloc(gfp, order);
}

/*
 * The device has lost a part of the large folio that is all of a run: its other
 * pages leave it one by one. The core, which has unmapped the folio, splits it.
 */
static void evict_in_parts(struct hmm_devmem *dm, struct devmem_batch *batch)
{
	struct page *src = migrate_pfn_to_page(batch->src[0]);
	struct folio *folio;
	unsigned int i;

	devmem_batch_reset(batch);
	for (i = 0; i < HMM_DEVMEM_BLOCK_PAGES; i++) {
		folio = alloc_for(dm, 0);
		if (!folio)
			break;
		folio_lock(folio);
		devmem_batch_copy(batch, i, folio_page(folio, 0), src + i, 0);
	}
	if (i == HMM_DEVMEM_BLOCK_PAGES) {
		devmem_batch_run(dm, batch, HMM_DEVMEM_TO_SYSTEM);
		return;
	}
	/* Nothing of it moves. */
	batch->nr_copies = 0;
	while (i-- > 0)
		devmem_batch_drop(batch, i);
}

/*
 * Moves a run of live pages within one block; returns how many went. The core
 * takes every page that has a reference, also one whose contents have moved on
 * and that somebody still holds for a moment: it stays.
 */
static unsigned long evict_run(struct hmm_devmem *dm, struct devmem_batch *batch,
			       unsigned long pfn, unsigned int n)
{
	unsigned long moved = 0;
	unsigned int i, order, nofs;
	struct folio *folio;
	struct page *src;

	/* Page cache is locked meanwhile: reclaim must not wait for a filesystem. */
	nofs = memalloc_nofs_save();
	devmem_batch_reset(batch);
	memset(batch->dst, 0, n * sizeof(*batch->dst));
	migrate_device_range(batch->src, pfn, n);
	for (i = 0; i < n; i++) {
		src = migrate_pfn_to_page(batch->src[i]);
		if (!src || !(batch->src[i] & MIGRATE_PFN_MIGRATE) || !devmem_is_live(src))
			continue;
		order = folio_order(page_folio(src));
		if (hmm_devmem_is_gone(dm)) {
			devmem_batch_lose(batch, i, order);
			continue;
		}
		folio = alloc_for(dm, order);
		if (!folio)
			continue;
		folio_lock(folio);
		devmem_batch_copy(batch, i, folio_page(folio, 0), src, order);
	}
	devmem_batch_run(dm, batch, HMM_DEVMEM_TO_SYSTEM);
	if (batch->torn)
		evict_in_parts(dm, batch);
	migrate_device_pages(batch->src, batch->dst, n);
	devmem_update_live(dm, batch->src, batch->dst, n, HMM_DEVMEM_TO_SYSTEM);
	for (i = 0; i < n; i++)
		if (migrate_pfn_to_page(batch->dst[i]) && (batch->src[i] & MIGRATE_PFN_MIGRATE))
			moved += 1UL << folio_order(page_folio(migrate_pfn_to_page(batch->dst[i])));
	migrate_device_finalize(batch->src, batch->dst, n);
	memalloc_nofs_restore(nofs);
	return moved;
}

/* Whether a folio is in the page cache; only a hint while it is not locked. */
static bool in_page_cache(struct folio *folio)
{
	return !folio_test_anon(folio) && READ_ONCE(folio->mapping);
}

/*
 * Length of the part of a run of live pages that is mapped or in the page cache, from
 * its beginning. Another live page is being moved by somebody, or a device holds it
 * exclusively: before 6.15 that is no mapping to the core, which then takes the
 * exclusive entry for a migration entry and never gives a reference back.
 */
static unsigned int mapped_run(unsigned long pfn, unsigned int n)
{
	struct folio *folio;
	unsigned int i;

	for (i = 0; i < n; i++) {
		folio = page_folio(pfn_to_page(pfn + i));
		if (!folio_mapped(folio) && !in_page_cache(folio))
			break;
	}
	return i;
}

/*
 * One pass over the pages [index, end) of a chunk; returns how many went. A large
 * folio that begins before or ends behind goes whole. It ends early when the caller
 * is being killed.
 */
unsigned long devmem_evict_chunk(struct hmm_devmem *dm, struct hmm_devmem_chunk *chunk,
				 unsigned long index, unsigned long end,
				 struct devmem_batch *batch)
{
	unsigned int n, mapped, step;
	unsigned long moved = 0;

	if (READ_ONCE(dm->lost) && !hmm_devmem_is_gone(dm))
		return 0;
	while (!devmem_is_killed(dm) && (n = devmem_next_live(chunk, &index, end))) {
		step = 1;
		if (folio_test_large(page_folio(pfn_to_page(chunk->first_pfn + index)))) {
			index = ALIGN_DOWN(index, HMM_DEVMEM_BLOCK_PAGES);
			n = HMM_DEVMEM_BLOCK_PAGES;
			step = n;
		}
		mapped = mapped_run(chunk->first_pfn + index, n);
		if (mapped)
			moved += evict_run(dm, batch, chunk->first_pfn + index, mapped);
		/* Behind a page that cannot go, the rest of its run is next. */
		index += max(mapped, step);
		cond_resched();
	}
	return moved;
}

static unsigned long range_live(struct hmm_devmem_chunk *chunk, unsigned long index,
				unsigned long end)
{
	unsigned long live = 0;
	unsigned int n;

	while ((n = devmem_next_live(chunk, &index, end))) {
		live += n;
		index += n;
	}
	return live;
}

/**
 * hmm_devmem_evict() - move device pages to system memory, whoever maps them
 * @dm: the device's memory
 * @first_pfn: first frame number of the range
 * @nr_pages: length of the range; frames that are not the device's are passed over
 * @timeout: how long to try again for pages that others hold, in jiffies
 * @evicted: (out) pages that moved, also when an error is returned; not those
 *	whose contents are lost
 *
 * The memory stays the device's: without a way to keep them out, pages may come
 * in again while this runs. While it waits, chunks may come and go as well.
 *
 * Context: as hmm_devmem_add_chunk().
 * Return: 0 when no page of the range was in use at the end; -EBUSY after the
 * timeout; -ENODEV when the device is lost and its pages are not; -EINTR; -ENOMEM.
 */
int hmm_devmem_evict(struct hmm_devmem *dm, unsigned long first_pfn,
		     unsigned long nr_pages, unsigned long timeout,
		     unsigned long *evicted)
{
	unsigned long deadline = jiffies + timeout;
	unsigned long index, end, left, last_pfn;
	struct hmm_devmem_chunk *chunk;
	struct devmem_batch *batch;
	int ret = 0;

	*evicted = 0;
	if (!nr_pages)
		return 0;
	if (check_add_overflow(first_pfn, nr_pages - 1, &last_pfn))
		last_pfn = ULONG_MAX;
	batch = devmem_batch_alloc();
	if (!batch)
		return -ENOMEM;

	ret = devmem_lock_chunks(dm);
	if (ret)
		goto free_batch;
	for (;;) {
		left = 0;
		list_for_each_entry(chunk, &dm->chunks, link) {
			if (last_pfn < chunk->first_pfn ||
			    first_pfn >= chunk->first_pfn + chunk->nr_pages)
				continue;
			index = max(first_pfn, chunk->first_pfn) - chunk->first_pfn;
			end = min(last_pfn - chunk->first_pfn, chunk->nr_pages - 1) + 1;
			*evicted += devmem_evict_chunk(dm, chunk, index, end, batch);
			left += range_live(chunk, index, end);
		}
		if (!left)
			break;
		if (READ_ONCE(dm->lost) && !hmm_devmem_is_gone(dm))
			ret = -ENODEV;
		else if (time_after_eq(jiffies, deadline))
			ret = -EBUSY;
		else if (devmem_is_killed(dm))
			ret = -EINTR;
		if (ret)
			break;
		devmem_pause(dm);
	}
	mutex_unlock(&dm->chunk_lock);
free_batch:
	devmem_batch_free(batch);
	return ret;
}
EXPORT_SYMBOL_GPL(hmm_devmem_evict);
