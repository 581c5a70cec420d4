// SPDX-License-Identifier: GPL-2.0
/*
 * Pages held as by long DMA.
 */
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "dmirror.h"

struct dmirror_pinned {
	unsigned long npages;
	struct page *pages[] __counted_by(npages);
};

static void release(struct dmirror_pinned *pinned, unsigned long npages)
{
	unpin_user_pages(pinned->pages, npages);
	kvfree(pinned);
}

/* Pins one part after the other, so that mmap_lock is not held for the whole. */
static long pin_range(struct mm_struct *mm, unsigned long addr, unsigned int gup_flags,
		      struct dmirror_pinned *pinned)
{
	unsigned long n, done = 0;
	long got = 0;

	while (done < pinned->npages) {
		n = min(pinned->npages - done, DMIRROR_SLICE);
		if (mmap_read_lock_killable(mm)) {
			got = -EINTR;
			break;
		}
		got = compat_pin_pages(mm, addr + (done << PAGE_SHIFT), n, gup_flags,
				       pinned->pages + done);
		mmap_read_unlock(mm);
		if (got <= 0)
			break;
		done += got;
	}
	if (done == pinned->npages)
		return 0;
	unpin_user_pages(pinned->pages, done);
	return got ?: -EFAULT;
}

int dmirror_pin(struct dmirror *m, union dmirror_arg *args)
{
	struct hmm_dmirror_pin *arg = &args->pin;
	struct dmirror_pinned *pinned;
	unsigned int gup_flags = 0;
	unsigned long i, end;
	u32 handle;
	int ret;

	if (arg->reserved || arg->npages > HMM_DMIRROR_PIN_PAGES)
		return -EINVAL;
	ret = dmirror_range_end(arg->addr, arg->npages, &end);
	if (ret)
		return ret;
	if (arg->flags & HMM_DMIRROR_PIN_WRITE)
		gup_flags |= FOLL_WRITE;
	if (arg->flags & HMM_DMIRROR_PIN_LONGTERM)
		gup_flags |= FOLL_LONGTERM;

	pinned = kvzalloc(struct_size(pinned, pages, arg->npages), GFP_KERNEL_ACCOUNT);
	if (!pinned)
		return -ENOMEM;
	pinned->npages = arg->npages;
	if (!mmget_not_zero(m->notifier.mm)) {
		kvfree(pinned);
		return -EFAULT;
	}
	ret = pin_range(m->notifier.mm, arg->addr, gup_flags, pinned);
	mmput(m->notifier.mm);
	if (ret) {
		kvfree(pinned);
		return ret;
	}

	/* Counted before the handle exists: another thread may guess it. */
	arg->system = 0;
	arg->coherent = 0;
	for (i = 0; i < arg->npages; i++) {
		if (is_device_coherent_page(pinned->pages[i]))
			arg->coherent++;
		else
			arg->system++;
	}
	ret = xa_alloc(&m->pins, &handle, pinned, xa_limit_31b, GFP_KERNEL_ACCOUNT);
	if (ret) {
		release(pinned, pinned->npages);
		return ret;
	}
	arg->handle = handle;
	return 0;
}

int dmirror_unpin(struct dmirror *m, union dmirror_arg *args)
{
	struct hmm_dmirror_unpin *arg = &args->unpin;
	struct dmirror_pinned *pinned;

	if (arg->reserved)
		return -EINVAL;
	pinned = xa_erase(&m->pins, arg->handle);
	if (!pinned)
		return -ENOENT;
	release(pinned, pinned->npages);
	return 0;
}

void dmirror_unpin_all(struct dmirror *m)
{
	struct dmirror_pinned *pinned;
	unsigned long handle;

	xa_for_each(&m->pins, handle, pinned)
		release(pinned, pinned->npages);
	xa_destroy(&m->pins);
}
