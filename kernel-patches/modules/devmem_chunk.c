// SPDX-License-Identifier: GPL-2.0
/*
 * A device's memory as a whole: chunks come and go.
 */
#include <linux/ioport.h>
#include <linux/memory_hotplug.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "devmem_internal.h"

/* Lets a fault use the driver's functions while the driver may be leaving. */
DEFINE_SRCU(devmem_srcu);

COMPAT_DEFINE_PAGE_FREE(devmem_page_free, devmem_return_page)

static const struct dev_pagemap_ops devmem_pagemap_ops = {
	COMPAT_PAGE_FREE(devmem_page_free),
	.migrate_to_ram = devmem_fault,
};

/**
 * hmm_devmem_create() - make a device's memory, still without a chunk
 * @name: of its regions in /proc/iomem, and in messages
 * @type: MEMORY_DEVICE_PRIVATE or MEMORY_DEVICE_COHERENT
 * @ops: the driver's functions
 * @private: for hmm_devmem_private()
 *
 * The result is also the owner of the pages: it goes into hmm_range's
 * dev_private_owner.
 *
 * Return: the memory, or NULL when there is none for its own structure.
 */
struct hmm_devmem *hmm_devmem_create(const char *name, enum memory_type type,
				     const struct hmm_devmem_ops *ops, void *private)
{
	struct hmm_devmem *dm;

	dm = kzalloc(sizeof(*dm), GFP_KERNEL);
	if (!dm)
		return NULL;
	dm->name = kstrdup(name, GFP_KERNEL);
	if (!dm->name) {
		kfree(dm);
		return NULL;
	}
	dm->type = type;
	dm->ops = ops;
	dm->private = private;
	mutex_init(&dm->chunk_lock);
	INIT_LIST_HEAD(&dm->chunks);
	spin_lock_init(&dm->lock);
	INIT_LIST_HEAD(&dm->partial);
	INIT_LIST_HEAD(&dm->empty);
	init_waitqueue_head(&dm->drained);
	return dm;
}
EXPORT_SYMBOL_GPL(hmm_devmem_create);

/**
 * hmm_devmem_private() - what hmm_devmem_create() was given
 * @dm: the device's memory
 *
 * Return: its argument @private.
 */
void *hmm_devmem_private(const struct hmm_devmem *dm)
{
	return dm->private;
}
EXPORT_SYMBOL_GPL(hmm_devmem_private);

/**
 * hmm_devmem_set_growth() - what a migration does when memory runs out
 * @dm: the device's memory
 * @start: where the new chunk has to be, or 0 for anywhere
 * @nr_pages: size of the new chunk, or 0: memory does not grow
 */
void hmm_devmem_set_growth(struct hmm_devmem *dm, resource_size_t start,
			   unsigned long nr_pages)
{
	mutex_lock(&dm->chunk_lock);
	dm->growth_start = start;
	dm->growth = nr_pages;
	mutex_unlock(&dm->chunk_lock);
}
EXPORT_SYMBOL_GPL(hmm_devmem_set_growth);

/**
 * hmm_devmem_set_lost() - say that the device cannot copy, or can again
 * @dm: the device's memory
 * @lost: nothing can be copied to or from the device
 *
 * While the device is lost nothing moves in either direction, and a CPU's fault
 * for a private page ends in SIGBUS. Pages are given up as processes unmap them.
 * A device may be found again only with its memory's contents intact.
 */
void hmm_devmem_set_lost(struct hmm_devmem *dm, bool lost)
{
	WRITE_ONCE(dm->lost, lost);
}
EXPORT_SYMBOL_GPL(hmm_devmem_set_lost);

/**
 * hmm_devmem_is_lost() - see hmm_devmem_set_lost()
 * @dm: the device's memory
 *
 * Return: whether the device is lost.
 */
bool hmm_devmem_is_lost(const struct hmm_devmem *dm)
{
	return READ_ONCE(dm->lost);
}
EXPORT_SYMBOL_GPL(hmm_devmem_is_lost);

/**
 * hmm_devmem_get_usage() - read the numbers, all at one moment
 * @dm: the device's memory
 * @usage: where they go
 */
