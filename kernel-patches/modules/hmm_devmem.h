/* SPDX-License-Identifier: GPL-2.0 */
/*
 * hmm_devmem: device memory as struct pages, for any driver.
 *
 * A driver makes one struct hmm_devmem for each piece of hardware, adds chunks
 * of memory to it, and moves ranges of a process to the device and back. The
 * library keeps the free pages, talks to the core (memremap_pages(),
 * migrate_vma_*(), migrate_device_*()), answers the CPU's faults, and gets every
 * page back before memory is taken away. The driver brings three functions that
 * only it can write: copy, clear and, if its hardware caches translations by
 * device page, invalidate. Each is called with a whole batch. A page with a memory
 * error (PG_hwpoison, which the core sets whether it is used or not) is not handed
 * out again until its chunk has been removed.
 *
 * Locks, from the outside in:
 *
 *   mmap_lock (read)   a migration, for one batch at a time
 *   chunk_lock (mutex) the list of chunks; serialises adding and removing.
 *                      Never taken under mmap_lock or a folio lock: it is held
 *                      while pages are evicted, which takes both kinds of
 *                      locks of other processes; not while those that somebody
 *                      holds are waited for.
 *   folio locks        taken and released by the core
 *   lock (irq spin)    free pages and counters; the last reference of a device
 *                      page may be dropped in an interrupt handler
 *
 * The driver's functions are called with folio locks held and, but for
 * eviction, under mmap_lock. They may sleep; they must not fault in user memory.
 */
#ifndef HMM_DEVMEM_H
#define HMM_DEVMEM_H

#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/types.h>

#include "compat.h"

/* Memory is managed in blocks of PMD size, the one size of a large folio. */
#define HMM_DEVMEM_BLOCK_ORDER	(PMD_SHIFT - PAGE_SHIFT)
#define HMM_DEVMEM_BLOCK_PAGES	((unsigned int)PTRS_PER_PTE)

/* Most entries that copy, clear and invalidate are called with. */
#define HMM_DEVMEM_BATCH	HMM_DEVMEM_BLOCK_PAGES

/* Whether pages whose contents are lost can be taken from a device. */
#define HMM_DEVMEM_CAN_LOSE	COMPAT_CONTENTS_LOST

/* Whether page cache can go to a device with coherent memory. */
#define HMM_DEVMEM_CAN_TAKE_FILES	COMPAT_FILES_TO_DEVICE

struct hmm_devmem;

/**
 * struct hmm_devmem_copy - one piece of a batch
 * @dst: first page to be written
 * @src: first page to be read; NULL for clear
 * @order: PAGE_SIZE << order bytes are contiguous on both sides
 * @error: (out) 0, or why this piece failed: its pages then stay where they are.
 *	-EHWPOISON: the contents of a device page are lost; where the kernel can
 *	(HMM_DEVMEM_CAN_LOSE), it is taken from the device and its users get SIGBUS.
 *	Of a large piece it is one page at least: all of them are copied again, one by
 *	one, and the driver says the same of the same pages
 * @index: the library's
 */
struct hmm_devmem_copy {
	struct page *dst;
	struct page *src;
	unsigned int order;
	int error;
	unsigned int index;
};

/**
 * enum hmm_devmem_direction - which way a batch goes
 * @HMM_DEVMEM_TO_DEVICE: from system memory to the device
 * @HMM_DEVMEM_TO_SYSTEM: from the device to system memory
 * @HMM_DEVMEM_RENEW: from system memory to other system memory
 */
enum hmm_devmem_direction {
	HMM_DEVMEM_TO_DEVICE,
	HMM_DEVMEM_TO_SYSTEM,
	HMM_DEVMEM_RENEW,
};

/**
 * struct hmm_devmem_chunk - a range of device pages
 * @dm: whose it is
 * @first_pfn: frame number of the first page
 * @nr_pages: number of pages, a multiple of HMM_DEVMEM_BLOCK_PAGES
 * @private: the driver's; set in its chunk_init
 * @pagemap: what the core knows of it; last, for its ranges
 */
