// SPDX-License-Identifier: GPL-2.0
/*
 * One round of a migration: the core's two arrays, and what the driver is told
 * of them. Entry i of the core's arrays is page i of the round; a piece refers
 * to it by its index.
 */
#include <linux/slab.h>

#include "devmem_internal.h"

struct devmem_batch *devmem_batch_alloc(void)
{
	struct devmem_batch *batch;
	size_t entry = sizeof(*batch->src) + sizeof(*batch->dst) +
		       sizeof(*batch->pieces) + sizeof(*batch->results);
	void *at;

	/* One allocation: the arrays lie behind the structure, the bytes last. */
	batch = kvmalloc(sizeof(*batch) + HMM_DEVMEM_BATCH * entry, GFP_KERNEL);
	if (!batch)
		return NULL;
	batch->max = HMM_DEVMEM_BATCH;
	batch->large = NULL;
	at = batch + 1;
	batch->pieces = at;
	at += HMM_DEVMEM_BATCH * sizeof(*batch->pieces);
	batch->src = at;
	at += HMM_DEVMEM_BATCH * sizeof(*batch->src);
	batch->dst = at;
	at += HMM_DEVMEM_BATCH * sizeof(*batch->dst);
	batch->results = at;
	return batch;
}

void devmem_batch_free(struct devmem_batch *batch)
{
	if (batch->large)
		folio_put(batch->large);
	kvfree(batch);
}

/* Before each round; src and dst are the core's to write. */
void devmem_batch_reset(struct devmem_batch *batch)
{
	batch->nr_copies = 0;
	batch->nr_clears = 0;
	batch->torn = false;
	if (batch->results)
		memset(batch->results, HMM_DEVMEM_SKIPPED, batch->max);
}

/* The destination is locked, and is what the core is told. */
static void set_destination(struct devmem_batch *batch, unsigned int index,
			    struct page *dst, unsigned int order)
{
	batch->dst[index] = migrate_pfn(page_to_pfn(dst));
	if (order)
		batch->dst[index] |= COMPAT_PFN_COMPOUND;
}

void devmem_batch_copy(struct devmem_batch *batch, unsigned int index,
		       struct page *dst, struct page *src, unsigned int order)
{
	batch->pieces[batch->nr_copies++] = (struct hmm_devmem_copy){
		.dst = dst, .src = src, .order = order, .index = index,
	};
	set_destination(batch, index, dst, order);
}

void devmem_batch_clear(struct devmem_batch *batch, unsigned int index,
			struct page *dst, unsigned int order)
{
	batch->pieces[batch->max - ++batch->nr_clears] = (struct hmm_devmem_copy){
		.dst = dst, .order = order, .index = index,
	};
	set_destination(batch, index, dst, order);
}

/* Gives the destination of an entry up; its page then stays where it is. */
void devmem_batch_drop(struct devmem_batch *batch, unsigned int index)
{
	struct folio *folio = page_folio(migrate_pfn_to_page(batch->dst[index]));

	folio_unlock(folio);
	folio_put(folio);
	batch->dst[index] = 0;
}

/* The contents of a source are lost: the core is told that instead of a destination. */
void devmem_batch_lose(struct devmem_batch *batch, unsigned int index, unsigned int order)
{
	batch->dst[index] = COMPAT_PFN_ERROR;
	if (COMPAT_CONTENTS_LOST && order)
		batch->dst[index] |= COMPAT_PFN_COMPOUND;
}

static void drop_failed(struct devmem_batch *batch, struct hmm_devmem_copy *pieces,
			unsigned int n, enum hmm_devmem_direction direction)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (!pieces[i].error)
			continue;
		if (batch->results)
			memset(batch->results + pieces[i].index,
			       pieces[i].error == -ENOMEM ? HMM_DEVMEM_NO_MEMORY
							  : HMM_DEVMEM_COPY_FAILED,
			       1U << pieces[i].order);
		devmem_batch_drop(batch, pieces[i].index);
		if (pieces[i].error != -EHWPOISON || direction != HMM_DEVMEM_TO_SYSTEM)
			continue;
		/* Which pages of a large folio it is, and which not, is to be asked. */
		if (pieces[i].order)
			batch->torn = true;
		else
			devmem_batch_lose(batch, pieces[i].index, 0);
	}
}

/* Lets the driver copy and clear; what fails gives its destination up. */
void devmem_batch_run(struct hmm_devmem *dm, struct devmem_batch *batch,
		      enum hmm_devmem_direction direction)
{
	struct hmm_devmem_copy *clears = batch->pieces + batch->max - batch->nr_clears;

	if (direction == HMM_DEVMEM_TO_SYSTEM && dm->ops->invalidate && batch->nr_copies)
		dm->ops->invalidate(dm, batch->pieces, batch->nr_copies);
	if (batch->nr_copies)
		dm->ops->copy(dm, batch->pieces, batch->nr_copies, direction);
	if (batch->nr_clears)
		dm->ops->clear(dm, clears, batch->nr_clears);
	drop_failed(batch, batch->pieces, batch->nr_copies, direction);
	drop_failed(batch, clears, batch->nr_clears, direction);
}