void hmm_devmem_get_usage(struct hmm_devmem *dm, struct hmm_devmem_usage *usage)
{
	spin_lock_irq(&dm->lock);
	usage->chunks = dm->nr_chunks;
	usage->pages = dm->nr_pages;
	usage->free_pages = dm->nr_free;
	usage->allocated = dm->allocated;
	usage->freed = dm->freed;
	spin_unlock_irq(&dm->lock);
}
EXPORT_SYMBOL_GPL(hmm_devmem_get_usage);

static struct hmm_devmem_chunk *find_chunk(struct hmm_devmem *dm, unsigned long pfn)
{
	struct hmm_devmem_chunk *chunk;

	lockdep_assert_held(&dm->chunk_lock);
	list_for_each_entry(chunk, &dm->chunks, link)
		if (pfn >= chunk->first_pfn && pfn - chunk->first_pfn < chunk->nr_pages)
			return chunk;
	return NULL;
}

/**
 * hmm_devmem_get_page() - take a reference to a device page that is in use
 * @dm: the device's memory
 * @pfn: the page's frame number
 *
 * The reference keeps the page from being freed or moved; drop it with
 * put_page() soon.
 *
 * Return: the page, or NULL when it is not this device's or nobody uses it.
 */
struct page *hmm_devmem_get_page(struct hmm_devmem *dm, unsigned long pfn)
{
	struct page *page = NULL;
	struct folio *folio;

	mutex_lock(&dm->chunk_lock);
	if (find_chunk(dm, pfn)) {
		page = pfn_to_page(pfn);
		folio = page_folio(page);
		if (!folio_try_get(folio)) {
			page = NULL;
		} else if (page_folio(page) != folio) {
			/* It was split or freed meanwhile. */
			folio_put(folio);
			page = NULL;
		}
	}
	mutex_unlock(&dm->chunk_lock);
	return page;
}
EXPORT_SYMBOL_GPL(hmm_devmem_get_page);

static struct resource *get_region(struct hmm_devmem *dm, resource_size_t start,
				   resource_size_t size)
{
	struct resource *res;

	if (start) {
		res = request_mem_region(start, size, dm->name);
		return res ?: ERR_PTR(-EBUSY);
	}
	return request_free_mem_region(&iomem_resource, size, dm->name);
}

static int add_chunk(struct hmm_devmem *dm, resource_size_t start,
		     unsigned long nr_pages, unsigned long *first_pfn)
{
	struct hmm_devmem_chunk *chunk;
	void *addr;
	int ret;

	lockdep_assert_held(&dm->chunk_lock);
	chunk = kzalloc(sizeof(*chunk), GFP_KERNEL);
	if (!chunk)
		return -ENOMEM;
	chunk->dm = dm;
	chunk->nr_pages = nr_pages;
	chunk->blocks = kvcalloc(nr_pages / HMM_DEVMEM_BLOCK_PAGES,
				 sizeof(*chunk->blocks), GFP_KERNEL);
	if (!chunk->blocks) {
		ret = -ENOMEM;
		goto free_chunk;
	}

	chunk->res = get_region(dm, start, (resource_size_t)nr_pages << PAGE_SHIFT);
	if (IS_ERR(chunk->res)) {
		ret = PTR_ERR(chunk->res);
		goto free_blocks;
	}
	/* A free region may be larger than what was asked for. */
	chunk->first_pfn = PHYS_PFN(chunk->res->start);
	chunk->pagemap.type = dm->type;
	chunk->pagemap.ops = &devmem_pagemap_ops;
	chunk->pagemap.owner = dm;
	chunk->pagemap.nr_range = 1;
	chunk->pagemap.range.start = chunk->res->start;
	chunk->pagemap.range.end = chunk->res->start +
				   ((resource_size_t)nr_pages << PAGE_SHIFT) - 1;
	devmem_blocks_init(chunk);

	if (dm->ops->chunk_init) {
		ret = dm->ops->chunk_init(dm, chunk);
		if (ret)
			goto release_region;
	}
	addr = memremap_pages(&chunk->pagemap, NUMA_NO_NODE);
	if (IS_ERR(addr)) {
		ret = PTR_ERR(addr);
		goto exit_chunk;
	}

	if (first_pfn)
		*first_pfn = chunk->first_pfn;
	list_add_tail(&chunk->link, &dm->chunks);
	devmem_blocks_publish(chunk);
	return 0;

exit_chunk:
	if (dm->ops->chunk_exit)
		dm->ops->chunk_exit(dm, chunk);
release_region:
	release_mem_region(chunk->res->start, resource_size(chunk->res));
free_blocks:
	kvfree(chunk->blocks);
free_chunk:
	kfree(chunk);
	return ret;
}