struct hmm_devmem_chunk {
	struct hmm_devmem *dm;
	unsigned long first_pfn;
	unsigned long nr_pages;
	void *private;

	/* private: the library's, see devmem_internal.h */
	struct list_head link;
	struct resource *res;
	u64 serial;
	unsigned int removers;
	unsigned long nr_used;
	unsigned long nr_bad;
	bool retired;
	struct hmm_devmem_block *blocks;

	/* public: */
	struct dev_pagemap pagemap;
};

/**
 * struct hmm_devmem_ops - what a driver brings
 * @chunk_init: optional; a chunk is about to be added
 * @chunk_exit: optional; a chunk is gone, nobody can reach its pages any more
 * @copy: copy @n pieces; return when all are done. The pages are locked and not
 *	mapped, so nobody changes them. Sets @error of each piece that failed.
 * @clear: likewise, fill device pages with zeros
 * @invalidate: optional; the device must not use these device pages (in @src)
 *	any more when this returns: they are about to be copied to system memory.
 *	A driver whose page tables follow an MMU interval notifier has dropped
 *	them by then.
 * @may_alloc: optional; asked before each allocation that a migration makes, on
 *	either side; false makes it fail. For a range of a block's size a folio of
 *	HMM_DEVMEM_BLOCK_ORDER is asked for first, and its refusal just means
 *	small pages. @cookie is that of the request, NULL for a fault or an
 *	eviction.
 * @fault: optional; the CPU touched a private page. Anything but 0 is returned
 *	to the fault's origin and the page is left alone.
 */
struct hmm_devmem_ops {
	int (*chunk_init)(struct hmm_devmem *dm, struct hmm_devmem_chunk *chunk);
	void (*chunk_exit)(struct hmm_devmem *dm, struct hmm_devmem_chunk *chunk);
	void (*copy)(struct hmm_devmem *dm, struct hmm_devmem_copy *pieces,
		     unsigned int n, enum hmm_devmem_direction direction);
	void (*clear)(struct hmm_devmem *dm, struct hmm_devmem_copy *pieces,
		      unsigned int n);
	void (*invalidate)(struct hmm_devmem *dm, struct hmm_devmem_copy *pieces,
			   unsigned int n);
	bool (*may_alloc)(struct hmm_devmem *dm, unsigned int order, void *cookie);
	vm_fault_t (*fault)(struct hmm_devmem *dm, struct vm_fault *vmf);
};

/**
 * enum hmm_devmem_result - what became of one page of a request
 * @HMM_DEVMEM_SKIPPED: the core did not offer it: nothing to move there, or it
 *	is locked, pinned or in use elsewhere
 * @HMM_DEVMEM_MOVED: it moved
 * @HMM_DEVMEM_NO_MEMORY: no memory for its destination
 * @HMM_DEVMEM_COPY_FAILED: the driver could not copy or clear it
 * @HMM_DEVMEM_REFUSED: the core changed its mind after the copy
 * @HMM_DEVMEM_CONTENTS_LOST: its contents are lost; it has left the device, and an
 *	access of the CPU is a SIGBUS, unless a file has it on a disk
 */
enum hmm_devmem_result {
	HMM_DEVMEM_SKIPPED,
	HMM_DEVMEM_MOVED,
	HMM_DEVMEM_NO_MEMORY,
	HMM_DEVMEM_COPY_FAILED,
	HMM_DEVMEM_REFUSED,
	HMM_DEVMEM_CONTENTS_LOST,
};

/**
 * struct hmm_devmem_request - a range that is to move
 * @mm: whose address space; the caller holds a reference (mmget())
 * @start: first byte, page aligned
 * @end: first byte behind the range, page aligned
 * @results: optional; one enum hmm_devmem_result for each page is stored here
 * @files: page cache moves, too. Without HMM_DEVMEM_CAN_TAKE_FILES the kernel takes
 *	none to a device, and hmm_devmem_renew() damages that of some filesystems.
 *	What is on the device comes back in any case.
 * @cookie: handed to ops->may_alloc
 * @moved: (out) number of pages that moved, also when an error is returned
 */
