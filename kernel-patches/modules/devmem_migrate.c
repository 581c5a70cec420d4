// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges of a process go to the device and come back.
 *
 * A range is cut at the boundaries of blocks, so that a round holds at most one
 * large folio, and that one is all of the round. Memory for it is taken before
 * the core is asked: only a round that has it asks for folios of PMD size. All
 * others have the core split what is large before anything is unmapped. (Left to
 * split a folio that is unmapped already, the core of 7.2 and 7.3 forgets other
 * processes that map it.)
 */
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>

#include "devmem_internal.h"

bool devmem_may_alloc(struct hmm_devmem *dm, unsigned int order, void *cookie)
{
	return !dm->ops->may_alloc || dm->ops->may_alloc(dm, order, cookie);
}

/*
 * Whether a round may be one large folio. The driver is asked for every round of
 * that size, so that its answers mean the same on all bases and kinds of memory.
 * No coherent one is made: the core cannot bring it back whole.
 */
static bool wants_large(struct hmm_devmem *dm, struct vm_area_struct *vma,
			unsigned long start, unsigned long end, void *cookie)
{
	if (!IS_ALIGNED(start, PMD_SIZE) || end - start != PMD_SIZE ||
	    (vma->vm_flags & VM_NOHUGEPAGE) ||
	    !devmem_may_alloc(dm, HMM_DEVMEM_BLOCK_ORDER, cookie))
		return false;
	return COMPAT_LARGE_DEVICE_FOLIOS && dm->type == MEMORY_DEVICE_PRIVATE;
}

static void set_result(struct devmem_batch *batch, unsigned int index, unsigned int order,
		       enum hmm_devmem_result result)
{
	if (batch->results)
		memset(batch->results + index, result, 1U << order);
}

/*
 * Second half of every round: lets the core change the mappings and counts what
 * moved.
 */
static unsigned long finish(struct hmm_devmem *dm, struct migrate_vma *args,
			    struct devmem_batch *batch, enum hmm_devmem_direction direction)
{
	unsigned long i, moved = 0;
	unsigned int order;

	migrate_vma_pages(args);
	devmem_update_live(dm, batch->src, batch->dst, args->npages, direction);
	for (i = 0; i < args->npages; i += 1UL << order) {
		order = batch->dst[i] & COMPAT_PFN_COMPOUND ? HMM_DEVMEM_BLOCK_ORDER : 0;
		if (!batch->dst[i])
			continue;
		if (!migrate_pfn_to_page(batch->dst[i])) {
			set_result(batch, i, order,
				   batch->src[i] & MIGRATE_PFN_MIGRATE ? HMM_DEVMEM_CONTENTS_LOST
								       : HMM_DEVMEM_COPY_FAILED);
			continue;
		}
		if (batch->src[i] & MIGRATE_PFN_MIGRATE) {
			set_result(batch, i, order, HMM_DEVMEM_MOVED);
			moved += 1UL << order;
		} else {
			set_result(batch, i, order, HMM_DEVMEM_REFUSED);
		}
	}
	migrate_vma_finalize(args);
	return moved;
}

/* One page or folio of a round to the device; a source that is NULL is zeros. */
static void send(struct devmem_batch *batch, unsigned int index, struct page *dst,
		 unsigned int order)
{
	struct page *src = migrate_pfn_to_page(batch->src[index]);

	compat_device_page_init(dst, compat_page_pgmap(dst), order);
	if (src)
		devmem_batch_copy(batch, index, dst, src, order);
	else
		devmem_batch_clear(batch, index, dst, order);
}

/* Finds device pages for every small page that the core offers. */
static void send_small(struct hmm_devmem *dm, struct devmem_batch *batch,
		       unsigned long npages, struct page **pages, void *cookie)
{
	unsigned int wanted = 0, got, next = 0;
	unsigned long i;

	for (i = 0; i < npages; i++)
		if (batch->src[i] & MIGRATE_PFN_MIGRATE)
			wanted++;
	got = devmem_alloc_pages(dm, pages, wanted);
	for (i = 0; i < npages; i++) {
		if (!(batch->src[i] & MIGRATE_PFN_MIGRATE))
			continue;
		if (next < got && devmem_may_alloc(dm, 0, cookie))
			send(batch, i, pages[next++], 0);
		else
			set_result(batch, i, 0, HMM_DEVMEM_NO_MEMORY);
	}
	while (next < got)
		devmem_return_page(pages[next++], 0);
}

