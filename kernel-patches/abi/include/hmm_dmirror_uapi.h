/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The ioctl interface of /dev/hmm_dmirrorN, a device that mirrors the address
 * space of the process that opened it.
 *
 * Commands 0x00 to 0x09 have the numbers and the layout of lib/test_hmm_uapi.h,
 * so that one set of programs drives the base's own test_hmm and this project's
 * driver. Commands from 0x20 on are this project's own.
 *
 * Nodes: 0 and 1 are devices with private memory (MEMORY_DEVICE_PRIVATE, which
 * the CPU cannot address); 2 and 3 exist when coherent memory was given to the
 * driver (MEMORY_DEVICE_COHERENT, which the CPU reads and writes in place).
 *
 * One descriptor mirrors one address space: that of the process that called
 * open(), also when the descriptor is used by another process later.
 */
#ifndef HMM_DMIRROR_UAPI_H
#define HMM_DMIRROR_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * The one argument of every command below.
 *
 * The kernel copies it back only when the command succeeds: after an error the
 * (out) fields keep what the caller put there.
 */
struct hmm_dmirror_cmd {
	__u64 addr;	/* (in) first byte of the range, page aligned */
	__u64 ptr;	/* (in) caller's buffer, see the command */
	__u64 npages;	/* (in) length of the range in pages, not 0 */
	__u64 cpages;	/* (out) pages the command dealt with */
	__u64 faults;	/* (out) times the device had to fault pages in */
};

/*
 * Each command refuses with EINVAL an unaligned addr, an empty range and a range
 * that wraps around the address space, also where it makes no use of the range,
 * and with EFAULT an unreadable argument. ENOTTY is not used: an unknown command
 * is EINVAL as well, once its argument has been found good.
 *
 * READ: the device reads the range through its own page table, faulting in what
 * is not there; ptr (in) receives npages * PAGE_SIZE bytes. EFAULT: no mapping,
 * or one that may not be read.
 */
#define HMM_DMIRROR_READ		_IOWR('H', 0x00, struct hmm_dmirror_cmd)
/*
 * WRITE: as READ, from ptr (in) to the range. EPERM: a read-only mapping. After an
 * error the range may be written up to the page that the error belongs to.
 */
#define HMM_DMIRROR_WRITE		_IOWR('H', 0x01, struct hmm_dmirror_cmd)
/*
 * MIGRATE_TO_DEV: move the range's anonymous pages into the device's memory, then
 * read them back through the device into ptr (in) as proof. EINVAL: a part that
 * has no mapping, is not readable, or is of a kind that never migrates (hugetlb,
 * pfn maps). ENOENT: at least one page did not move (file pages, pinned pages,
 * pages of another device); the others did.
 */
#define HMM_DMIRROR_MIGRATE_TO_DEV	_IOWR('H', 0x02, struct hmm_dmirror_cmd)
/*
 * MIGRATE_TO_SYS: move this device's pages in the range back; cpages (out) tells how
 * many moved. test_hmm counts a huge page that moves whole as one since 6.19.
 */
#define HMM_DMIRROR_MIGRATE_TO_SYS	_IOWR('H', 0x03, struct hmm_dmirror_cmd)
/*
 * SNAPSHOT: look at the CPU page table without faulting anything in; ptr (in)
 * receives one byte of HMM_DMIRROR_PROT_* for each page.
 */
#define HMM_DMIRROR_SNAPSHOT		_IOWR('H', 0x04, struct hmm_dmirror_cmd)
/*
 * EXCLUSIVE: take the CPU's access to the range away until it faults, and read the
 * pages through the device into ptr (in). At least one page was refused: EBUSY
 * before 6.15; since then EFAULT for a mapping that may not be written, and
 * EOPNOTSUPP for memory that is not anonymous.
 */
#define HMM_DMIRROR_EXCLUSIVE		_IOWR('H', 0x05, struct hmm_dmirror_cmd)
/* CHECK_EXCLUSIVE: EPERM while any page of the range is held exclusively, else 0. */
#define HMM_DMIRROR_CHECK_EXCLUSIVE	_IOWR('H', 0x06, struct hmm_dmirror_cmd)
/*
 * RELEASE: move every page of the device, whoever owns it, back to system memory
 * and give the device's memory back. The range is checked but not used. EBUSY: a
 * page is pinned for ten seconds (test_hmm waits for ever).
 */
