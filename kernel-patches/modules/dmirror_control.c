// SPDX-License-Identifier: GPL-2.0
/*
 * Questions about the device, and its memory as a whole.
 */
#include <linux/jiffies.h>
#include <linux/overflow.h>

#include "dmirror.h"

/* Longest that a request may wait for pages in use, and for a simulated delay. */
#define DMIRROR_MAX_TIMEOUT_MS	60000
#define DMIRROR_MAX_DELAY_US	1000000
#define DMIRROR_MAX_CHUNK_PAGES	((1UL << 30) >> PAGE_SHIFT)

/* Checks a range: page aligned, not empty, within what an address can say. */
int dmirror_range_end(u64 addr, u64 npages, unsigned long *end)
{
	if (addr & ~PAGE_MASK || !npages || npages > ULONG_MAX >> PAGE_SHIFT)
		return -EINVAL;
	if (check_add_overflow((unsigned long)addr, (unsigned long)npages << PAGE_SHIFT, end))
		return -EINVAL;
	return 0;
}

int dmirror_info(struct dmirror *m, union dmirror_arg *args)
{
	struct hmm_dmirror_info *arg = &args->info;
	struct dmirror_device *device = m->device;
	struct hmm_devmem_usage usage;

	hmm_devmem_get_usage(device->dm, &usage);
	arg->version = HMM_DMIRROR_VERSION;
	arg->type = device->spm ? HMM_DMIRROR_MEMORY_DEVICE_COHERENT
				: HMM_DMIRROR_MEMORY_DEVICE_PRIVATE;
	arg->unit = device->unit;
	arg->state = 0;
	if (hmm_devmem_is_lost(device->dm))
		arg->state |= HMM_DMIRROR_STATE_LOST;
	if (READ_ONCE(device->unplugged))
		arg->state |= HMM_DMIRROR_STATE_UNPLUGGED;
	arg->chunks = usage.chunks;
	arg->pages = usage.pages;
	arg->free_pages = usage.free_pages;
	arg->allocated = usage.allocated;
	arg->freed = usage.freed;
	arg->page_size = PAGE_SIZE;
	arg->large_pages = COMPAT_LARGE_DEVICE_FOLIOS && !device->spm ? HMM_DEVMEM_BLOCK_PAGES : 1;
	arg->table_bytes = atomic_long_read(&m->nr_leaves) * sizeof(struct dmirror_leaf);
	arg->abilities = HMM_DEVMEM_CAN_LOSE ? HMM_DMIRROR_CAN_LOSE_CONTENTS : 0;
	if (HMM_DEVMEM_CAN_TAKE_FILES)
		arg->abilities |= HMM_DMIRROR_CAN_TAKE_FILES;
	arg->bad_pages = usage.bad_pages;
	return 0;
}

int dmirror_evict(struct dmirror *m, union dmirror_arg *args)
{
	struct hmm_dmirror_evict *arg = &args->evict;
	u64 first = arg->first_pfn, npages = arg->npages;
	unsigned long evicted;
	int ret;

	if (arg->timeout_ms > DMIRROR_MAX_TIMEOUT_MS || arg->reserved)
		return -EINVAL;
	if (arg->flags & HMM_DMIRROR_EVICT_ALL) {
		if (first || npages)
			return -EINVAL;
		npages = ULONG_MAX;
	} else if (!npages) {
		return -EINVAL;
	}
	ret = hmm_devmem_evict(m->device->dm, first, npages,
			       msecs_to_jiffies(arg->timeout_ms), &evicted);
	dmirror_count(m->device, DMIRROR_EVICTED, evicted);
	arg->evicted = evicted;
	return ret;
}

