// SPDX-License-Identifier: GPL-2.0
/*
 * Free device pages.
 *
 * A block is the unit of the lists: a small page is taken from a partly used
 * block if there is one, so that whole blocks stay free for large folios, and a
 * block is whole again as soon as its last page is given back.
 *
 * A page that is handed out has no reference yet. It is either initialised, and
 * comes back through the core's free method, or returned as it is.
 */
#include "devmem_internal.h"

static void block_link(struct hmm_devmem *dm, struct hmm_devmem_block *block)
{
	list_del_init(&block->link);
	if (block->chunk->retired || !block->nr_free)
		return;
	if (block->nr_free == HMM_DEVMEM_BLOCK_PAGES)
		list_add(&block->link, &dm->empty);
	else
		list_add(&block->link, &dm->partial);
}

static struct page *block_page(struct hmm_devmem_block *block, unsigned int bit)
{
	struct hmm_devmem_chunk *chunk = block->chunk;
	unsigned long index = (block - chunk->blocks) * HMM_DEVMEM_BLOCK_PAGES;

	return pfn_to_page(chunk->first_pfn + index + bit);
}

/* Marks @n pages from @bit on as handed out. */
static void block_take(struct hmm_devmem *dm, struct hmm_devmem_block *block,
		       unsigned int bit, unsigned int n)
{
	lockdep_assert_held(&dm->lock);
	bitmap_set(block->used, bit, n);
	block->nr_free -= n;
	block->chunk->nr_used += n;
	dm->nr_free -= n;
	dm->allocated += n;
}

/* Takes a page that nobody uses out of service, until its chunk has gone. */
static void block_set_bad(struct hmm_devmem *dm, struct hmm_devmem_block *block,
			  unsigned int bit)
{
	lockdep_assert_held(&dm->lock);
	set_bit(bit, block->used);
	block->chunk->nr_bad++;
	if (!block->chunk->retired)
		dm->nr_bad++;
}

/* Prepares the blocks of a new chunk: all free, in no list. */
void devmem_blocks_init(struct hmm_devmem_chunk *chunk)
{
	unsigned long i, n = chunk->nr_pages / HMM_DEVMEM_BLOCK_PAGES;

	chunk->retired = true;
	for (i = 0; i < n; i++) {
		INIT_LIST_HEAD(&chunk->blocks[i].link);
		chunk->blocks[i].chunk = chunk;
		chunk->blocks[i].nr_free = HMM_DEVMEM_BLOCK_PAGES;
	}
}

/* Lets pages of the chunk be handed out, also again after it was retired. */
void devmem_blocks_publish(struct hmm_devmem_chunk *chunk)
{
	struct hmm_devmem *dm = chunk->dm;
	unsigned long i, n = chunk->nr_pages / HMM_DEVMEM_BLOCK_PAGES;

	spin_lock_irq(&dm->lock);
	chunk->retired = false;
	for (i = n; i-- > 0;)
		block_link(dm, &chunk->blocks[i]);
	dm->nr_pages += chunk->nr_pages;
	dm->nr_free += chunk->nr_pages - chunk->nr_used - chunk->nr_bad;
	dm->nr_bad += chunk->nr_bad;
	dm->nr_chunks++;
	spin_unlock_irq(&dm->lock);
}

/* No page of the chunk is handed out from now on. */
void devmem_blocks_retire(struct hmm_devmem_chunk *chunk)
{
	struct hmm_devmem *dm = chunk->dm;
	unsigned long i, n = chunk->nr_pages / HMM_DEVMEM_BLOCK_PAGES;

	spin_lock_irq(&dm->lock);
	chunk->retired = true;
	for (i = 0; i < n; i++)
		block_link(dm, &chunk->blocks[i]);
	dm->nr_pages -= chunk->nr_pages;
	dm->nr_free -= chunk->nr_pages - chunk->nr_used - chunk->nr_bad;
	dm->nr_bad -= chunk->nr_bad;
	dm->nr_chunks--;
	spin_unlock_irq(&dm->lock);
}

unsigned long devmem_chunk_used(struct hmm_devmem_chunk *chunk)
{
	unsigned long used;

	spin_lock_irq(&chunk->dm->lock);
	used = chunk->nr_used;
	spin_unlock_irq(&chunk->dm->lock);
	return used;
}

/* Takes up to @n pages off the lists; returns how many there were. */
unsigned int devmem_alloc_pages(struct hmm_devmem *dm, struct page **pages,
				unsigned int n)
{
	struct hmm_devmem_block *block;
	unsigned int got = 0, bit;

	spin_lock_irq(&dm->lock);
	while (got < n) {
		block = list_first_entry_or_null(&dm->partial, struct hmm_devmem_block, link);
		if (!block)
			block = list_first_entry_or_null(&dm->empty,
							 struct hmm_devmem_block, link);
		if (!block)
			break;
		for_each_clear_bit(bit, block->used, HMM_DEVMEM_BLOCK_PAGES) {
			if (got == n)
				break;
			if (unlikely(PageHWPoison(block_page(block, bit)))) {
				block_set_bad(dm, block, bit);
				block->nr_free--;
				dm->nr_free--;
				continue;
			}
			block_take(dm, block, bit, 1);
			pages[got++] = block_page(block, bit);
		}
		block_link(dm, block);
	}
	spin_unlock_irq(&dm->lock);
	return got;
}