#define HMM_DMIRROR_RELEASE		_IOWR('H', 0x07, struct hmm_dmirror_cmd)
/*
 * FLAGS: npages (in) is a set of HMM_DMIRROR_FLAG_* that replaces the descriptor's
 * set; one without a member is refused as an empty range. test_hmm before 6.19: EINVAL.
 */
#define HMM_DMIRROR_FLAGS		_IOWR('H', 0x08, struct hmm_dmirror_cmd)
/*
 * READ_UNLOCKED: as READ, with hmm_range_fault_unlocked_timeout(), which takes the
 * locks by itself. Before 7.3: EINVAL.
 */
#define HMM_DMIRROR_READ_UNLOCKED	_IOWR('H', 0x09, struct hmm_dmirror_cmd)

/*
 * The next allocation for a page that moves fails, once: of device memory on the
 * way to the device (a huge page then moves in small ones), of system memory on
 * the way back (MIGRATE_TO_SYS: ENOMEM).
 */
#define HMM_DMIRROR_FLAG_FAIL_ALLOC	0x1ULL
/* The device maps what the kernel reports, right or not; hmm_dmirror only. */
#define HMM_DMIRROR_FLAG_AS_REPORTED	0x2ULL

/*
 * One byte of SNAPSHOT. ERROR stands alone. Otherwise bits 4 to 7 name what backs
 * the page, a number and not a set, and bits 0 to 3 say how it is mapped. 0x00 is
 * a page that the device cannot use without a fault: nothing there yet, swapped
 * out, or in the private memory of another device.
 */
enum {
	HMM_DMIRROR_PROT_ERROR			= 0xff, /* no mapping, or no access */
	HMM_DMIRROR_PROT_NONE			= 0x00,
	HMM_DMIRROR_PROT_READ			= 0x01, /* readable, not writable */
	HMM_DMIRROR_PROT_WRITE			= 0x02, /* readable and writable */
	HMM_DMIRROR_PROT_PMD			= 0x04, /* part of a PMD sized page */
	HMM_DMIRROR_PROT_PUD			= 0x08, /* part of a PUD sized page */
	HMM_DMIRROR_PROT_ZERO			= 0x10, /* the shared zero page */
	HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL	= 0x20, /* private, of this device */
	HMM_DMIRROR_PROT_DEV_PRIVATE_REMOTE	= 0x30, /* private, of another one */
	HMM_DMIRROR_PROT_DEV_COHERENT_LOCAL	= 0x40, /* coherent, of this device */
	HMM_DMIRROR_PROT_DEV_COHERENT_REMOTE	= 0x50, /* coherent, of another one */
};

/*
 * Commands from 0x20 on: this project's own.
 *
 * Every argument begins with its size and a word of flags. size has to be that of
 * the structure the caller was compiled with; a longer one is accepted as long as
 * what the driver does not know is zero (else E2BIG), a shorter one is EINVAL, as
 * is a flag the driver does not know. Like above, the argument is copied back only
 * when the command succeeds, unless the command says otherwise. Structures hold no
 * pointer and no padding, so that 32-bit programs use them unchanged.
 */

/* INFO: what the device is and has. */
struct hmm_dmirror_info {
	__u32 size;		/* (in) */
	__u32 flags;		/* (in) 0 */
	__u32 version;		/* (out) of this interface, HMM_DMIRROR_VERSION */
	__u32 type;		/* (out) HMM_DMIRROR_MEMORY_DEVICE_* */
	__u32 unit;		/* (out) N of /dev/hmm_dmirrorN */
	__u32 state;		/* (out) set of HMM_DMIRROR_STATE_* */
	__u64 commands;		/* (out) bit n: the command 0x20 + n exists */
	__u64 chunks;		/* (out) pieces of device memory */
	__u64 pages;		/* (out) pages in them */
	__u64 free_pages;	/* (out) pages nobody uses */
	__u64 allocated;	/* (out) pages handed out since the driver was loaded */
	__u64 freed;		/* (out) pages given back; all when equal to allocated */
	__u32 page_size;	/* (out) bytes */
	__u32 large_pages;	/* (out) pages in a large folio, 1: the device has none */
	__u64 table_bytes;	/* (out) memory of this descriptor's device page table */
	__u64 abilities;	/* (out) set of HMM_DMIRROR_CAN_*: not every kernel can */
	__u64 bad_pages;	/* (out) pages with a memory error that are not handed out */
};