static int round_to_device(struct hmm_devmem *dm, struct hmm_devmem_request *req,
			   struct vm_area_struct *vma, unsigned long start,
			   unsigned long end, struct devmem_batch *batch,
			   struct page **pages)
{
	struct migrate_vma args = {
		.vma = vma, .start = start, .end = end,
		.src = batch->src, .dst = batch->dst,
		.pgmap_owner = dm, .flags = MIGRATE_VMA_SELECT_SYSTEM,
	};
	struct page *large = NULL;
	unsigned int nofs;
	int ret;

	if (wants_large(dm, vma, start, end, req->cookie))
		large = devmem_alloc_large(dm);
	if (large)
		args.flags |= COMPAT_SELECT_COMPOUND;
	if (req->files)
		args.flags |= COMPAT_SELECT_FILE;

	/* Page cache may be locked meanwhile: reclaim must not wait for a filesystem. */
	nofs = memalloc_nofs_save();
	ret = migrate_vma_setup(&args);
	if (!ret && args.cpages) {
		if (large && (batch->src[0] & COMPAT_PFN_COMPOUND)) {
			if (batch->src[0] & MIGRATE_PFN_MIGRATE) {
				send(batch, 0, large, HMM_DEVMEM_BLOCK_ORDER);
				WRITE_ONCE(dm->had_large, true);
				large = NULL;
			}
		} else {
			send_small(dm, batch, args.npages, pages, req->cookie);
		}
		devmem_batch_run(dm, batch, HMM_DEVMEM_TO_DEVICE);
		req->moved += finish(dm, &args, batch, HMM_DEVMEM_TO_DEVICE);
	}
	memalloc_nofs_restore(nofs);
	if (large)
		devmem_return_page(large, HMM_DEVMEM_BLOCK_ORDER);
	return ret;
}

/* Memory for every small page that leaves the device, or for none of them. */
static int receive_small(struct hmm_devmem *dm, struct migrate_vma *args,
			 struct devmem_batch *batch, void *cookie)
{
	struct page *src, *dst;
	unsigned long i;

	for (i = 0; i < args->npages; i++) {
		src = migrate_pfn_to_page(batch->src[i]);
		if (!src || !(batch->src[i] & MIGRATE_PFN_MIGRATE))
			continue;
		if (hmm_devmem_is_gone(dm)) {
			devmem_batch_lose(batch, i, 0);
			continue;
		}
		dst = NULL;
		if (devmem_may_alloc(dm, 0, cookie))
			dst = alloc_page_vma(GFP_HIGHUSER_MOVABLE, args->vma,
					     args->start + (i << PAGE_SHIFT));
		if (!dst)
			goto undo;
		/* Nobody else knows it yet. */
		__folio_set_locked(page_folio(dst));
		devmem_batch_copy(batch, i, dst, src, 0);
	}
	return 0;

undo:
	for (i = 0; i < args->npages; i++) {
		if (!(batch->src[i] & MIGRATE_PFN_MIGRATE))
			continue;
		set_result(batch, i, 0, HMM_DEVMEM_NO_MEMORY);
		if (migrate_pfn_to_page(batch->dst[i]))
			devmem_batch_drop(batch, i);
		batch->dst[i] = 0;
	}
	batch->nr_copies = 0;
	return -ENOMEM;
}

/* The large folio that is all of a round leaves the device whole, or is given up. */
static void receive_large(struct devmem_batch *batch, bool gone)
{
	struct page *src = migrate_pfn_to_page(batch->src[0]);

	if (!src || !(batch->src[0] & MIGRATE_PFN_MIGRATE))
		return;
	if (gone) {
		devmem_batch_lose(batch, 0, HMM_DEVMEM_BLOCK_ORDER);
		return;
	}
	folio_lock(batch->large);
	devmem_batch_copy(batch, 0, folio_page(batch->large, 0), src, HMM_DEVMEM_BLOCK_ORDER);
	batch->large = NULL;
}

/* One attempt at a round from the device, @whole: with a large folio left whole. */
static int try_to_system(struct hmm_devmem *dm, struct migrate_vma *args,
			 struct devmem_batch *batch, bool whole, void *cookie)
{
	bool gone = hmm_devmem_is_gone(dm);
	unsigned int nofs;
	int ret, err = 0;

