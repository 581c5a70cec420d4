/* SPDX-License-Identifier: GPL-2.0 */
/*
 * hmm_dmirror: a device that mirrors address spaces, made of hmm_devmem and a
 * page table of its own. It exists for tests: its hardware is simulated.
 *
 * Locks: dmirror.lock is taken in the invalidation of a notifier, so nothing may
 * be allocated under it that could wait for reclaim, and no user memory may be
 * touched. It comes after mmap_lock, folio locks and all locks of hmm_devmem.
 * On-demand paging has locks of its own, see dmirror_odp.h.
 */
#ifndef DMIRROR_H
#define DMIRROR_H

#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/xarray.h>

#include "hmm_devmem.h"
#include "hmm_dmirror_uapi.h"
#include "dmirror_odp.h"

/* Size of a chunk of memory that the device gets by itself. */
#define DMIRROR_CHUNK_PAGES	((256UL << 20) >> PAGE_SHIFT)
/* Pages that a request copies from or to its caller at once. */
#define DMIRROR_SLICE		512UL
/* Attempts, and at least a second, before a look at the CPU's page table gives up. */
#define DMIRROR_ATTEMPTS	16
/* How long pages in use are waited for when nobody says how long. */
#define DMIRROR_TIMEOUT		(10 * HZ)

enum dmirror_stat {
	DMIRROR_CPU_FAULTS,
	DMIRROR_DEVICE_FAULTS,
	DMIRROR_RETRIES,
	DMIRROR_EVICTED,
	DMIRROR_BATCHES_TO_DEVICE,
	DMIRROR_BATCHES_TO_SYSTEM,
	DMIRROR_PAGES_TO_DEVICE,
	DMIRROR_PAGES_TO_SYSTEM,
	DMIRROR_PAGES_CLEARED,
	DMIRROR_COPY_ERRORS,
	DMIRROR_INVALIDATIONS,
	DMIRROR_NR_STATS = DMIRROR_INVALIDATIONS + 8,
};

/* Longest times in nanoseconds. */
enum dmirror_longest {
	DMIRROR_LONGEST_COPY,
	DMIRROR_LONGEST_FAULT,
	DMIRROR_NR_LONGEST,
};

/**
 * struct dmirror_device - one node
 * @dev: its device; frees the structure
 * @cdev: its node
 * @unit: minor number
 * @spm: physical address of coherent memory, 0 for private memory
 * @dm: its memory
 * @plug_lock: protects @unplugged and what goes with it
 * @unplugged: UNPLUG has taken the memory away
 * @stats: by enum dmirror_stat, for each CPU; they only ever grow
 * @stats_lock: protects @stats_base
 * @stats_base: by enum dmirror_stat, the sums when they were last reset
 * @longest: by enum dmirror_longest
 * @alloc_nth: allocations until one fails, 0: none does
 * @copy_nth: pages until a copy fails, 0: none does
 * @map_nth: pages until one cannot be mapped for DMA, 0: none does
 * @inject_flags: HMM_DMIRROR_INJECT_*
 * @copy_delay_us: before each batch, and before an exclusive page is unlocked
 * @notifier_delay_us: before each invalidation
 */
struct dmirror_device {
	struct device dev;
	struct cdev cdev;
	unsigned int unit;
	resource_size_t spm;
	struct hmm_devmem *dm;
	struct mutex plug_lock; /* serialises unplugging, replugging and injection */
	bool unplugged;
	u64 __percpu *stats;
	struct mutex stats_lock; /* see above */
	u64 stats_base[DMIRROR_NR_STATS];
	atomic64_t longest[DMIRROR_NR_LONGEST];
	atomic64_t alloc_nth;
	atomic64_t copy_nth;
	atomic64_t map_nth;
	u32 inject_flags;
	u32 copy_delay_us;
	u32 notifier_delay_us;
};

/**
 * struct dmirror - one open descriptor: one address space as the device sees it
 * @device: the device
 * @notifier: covers the whole address space; its mm is the mirrored one
 * @lock: protects the entries of the page table and what they point to: an
 *	invalidation takes it, so a page found in the table under it is mapped
 * @leaves: the page table; see dmirror_table.c
 * @nr_leaves: number of leaves, with those of regions
 * @flags: HMM_DMIRROR_FLAG_*, changed bit by bit
 * @pins: what PIN holds, by handle
 * @odp: on-demand paging
 */
