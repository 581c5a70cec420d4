// SPDX-License-Identifier: GPL-2.0
/*
 * The simulated hardware: memory, its copy engine, and its failures.
 *
 * Coherent memory is real. Private memory is made of system pages, one behind each
 * device page from its first use until its chunk goes: as in a real device,
 * what was in a page stays there until something else is written.
 */
#include <linux/bitmap.h>
#include <linux/delay.h>
#include <linux/highmem.h>
#include <linux/ktime.h>
#include <linux/overflow.h>
#include <linux/slab.h>

#include "dmirror.h"

static struct dmirror_device *device_of(struct hmm_devmem *dm)
{
	return hmm_devmem_private(dm);
}

/**
 * struct dmirror_chunk - what the driver keeps for a chunk
 * @backing: the system page behind each private page; NULL for coherent memory
 * @lost: a bit for each page whose contents are lost, until something is written there
 * @entries: for each page, how many entries the device's page tables have for it
 */
struct dmirror_chunk {
	struct page **backing;
	unsigned long *lost;
	atomic_t entries[];
};

static struct page **backing_slot(struct page *page)
{
	struct hmm_devmem_chunk *chunk = hmm_devmem_page_chunk(page);
	struct dmirror_chunk *own = chunk->private;

	return &own->backing[page_to_pfn(page) - chunk->first_pfn];
}

static void set_contents_lost(struct page *page, bool lost)
{
	struct hmm_devmem_chunk *chunk = hmm_devmem_page_chunk(page);
	struct dmirror_chunk *own = chunk->private;

	assign_bit(page_to_pfn(page) - chunk->first_pfn, own->lost, lost);
}

static bool contents_are_lost(struct page *page)
{
	struct hmm_devmem_chunk *chunk = hmm_devmem_page_chunk(page);
	struct dmirror_chunk *own = chunk->private;

	return test_bit(page_to_pfn(page) - chunk->first_pfn, own->lost);
}

static atomic_t *entries_of(struct page *page)
{
	struct hmm_devmem_chunk *chunk = hmm_devmem_page_chunk(page);
	struct dmirror_chunk *own = chunk->private;

	return &own->entries[page_to_pfn(page) - chunk->first_pfn];
}

/* A page table of the device has @n entries more for a page of the device. */
void dmirror_count_entry(struct page *page, int n)
{
	atomic_add(n, entries_of(page));
}

/* Where the contents of a page are; a private page has to be this driver's. */
struct page *dmirror_backing(struct page *page)
{
	return is_device_private_page(page) ? *backing_slot(page) : page;
}

/* As dmirror_backing(), for a page about to be written the first time. */
static struct page *backing_make(struct page *page)
{
	struct page **slot;

	set_contents_lost(page, false);
	if (!is_device_private_page(page))
		return page;
	slot = backing_slot(page);
	if (!*slot)
		*slot = alloc_page(GFP_HIGHUSER | __GFP_NOWARN);
	return *slot;
}

static int chunk_init(struct hmm_devmem *dm, struct hmm_devmem_chunk *chunk)
{
	struct dmirror_chunk *own;

	own = kvzalloc(struct_size(own, entries, chunk->nr_pages), GFP_KERNEL);
	if (!own)
		return -ENOMEM;
	own->lost = bitmap_zalloc(chunk->nr_pages, GFP_KERNEL);
	if (!own->lost)
		goto free_own;
	if (chunk->pagemap.type == MEMORY_DEVICE_PRIVATE) {
		own->backing = kvcalloc(chunk->nr_pages, sizeof(*own->backing), GFP_KERNEL);
		if (!own->backing)
			goto free_lost;
	}
	chunk->private = own;
	return 0;

free_lost:
	bitmap_free(own->lost);
free_own:
	kvfree(own);
	return -ENOMEM;
}

static void chunk_exit(struct hmm_devmem *dm, struct hmm_devmem_chunk *chunk)
{
	struct dmirror_chunk *own = chunk->private;
	unsigned long i;

	for (i = 0; own->backing && i < chunk->nr_pages; i++)
		if (own->backing[i])
			__free_page(own->backing[i]);
	kvfree(own->backing);
	bitmap_free(own->lost);
	kvfree(own);
	chunk->private = NULL;
}

/* Its last word says that the engine has copied it, and that nobody did so later. */
static void mark_copy(struct page *page)
{
	u64 *words = kmap_local_page(page);
	u64 *last = words + PAGE_SIZE / sizeof(*words) - 1;

	*last = ~*last;
	kunmap_local(words);
}

