/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of hmm_devmem share and its users do not see. */
#ifndef DEVMEM_INTERNAL_H
#define DEVMEM_INTERNAL_H

#include <linux/bitmap.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/srcu.h>

#include "hmm_devmem.h"

/**
 * struct hmm_devmem_block - the pages of one PMD's size
 * @link: in dm->empty when all are free, in dm->partial when some are, in no
 *	list (list_empty()) when none is or the chunk is retired
 * @chunk: whose it is
 * @nr_free: number of zero bits in @used
 * @used: one bit for each page that is handed out, and for each that is not any more
 *	because of a memory error
 * @live: one bit for each of those that holds somebody's memory: since the core
 *	has mapped it, until its contents have moved on. A page that is used but
 *	not live waits for its last reference only, and must not be moved: there
 *	is nothing of it in any page table.
 *
 * Protected by dm->lock; a bit of @live changes under its page's lock as well.
 */
struct hmm_devmem_block {
	struct list_head link;
	struct hmm_devmem_chunk *chunk;
	unsigned int nr_free;
	DECLARE_BITMAP(used, HMM_DEVMEM_BLOCK_PAGES);
	DECLARE_BITMAP(live, HMM_DEVMEM_BLOCK_PAGES);
};

/**
 * struct hmm_devmem - one device's memory
 * @ops: the driver's functions
 * @abandoned: the driver has gone while pages were still in use (see
 *	hmm_devmem_destroy()). Faults read it under devmem_srcu: nothing else
 *	keeps the driver there.
 * @type: private or coherent
 * @private: the driver's
 * @name: of the memory regions and in messages; its own copy, because regions may
 *	outlive the driver
 * @growth_start: see hmm_devmem_set_growth()
 * @growth: pages that a migration adds at once when memory runs out, or 0
 * @lost: the device cannot copy any more
 * @contents_lost: when the device is lost, so is what its pages hold
 * @had_large: a large folio has been on the device; until then nobody looks for
 *	memory to bring one back to
 * @leaving: hmm_devmem_destroy() has begun, and finishes also when its caller is
 *	being killed: a driver that is unloaded must not leave memory behind for that
 * @chunk_lock: protects @chunks, @next_serial and the removers of the chunks;
 *	serialises adding and removing. It is dropped while pages that somebody
 *	holds are waited for.
 * @chunks: all chunks, in the order they were added
 * @next_serial: number of the next chunk
 * @lock: protects everything below, the blocks, and nr_used, nr_bad and retired of the
 *	chunks
 * @partial: blocks with some free pages
 * @empty: blocks with all pages free
 * @nr_pages: pages in all chunks that are not retired
 * @nr_free: free pages among those
 * @nr_bad: pages among those with a memory error and without a user
 * @nr_chunks: number of chunks that are not retired
 * @allocated: see struct hmm_devmem_usage
 * @freed: see struct hmm_devmem_usage
 */
struct hmm_devmem {
	const struct hmm_devmem_ops *ops;
	bool abandoned;
	enum memory_type type;
	void *private;
	const char *name;
	resource_size_t growth_start;
	unsigned long growth;
	bool lost;
	bool contents_lost;
	bool had_large;
	bool leaving;

	struct mutex chunk_lock; /* see above */
	struct list_head chunks;
	u64 next_serial;

	spinlock_t lock; /* see above */
	struct list_head partial;
	struct list_head empty;
	unsigned long nr_pages;
	unsigned long nr_free;
	unsigned long nr_bad;
	unsigned long nr_chunks;
	u64 allocated;
	u64 freed;
};

extern struct srcu_struct devmem_srcu;

/**
 * struct devmem_batch - one round of a migration
 * @src: the core's source entries
 * @dst: the core's destination entries
 * @pieces: for the driver: copies from the front, clears from the back
 * @results: one enum hmm_devmem_result for each entry, or NULL
 * @max: room in each of the arrays
 * @nr_copies: copies in @pieces
 * @nr_clears: clears in @pieces
 * @torn: the device has lost a part of a large folio, which is to be copied page by page
 * @large: system folio that the last round did not need, or NULL
 */
struct devmem_batch {
	unsigned long *src;
	unsigned long *dst;
	struct hmm_devmem_copy *pieces;
	u8 *results;
	unsigned int max;
	unsigned int nr_copies;
	unsigned int nr_clears;
	bool torn;
	struct folio *large;
};

/* devmem_alloc.c */
void devmem_blocks_init(struct hmm_devmem_chunk *chunk);
void devmem_blocks_publish(struct hmm_devmem_chunk *chunk);
void devmem_blocks_retire(struct hmm_devmem_chunk *chunk);
unsigned long devmem_chunk_used(struct hmm_devmem_chunk *chunk);
unsigned int devmem_alloc_pages(struct hmm_devmem *dm, struct page **pages,
				unsigned int n);
struct page *devmem_alloc_large(struct hmm_devmem *dm);
void devmem_return_page(struct page *page, unsigned int order);
void devmem_update_live(struct hmm_devmem *dm, const unsigned long *src,
			const unsigned long *dst, unsigned long n,
			enum hmm_devmem_direction direction);
bool devmem_is_live(struct page *page);
unsigned int devmem_next_live(struct hmm_devmem_chunk *chunk, unsigned long *index,
			      unsigned long end);

/* devmem_chunk.c */
void devmem_grow(struct hmm_devmem *dm, unsigned long wanted);
int devmem_lock_chunks(struct hmm_devmem *dm);
bool devmem_is_killed(const struct hmm_devmem *dm);
struct hmm_devmem_chunk *devmem_find_chunk(struct hmm_devmem *dm, unsigned long pfn);

/* devmem_remove.c */
void devmem_pause(struct hmm_devmem *dm);

/* devmem_migrate.c */
int devmem_move_to_system(struct hmm_devmem *dm, struct migrate_vma *args,
			  struct devmem_batch *batch, void *cookie);
bool devmem_may_alloc(struct hmm_devmem *dm, unsigned int order, void *cookie);

/* devmem_batch.c */
struct devmem_batch *devmem_batch_alloc(void);
void devmem_batch_free(struct devmem_batch *batch);
void devmem_batch_reset(struct devmem_batch *batch);
void devmem_batch_copy(struct devmem_batch *batch, unsigned int index,
		       struct page *dst, struct page *src, unsigned int order);
void devmem_batch_clear(struct devmem_batch *batch, unsigned int index,
			struct page *dst, unsigned int order);
void devmem_batch_run(struct hmm_devmem *dm, struct devmem_batch *batch,
		      enum hmm_devmem_direction direction);
void devmem_batch_drop(struct devmem_batch *batch, unsigned int index);
void devmem_batch_lose(struct devmem_batch *batch, unsigned int index, unsigned int order);

/* devmem_fault.c */
vm_fault_t devmem_fault(struct vm_fault *vmf);

/* devmem_evict.c */
unsigned long devmem_evict_chunk(struct hmm_devmem *dm, struct hmm_devmem_chunk *chunk,
				 unsigned long index, unsigned long end,
				 struct devmem_batch *batch);

#endif