struct dmirror {
	struct dmirror_device *device;
	struct mmu_interval_notifier notifier;
	struct mutex lock; /* see above */
	struct xarray leaves;
	atomic_long_t nr_leaves;
	unsigned long flags;
	struct xarray pins;
	struct dmirror_odp odp;
};

/* An entry of the device's page table: 0, or a frame number and these. */
#define DMIRROR_PTE_VALID	BIT(0)
#define DMIRROR_PTE_WRITE	BIT(1)
#define DMIRROR_PTE_EXCLUSIVE	BIT(2)
#define DMIRROR_PTE_OURS	BIT(3) /* memory of this device */
#define DMIRROR_PTE_SHIFT	4

#define DMIRROR_LEAF_ENTRIES	(PAGE_SIZE / sizeof(unsigned long))
#define DMIRROR_LEAF_SIZE	(DMIRROR_LEAF_ENTRIES << PAGE_SHIFT)

struct dmirror_leaf {
	unsigned long entry[DMIRROR_LEAF_ENTRIES];
};

static inline unsigned long dmirror_pte(struct dmirror_device *device, struct page *page,
					unsigned long flags)
{
	if (hmm_devmem_page_is_ours(device->dm, page))
		flags |= DMIRROR_PTE_OURS;
	return page_to_pfn(page) << DMIRROR_PTE_SHIFT | DMIRROR_PTE_VALID | flags;
}

static inline struct page *dmirror_pte_page(unsigned long entry)
{
	return pfn_to_page(entry >> DMIRROR_PTE_SHIFT);
}

static inline unsigned int dmirror_leaf_index(unsigned long addr)
{
	return (addr >> PAGE_SHIFT) % DMIRROR_LEAF_ENTRIES;
}

/* End of the part of [addr, end) that one leaf covers. */
static inline unsigned long dmirror_leaf_end(unsigned long addr, unsigned long end)
{
	/* Compared by lengths: the last leaf's end does not fit. */
	return addr + min(end - addr, DMIRROR_LEAF_SIZE - addr % DMIRROR_LEAF_SIZE);
}

static inline void dmirror_count(struct dmirror_device *device, enum dmirror_stat stat, u64 n)
{
	this_cpu_add(device->stats[stat], n);
}

static inline void dmirror_took(struct dmirror_device *device, enum dmirror_longest which,
				u64 ns)
{
	s64 old = atomic64_read(&device->longest[which]);

	while (ns > old && !atomic64_try_cmpxchg(&device->longest[which], &old, ns))
		;
}

/* True for the nth call since the counter was set to n. */
static inline bool dmirror_is_nth(atomic64_t *counter)
{
	return atomic64_read(counter) > 0 && !atomic64_dec_if_positive(counter);
}

/* The argument of a request from 0x20 on; all begin with the same two words. */
union dmirror_arg {
	struct {
		u32 size;
		u32 flags;
	};
	struct hmm_dmirror_info info;
	struct hmm_dmirror_migrate migrate;
	struct hmm_dmirror_evict evict;
	struct hmm_dmirror_inject inject;
	struct hmm_dmirror_stats stats;
	struct hmm_dmirror_devmem devmem;
	struct hmm_dmirror_atomic atomic;
	struct hmm_dmirror_odp_reg odp_reg;
	struct hmm_dmirror_odp_dereg odp_dereg;
	struct hmm_dmirror_odp_post odp_post;
	struct hmm_dmirror_odp_poll odp_poll;
	struct hmm_dmirror_pin pin;
	struct hmm_dmirror_unpin unpin;
	struct hmm_dmirror_chunk chunk;
	struct hmm_dmirror_unplug unplug;
};

/* dmirror_ioctl.c */
long dmirror_ioctl(struct file *file, unsigned int command, unsigned long arg);

/* dmirror_table.c */
extern const struct mmu_interval_notifier_ops dmirror_notifier_ops;
struct dmirror_leaf *dmirror_leaf_get(struct dmirror *m, unsigned long addr);
void dmirror_entry_set(unsigned long *entry, unsigned long value);
unsigned long dmirror_lookup(struct dmirror *m, unsigned long addr);
unsigned long dmirror_find_missing(struct dmirror *m, unsigned long start,
				   unsigned long end, unsigned long flags);