int dmirror_inject(struct dmirror *m, union dmirror_arg *args)
{
	struct hmm_dmirror_inject *arg = &args->inject;
	struct dmirror_device *device = m->device;

	if (arg->copy_delay_us > DMIRROR_MAX_DELAY_US ||
	    arg->notifier_delay_us > DMIRROR_MAX_DELAY_US ||
	    arg->alloc_nth > S64_MAX || arg->copy_nth > S64_MAX || arg->map_nth > S64_MAX)
		return -EINVAL;
	if (arg->flags & HMM_DMIRROR_INJECT_CONTENTS_LOST && !HMM_DEVMEM_CAN_LOSE)
		return -EOPNOTSUPP;
	mutex_lock(&device->plug_lock);
	atomic64_set(&device->alloc_nth, arg->alloc_nth);
	atomic64_set(&device->copy_nth, arg->copy_nth);
	atomic64_set(&device->map_nth, arg->map_nth);
	WRITE_ONCE(device->copy_delay_us, arg->copy_delay_us);
	WRITE_ONCE(device->notifier_delay_us, arg->notifier_delay_us);
	WRITE_ONCE(device->inject_flags, arg->flags);
	hmm_devmem_set_contents_lost(device->dm, arg->flags & HMM_DMIRROR_INJECT_CONTENTS_LOST);
	/* A device that is unplugged is found again by REPLUG only. */
	if (!device->unplugged)
		hmm_devmem_set_lost(device->dm, arg->flags & HMM_DMIRROR_INJECT_LOST);
	mutex_unlock(&device->plug_lock);
	return 0;
}

int dmirror_chunk_add(struct dmirror *m, union dmirror_arg *args)
{
	struct hmm_dmirror_chunk *arg = &args->chunk;
	struct dmirror_device *device = m->device;
	unsigned long first_pfn;
	int ret;

	if (arg->timeout_ms || arg->reserved || arg->npages > DMIRROR_MAX_CHUNK_PAGES ||
	    (device->spm && arg->npages != DMIRROR_CHUNK_PAGES))
		return -EINVAL;
	mutex_lock(&device->plug_lock);
	if (device->unplugged)
		ret = -ENODEV;
	else
		ret = hmm_devmem_add_chunk(device->dm, device->spm, arg->npages, &first_pfn);
	mutex_unlock(&device->plug_lock);
	if (ret)
		return ret;
	arg->first_pfn = first_pfn;
	arg->left = 0;
	return 0;
}

int dmirror_chunk_remove(struct dmirror *m, union dmirror_arg *args)
{
	struct hmm_dmirror_chunk *arg = &args->chunk;
	unsigned long left = 0;
	int ret;

	if (arg->npages || arg->reserved || arg->timeout_ms > DMIRROR_MAX_TIMEOUT_MS)
		return -EINVAL;
	ret = hmm_devmem_remove_chunk(m->device->dm, arg->first_pfn,
				      msecs_to_jiffies(arg->timeout_ms), &left);
	arg->left = left;
	return ret;
}

int dmirror_unplug(struct dmirror *m, union dmirror_arg *args)
{
	struct hmm_dmirror_unplug *arg = &args->unplug;
	struct dmirror_device *device = m->device;
	bool replug = arg->flags & HMM_DMIRROR_UNPLUG_REPLUG;

	if (arg->timeout_ms > DMIRROR_MAX_TIMEOUT_MS || arg->reserved ||
	    (replug && (arg->flags != HMM_DMIRROR_UNPLUG_REPLUG || arg->timeout_ms)))
		return -EINVAL;
	mutex_lock(&device->plug_lock);
	if (replug) {
		hmm_devmem_set_lost(device->dm, device->inject_flags & HMM_DMIRROR_INJECT_LOST);
		hmm_devmem_set_growth(device->dm, device->spm, DMIRROR_CHUNK_PAGES);
		WRITE_ONCE(device->unplugged, false);
	} else {
		WRITE_ONCE(device->unplugged, true);
		if (arg->flags & HMM_DMIRROR_UNPLUG_SURPRISE)
			hmm_devmem_set_lost(device->dm, true);
		hmm_devmem_set_growth(device->dm, 0, 0);
	}
	mutex_unlock(&device->plug_lock);
	/* Pages are waited for without the lock; nothing comes in until REPLUG. */
	return replug ? 0 : hmm_devmem_remove_all(device->dm, msecs_to_jiffies(arg->timeout_ms));
}