#define HMM_DMIRROR_INFO		_IOWR('H', 0x20, struct hmm_dmirror_info)
#define HMM_DMIRROR_VERSION		1
#define HMM_DMIRROR_STATE_LOST		0x1U /* nothing can be copied */
#define HMM_DMIRROR_STATE_UNPLUGGED	0x2U /* memory has been taken away */
#define HMM_DMIRROR_CAN_LOSE_CONTENTS	0x1U /* INJECT takes CONTENTS_LOST */
#define HMM_DMIRROR_CAN_TAKE_FILES	0x2U /* MIGRATE2 takes FILE to coherent memory */

/*
 * MIGRATE2: move a range and say what became of each page. Not moving is no error.
 * The counts add up to npages when the command succeeds.
 */
struct hmm_dmirror_migrate {
	__u32 size;		/* (in) */
	__u32 flags;		/* (in) DEVICE, SYSTEM or RENEW, and others */
	__u64 addr;		/* (in) first byte of the range, page aligned */
	__u64 npages;		/* (in) length of the range in pages, not 0 */
	__u64 ptr;		/* (in) npages bytes for HMM_DMIRROR_PAGE_*, or 0 */
	__u64 counts[16];	/* (out) pages for each HMM_DMIRROR_PAGE_* */
};

#define HMM_DMIRROR_MIGRATE2		_IOWR('H', 0x21, struct hmm_dmirror_migrate)
#define HMM_DMIRROR_MIGRATE_DEVICE	0x1U /* to this device */
#define HMM_DMIRROR_MIGRATE_SYSTEM	0x2U /* this device's pages to system memory */
#define HMM_DMIRROR_MIGRATE_PREFAULT	0x4U /* fault the range in first */
#define HMM_DMIRROR_MIGRATE_FILE	0x8U /* page cache, too; EOPNOTSUPP: the kernel cannot */
#define HMM_DMIRROR_MIGRATE_RENEW	0x10U /* system memory to other system memory */

/* What became of a page. */
enum {
	HMM_DMIRROR_PAGE_MOVED		= 0,
	HMM_DMIRROR_PAGE_THERE		= 1, /* it was where it should go */
	HMM_DMIRROR_PAGE_NONE		= 2, /* there is no page */
	HMM_DMIRROR_PAGE_PINNED		= 3, /* somebody else holds a reference */
	HMM_DMIRROR_PAGE_WRITEBACK	= 4, /* it is being written to disk */
	HMM_DMIRROR_PAGE_MAPPING	= 5, /* it belongs to a file or is shared memory */
	HMM_DMIRROR_PAGE_LARGE		= 6, /* it is part of a large folio that stayed whole */
	HMM_DMIRROR_PAGE_NO_MEMORY	= 7, /* no memory where it should go */
	HMM_DMIRROR_PAGE_COPY_FAILED	= 8, /* the device could not copy it */
	HMM_DMIRROR_PAGE_OTHER_DEVICE	= 9, /* another device holds it */
	HMM_DMIRROR_PAGE_OTHER		= 10, /* it was locked or in use by something else */
	HMM_DMIRROR_PAGE_CONTENTS_LOST	= 11, /* it left the device without its contents */
};

/*
 * EVICT: move pages of the device back to system memory, whoever maps them, and
 * try again for pinned ones until the timeout. Copied back also after EBUSY.
 */