bool dmirror_any_exclusive(struct dmirror *m, unsigned long start, unsigned long end);
void dmirror_table_clear(struct dmirror *m);
void dmirror_table_free(struct dmirror *m);

/* dmirror_fault.c */
enum dmirror_fault {
	DMIRROR_FAULT_READ,
	DMIRROR_FAULT_WRITE,
	DMIRROR_FAULT_READ_UNLOCKED,
	/* Nothing is faulted in: map what is in the device's memory, all of it or -ENOENT. */
	DMIRROR_MAP_OURS,
};

struct hmm_range;
int dmirror_look_once(struct hmm_range *range, enum dmirror_fault how);
int dmirror_fault(struct dmirror *m, unsigned long start, unsigned long end,
		  enum dmirror_fault how);
bool dmirror_is_addressable(struct page *page);
typedef void (*dmirror_look_fn)(struct dmirror *m, unsigned long addr,
				unsigned long hmm_pfn, void *arg);
int dmirror_look(struct dmirror *m, unsigned long start, unsigned long end,
		 dmirror_look_fn fn, void *arg);

/* dmirror_access.c */
struct page *dmirror_entry_memory(unsigned long entry);
void dmirror_mark_written(unsigned long entry);
int dmirror_read(struct dmirror *m, struct hmm_dmirror_cmd *cmd, enum dmirror_fault how);
int dmirror_write(struct dmirror *m, struct hmm_dmirror_cmd *cmd);
int dmirror_read_mapped(struct dmirror *m, struct hmm_dmirror_cmd *cmd);
int dmirror_atomic(struct dmirror *m, union dmirror_arg *args);

/* dmirror_migrate.c */
int dmirror_migrate_to_device(struct dmirror *m, struct hmm_dmirror_cmd *cmd);
int dmirror_migrate_to_system(struct dmirror *m, struct hmm_dmirror_cmd *cmd);
int dmirror_migrate2(struct dmirror *m, union dmirror_arg *args);

/* dmirror_exclusive.c */
int dmirror_exclusive(struct dmirror *m, struct hmm_dmirror_cmd *cmd);

/* dmirror_snapshot.c */
int dmirror_snapshot(struct dmirror *m, struct hmm_dmirror_cmd *cmd);

/* dmirror_memory.c */
extern const struct hmm_devmem_ops dmirror_devmem_ops;
struct page *dmirror_backing(struct page *page);
void dmirror_count_entry(struct page *page, int n);
void dmirror_delay_engine(struct dmirror_device *device);

/* dmirror_control.c */
int dmirror_range_end(u64 addr, u64 npages, unsigned long *end);
int dmirror_info(struct dmirror *m, union dmirror_arg *args);
int dmirror_evict(struct dmirror *m, union dmirror_arg *args);
int dmirror_inject(struct dmirror *m, union dmirror_arg *args);
int dmirror_chunk_add(struct dmirror *m, union dmirror_arg *args);
int dmirror_chunk_remove(struct dmirror *m, union dmirror_arg *args);
int dmirror_unplug(struct dmirror *m, union dmirror_arg *args);

/* dmirror_stats.c */
int dmirror_stats_init(struct dmirror_device *device);
void dmirror_stats_exit(struct dmirror_device *device);
int dmirror_stats(struct dmirror *m, union dmirror_arg *args);

/* dmirror_devmem.c */
int dmirror_devmem_read(struct dmirror *m, union dmirror_arg *args);

/* dmirror_odp.c */
int dmirror_odp_reg(struct dmirror *m, union dmirror_arg *args);
int dmirror_odp_dereg(struct dmirror *m, union dmirror_arg *args);

/* dmirror_odp_engine.c */
int dmirror_odp_post(struct dmirror *m, union dmirror_arg *args);
int dmirror_odp_poll(struct dmirror *m, union dmirror_arg *args);

/* dmirror_pin.c */
int dmirror_pin(struct dmirror *m, union dmirror_arg *args);
int dmirror_unpin(struct dmirror *m, union dmirror_arg *args);
void dmirror_unpin_all(struct dmirror *m);

#endif