static int copy_page_pair(struct dmirror_device *device, struct page *dst, struct page *src,
			  enum hmm_devmem_direction direction)
{
	if (dmirror_is_nth(&device->copy_nth)) {
		if (direction != HMM_DEVMEM_TO_SYSTEM ||
		    !(READ_ONCE(device->inject_flags) & HMM_DMIRROR_INJECT_CONTENTS_LOST))
			return -EIO;
		set_contents_lost(src, true);
	}
	if (direction == HMM_DEVMEM_TO_DEVICE) {
		dst = backing_make(dst);
	} else if (direction == HMM_DEVMEM_TO_SYSTEM) {
		if (contents_are_lost(src))
			return -EHWPOISON;
		src = dmirror_backing(src);
	}
	if (!dst)
		return -ENOMEM;
	copy_highpage(dst, src);
	if (READ_ONCE(device->inject_flags) & HMM_DMIRROR_INJECT_MARK_COPIES)
		mark_copy(dst);
	return 0;
}

static int clear_page_of_device(struct dmirror_device *device, struct page *dst)
{
	if (dmirror_is_nth(&device->copy_nth))
		return -EIO;
	dst = backing_make(dst);
	if (!dst)
		return -ENOMEM;
	clear_highpage(dst);
	return 0;
}

void dmirror_delay_engine(struct dmirror_device *device)
{
	u32 delay = READ_ONCE(device->copy_delay_us);

	if (delay)
		fsleep(delay);
}

static void copy(struct hmm_devmem *dm, struct hmm_devmem_copy *pieces, unsigned int n,
		 enum hmm_devmem_direction direction)
{
	struct dmirror_device *device = device_of(dm);
	bool in = direction == HMM_DEVMEM_TO_DEVICE;
	u64 begin = ktime_get_ns(), pages = 0, errors = 0;
	unsigned int i, j;

	dmirror_delay_engine(device);
	for (i = 0; i < n; i++) {
		for (j = 0; j < 1U << pieces[i].order && !pieces[i].error; j++)
			pieces[i].error = copy_page_pair(device, pieces[i].dst + j,
							 pieces[i].src + j, direction);
		pages += j;
		errors += !!pieces[i].error;
	}
	dmirror_count(device, in ? DMIRROR_BATCHES_TO_DEVICE : DMIRROR_BATCHES_TO_SYSTEM, 1);
	dmirror_count(device, in ? DMIRROR_PAGES_TO_DEVICE : DMIRROR_PAGES_TO_SYSTEM,
		      pages - errors);
	dmirror_count(device, DMIRROR_COPY_ERRORS, errors);
	dmirror_took(device, DMIRROR_LONGEST_COPY, ktime_get_ns() - begin);
}

static void clear(struct hmm_devmem *dm, struct hmm_devmem_copy *pieces, unsigned int n)
{
	struct dmirror_device *device = device_of(dm);
	u64 pages = 0, errors = 0;
	unsigned int i, j;

	dmirror_delay_engine(device);
	for (i = 0; i < n; i++) {
		for (j = 0; j < 1U << pieces[i].order && !pieces[i].error; j++)
			pieces[i].error = clear_page_of_device(device, pieces[i].dst + j);
		pages += j;
		errors += !!pieces[i].error;
	}
	dmirror_count(device, DMIRROR_PAGES_CLEARED, pages - errors);
	dmirror_count(device, DMIRROR_COPY_ERRORS, errors);
}

static bool may_alloc(struct hmm_devmem *dm, unsigned int order, void *cookie)
{
	struct dmirror *m = cookie;

	if (m && test_and_clear_bit(ilog2(HMM_DMIRROR_FLAG_FAIL_ALLOC), &m->flags))
		return false;
	return !dmirror_is_nth(&device_of(dm)->alloc_nth);
}

static vm_fault_t cpu_fault(struct hmm_devmem *dm, struct vm_fault *vmf)
{
	struct dmirror_device *device = device_of(dm);

	dmirror_count(device, DMIRROR_CPU_FAULTS, 1);
	if (READ_ONCE(device->inject_flags) & HMM_DMIRROR_INJECT_FAULT_SIGBUS)
		return VM_FAULT_SIGBUS;
	return 0;
}

/*
 * The notifier of each table has cleared its entries by then, and while a page is on
 * its way none can be made: anything else is a bug, here or in the kernel.
 */
static void invalidate(struct hmm_devmem *dm, struct hmm_devmem_copy *pieces, unsigned int n)
{
	struct page *stale = NULL;
	unsigned int i, j;

	for (i = 0; i < n; i++)
		for (j = 0; j < 1U << pieces[i].order; j++)
			if (atomic_read(entries_of(pieces[i].src + j)))
				stale = pieces[i].src + j;
	if (stale)
		dev_WARN(&device_of(dm)->dev, "the device still uses frame %#lx, which leaves it\n",
			 page_to_pfn(stale));
}

const struct hmm_devmem_ops dmirror_devmem_ops = {
	.chunk_init = chunk_init,
	.chunk_exit = chunk_exit,
	.copy = copy,
	.clear = clear,
	.invalidate = invalidate,
	.may_alloc = may_alloc,
	.fault = cpu_fault,
};
