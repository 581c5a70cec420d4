// SPDX-License-Identifier: GPL-2.0
/*
 * What is in the device's memory, past every page table.
 */
#include <linux/highmem.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "dmirror.h"

/* Reads one device page by its frame number; -ENOENT when nobody uses it. */
static int read_frame(struct dmirror *m, unsigned long pfn, void *buffer)
{
	struct page *page = hmm_devmem_get_page(m->device->dm, pfn);
	struct page *memory;

	if (!page)
		return -ENOENT;
	memory = dmirror_backing(page);
	/* A page on its way in may not have any memory behind it yet. */
	if (memory)
		memcpy_from_page(buffer, memory, 0, PAGE_SIZE);
	put_page(page);
	return memory ? 0 : -ENOENT;
}

/* Reads the device page that is mapped at an address, and tells which it is. */
static int read_address(struct dmirror *m, unsigned long addr, void *buffer, u64 *pfn)
{
	unsigned long entry;
	struct page *page;
	int ret;

	ret = dmirror_fault(m, addr, addr + PAGE_SIZE, DMIRROR_MAP_OURS);
	if (ret)
		return ret;
	ret = -ENOENT;
	mutex_lock(&m->lock);
	entry = dmirror_lookup(m, addr);
	if (entry) {
		page = dmirror_pte_page(entry);
		/* It may have gone, and come back as a page of system memory. */
		if (hmm_devmem_page_is_ours(m->device->dm, page)) {
			memcpy_from_page(buffer, dmirror_backing(page), 0, PAGE_SIZE);
			*pfn = page_to_pfn(page);
			ret = 0;
		}
	}
	mutex_unlock(&m->lock);
	return ret;
}

int dmirror_devmem_read(struct dmirror *m, union dmirror_arg *args)
{
	struct hmm_dmirror_devmem *arg = &args->devmem;
	bool by_pfn = arg->flags & HMM_DMIRROR_DEVMEM_PFN;
	u8 __user *user = u64_to_user_ptr(arg->ptr);
	u64 __user *user_pfns = u64_to_user_ptr(arg->pfns);
	unsigned long end;
	void *buffer;
	u64 i, pfn;
	int ret;

	if (by_pfn)
		ret = arg->npages && arg->addr + arg->npages > arg->addr ? 0 : -EINVAL;
	else
		ret = dmirror_range_end(arg->addr, arg->npages, &end);
	if (ret)
		return ret;
	buffer = kmalloc(PAGE_SIZE, GFP_KERNEL);
	if (!buffer)
		return -ENOMEM;
	for (i = 0; !ret && i < arg->npages; i++) {
		if (fatal_signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		pfn = arg->addr + i;
		if (by_pfn)
			ret = read_frame(m, pfn, buffer);
		else
			ret = read_address(m, arg->addr + (i << PAGE_SHIFT), buffer, &pfn);
		if (ret)
			break;
		if (copy_to_user(user + (i << PAGE_SHIFT), buffer, PAGE_SIZE) ||
		    (arg->pfns && put_user(pfn, user_pfns + i)))
			ret = -EFAULT;
		cond_resched();
	}
	kfree(buffer);
	return ret;
}
