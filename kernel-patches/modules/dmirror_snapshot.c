// SPDX-License-Identifier: GPL-2.0
/*
 * What the device would find in the CPU's page table.
 */
#include <linux/hmm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "dmirror.h"

struct dmirror_picture {
	unsigned long start;
	u8 byte[DMIRROR_LEAF_ENTRIES];
};

static u8 what_backs(struct dmirror *m, struct page *page)
{
	bool ours = hmm_devmem_page_is_ours(m->device->dm, page);

	if (is_device_private_page(page))
		return ours ? HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL
			    : HMM_DMIRROR_PROT_DEV_PRIVATE_REMOTE;
	if (is_device_coherent_page(page))
		return ours ? HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL
			    : HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE;
	if (is_zero_pfn(page_to_pfn(page)))
		return HMM_DMIRROR_PROT_ZERO;
	return HMM_DMIRROR_PROT_NONE;
}

static void take_picture(struct dmirror *m, unsigned long addr, unsigned long hmm_pfn,
			 void *arg)
{
	struct dmirror_picture *picture = arg;
	u8 *byte = &picture->byte[(addr - picture->start) >> PAGE_SHIFT];
	unsigned int order;

	if (hmm_pfn & HMM_PFN_ERROR) {
		*byte = HMM_DMIRROR_PROT_ERROR;
		return;
	}
	if (!(hmm_pfn & HMM_PFN_VALID)) {
		*byte = HMM_DMIRROR_PROT_NONE;
		return;
	}
	*byte = what_backs(m, compat_hmm_page(hmm_pfn, addr));
	*byte |= hmm_pfn & HMM_PFN_WRITE ? HMM_DMIRROR_PROT_WRITE : HMM_DMIRROR_PROT_READ;
	order = hmm_pfn_to_map_order(hmm_pfn);
	if (order == PMD_SHIFT - PAGE_SHIFT)
		*byte |= HMM_DMIRROR_PROT_PMD;
	else if (order == PUD_SHIFT - PAGE_SHIFT)
		*byte |= HMM_DMIRROR_PROT_PUD;
}

int dmirror_snapshot(struct dmirror *m, struct hmm_dmirror_cmd *cmd)
{
	unsigned long addr = cmd->addr, end = addr + (cmd->npages << PAGE_SHIFT);
	u8 __user *user = u64_to_user_ptr(cmd->ptr);
	struct dmirror_picture *picture;
	unsigned long next, n;
	int ret = 0;

	picture = kmalloc(sizeof(*picture), GFP_KERNEL);
	if (!picture)
		return -ENOMEM;
	if (!mmget_not_zero(m->notifier.mm)) {
		kfree(picture);
		return -EINVAL;
	}
	for (; addr < end; addr = next) {
		next = dmirror_leaf_end(addr, end);
		picture->start = addr;
		ret = dmirror_look(m, addr, next, take_picture, picture);
		if (ret)
			break;
		n = (next - addr) >> PAGE_SHIFT;
		if (copy_to_user(user, picture->byte, n)) {
			ret = -EFAULT;
			break;
		}
		user += n;
		cmd->cpages += n;
		cond_resched();
	}
	mmput(m->notifier.mm);
	kfree(picture);
	return ret;
}
