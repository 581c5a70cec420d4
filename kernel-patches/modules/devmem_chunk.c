// SPDX-License-Identifier: GPL-2.0
/*
 * A device's memory as a whole, and how chunks come.
 */
#include <linux/ioport.h>
#include <linux/memory_hotplug.h>
#include <linux/module.h>
#include <linux/overflow.h>
#include <linux/sched/signal.h>
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
 * A device may be found again only with its memory's contents intact, unless
 * hmm_devmem_set_contents_lost() says that they are not.
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
 * hmm_devmem_set_contents_lost() - say what a lost device has lost
 * @dm: the device's memory
 * @contents_lost: whether the contents of its pages go with it
 *
 * Where the kernel can (HMM_DEVMEM_CAN_LOSE), each page is then given up when the
 * CPU touches it or when memory is evicted or removed, which does not wait for the
 * device: whoever mapped it gets SIGBUS. Elsewhere this has no effect.
 */
void hmm_devmem_set_contents_lost(struct hmm_devmem *dm, bool contents_lost)
{
	WRITE_ONCE(dm->contents_lost, contents_lost);
}
EXPORT_SYMBOL_GPL(hmm_devmem_set_contents_lost);

/**
 * hmm_devmem_is_gone() - whether the device is lost with all that its pages hold
 * @dm: the device's memory
 *
 * Return: true when pages can leave, without their contents.
 */
bool hmm_devmem_is_gone(const struct hmm_devmem *dm)
{
	return HMM_DEVMEM_CAN_LOSE && READ_ONCE(dm->lost) && READ_ONCE(dm->contents_lost);
}
EXPORT_SYMBOL_GPL(hmm_devmem_is_gone);

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
	usage->bad_pages = dm->nr_bad;
	usage->allocated = dm->allocated;
	usage->freed = dm->freed;
	spin_unlock_irq(&dm->lock);
}
EXPORT_SYMBOL_GPL(hmm_devmem_get_usage);

/* Whether to give up because the caller is being killed. */
bool devmem_is_killed(const struct hmm_devmem *dm)
{
	return !dm->leaving && fatal_signal_pending(current);
}

/* Returns 0, or -EINTR without the lock. */
int devmem_lock_chunks(struct hmm_devmem *dm)
{
	if (!dm->leaving)
		return mutex_lock_killable(&dm->chunk_lock);
	mutex_lock(&dm->chunk_lock);
	return 0;
}

/* The chunk that a frame is in. */
struct hmm_devmem_chunk *devmem_find_chunk(struct hmm_devmem *dm, unsigned long pfn)
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
	if (devmem_find_chunk(dm, pfn)) {
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

/* A chunk's structure with as many ranges as it can need, wherever it begins. */
static struct hmm_devmem_chunk *alloc_chunk(unsigned long nr_pages)
{
	struct hmm_devmem_chunk *chunk;

	return kzalloc(struct_size(chunk, pagemap.ranges, nr_pages / PAGES_PER_SECTION + 2),
		       GFP_KERNEL);
}

/*
 * One range for each section: when there is no memory for a later section of one range,
 * the core leaves the earlier ones behind (__add_pages(), up to 7.3 at least), and no
 * memory can be added there until the next boot. Of several ranges it undoes all.
 */
static void set_ranges(struct dev_pagemap *pagemap, u64 start, u64 end)
{
	u64 next;

	for (; start < end; start = next) {
		next = min(end, ALIGN(start + 1, PFN_PHYS(PAGES_PER_SECTION)));
		pagemap->ranges[pagemap->nr_range++] = (struct range){
			.start = start, .end = next - 1,
		};
	}
}

static int add_chunk(struct hmm_devmem *dm, resource_size_t start,
		     unsigned long nr_pages, unsigned long *first_pfn)
{
	struct hmm_devmem_chunk *chunk;
	void *addr;
	int ret;

	lockdep_assert_held(&dm->chunk_lock);
	chunk = alloc_chunk(nr_pages);
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
	set_ranges(&chunk->pagemap, chunk->res->start, chunk->res->start + PFN_PHYS(nr_pages));
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
	chunk->serial = dm->next_serial++;
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
 * address is taken; -ENODEV when the device is lost; -EINTR when the caller is
 * being killed; -ENOMEM; or what the driver's chunk_init returned.
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
	ret = devmem_lock_chunks(dm);
	if (ret)
		return ret;
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
	if (devmem_lock_chunks(dm))
		return;
	/* A chunk with one place only may be there already. */
	if (READ_ONCE(dm->nr_free) < wanted && dm->growth &&
	    !(dm->growth_start && devmem_find_chunk(dm, PHYS_PFN(dm->growth_start))))
		add_chunk(dm, dm->growth_start, dm->growth, NULL);
	mutex_unlock(&dm->chunk_lock);
}

MODULE_DESCRIPTION("Device memory for HMM drivers");
MODULE_LICENSE("GPL");