struct hmm_dmirror_evict {
	__u32 size;		/* (in) */
	__u32 flags;		/* (in) HMM_DMIRROR_EVICT_ALL or 0 */
	__u64 first_pfn;	/* (in) first frame; 0 with ALL */
	__u64 npages;		/* (in) number of frames, not 0; 0 with ALL */
	__u32 timeout_ms;	/* (in) milliseconds, at most 60000 */
	__u32 reserved;		/* (in) 0 */
	__u64 evicted;		/* (out) pages that moved, with their contents */
};

#define HMM_DMIRROR_EVICT		_IOWR('H', 0x22, struct hmm_dmirror_evict)
#define HMM_DMIRROR_EVICT_ALL		0x1U /* every page of the device */

/*
 * INJECT: make the device fail. Replaces all that was set before, for everyone who
 * uses the device; all zero ends it.
 */
struct hmm_dmirror_inject {
	__u32 size;		/* (in) */
	__u32 flags;		/* (in) set of HMM_DMIRROR_INJECT_* */
	__u64 alloc_nth;	/* (in) the nth allocation for a page that moves fails; 0: none */
	__u64 copy_nth;		/* (in) the nth page to be copied or cleared fails; 0: none */
	__u32 copy_delay_us;	/* (in) us, at most 1000000: each batch, each EXCLUSIVE page */
	__u32 notifier_delay_us; /* (in) before each invalidation that may sleep, at most 1000000 */
	__u64 map_nth;		/* (in) the nth page to be mapped for DMA fails; 0: none */
};

#define HMM_DMIRROR_INJECT		_IOWR('H', 0x23, struct hmm_dmirror_inject)
#define HMM_DMIRROR_INJECT_LOST		0x1U /* the device is lost: nothing can be copied */
#define HMM_DMIRROR_INJECT_FAULT_SIGBUS	0x2U /* a CPU fault for a private page: SIGBUS */
/*
 * A page that copy_nth keeps from being copied to system memory has lost its
 * contents; so has every page while the device is LOST. Whoever mapped it gets
 * SIGBUS (BUS_MCEERR_AR). EOPNOTSUPP: the kernel cannot take such pages.
 */
#define HMM_DMIRROR_INJECT_CONTENTS_LOST	0x4U
#define HMM_DMIRROR_INJECT_MARK_COPIES	0x8U /* a copied page's last 8 bytes are complemented */

/* STATS: what the device has done since the driver was loaded or since RESET. */
struct hmm_dmirror_stats {
	__u32 size;		/* (in) */
	__u32 flags;		/* (in) HMM_DMIRROR_STATS_RESET or 0 */
	__u64 cpu_faults;	/* (out) CPU faults for private pages */
	__u64 device_faults;	/* (out) times the device faulted a range in */
	__u64 retries;		/* (out) device faults begun again after an invalidation */
	__u64 evicted;		/* (out) pages that EVICT moved */
	__u64 batches_to_device; /* (out) batches copied */
	__u64 batches_to_system; /* (out) */
	__u64 pages_to_device;	/* (out) pages copied */
	__u64 pages_to_system;	/* (out) */
	__u64 pages_cleared;	/* (out) pages of zeros made on the device */
	__u64 copy_errors;	/* (out) pages whose copy failed */
	__u64 max_copy_ns;	/* (out) longest batch, in nanoseconds */
	__u64 max_fault_ns;	/* (out) longest device fault, in nanoseconds */
	__u64 invalidations[8];	/* (out) by event, HMM_DMIRROR_EVENT_* */
};

#define HMM_DMIRROR_STATS		_IOWR('H', 0x24, struct hmm_dmirror_stats)
#define HMM_DMIRROR_STATS_RESET		0x1U /* set to zero after reading */

/* Why the CPU's page table changed, as the kernel says it. */
enum {
	HMM_DMIRROR_EVENT_UNMAP			= 0,
	HMM_DMIRROR_EVENT_CLEAR			= 1,
	HMM_DMIRROR_EVENT_PROTECTION_VMA	= 2,
	HMM_DMIRROR_EVENT_PROTECTION_PAGE	= 3,
	HMM_DMIRROR_EVENT_SOFT_DIRTY		= 4,
	HMM_DMIRROR_EVENT_RELEASE		= 5,
	HMM_DMIRROR_EVENT_MIGRATE		= 6,
	HMM_DMIRROR_EVENT_EXCLUSIVE		= 7,
};

