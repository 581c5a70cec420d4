// SPDX-License-Identifier: GPL-2.0
/*
 * On-demand paging: regions, from ODP_REG to ODP_DEREG.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "dmirror.h"

#define ODP_DEFAULT_RETRIES	64
#define ODP_MAX_RETRIES		65535

void dmirror_odp_init(struct dmirror *m)
{
	xa_init_flags(&m->odp.regions, XA_FLAGS_ALLOC1);
	init_waitqueue_head(&m->odp.wait);
	dmirror_odp_engine_init(m);
}

/* The descriptor is being closed: nobody makes requests any more. */
void dmirror_odp_exit(struct dmirror *m)
{
	struct dmirror_odp_region *region;
	unsigned long handle;

	dmirror_odp_engine_exit(m);
	xa_for_each(&m->odp.regions, handle, region)
		dmirror_odp_region_put(region);
	xa_destroy(&m->odp.regions);
}

/* The region of a handle, with a reference, or NULL. */
struct dmirror_odp_region *dmirror_odp_region_get(struct dmirror *m, u32 handle)
{
	struct dmirror_odp_region *region;

	/* The handle's own reference goes after it was erased under this lock. */
	xa_lock(&m->odp.regions);
	region = xa_load(&m->odp.regions, handle);
	if (region)
		refcount_inc(&region->refs);
	xa_unlock(&m->odp.regions);
	return region;
}

static void region_free(struct dmirror_odp_region *region)
{
	struct dmirror_odp_part *part;
	unsigned long index;

	xa_for_each(&region->parts, index, part)
		dmirror_odp_part_free(part);
	xa_destroy(&region->parts);
	kfree(region);
}

void dmirror_odp_region_put(struct dmirror_odp_region *region)
{
	struct dmirror_odp *odp = &region->m->odp;

	if (refcount_dec_and_test(&region->refs))
		region_free(region);
	else
		wake_up_all(&odp->wait);
}

/* Makes the one part of an explicit region; the caller holds a reference to the mm. */
static int add_only_part(struct dmirror_odp_region *region)
{
	struct dmirror_odp_part *part;
	int ret;

	part = dmirror_odp_part_add(region, region->start, region->end);
	if (IS_ERR(part))
		return PTR_ERR(part);
	ret = xa_insert(&region->parts, 0, part, GFP_KERNEL_ACCOUNT);
	if (ret)
		dmirror_odp_part_free(part);
	return ret;
}

static struct dmirror_odp_region *region_make(struct dmirror *m,
					      const struct hmm_dmirror_odp_reg *arg,
					      unsigned long end)
{
	struct dmirror_odp_region *region;
	int ret;

	region = kzalloc(sizeof(*region), GFP_KERNEL_ACCOUNT);
	if (!region)
		return ERR_PTR(-ENOMEM);
	region->m = m;
	region->start = arg->addr;
	region->end = end;
	region->flags = arg->flags;
	region->max_retries = arg->max_retries ?: ODP_DEFAULT_RETRIES;
	refcount_set(&region->refs, 1);
	xa_init(&region->parts);
	if (!(arg->flags & HMM_DMIRROR_ODP_IMPLICIT)) {
		ret = add_only_part(region);
		if (ret) {
			region_free(region);
			return ERR_PTR(ret);
		}
	}
	return region;
}

/* First address from @addr on where a fault can find anything, or @end. */
static unsigned long next_readable(struct mm_struct *mm, unsigned long addr, unsigned long end)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	for (; addr < end; addr = vma->vm_end) {
		vma = find_vma(mm, addr);
		if (!vma) {
			addr = end;
			break;
		}
		addr = max(addr, vma->vm_start);
		if ((vma->vm_flags & VM_READ) && !(vma->vm_flags & (VM_IO | VM_PFNMAP)))
			break;
	}
	mmap_read_unlock(mm);
	return min(addr, end);
}

/* Enters one page, for writing where that is possible. */
static int prefetch_page(struct dmirror_odp_walk *walk, unsigned long addr)
{
	int ret;

	walk->write = walk->part->region->flags & HMM_DMIRROR_ODP_WRITE;
	ret = dmirror_odp_fault(walk, addr);
	if (ret == -EPERM) {
		walk->write = false;
		ret = dmirror_odp_fault(walk, addr);
	}
	return ret;
}

/*
 * Faults in what can be: that a page cannot, is nothing to fail for. Nobody else
 * knows the region yet. The mm is held for one look at a time: it may be another
 * process's that exits meanwhile. Returns 0, -ESRCH, -EINTR or -ENOMEM.
 */