/**
 * hmm_devmem_add_chunk() - add memory to the device
 * @dm: the device's memory
 * @start: physical address, a multiple of the block size. 0 for private memory:
 *	its address stands for nothing, so any free one does
 * @nr_pages: a multiple of HMM_DEVMEM_BLOCK_PAGES
 * @first_pfn: optional; (out) the chunk's first frame number
 *
 * Context: sleeps; neither mmap_lock nor a folio lock may be held.
 * Return: 0; -EINVAL for a size or an address that is none; -EBUSY when the
 * address is taken; -ENODEV when the device is lost; -ENOMEM; or what the
 * driver's chunk_init returned.
 */
int hmm_devmem_add_chunk(struct hmm_devmem *dm, resource_size_t start,
			 unsigned long nr_pages, unsigned long *first_pfn)
{
	int ret;

	if (!nr_pages || nr_pages % HMM_DEVMEM_BLOCK_PAGES || start % PMD_SIZE ||
	    (!start && dm->type != MEMORY_DEVICE_PRIVATE))
		return -EINVAL;
	if (READ_ONCE(dm->lost))
		return -ENODEV;
	mutex_lock(&dm->chunk_lock);
	ret = add_chunk(dm, start, nr_pages, first_pfn);
	mutex_unlock(&dm->chunk_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(hmm_devmem_add_chunk);

/* Adds a chunk if fewer than @wanted pages are free; best effort. */
void devmem_grow(struct hmm_devmem *dm, unsigned long wanted)
{
	if (READ_ONCE(dm->nr_free) >= wanted || !READ_ONCE(dm->growth))
		return;
	mutex_lock(&dm->chunk_lock);
	/* A chunk with one place only may be there already. */
	if (READ_ONCE(dm->nr_free) < wanted && dm->growth &&
	    !(dm->growth_start && find_chunk(dm, PHYS_PFN(dm->growth_start))))
		add_chunk(dm, dm->growth_start, dm->growth, NULL);
	mutex_unlock(&dm->chunk_lock);
}

/* Says what keeps a chunk: the first few of its pages that did not move. */
static void diagnose(struct hmm_devmem *dm, struct hmm_devmem_chunk *chunk)
{
	unsigned long index = 0;
	unsigned int shown = 0, n;
	struct folio *folio;

	pr_warn("%s: %lu pages of the chunk at pfn 0x%lx are still in use\n",
		dm->name, devmem_chunk_used(chunk), chunk->first_pfn);
	while (shown < 8 && (n = devmem_next_live(chunk, &index, chunk->nr_pages))) {
		folio = page_folio(pfn_to_page(chunk->first_pfn + index));
		pr_warn("%s: pfn 0x%lx and %u more: references %d, mappings %d\n",
			dm->name, chunk->first_pfn + index, n - 1,
			folio_ref_count(folio), compat_folio_mapcount(folio));
		index += n;
		shown++;
	}
}

static int remove_chunk(struct hmm_devmem *dm, struct hmm_devmem_chunk *chunk,
			unsigned long timeout, unsigned long *left)
{
	int ret;

	lockdep_assert_held(&dm->chunk_lock);
	devmem_blocks_retire(chunk);
	ret = devmem_drain_chunk(dm, chunk, timeout);
	if (ret) {
		if (ret == -EBUSY)
			diagnose(dm, chunk);
		if (left)
			*left = devmem_chunk_used(chunk);
		devmem_blocks_publish(chunk);
		return ret;
	}
	list_del(&chunk->link);
	/* Waits for those who are just giving a page back. */
	memunmap_pages(&chunk->pagemap);
	if (dm->ops->chunk_exit)
		dm->ops->chunk_exit(dm, chunk);
	release_mem_region(chunk->res->start, resource_size(chunk->res));
	kvfree(chunk->blocks);
	kfree(chunk);
	return 0;
}

/**
 * hmm_devmem_remove_chunk() - take a chunk from the device
 * @dm: the device's memory
 * @first_pfn: first frame number of the chunk
 * @timeout: how long to wait for pages in use, in jiffies
 * @left: optional; (out) pages still in use when -EBUSY is returned
 *
 * Every page that somebody uses moves to system memory first. What cannot move
 * because it is pinned is waited for; after the timeout the log says which pages
 * those are, and the chunk stays.
 *
 * Context: as hmm_devmem_add_chunk().
 * Return: 0; -ENOENT when there is no such chunk; -EBUSY after the timeout;
 * -ENOMEM.
 */
int hmm_devmem_remove_chunk(struct hmm_devmem *dm, unsigned long first_pfn,
			    unsigned long timeout, unsigned long *left)
{
	struct hmm_devmem_chunk *chunk;
	int ret = -ENOENT;

	mutex_lock(&dm->chunk_lock);
	chunk = find_chunk(dm, first_pfn);
	if (chunk && chunk->first_pfn == first_pfn)
		ret = remove_chunk(dm, chunk, timeout, left);
	mutex_unlock(&dm->chunk_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(hmm_devmem_remove_chunk);

/**
 * hmm_devmem_remove_all() - take every chunk from the device
 * @dm: the device's memory
 * @timeout: how long to wait for pages in use, in jiffies, for each chunk
 *
 * Context: as hmm_devmem_add_chunk().
 * Return: 0, or the first error of hmm_devmem_remove_chunk(); the chunks that
 * could go have gone then.
 */
int hmm_devmem_remove_all(struct hmm_devmem *dm, unsigned long timeout)
{
	struct hmm_devmem_chunk *chunk, *next;
	int err, ret = 0;

	mutex_lock(&dm->chunk_lock);
	list_for_each_entry_safe(chunk, next, &dm->chunks, link) {
		err = remove_chunk(dm, chunk, timeout, NULL);
		ret = ret ?: err;
	}
	mutex_unlock(&dm->chunk_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(hmm_devmem_remove_all);

/**
 * hmm_devmem_destroy() - end a device's memory
 * @dm: the device's memory, not to be used by the driver any more
 * @timeout: how long to wait for pages in use, in jiffies, for each chunk
 *
 * The driver calls nothing of @dm at the same time. Its functions are not called
 * any more when this returns, also when pages are still in use because they
 * cannot move (a device that is lost, or pinned pages). Those pages then have no
 * contents: the CPU's fault for a private one ends in SIGBUS. Their chunks stay
 * until the next boot, and the library with them.
 *
 * Return: 0, or -EBUSY when chunks had to be left behind.
 */
int hmm_devmem_destroy(struct hmm_devmem *dm, unsigned long timeout)
{
	struct hmm_devmem_chunk *chunk;

	if (!hmm_devmem_remove_all(dm, timeout)) {
		kfree(dm->name);
		kfree(dm);
		return 0;
	}
	__module_get(THIS_MODULE);
	WRITE_ONCE(dm->abandoned, true);
	synchronize_srcu(&devmem_srcu);
	mutex_lock(&dm->chunk_lock);
	list_for_each_entry(chunk, &dm->chunks, link) {
		devmem_blocks_retire(chunk);
		if (dm->ops->chunk_exit)
			dm->ops->chunk_exit(dm, chunk);
	}
	mutex_unlock(&dm->chunk_lock);
	return -EBUSY;
}
EXPORT_SYMBOL_GPL(hmm_devmem_destroy);

MODULE_DESCRIPTION("Device memory for HMM drivers");
MODULE_LICENSE("GPL");