/*
 * DEVMEM_READ: read what is in the device's memory, without the CPU's or the
 * device's page table in between.
 */
struct hmm_dmirror_devmem {
	__u32 size;		/* (in) */
	__u32 flags;		/* (in) HMM_DMIRROR_DEVMEM_PFN or 0 */
	__u64 addr;		/* (in) address, page aligned; or with PFN a frame number */
	__u64 npages;		/* (in) number of pages, not 0 */
	__u64 ptr;		/* (in) receives npages * page size bytes */
	__u64 pfns;		/* (in) receives npages 64-bit frame numbers, or 0 */
};

#define HMM_DMIRROR_DEVMEM_READ		_IOWR('H', 0x25, struct hmm_dmirror_devmem)
#define HMM_DMIRROR_DEVMEM_PFN		0x1U /* addr is a frame number */

/* DEV_ATOMIC: the device does one atomic operation on a 64-bit word. */
struct hmm_dmirror_atomic {
	__u32 size;		/* (in) */
	__u32 flags;		/* (in) 0 */
	__u64 addr;		/* (in) a multiple of 8 */
	__u32 op;		/* (in) HMM_DMIRROR_ATOMIC_* */
	__u32 faults;		/* (out) times the device had to fault the page in */
	__u64 operand;		/* (in) what is added, or the new value */
	__u64 compare;		/* (in) for CMPXCHG: the value expected; else 0 */
	__u64 old;		/* (out) the value before */
};

#define HMM_DMIRROR_DEV_ATOMIC		_IOWR('H', 0x26, struct hmm_dmirror_atomic)
enum {
	HMM_DMIRROR_ATOMIC_FETCH_ADD	= 0,
	HMM_DMIRROR_ATOMIC_CMPXCHG	= 1,
};

/*
 * On-demand paging. A region lets the device's engine reach memory that nobody
 * pins: a work request that meets a page the device has no entry for faults it in,
 * and an invalidation waits until the engine has left the page. Regions and
 * requests belong to the descriptor and end with its last close; requests that are
 * not done then are dropped.
 *
 * ODP_REG: make a region of the mirrored address space. Nothing has to be mapped
 * there yet. ESRCH: the address space is gone. ENOSPC: too many regions.
 */
struct hmm_dmirror_odp_reg {
	__u32 size;		/* (in) */
	__u32 flags;		/* (in) set of HMM_DMIRROR_ODP_* */
	__u64 addr;		/* (in) first byte, page aligned; 0 with IMPLICIT */
	__u64 npages;		/* (in) length in pages, not 0; 0 with IMPLICIT */
	__u32 max_retries;	/* (in) attempts of one fault, at most 65535; 0: 64 */
	__u32 handle;		/* (out) for ODP_DEREG and ODP_POST, not 0 */
};

#define HMM_DMIRROR_ODP_REG		_IOWR('H', 0x27, struct hmm_dmirror_odp_reg)
#define HMM_DMIRROR_ODP_WRITE		0x1U /* the device may write */
#define HMM_DMIRROR_ODP_IMPLICIT	0x2U /* the whole address space, in parts made on demand */
#define HMM_DMIRROR_ODP_PREFETCH	0x4U /* fault in now what can be; not with IMPLICIT */
#define HMM_DMIRROR_ODP_REGIONS		256 /* at most, for each descriptor */

/*
 * ODP_DEREG: tell what a region has seen, and end it, after the requests that use
 * it. Requests that name it later are not accepted. ENOENT: no such region.
 */
struct hmm_dmirror_odp_dereg {
	__u32 size;		/* (in) */
	__u32 flags;		/* (in) HMM_DMIRROR_ODP_QUERY or 0 */
	__u32 handle;		/* (in) from ODP_REG */
	__u32 parts;		/* (out) notifiers: 1, or the parts of an implicit region */
	__u64 requests;		/* (out) requests done, also those that failed */
	__u64 faults;		/* (out) times pages were faulted in */
	__u64 retries;		/* (out) faults begun again after an invalidation */
	__u64 present;		/* (out) pages that the device has an entry for */
	__u64 max_fault_ns;	/* (out) longest fault with its retries, in nanoseconds */
	__u64 invalidations[8];	/* (out) by event, HMM_DMIRROR_EVENT_* */
};