static int prefetch_region(struct dmirror_odp_region *region)
{
	struct dmirror_odp_walk walk = {
		.part = xa_load(&region->parts, 0),
		.end = region->end,
		.unmappable = ULONG_MAX,
	};
	struct mm_struct *mm = region->m->notifier.mm;
	unsigned long addr, pte;
	int ret = 0;

	for (addr = region->start; addr < region->end; addr += PAGE_SIZE) {
		mutex_lock(&walk.part->lock);
		pte = dmirror_odp_lookup(walk.part, addr);
		mutex_unlock(&walk.part->lock);
		if (pte)
			continue;
		if (!mmget_not_zero(mm))
			return -ESRCH;
		addr = next_readable(mm, addr, region->end);
		if (addr == region->end) {
			mmput(mm);
			break;
		}
		ret = prefetch_page(&walk, addr);
		if (!ret)
			mutex_unlock(&walk.part->lock);
		mmput(mm);
		if (ret == -EINTR || ret == -ENOMEM)
			return ret;
		if (ret == -ENODEV)
			break;
		cond_resched();
	}
	return 0;
}

static int check_reg(const struct hmm_dmirror_odp_reg *arg, unsigned long *end)
{
	if (arg->max_retries > ODP_MAX_RETRIES)
		return -EINVAL;
	if (!(arg->flags & HMM_DMIRROR_ODP_IMPLICIT))
		return dmirror_range_end(arg->addr, arg->npages, end);
	if (arg->addr || arg->npages || arg->flags & HMM_DMIRROR_ODP_PREFETCH)
		return -EINVAL;
	*end = ULONG_MAX & PAGE_MASK;
	return 0;
}

int dmirror_odp_reg(struct dmirror *m, union dmirror_arg *args)
{
	struct hmm_dmirror_odp_reg *arg = &args->odp_reg;
	struct mm_struct *mm = m->notifier.mm;
	struct dmirror_odp_region *region;
	unsigned long end;
	u32 handle;
	int ret;

	ret = check_reg(arg, &end);
	if (ret)
		return ret;
	if (!mmget_not_zero(mm))
		return -ESRCH;
	region = region_make(m, arg, end);
	mmput(mm);
	if (IS_ERR(region))
		return PTR_ERR(region);
	if (arg->flags & HMM_DMIRROR_ODP_PREFETCH)
		ret = prefetch_region(region);
	/* Last: from here on another thread may guess the handle. */
	if (!ret)
		ret = xa_alloc(&m->odp.regions, &handle, region,
			       XA_LIMIT(1, HMM_DMIRROR_ODP_REGIONS), GFP_KERNEL_ACCOUNT);
	if (ret)
		region_free(region);
	else
		arg->handle = handle;
	/* What the xarray says when every handle is in use. */
	return ret == -EBUSY ? -ENOSPC : ret;
}

static void tell(struct dmirror_odp_region *region, struct hmm_dmirror_odp_dereg *arg)
{
	atomic64_t *stats = region->stats;
	unsigned int i;

	arg->parts = atomic64_read(&stats[DMIRROR_ODP_PARTS]);
	arg->requests = atomic64_read(&stats[DMIRROR_ODP_REQUESTS]);
	arg->faults = atomic64_read(&stats[DMIRROR_ODP_FAULTS]);
	arg->retries = atomic64_read(&stats[DMIRROR_ODP_RETRIES]);
	arg->present = atomic64_read(&stats[DMIRROR_ODP_PRESENT]);
	arg->max_fault_ns = atomic64_read(&stats[DMIRROR_ODP_MAX_FAULT_NS]);
	for (i = 0; i < ARRAY_SIZE(arg->invalidations); i++)
		arg->invalidations[i] = atomic64_read(&stats[DMIRROR_ODP_INVALIDATIONS + i]);
}

int dmirror_odp_dereg(struct dmirror *m, union dmirror_arg *args)
{
	struct hmm_dmirror_odp_dereg *arg = &args->odp_dereg;
	struct dmirror_odp_region *region;
	int ret = 0;

	if (arg->flags & HMM_DMIRROR_ODP_QUERY) {
		region = dmirror_odp_region_get(m, arg->handle);
	} else {
		/* From here on the handle's reference is this caller's. */
		region = xa_erase(&m->odp.regions, arg->handle);
	}
	if (!region)
		return -ENOENT;
	/* A caller that is killed leaves the rest to the last request. */
	if (!(arg->flags & HMM_DMIRROR_ODP_QUERY))
		ret = wait_event_killable(m->odp.wait, refcount_read(&region->refs) == 1);
	if (!ret)
		tell(region, arg);
	dmirror_odp_region_put(region);
	return ret ? -EINTR : 0;
}