	devmem_batch_reset(batch);
	args->src = batch->src;
	args->dst = batch->dst;
	args->pgmap_owner = dm;
	args->flags = dm->type == MEMORY_DEVICE_PRIVATE ? MIGRATE_VMA_SELECT_DEVICE_PRIVATE
							: MIGRATE_VMA_SELECT_DEVICE_COHERENT;
	whole = whole && READ_ONCE(dm->had_large);
	if (whole && !gone && !batch->large)
		batch->large = compat_vma_alloc_large(args->vma, args->start,
						      HMM_DEVMEM_BLOCK_ORDER);
	whole = whole && (gone || batch->large);
	if (whole)
		args->flags |= COMPAT_SELECT_COMPOUND;

	nofs = memalloc_nofs_save();
	ret = migrate_vma_setup(args);
	if (!ret && args->cpages) {
		if (whole && (batch->src[0] & COMPAT_PFN_COMPOUND))
			receive_large(batch, gone);
		else
			err = receive_small(dm, args, batch, cookie);
		devmem_batch_run(dm, batch, HMM_DEVMEM_TO_SYSTEM);
		ret = finish(dm, args, batch, HMM_DEVMEM_TO_SYSTEM);
	}
	memalloc_nofs_restore(nofs);
	return err ?: ret;
}

/*
 * One round from the device. Returns the number of pages that moved, or an
 * error: -ENOMEM moves nothing, because who needs one page of a range to be in
 * system memory mostly needs all. args->fault_page may be set.
 */
int devmem_move_to_system(struct hmm_devmem *dm, struct migrate_vma *args,
			  struct devmem_batch *batch, void *cookie)
{
	bool whole = wants_large(dm, args->vma, args->start, args->end, cookie);
	int ret;

	ret = try_to_system(dm, args, batch, whole, cookie);
	/* It is back where it was, and the core splits it now before it is unmapped. */
	if (batch->torn)
		ret = try_to_system(dm, args, batch, false, cookie);
	return ret;
}

static int round_to_system(struct hmm_devmem *dm, struct hmm_devmem_request *req,
			   struct vm_area_struct *vma, unsigned long start,
			   unsigned long end, struct devmem_batch *batch)
{
	struct migrate_vma args = { .vma = vma, .start = start, .end = end };
	int ret;

	ret = devmem_move_to_system(dm, &args, batch, req->cookie);
	if (ret < 0)
		return ret;
	req->moved += ret;
	return 0;
}

/* Memory for every small page of the system that is there, and of which kind the caller wants. */
static void replace_small(struct hmm_devmem *dm, struct hmm_devmem_request *req,
			  struct migrate_vma *args, struct devmem_batch *batch)
{
	struct page *src, *dst;
	unsigned long i;

	for (i = 0; i < args->npages; i++) {
		src = migrate_pfn_to_page(batch->src[i]);
		if (!src || !(batch->src[i] & MIGRATE_PFN_MIGRATE) ||
		    (!req->files && !folio_test_anon(page_folio(src))))
			continue;
		dst = NULL;
		if (devmem_may_alloc(dm, 0, req->cookie))
			dst = alloc_page_vma(GFP_HIGHUSER_MOVABLE, args->vma,
					     args->start + (i << PAGE_SHIFT));
		if (!dst) {
			set_result(batch, i, 0, HMM_DEVMEM_NO_MEMORY);
			continue;
		}
		__folio_set_locked(page_folio(dst));
		devmem_batch_copy(batch, i, dst, src, 0);
	}
}

static int round_renew(struct hmm_devmem *dm, struct hmm_devmem_request *req,
		       struct vm_area_struct *vma, unsigned long start,
		       unsigned long end, struct devmem_batch *batch)
{
	struct migrate_vma args = {
		.vma = vma, .start = start, .end = end,
		.src = batch->src, .dst = batch->dst,
		.pgmap_owner = dm, .flags = MIGRATE_VMA_SELECT_SYSTEM,
	};
	unsigned int nofs;
	int ret;

	if (req->files)
		args.flags |= COMPAT_SELECT_FILE;

	nofs = memalloc_nofs_save();
	ret = migrate_vma_setup(&args);
	if (!ret && args.cpages) {
		replace_small(dm, req, &args, batch);
		devmem_batch_run(dm, batch, HMM_DEVMEM_RENEW);
		req->moved += finish(dm, &args, batch, HMM_DEVMEM_RENEW);
	}
	memalloc_nofs_restore(nofs);
	return ret;
}

/*
 * Goes through the range in rounds. The lock of the address space is held for one
 * round at a time; memory is made ready before, because adding a chunk must not
 * happen under it.
 */