#define HMM_DMIRROR_ODP_DEREG		_IOWR('H', 0x28, struct hmm_dmirror_odp_dereg)
#define HMM_DMIRROR_ODP_QUERY		0x1U /* only tell */

/* What a work request does; its bytes may lie across pages. */
enum {
	HMM_DMIRROR_ODP_OP_READ		= 0, /* memory to the caller's buffer */
	HMM_DMIRROR_ODP_OP_WRITE	= 1, /* the caller's buffer to memory */
	HMM_DMIRROR_ODP_OP_FETCH_ADD	= 2, /* one aligned 64-bit word, atomic for the CPU too */
	HMM_DMIRROR_ODP_OP_COPY		= 3, /* memory to memory */
};

struct hmm_dmirror_odp_request {
	__u64 id;		/* (in) comes back with the completion */
	__u32 op;		/* (in) HMM_DMIRROR_ODP_OP_* */
	__u32 flags;		/* (in) 0 */
	__u64 addr;		/* (in) first byte, in the region */
	__u64 length;		/* (in) bytes, 1 to HMM_DMIRROR_ODP_LENGTH; FETCH_ADD: 8 */
	__u32 handle;		/* (in) region of addr */
	__u32 to_handle;	/* (in) COPY: region of the destination; else 0 */
	__u64 data;		/* (in) see the operation below */
};

/*
 * data: READ: the buffer that receives length bytes when the completion is polled.
 * WRITE: the buffer, which ODP_POST reads. FETCH_ADD: what is added. COPY: address
 * of the destination, in the region to_handle; the ranges may not overlap.
 */
#define HMM_DMIRROR_ODP_LENGTH		65536

/*
 * ODP_POST: queue work requests, which the engine does in this order. Copied back
 * also after an error, which is that of the next request: posted says how many were
 * queued before it. EAGAIN: the queue is full. ENOENT: no such region. EINVAL also
 * for bytes outside the region.
 */
struct hmm_dmirror_odp_post {
	__u32 size;		/* (in) */
	__u32 flags;		/* (in) 0 */
	__u64 ptr;		/* (in) count times struct hmm_dmirror_odp_request */
	__u32 count;		/* (in) 1 to HMM_DMIRROR_ODP_QUEUE */
	__u32 posted;		/* (out) */
};

#define HMM_DMIRROR_ODP_POST		_IOWR('H', 0x29, struct hmm_dmirror_odp_post)
#define HMM_DMIRROR_ODP_QUEUE		256 /* requests posted and not yet polled, at most */

struct hmm_dmirror_odp_completion {
	__u64 id;		/* (out) the request's */
	__s32 status;		/* (out) 0 or a negative errno, see ODP_POLL */
	__u32 faults;		/* (out) times pages were faulted in for it */
	__u64 done;		/* (out) bytes done, also after an error */
	__u64 value;		/* (out) FETCH_ADD: the word before; else 0 */
	__u64 ns;		/* (out) from its beginning to its end, in nanoseconds */
};

/*
 * ODP_POLL: take completions, in the order of their requests, and wait for the
 * first if there is none. A completion's status: EFAULT: no mapping, or one that
 * may not be read; EPERM: a write to a mapping or region that may not be written;
 * EBUSY: invalidations did not let a fault succeed in max_retries attempts; ESRCH:
 * the address space is gone; ENODEV: the device is lost; EIO: a page could not be
 * mapped for DMA; ENOMEM. READ delivers the bytes that are done. The first completion
 * or its READ's buffer cannot be written: EFAULT from ODP_POLL itself, it stays.
 */
