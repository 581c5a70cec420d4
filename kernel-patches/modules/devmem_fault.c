// SPDX-License-Identifier: GPL-2.0
/*
 * The CPU touches a private page: it comes back.
 */
#include "devmem_internal.h"

/* The core holds a reference to the page, so its chunk stays while this runs. */
static vm_fault_t bring_back(struct hmm_devmem *dm, struct vm_fault *vmf,
			     struct devmem_batch *batch, unsigned long start,
			     unsigned long end)
{
	struct migrate_vma args = {
		.vma = vmf->vma, .start = start, .end = end,
		.fault_page = vmf->page,
	};
	unsigned long index = (vmf->address - start) >> PAGE_SHIFT;
	int ret;

	ret = devmem_move_to_system(dm, &args, batch, NULL);
	if (ret == -ENOMEM)
		return VM_FAULT_OOM;
	if (ret < 0)
		return VM_FAULT_SIGBUS;
	switch (batch->results[index]) {
	case HMM_DEVMEM_NO_MEMORY:
		return VM_FAULT_OOM;
	case HMM_DEVMEM_COPY_FAILED:
		return VM_FAULT_SIGBUS;
	default:
		/*
		 * It moved, or somebody else is moving it: the access is repeated. Where
		 * the contents are lost, it meets what the core has left there.
		 */
		return 0;
	}
}

static vm_fault_t fault_small(struct hmm_devmem *dm, struct vm_fault *vmf)
{
	unsigned long start = vmf->address & PAGE_MASK;
	struct hmm_devmem_copy piece;
	unsigned long src = 0, dst = 0;
	u8 result;
	struct devmem_batch batch = {
		.src = &src, .dst = &dst, .pieces = &piece, .results = &result, .max = 1,
	};

	return bring_back(dm, vmf, &batch, start, start + PAGE_SIZE);
}

static vm_fault_t fault_large(struct hmm_devmem *dm, struct vm_fault *vmf)
{
	unsigned long start = vmf->address & PMD_MASK;
	struct devmem_batch *batch;
	vm_fault_t ret;

	batch = devmem_batch_alloc();
	if (!batch)
		return VM_FAULT_OOM;
	ret = bring_back(dm, vmf, batch, start, start + PMD_SIZE);
	devmem_batch_free(batch);
	return ret;
}

vm_fault_t devmem_fault(struct vm_fault *vmf)
{
	struct hmm_devmem *dm = hmm_devmem_page_chunk(vmf->page)->dm;
	vm_fault_t ret = 0;
	int idx;

	idx = srcu_read_lock(&devmem_srcu);
	if (READ_ONCE(dm->abandoned) || (READ_ONCE(dm->lost) && !hmm_devmem_is_gone(dm))) {
		ret = VM_FAULT_SIGBUS;
		goto out;
	}
	if (dm->ops->fault) {
		ret = dm->ops->fault(dm, vmf);
		if (ret)
			goto out;
	}
	/* Without a PTE it is the PMD that maps the page. */
	if (COMPAT_LARGE_DEVICE_FOLIOS && !vmf->pte)
		ret = fault_large(dm, vmf);
	else
		ret = fault_small(dm, vmf);
out:
	srcu_read_unlock(&devmem_srcu, idx);
	return ret;
}
