// SPDX-License-Identifier: GPL-2.0
/*
 * The device reads and writes an address space through its page table.
 */
#include <linux/highmem.h>
#include <linux/pagemap.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "dmirror.h"

/* The memory behind an entry of a device's page table, whose lock is held. */
struct page *dmirror_entry_memory(unsigned long entry)
{
	struct page *page = dmirror_pte_page(entry);

	/* An entry that outlives its page would be a bug of the invalidation. */
	WARN_ON_ONCE(!folio_ref_count(page_folio(page)));
	return dmirror_backing(page);
}

/* What the device wrote has to survive reclaim, also where the CPU's PTE is clean. */
void dmirror_mark_written(unsigned long entry)
{
	struct folio *folio = page_folio(dmirror_pte_page(entry));

	if (!folio_test_dirty(folio))
		folio_mark_dirty(folio);
}

/*
 * Copies between up to @n pages and a buffer, until one is not mapped as needed.
 * Returns how many were copied.
 */
static unsigned long access_pages(struct dmirror *m, unsigned long addr, unsigned long n,
				  void *buffer, bool write)
{
	unsigned long need = DMIRROR_PTE_VALID | (write ? DMIRROR_PTE_WRITE : 0);
	unsigned long i, entry;

	mutex_lock(&m->lock);
	for (i = 0; i < n; i++, addr += PAGE_SIZE, buffer += PAGE_SIZE) {
		entry = dmirror_lookup(m, addr);
		if ((entry & need) != need)
			break;
		if (write) {
			memcpy_to_page(dmirror_entry_memory(entry), 0, buffer, PAGE_SIZE);
			dmirror_mark_written(entry);
		} else {
			memcpy_from_page(buffer, dmirror_entry_memory(entry), 0, PAGE_SIZE);
		}
	}
	mutex_unlock(&m->lock);
	return i;
}

/* Makes the range accessible; returns how often that took a fault, or an error. */
static int prepare(struct dmirror *m, unsigned long start, unsigned long end,
		   enum dmirror_fault how)
{
	unsigned long need = DMIRROR_PTE_VALID;
	unsigned long addr;
	int ret;

	if (how == DMIRROR_FAULT_WRITE)
		need |= DMIRROR_PTE_WRITE;
	addr = dmirror_find_missing(m, start, end, need);
	if (addr == end)
		return 0;
	ret = dmirror_fault(m, addr, end, how);
	return ret ?: 1;
}

static int copy_slice(struct dmirror *m, unsigned long addr, unsigned long end,
		      unsigned long n, void *buffer, enum dmirror_fault how, u64 *faults)
{
	unsigned long done;
	int ret;

	for (;;) {
		done = access_pages(m, addr, n, buffer, how == DMIRROR_FAULT_WRITE);
		if (done == n)
			return 0;
		if (how == DMIRROR_MAP_OURS)
			return -ENOENT;
		n -= done;
		buffer += done << PAGE_SHIFT;
		addr += done << PAGE_SHIFT;
		ret = dmirror_fault(m, addr, end, how);
		if (ret)
			return ret;
		(*faults)++;
	}
}

/*
 * Moves a range between the device and the caller's buffer, a slice at a time.
 * Everything is made accessible before the first slice, so that a range which
 * cannot be accessed is refused without having touched anything.
 */
static int transfer(struct dmirror *m, struct hmm_dmirror_cmd *cmd, enum dmirror_fault how)
{
	unsigned long addr = cmd->addr, end = addr + (cmd->npages << PAGE_SHIFT);
	bool write = how == DMIRROR_FAULT_WRITE;
	u8 __user *user = u64_to_user_ptr(cmd->ptr);
	unsigned long n, bytes;
	void *buffer;
	int ret = 0;

	buffer = vmalloc(min_t(u64, cmd->npages, DMIRROR_SLICE) << PAGE_SHIFT);
	if (!buffer)
		return -ENOMEM;
	if (how != DMIRROR_MAP_OURS) {
		ret = prepare(m, addr, end, how);
		if (ret > 0)
			cmd->faults += ret;
	}
	for (; ret >= 0 && addr < end; addr += bytes, user += bytes) {
		n = min((end - addr) >> PAGE_SHIFT, DMIRROR_SLICE);
		bytes = n << PAGE_SHIFT;
		if (write && copy_from_user(buffer, user, bytes)) {
			ret = -EFAULT;
			break;
		}
		ret = copy_slice(m, addr, end, n, buffer, how, &cmd->faults);
		if (ret)
			break;
		if (!write && copy_to_user(user, buffer, bytes)) {
			ret = -EFAULT;
			break;
		}
		cmd->cpages += n;
	}
	vfree(buffer);
	return min(ret, 0);
}

int dmirror_read(struct dmirror *m, struct hmm_dmirror_cmd *cmd, enum dmirror_fault how)
{
	return transfer(m, cmd, how);
}

int dmirror_write(struct dmirror *m, struct hmm_dmirror_cmd *cmd)
{
	return transfer(m, cmd, DMIRROR_FAULT_WRITE);
}

/* Reads what the table maps already; -ENOENT when a page is missing. */
int dmirror_read_mapped(struct dmirror *m, struct hmm_dmirror_cmd *cmd)
{
	return transfer(m, cmd, DMIRROR_MAP_OURS);
}

static u64 do_atomic(atomic64_t *word, const struct hmm_dmirror_atomic *arg)
{
	if (arg->op == HMM_DMIRROR_ATOMIC_FETCH_ADD)
		return atomic64_fetch_add(arg->operand, word);
	return atomic64_cmpxchg(word, arg->compare, arg->operand);
}

int dmirror_atomic(struct dmirror *m, union dmirror_arg *args)
{
	struct hmm_dmirror_atomic *arg = &args->atomic;
	unsigned long need = DMIRROR_PTE_VALID | DMIRROR_PTE_WRITE;
	unsigned long addr = arg->addr & PAGE_MASK;
	unsigned long entry, end;
	void *page;
	int ret;

	if (arg->addr % sizeof(u64) || arg->op > HMM_DMIRROR_ATOMIC_CMPXCHG ||
	    (arg->op == HMM_DMIRROR_ATOMIC_FETCH_ADD && arg->compare) ||
	    dmirror_range_end(addr, 1, &end))
		return -EINVAL;
	arg->faults = 0;
	for (;;) {
		mutex_lock(&m->lock);
		entry = dmirror_lookup(m, addr);
		if ((entry & need) == need) {
			page = kmap_local_page(dmirror_entry_memory(entry));
			arg->old = do_atomic(page + offset_in_page(arg->addr), arg);
			kunmap_local(page);
			dmirror_mark_written(entry);
		}
		mutex_unlock(&m->lock);
		if ((entry & need) == need)
			return 0;
		ret = dmirror_fault(m, addr, end, DMIRROR_FAULT_WRITE);
		if (ret)
			return ret;
		arg->faults++;
	}
}