/* Takes a whole block off the lists; returns its first page, or NULL. */
struct page *devmem_alloc_large(struct hmm_devmem *dm)
{
	struct hmm_devmem_block *block;
	struct page *page = NULL;

	spin_lock_irq(&dm->lock);
	block = list_first_entry_or_null(&dm->empty, struct hmm_devmem_block, link);
	if (block) {
		block_take(dm, block, 0, HMM_DEVMEM_BLOCK_PAGES);
		block_link(dm, block);
		page = block_page(block, 0);
	}
	spin_unlock_irq(&dm->lock);
	return page;
}

static struct hmm_devmem_block *page_block(struct page *page, unsigned int *bit)
{
	struct hmm_devmem_chunk *chunk = hmm_devmem_page_chunk(page);
	unsigned long index = page_to_pfn(page) - chunk->first_pfn;

	*bit = index % HMM_DEVMEM_BLOCK_PAGES;
	return &chunk->blocks[index / HMM_DEVMEM_BLOCK_PAGES];
}

/* Puts pages back; called in any context, also when a chunk is retired. */
void devmem_return_page(struct page *page, unsigned int order)
{
	unsigned int bit, n = 1U << order;
	struct hmm_devmem_block *block = page_block(page, &bit);
	struct hmm_devmem_chunk *chunk = block->chunk;
	struct hmm_devmem *dm = chunk->dm;
	unsigned long flags;

	spin_lock_irqsave(&dm->lock, flags);
	WARN_ON_ONCE(!test_bit(bit, block->used));
	bitmap_clear(block->used, bit, n);
	bitmap_clear(block->live, bit, n);
	chunk->nr_used -= n;
	dm->freed += n;
	/* Only small pages, those of coherent memory, get the flag. */
	if (unlikely(!order && PageHWPoison(page))) {
		block_set_bad(dm, block, bit);
		goto unlock;
	}
	block->nr_free += n;
	if (!chunk->retired) {
		dm->nr_free += n;
		/* The lists change only when the block's kind does. */
		if (block->nr_free == n || block->nr_free == HMM_DEVMEM_BLOCK_PAGES)
			block_link(dm, block);
	}
unlock:
	spin_unlock_irqrestore(&dm->lock, flags);
}

/*
 * After the core has changed the mappings, and before the pages are unlocked: what
 * moved to the device is live there, what moved away is not any more.
 */
void devmem_update_live(struct hmm_devmem *dm, const unsigned long *src,
			const unsigned long *dst, unsigned long n,
			enum hmm_devmem_direction direction)
{
	bool in = direction == HMM_DEVMEM_TO_DEVICE;
	struct hmm_devmem_block *block;
	unsigned int bit, pages;
	unsigned long i;

	if (direction == HMM_DEVMEM_RENEW)
		return;
	spin_lock_irq(&dm->lock);
	for (i = 0; i < n; i++) {
		if (!dst[i] || !(src[i] & MIGRATE_PFN_MIGRATE))
			continue;
		block = page_block(migrate_pfn_to_page(in ? dst[i] : src[i]), &bit);
		pages = dst[i] & COMPAT_PFN_COMPOUND ? HMM_DEVMEM_BLOCK_PAGES : 1;
		if (in)
			bitmap_set(block->live, bit, pages);
		else
			bitmap_clear(block->live, bit, pages);
	}
	spin_unlock_irq(&dm->lock);
}

/* Whether a device page that the caller has locked holds somebody's memory. */
bool devmem_is_live(struct page *page)
{
	unsigned int bit;
	struct hmm_devmem_block *block = page_block(page, &bit);

	return test_bit(bit, block->live);
}

/*
 * Finds the next run of live pages at or behind *index and before @end, within one
 * block. Returns its length, 0 when there is none; *index is its beginning.
 */
unsigned int devmem_next_live(struct hmm_devmem_chunk *chunk, unsigned long *index,
			      unsigned long end)
{
	struct hmm_devmem_block *block;
	unsigned int first, last, limit;
	unsigned long base;

	for (; *index < end; *index = base + HMM_DEVMEM_BLOCK_PAGES) {
		base = ALIGN_DOWN(*index, HMM_DEVMEM_BLOCK_PAGES);
		block = &chunk->blocks[base / HMM_DEVMEM_BLOCK_PAGES];
		limit = min(end - base, (unsigned long)HMM_DEVMEM_BLOCK_PAGES);

		spin_lock_irq(&chunk->dm->lock);
		first = find_next_bit(block->live, limit, *index - base);
		last = find_next_zero_bit(block->live, limit, first);
		spin_unlock_irq(&chunk->dm->lock);
		if (first < limit) {
			*index = base + first;
			return last - first;
		}
	}
	return 0;
}
