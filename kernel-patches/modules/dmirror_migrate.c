// SPDX-License-Identifier: GPL-2.0
/*
 * Ranges go to the device and back.
 */
#include <linux/buffer_head.h>
#include <linux/hmm.h>
#include <linux/pagemap.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "dmirror.h"

static int migrate(struct dmirror *m, struct hmm_devmem_request *req,
		   enum hmm_devmem_direction direction)
{
	int ret;

	req->mm = m->notifier.mm;
	req->cookie = m;
	if (!mmget_not_zero(req->mm))
		return -EINVAL;
	if (direction == HMM_DEVMEM_TO_DEVICE)
		ret = READ_ONCE(m->device->unplugged) ? -ENODEV
						      : hmm_devmem_to_device(m->device->dm, req);
	else if (direction == HMM_DEVMEM_RENEW)
		ret = hmm_devmem_renew(m->device->dm, req);
	else
		ret = hmm_devmem_to_system(m->device->dm, req);
	mmput(req->mm);
	return ret;
}

int dmirror_migrate_to_device(struct dmirror *m, struct hmm_dmirror_cmd *cmd)
{
	struct hmm_devmem_request req = {
		.start = cmd->addr,
		.end = cmd->addr + (cmd->npages << PAGE_SHIFT),
	};
	int ret;

	ret = migrate(m, &req, HMM_DEVMEM_TO_DEVICE);
	if (!ret)
		ret = dmirror_fault(m, req.start, req.end, DMIRROR_MAP_OURS);
	return ret ?: dmirror_read_mapped(m, cmd);
}

int dmirror_migrate_to_system(struct dmirror *m, struct hmm_dmirror_cmd *cmd)
{
	struct hmm_devmem_request req = {
		.start = cmd->addr,
		.end = cmd->addr + (cmd->npages << PAGE_SHIFT),
	};
	int ret;

	ret = migrate(m, &req, HMM_DEVMEM_TO_SYSTEM);
	cmd->cpages = req.moved;
	return ret;
}

/**
 * struct dmirror_verdicts - what became of the pages of one leaf's part
 * @start: its first address
 * @direction: which way they should go
 * @files: whether page cache should go, too
 * @byte: first the library's result, then HMM_DMIRROR_PAGE_* of each page
 */
struct dmirror_verdicts {
	unsigned long start;
	enum hmm_devmem_direction direction;
	bool files;
	u8 byte[DMIRROR_LEAF_ENTRIES];
};

/* References beyond those of the mappings and of the swap or page cache. */
static bool is_pinned(struct folio *folio)
{
	int expected = compat_folio_mapcount(folio);

	if (!folio_test_anon(folio))
		expected += folio_nr_pages(folio) + folio_test_private(folio);
	if (folio_test_swapcache(folio))
		expected += folio_nr_pages(folio);
	return folio_maybe_dma_pinned(folio) || folio_ref_count(folio) > expected;
}

/*
 * Whether the page cache of a file can be moved by the kernel's own methods, which
 * the core requires. The folio is mapped, so that its file does not go away.
 */
static bool moves_generically(struct folio *folio)
{
	struct address_space *mapping = READ_ONCE(folio->mapping);

	return mapping && (mapping->a_ops->migrate_folio == migrate_folio ||
#ifdef CONFIG_BUFFER_HEAD
			   mapping->a_ops->migrate_folio == buffer_migrate_folio ||
			   mapping->a_ops->migrate_folio == buffer_migrate_folio_norefs ||
#endif
			   mapping->a_ops->migrate_folio == filemap_migrate_folio);
}

/* Whether page cache is none of what a request is about. */
static bool leaves_files(struct dmirror *m, struct dmirror_verdicts *verdicts)
{
	return !verdicts->files ||
	       (verdicts->direction == HMM_DEVMEM_TO_DEVICE && !m->device->spm);
}

/* Why a page that is mapped is where it is; it cannot go away meanwhile. */
static u8 why_not(struct dmirror *m, struct page *page, struct dmirror_verdicts *verdicts)
{
	bool to_device = verdicts->direction == HMM_DEVMEM_TO_DEVICE;
	bool to_system = verdicts->direction == HMM_DEVMEM_TO_SYSTEM;
	struct folio *folio = page_folio(page);

	if (hmm_devmem_page_is_ours(m->device->dm, page) ? to_device : to_system)
		return HMM_DMIRROR_PAGE_THERE;
	if (is_zone_device_page(page) && !to_system)
		return HMM_DMIRROR_PAGE_OTHER_DEVICE;
	if (is_zero_pfn(page_to_pfn(page)))
		return HMM_DMIRROR_PAGE_OTHER;
	if (!folio_test_anon(folio) && !to_system &&
	    (leaves_files(m, verdicts) || !moves_generically(folio)))
		return HMM_DMIRROR_PAGE_MAPPING;
	if (folio_test_writeback(folio))
		return HMM_DMIRROR_PAGE_WRITEBACK;
	if (is_pinned(folio))
		return HMM_DMIRROR_PAGE_PINNED;
	if (folio_test_large(folio))
		return HMM_DMIRROR_PAGE_LARGE;
	return HMM_DMIRROR_PAGE_OTHER;
}

