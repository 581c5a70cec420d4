// SPDX-License-Identifier: GPL-2.0
/*
 * On-demand paging: the engine reads and writes a region, page by page, and faults
 * in what the region's table does not have.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>

#include "dmirror.h"

/**
 * struct odp_piece - what lies in one page
 * @op: HMM_DMIRROR_ODP_OP_*, but for COPY
 * @offset: in the page
 * @length: bytes
 * @buffer: the request's bytes
 * @request: what is asked for
 * @result: takes the value of FETCH_ADD
 */
struct odp_piece {
	u32 op;
	unsigned int offset;
	unsigned int length;
	void *buffer;
	const struct hmm_dmirror_odp_request *request;
	struct hmm_dmirror_odp_completion *result;
};

/* Bytes one way or the other; an aligned 64-bit word is never torn. */
static void move_bytes(void *to, const void *from, unsigned int n, const void *memory)
{
	if (n == sizeof(u64) && IS_ALIGNED((unsigned long)memory, sizeof(u64)))
		WRITE_ONCE(*(u64 *)to, READ_ONCE(*(const u64 *)from));
	else
		memcpy(to, from, n);
}

/* Works on a page of the table, whose lock is held. */
static void access(unsigned long entry, const struct odp_piece *piece)
{
	void *memory = kmap_local_page(dmirror_entry_memory(entry));
	void *place = memory + piece->offset;

	switch (piece->op) {
	case HMM_DMIRROR_ODP_OP_READ:
		move_bytes(piece->buffer, place, piece->length, place);
		break;
	case HMM_DMIRROR_ODP_OP_WRITE:
		move_bytes(place, piece->buffer, piece->length, place);
		break;
	case HMM_DMIRROR_ODP_OP_FETCH_ADD:
		piece->result->value = atomic64_fetch_add(piece->request->data, place);
		break;
	}
	kunmap_local(memory);
	if (piece->op != HMM_DMIRROR_ODP_OP_READ)
		dmirror_mark_written(entry);
}

/* Works on a page if the table has it; the part's lock is held. */
static bool access_mapped(struct dmirror_odp_walk *walk, unsigned long page,
			  const struct odp_piece *piece)
{
	unsigned long need = DMIRROR_PTE_VALID | (walk->write ? DMIRROR_PTE_WRITE : 0);
	unsigned long entry = dmirror_odp_lookup(walk->part, page);

	if ((entry & need) != need)
		return false;
	access(entry, piece);
	return true;
}

/* Works on a page, with a fault if need be. */
static int access_page(struct dmirror_odp_walk *walk, unsigned long page,
		       const struct odp_piece *piece)
{
	struct dmirror_odp_part *part = walk->part;
	struct dmirror *m = part->region->m;
	bool done;
	int ret;

	mutex_lock(&part->lock);
	done = access_mapped(walk, page, piece);
	mutex_unlock(&part->lock);
	if (done)
		return 0;

	if (!mmget_not_zero(m->notifier.mm))
		return -ESRCH;
	ret = dmirror_odp_fault(walk, page);
	if (!ret) {
		/* In the same go: however hard the storm, a fault is not in vain. */
		if (!access_mapped(walk, page, piece))
			ret = -EFAULT;
		mutex_unlock(&part->lock);
	}
	mmput(m->notifier.mm);
	return ret;
}

/* Makes the part of an implicit region that an address lies in. */
static struct dmirror_odp_part *make_part(struct dmirror_odp_region *region, unsigned long addr)
{
	unsigned long start = ALIGN_DOWN(addr, DMIRROR_ODP_PART_SIZE);
	struct mm_struct *mm = region->m->notifier.mm;
	struct dmirror_odp_part *part;
	struct vm_area_struct *vma;
	bool readable;
	int ret;

	if (!mmget_not_zero(mm))
		return ERR_PTR(-ESRCH);
	/* Parts stay: none for addresses where nothing can be read. */
	mmap_read_lock(mm);
	vma = vma_lookup(mm, addr);
	readable = vma && (vma->vm_flags & (VM_READ | VM_IO | VM_PFNMAP)) == VM_READ;
	mmap_read_unlock(mm);
	if (!readable) {
		part = ERR_PTR(-EFAULT);
		goto out;
	}
	part = dmirror_odp_part_add(region, start,
				    start + min(region->end - start, DMIRROR_ODP_PART_SIZE));
	if (IS_ERR(part))
		goto out;
	ret = xa_insert(&region->parts, addr / DMIRROR_ODP_PART_SIZE, part, GFP_KERNEL_ACCOUNT);
	if (ret) {
		dmirror_odp_part_free(part);
		dmirror_odp_count(region, DMIRROR_ODP_PARTS, -1);
		part = ERR_PTR(ret);
	}
out:
	mmput(mm);
	return part;
}

static struct dmirror_odp_part *part_at(struct dmirror_odp_region *region, unsigned long addr)
{
	struct dmirror_odp_part *part;

	if (!(region->flags & HMM_DMIRROR_ODP_IMPLICIT))
		return xa_load(&region->parts, 0);
	part = xa_load(&region->parts, addr / DMIRROR_ODP_PART_SIZE);
	return part ?: make_part(region, addr);
}

/*
 * Moves a request's bytes between a region and the buffer, or does its atomic
 * operation. Adds to the result's faults and sets done: what comes before an error
 * is done. Returns 0 or the error, see ODP_POLL; -EINTR when nobody will ask.
 */
int dmirror_odp_transfer(struct dmirror_odp_region *region,
			 const struct hmm_dmirror_odp_request *request, u32 op,
			 unsigned long addr, void *buffer,
			 struct hmm_dmirror_odp_completion *result)
{
	struct dmirror_odp_walk walk = {
		.end = addr + request->length,
		.write = op != HMM_DMIRROR_ODP_OP_READ,
		.unmappable = ULONG_MAX,
	};
	struct odp_piece piece = { .op = op, .request = request, .result = result };
	unsigned long page;
	u64 done;
	int ret = 0;

	for (done = 0; done < request->length; done += piece.length) {
		page = (addr + done) & PAGE_MASK;
		piece.offset = offset_in_page(addr + done);
		piece.length = min_t(u64, request->length - done, PAGE_SIZE - piece.offset);
		piece.buffer = buffer + done;
		if (hmm_devmem_is_lost(region->m->device->dm)) {
			ret = -ENODEV;
			break;
		}
		walk.part = part_at(region, page);
		if (IS_ERR(walk.part))
			ret = PTR_ERR(walk.part);
		else
			ret = access_page(&walk, page, &piece);
		if (ret)
			break;
	}
	result->done = done;
	result->faults += walk.faults;
	return ret;
}