struct hmm_dmirror_odp_poll {
	__u32 size;		/* (in) */
	__u32 flags;		/* (in) 0 */
	__u64 ptr;		/* (in) room for count struct hmm_dmirror_odp_completion */
	__u32 count;		/* (in) 1 to HMM_DMIRROR_ODP_QUEUE */
	__u32 timeout_ms;	/* (in) to wait for the first one, at most 60000 */
	__u32 polled;		/* (out) completions taken, 0 after the timeout */
	__u32 pending;		/* (out) requests that are not done */
};

#define HMM_DMIRROR_ODP_POLL		_IOWR('H', 0x2a, struct hmm_dmirror_odp_poll)

/* 0x2b and 0x2c are kept for peers and engines. */

/*
 * PIN: hold the pages of a range as a driver with long DMA does. Ends with UNPIN or
 * the last close of the descriptor.
 */
struct hmm_dmirror_pin {
	__u32 size;		/* (in) */
	__u32 flags;		/* (in) set of HMM_DMIRROR_PIN_* */
	__u64 addr;		/* (in) first byte of the range, page aligned */
	__u64 npages;		/* (in) length in pages, 1 to HMM_DMIRROR_PIN_PAGES */
	__u32 handle;		/* (out) for UNPIN */
	__u32 reserved;		/* (in) 0 */
	__u64 system;		/* (out) pages of system memory */
	__u64 coherent;		/* (out) pages of a device's coherent memory */
};

#define HMM_DMIRROR_PIN			_IOWR('H', 0x2d, struct hmm_dmirror_pin)
#define HMM_DMIRROR_PIN_WRITE		0x1U /* for writing */
#define HMM_DMIRROR_PIN_LONGTERM	0x2U /* for long: no coherent memory */
#define HMM_DMIRROR_PIN_PAGES		65536

/* UNPIN: let go of what PIN holds. */
struct hmm_dmirror_unpin {
	__u32 size;		/* (in) */
	__u32 flags;		/* (in) 0 */
	__u32 handle;		/* (in) from PIN */
	__u32 reserved;		/* (in) 0 */
};

#define HMM_DMIRROR_UNPIN		_IOWR('H', 0x2e, struct hmm_dmirror_unpin)

/*
 * CHUNK_ADD: add memory to the device. Coherent memory has one place only, so it
 * is added whole and after it was removed.
 */
struct hmm_dmirror_chunk {
	__u32 size;		/* (in) */
	__u32 flags;		/* (in) 0 */
	__u64 npages;		/* (in) a multiple of 2 MiB, at most 1 GiB; CHUNK_REMOVE: 0 */
	__u64 first_pfn;	/* CHUNK_ADD: (out) first frame; CHUNK_REMOVE: (in) */
	__u32 timeout_ms;	/* (in) CHUNK_REMOVE: as for EVICT; CHUNK_ADD: 0 */
	__u32 reserved;		/* (in) 0 */
	__u64 left;		/* (out) CHUNK_REMOVE: pages still in use, also after EBUSY */
};

#define HMM_DMIRROR_CHUNK_ADD		_IOWR('H', 0x2f, struct hmm_dmirror_chunk)
/* CHUNK_REMOVE: move its pages away and take it from the device. */
#define HMM_DMIRROR_CHUNK_REMOVE	_IOWR('H', 0x30, struct hmm_dmirror_chunk)

/*
 * UNPLUG: the device goes, as by the slot's button, or, with SURPRISE, without
 * warning: it is lost first. REPLUG ends that state.
 */
struct hmm_dmirror_unplug {
	__u32 size;		/* (in) */
	__u32 flags;		/* (in) set of HMM_DMIRROR_UNPLUG_* */
	__u32 timeout_ms;	/* (in) for each chunk, as for EVICT; 0 with REPLUG */
	__u32 reserved;		/* (in) 0 */
};

#define HMM_DMIRROR_UNPLUG		_IOWR('H', 0x31, struct hmm_dmirror_unplug)
#define HMM_DMIRROR_UNPLUG_SURPRISE	0x1U
#define HMM_DMIRROR_UNPLUG_REPLUG	0x2U

/* Kinds of device memory, INFO's type. */
enum {
	HMM_DMIRROR_MEMORY_DEVICE_PRIVATE	= 1,
	HMM_DMIRROR_MEMORY_DEVICE_COHERENT	= 2,
};

#endif
