/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the kernels these modules are built for, 6.1 to 7.3.
 * No other file looks at COMPAT_BASE, the base's version as Kbuild makes it:
 * 612 for 6.12, 702 for 7.2.
 */
#ifndef HMM_COMPAT_H
#define HMM_COMPAT_H

#include <linux/gfp.h>
#include <linux/hmm.h>
#include <linux/huge_mm.h>
#include <linux/memremap.h>
#include <linux/migrate.h>
#include <linux/mm.h>
#include <linux/rmap.h>

/* Device-private folios of PMD size came with 6.19, and with them another set of helpers. */
#if COMPAT_BASE >= 619
#define COMPAT_LARGE_DEVICE_FOLIOS	thp_migration_supported()
#define COMPAT_SELECT_COMPOUND		MIGRATE_VMA_SELECT_COMPOUND
#define COMPAT_PFN_COMPOUND		MIGRATE_PFN_COMPOUND

static inline struct dev_pagemap *compat_page_pgmap(const struct page *page)
{
	return page_pgmap(page);
}

static inline void compat_device_page_init(struct page *page,
					   struct dev_pagemap *pgmap,
					   unsigned int order)
{
	zone_device_folio_init((struct folio *)page, pgmap, order);
}

/* The free method of struct dev_pagemap_ops, made of fn(struct page *, unsigned int order). */
#define COMPAT_DEFINE_PAGE_FREE(name, fn)		\
static void name(struct folio *folio)			\
{							\
	fn(&folio->page, folio_order(folio));		\
}

#define COMPAT_PAGE_FREE(name)		.folio_free = name

static inline struct folio *compat_vma_alloc_large(struct vm_area_struct *vma,
						   unsigned long addr,
						   unsigned int order)
{
	return vma_alloc_folio(GFP_TRANSHUGE_LIGHT, order, vma, addr);
}
#else
#define COMPAT_LARGE_DEVICE_FOLIOS	false
#define COMPAT_SELECT_COMPOUND		0
#define COMPAT_PFN_COMPOUND		0UL

static inline struct dev_pagemap *compat_page_pgmap(const struct page *page)
{
	return page->pgmap;
}

static inline void compat_device_page_init(struct page *page,
					   struct dev_pagemap *pgmap,
					   unsigned int order)
{
	zone_device_page_init(page);
}

#define COMPAT_DEFINE_PAGE_FREE(name, fn)		\
static void name(struct page *page)			\
{							\
	fn(page, 0);					\
}

#define COMPAT_PAGE_FREE(name)		.page_free = name

static inline struct folio *compat_vma_alloc_large(struct vm_area_struct *vma,
						   unsigned long addr,
						   unsigned int order)
{
	return NULL;
}
#endif

/*
 * Whether the kernel takes pages whose contents are lost from a device, which our
 * series errors adds, and what such a page has for a destination.
 */
#ifdef MIGRATE_PFN_ERROR
#define COMPAT_CONTENTS_LOST	true
#define COMPAT_PFN_ERROR	MIGRATE_PFN_ERROR
#else
#define COMPAT_CONTENTS_LOST	false
#define COMPAT_PFN_ERROR	0UL
#endif

/* Whether page cache can go to coherent memory, which our series file adds. */
#ifdef COMPAT_HAVE_SELECT_FILE
#define COMPAT_FILES_TO_DEVICE	true
#define COMPAT_SELECT_FILE	MIGRATE_VMA_SELECT_FILE
#else
#define COMPAT_FILES_TO_DEVICE	false
#define COMPAT_SELECT_FILE	0
#endif

/*
 * The page of an entry of hmm_range_fault(). A private folio of PMD size that
 * the range begins in the middle of is reported from its first page on (up to
 * 7.3 at least); such a folio lies at a multiple of its size in both spaces.
 */
static inline struct page *compat_hmm_page(unsigned long hmm_pfn, unsigned long addr)
{
	struct page *page = hmm_pfn_to_page(hmm_pfn);
	unsigned long in_pmd = (addr & ~PMD_MASK) >> PAGE_SHIFT;

	if (COMPAT_LARGE_DEVICE_FOLIOS && is_device_private_page(page) &&
	    hmm_pfn_to_map_order(hmm_pfn) == PMD_SHIFT - PAGE_SHIFT)
		page = pfn_to_page(ALIGN_DOWN(page_to_pfn(page), PTRS_PER_PTE) + in_pmd);
	return page;
}

/*
 * Takes the CPU's access to one page away until it faults. The page comes back
 * locked and with a reference; what the caller gets for a refusal is the base's
 * choice. The notifier's event carries @owner.
 */
#if COMPAT_BASE >= 615
static inline struct page *compat_make_exclusive(struct mm_struct *mm,
						 unsigned long addr, void *owner)
{
	struct folio *folio;

	return make_device_exclusive(mm, addr, owner, &folio);
}
#else
static inline struct page *compat_make_exclusive(struct mm_struct *mm,
						 unsigned long addr, void *owner)
{
	struct page *page = NULL;
	int ret;

	ret = make_device_exclusive_range(mm, addr, addr + PAGE_SIZE, &page, owner);
	return ret == 1 && page ? page : ERR_PTR(-EBUSY);
}
#endif

/* Pins pages of another address space, whose mmap_lock is held throughout. */
static inline long compat_pin_pages(struct mm_struct *mm, unsigned long addr,
				    unsigned long n, unsigned int gup_flags,
				    struct page **pages)
{
#if COMPAT_BASE >= 605
	return pin_user_pages_remote(mm, addr, n, gup_flags, pages, NULL);
#else
	return pin_user_pages_remote(mm, addr, n, gup_flags, pages, NULL, NULL);
#endif
}

/* Mappings of a folio; 6.1 lets modules count those of one page only. */
static inline int compat_folio_mapcount(struct folio *folio)
{
#if COMPAT_BASE >= 612
	return folio_mapcount(folio);
#else
	return page_mapcount(&folio->page);
#endif
}

/* hmm_range_fault() that takes the locks by itself came with 7.3. */
#if COMPAT_BASE >= 703
#define COMPAT_FAULT_UNLOCKED		true
#define compat_range_fault_unlocked	hmm_range_fault_unlocked_timeout
#else
#define COMPAT_FAULT_UNLOCKED		false
static inline int compat_range_fault_unlocked(struct hmm_range *range,
					      unsigned long timeout)
{
	return -EINVAL;
}
#endif

#endif