static int move(struct hmm_devmem *dm, struct hmm_devmem_request *req,
		enum hmm_devmem_direction direction)
{
	struct vm_area_struct *vma;
	struct devmem_batch *batch;
	struct page **pages = NULL;
	unsigned long addr, next;
	int ret = 0;

	req->moved = 0;
	if (req->results)
		memset(req->results, HMM_DEVMEM_SKIPPED, (req->end - req->start) >> PAGE_SHIFT);
	batch = devmem_batch_alloc();
	if (!batch)
		return -ENOMEM;
	if (direction == HMM_DEVMEM_TO_DEVICE) {
		pages = kvcalloc(HMM_DEVMEM_BATCH, sizeof(*pages), GFP_KERNEL);
		if (!pages)
			ret = -ENOMEM;
	}

	for (addr = req->start; !ret && addr < req->end; addr = next) {
		if (READ_ONCE(dm->lost)) {
			ret = -ENODEV;
			break;
		}
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		if (direction == HMM_DEVMEM_TO_DEVICE)
			devmem_grow(dm, HMM_DEVMEM_BATCH);
		devmem_batch_reset(batch);

		mmap_read_lock(req->mm);
		vma = vma_lookup(req->mm, addr);
		if (!vma || !(vma->vm_flags & VM_READ)) {
			mmap_read_unlock(req->mm);
			ret = -EINVAL;
			break;
		}
		next = min3(req->end, vma->vm_end, ALIGN(addr + 1, PMD_SIZE));
		if (direction == HMM_DEVMEM_TO_DEVICE)
			ret = round_to_device(dm, req, vma, addr, next, batch, pages);
		else if (direction == HMM_DEVMEM_RENEW)
			ret = round_renew(dm, req, vma, addr, next, batch);
		else
			ret = round_to_system(dm, req, vma, addr, next, batch);
		mmap_read_unlock(req->mm);

		if (req->results)
			memcpy(req->results + ((addr - req->start) >> PAGE_SHIFT),
			       batch->results, (next - addr) >> PAGE_SHIFT);
		cond_resched();
	}
	kvfree(pages);
	devmem_batch_free(batch);
	return ret;
}

/**
 * hmm_devmem_to_device() - move memory of a process to the device
 * @dm: the device's memory
 * @req: the range
 *
 * Best effort: pages that cannot move stay, without an error. Page cache moves when
 * the request says so, and to coherent memory only. Other addresses without a page
 * get one that is zeros. Memory grows as hmm_devmem_set_growth() says.
 *
 * Context: sleeps; neither mmap_lock nor a folio lock may be held.
 * Return: 0; -EINVAL when part of the range has no mapping, may not be read or is
 * of a kind that never moves; -ENODEV when the device is lost; -EINTR when the
 * caller is being killed; -ENOMEM. What came before an error has moved.
 */
int hmm_devmem_to_device(struct hmm_devmem *dm, struct hmm_devmem_request *req)
{
	return move(dm, req, HMM_DEVMEM_TO_DEVICE);
}
EXPORT_SYMBOL_GPL(hmm_devmem_to_device);

/**
 * hmm_devmem_to_system() - move this device's pages of a process back
 * @dm: the device's memory
 * @req: the range
 *
 * Pages that are elsewhere are left alone.
 *
 * Context: sleeps; neither mmap_lock nor a folio lock may be held.
 * Return: as hmm_devmem_to_device(); -ENOMEM also when there is no system memory
 * for a page, and no page of its block has moved then.
 */
int hmm_devmem_to_system(struct hmm_devmem *dm, struct hmm_devmem_request *req)
{
	return move(dm, req, HMM_DEVMEM_TO_SYSTEM);
}
EXPORT_SYMBOL_GPL(hmm_devmem_to_system);

/**
 * hmm_devmem_renew() - move pages of a process to other pages of system memory
 * @dm: the device, whose engine copies
 * @req: the range
 *
 * For drivers that place system memory anew, on another node for example. Addresses
 * without a page and large folios are left alone.
 *
 * Context: sleeps; neither mmap_lock nor a folio lock may be held.
 * Return: as hmm_devmem_to_device().
 */
int hmm_devmem_renew(struct hmm_devmem *dm, struct hmm_devmem_request *req)
{
	return move(dm, req, HMM_DEVMEM_RENEW);
}
EXPORT_SYMBOL_GPL(hmm_devmem_renew);
