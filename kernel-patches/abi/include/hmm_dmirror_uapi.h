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
 * much moved. Before 6.19 that is a number of pages; since then a huge page that
 * moves whole counts as one.
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
 * and give the device's memory back. The range is checked but not used.
 */
#define HMM_DMIRROR_RELEASE		_IOWR('H', 0x07, struct hmm_dmirror_cmd)
/*
 * FLAGS: npages (in) is a set of HMM_DMIRROR_FLAG_* that replaces the descriptor's
 * set; one without a member is refused as an empty range. Before 6.19: EINVAL.
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
#define HMM_DMIRROR_FLAG_FAIL_ALLOC	(1ULL << 0)

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

_Static_assert(sizeof(struct hmm_dmirror_cmd) == 40, "five words, no padding");
_Static_assert(__builtin_offsetof(struct hmm_dmirror_cmd, addr) == 0, "addr");
_Static_assert(__builtin_offsetof(struct hmm_dmirror_cmd, ptr) == 8, "ptr");
_Static_assert(__builtin_offsetof(struct hmm_dmirror_cmd, npages) == 16, "npages");
_Static_assert(__builtin_offsetof(struct hmm_dmirror_cmd, cpages) == 24, "cpages");
_Static_assert(__builtin_offsetof(struct hmm_dmirror_cmd, faults) == 32, "faults");

#endif