static void judge(struct dmirror *m, unsigned long addr, unsigned long hmm_pfn, void *arg)
{
	struct dmirror_verdicts *verdicts = arg;
	u8 *byte = &verdicts->byte[(addr - verdicts->start) >> PAGE_SHIFT];

	switch (*byte) {
	case HMM_DEVMEM_MOVED:
		*byte = HMM_DMIRROR_PAGE_MOVED;
		return;
	case HMM_DEVMEM_NO_MEMORY:
		*byte = HMM_DMIRROR_PAGE_NO_MEMORY;
		return;
	case HMM_DEVMEM_COPY_FAILED:
		*byte = HMM_DMIRROR_PAGE_COPY_FAILED;
		return;
	case HMM_DEVMEM_CONTENTS_LOST:
		*byte = HMM_DMIRROR_PAGE_CONTENTS_LOST;
		return;
	}
	if ((hmm_pfn & HMM_PFN_ERROR) || !(hmm_pfn & HMM_PFN_VALID))
		*byte = HMM_DMIRROR_PAGE_NONE;
	else
		*byte = why_not(m, compat_hmm_page(hmm_pfn, addr), verdicts);
}

/* Moves the part of a range that one leaf covers and says what became of it. */
static int migrate_part(struct dmirror *m, unsigned long start, unsigned long end,
			struct dmirror_verdicts *verdicts)
{
	struct hmm_devmem_request req = {
		.start = start, .end = end, .results = verdicts->byte,
		.files = verdicts->files,
	};
	int ret;

	verdicts->start = start;
	ret = migrate(m, &req, verdicts->direction);
	/* The library gives a block up for one page; the results say which. */
	if (ret == -ENOMEM && memchr(verdicts->byte, HMM_DEVMEM_NO_MEMORY,
				     (end - start) >> PAGE_SHIFT))
		ret = 0;
	if (ret)
		return ret;
	/* Nothing to look for when all went well. */
	if (!memchr_inv(verdicts->byte, HMM_DEVMEM_MOVED, (end - start) >> PAGE_SHIFT)) {
		memset(verdicts->byte, HMM_DMIRROR_PAGE_MOVED, (end - start) >> PAGE_SHIFT);
		return 0;
	}
	if (!mmget_not_zero(m->notifier.mm))
		return -EINVAL;
	ret = dmirror_look(m, start, end, judge, verdicts);
	mmput(m->notifier.mm);
	return ret;
}

int dmirror_migrate2(struct dmirror *m, union dmirror_arg *args)
{
	struct hmm_dmirror_migrate *arg = &args->migrate;
	bool files = arg->flags & HMM_DMIRROR_MIGRATE_FILE;
	enum hmm_devmem_direction direction;
	u8 __user *user = u64_to_user_ptr(arg->ptr);
	struct dmirror_verdicts *verdicts;
	unsigned long addr, next, end, i, n;
	int ret;

	switch (arg->flags & (HMM_DMIRROR_MIGRATE_DEVICE | HMM_DMIRROR_MIGRATE_SYSTEM |
			      HMM_DMIRROR_MIGRATE_RENEW)) {
	case HMM_DMIRROR_MIGRATE_DEVICE:
		direction = HMM_DEVMEM_TO_DEVICE;
		if (files && !HMM_DEVMEM_CAN_TAKE_FILES)
			return -EOPNOTSUPP;
		break;
	case HMM_DMIRROR_MIGRATE_SYSTEM:
		direction = HMM_DEVMEM_TO_SYSTEM;
		if (files)
			return -EINVAL;
		break;
	case HMM_DMIRROR_MIGRATE_RENEW:
		direction = HMM_DEVMEM_RENEW;
		break;
	default:
		return -EINVAL;
	}
	ret = dmirror_range_end(arg->addr, arg->npages, &end);
	if (ret)
		return ret;
	if (arg->flags & HMM_DMIRROR_MIGRATE_PREFAULT) {
		ret = dmirror_fault(m, arg->addr, end, DMIRROR_FAULT_READ);
		if (ret)
			return ret;
	}
	verdicts = kmalloc(sizeof(*verdicts), GFP_KERNEL);
	if (!verdicts)
		return -ENOMEM;
	verdicts->direction = direction;
	verdicts->files = files;
	memset(arg->counts, 0, sizeof(arg->counts));
	for (addr = arg->addr; !ret && addr < end; addr = next) {
		next = dmirror_leaf_end(addr, end);
		ret = migrate_part(m, addr, next, verdicts);
		if (ret)
			break;
		n = (next - addr) >> PAGE_SHIFT;
		for (i = 0; i < n; i++)
			arg->counts[verdicts->byte[i]]++;
		if (!arg->ptr)
			continue;
		if (copy_to_user(user, verdicts->byte, n))
			ret = -EFAULT;
		user += n;
	}
	kfree(verdicts);
	return ret;
}