struct hmm_devmem_request {
	struct mm_struct *mm;
	unsigned long start;
	unsigned long end;
	u8 *results;
	bool files;
	void *cookie;
	unsigned long moved;
};

/**
 * struct hmm_devmem_usage - numbers of a device's memory
 * @chunks: chunks
 * @pages: pages in them
 * @free_pages: pages nobody uses
 * @bad_pages: pages with a memory error that nobody uses, or will
 * @allocated: pages ever handed out
 * @freed: pages ever given back; equals @allocated when nothing is in use
 */
struct hmm_devmem_usage {
	unsigned long chunks;
	unsigned long pages;
	unsigned long free_pages;
	unsigned long bad_pages;
	u64 allocated;
	u64 freed;
};

/* devmem_chunk.c */
struct hmm_devmem *hmm_devmem_create(const char *name, enum memory_type type,
				     const struct hmm_devmem_ops *ops, void *private);
void *hmm_devmem_private(const struct hmm_devmem *dm);
int hmm_devmem_add_chunk(struct hmm_devmem *dm, resource_size_t start,
			 unsigned long nr_pages, unsigned long *first_pfn);
void hmm_devmem_set_growth(struct hmm_devmem *dm, resource_size_t start,
			   unsigned long nr_pages);
void hmm_devmem_set_lost(struct hmm_devmem *dm, bool lost);
bool hmm_devmem_is_lost(const struct hmm_devmem *dm);
void hmm_devmem_set_contents_lost(struct hmm_devmem *dm, bool contents_lost);
bool hmm_devmem_is_gone(const struct hmm_devmem *dm);
struct page *hmm_devmem_get_page(struct hmm_devmem *dm, unsigned long pfn);
void hmm_devmem_get_usage(struct hmm_devmem *dm, struct hmm_devmem_usage *usage);

/* devmem_remove.c */
int hmm_devmem_remove_chunk(struct hmm_devmem *dm, unsigned long first_pfn,
			    unsigned long timeout, unsigned long *left);
int hmm_devmem_remove_all(struct hmm_devmem *dm, unsigned long timeout);
int hmm_devmem_destroy(struct hmm_devmem *dm, unsigned long timeout);

/* devmem_migrate.c */
int hmm_devmem_to_device(struct hmm_devmem *dm, struct hmm_devmem_request *req);
int hmm_devmem_to_system(struct hmm_devmem *dm, struct hmm_devmem_request *req);
int hmm_devmem_renew(struct hmm_devmem *dm, struct hmm_devmem_request *req);

/* devmem_evict.c */
int hmm_devmem_evict(struct hmm_devmem *dm, unsigned long first_pfn,
		     unsigned long nr_pages, unsigned long timeout,
		     unsigned long *evicted);

/**
 * hmm_devmem_page_is_ours() - whether a page is memory of this device
 * @dm: the device
 * @page: any page that the caller keeps from being freed
 *
 * Other drivers' pages may be asked about: only the pagemap's owner is read.
 *
 * Return: true for a page of one of the device's chunks.
 */
static inline bool hmm_devmem_page_is_ours(const struct hmm_devmem *dm,
					   const struct page *page)
{
	return is_zone_device_page(page) && compat_page_pgmap(page)->owner == dm;
}

/**
 * hmm_devmem_page_chunk() - the chunk of a page that is a driver's own
 * @page: a page of a chunk
 *
 * Return: the chunk.
 */
static inline struct hmm_devmem_chunk *hmm_devmem_page_chunk(const struct page *page)
{
	return container_of(compat_page_pgmap(page), struct hmm_devmem_chunk, pagemap);
}

#endif
