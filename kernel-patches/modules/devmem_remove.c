// SPDX-License-Identifier: GPL-2.0
/*
 * How chunks go: emptied first, at the latest when the driver does.
 */
#include <linux/ioport.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "devmem_internal.h"

/* How long to wait before pages that did not move are tried again. */
#define DEVMEM_RETRY	max(HZ / 50, 1)

/*
 * Waits a moment for pages that somebody holds. Others have the lock meanwhile, and
 * any chunk may be gone afterwards.
 */
void devmem_pause(struct hmm_devmem *dm)
{
	lockdep_assert_held(&dm->chunk_lock);
	mutex_unlock(&dm->chunk_lock);
	if (dm->leaving)
		schedule_timeout_uninterruptible(DEVMEM_RETRY);
	else
		schedule_timeout_killable(DEVMEM_RETRY);
	mutex_lock(&dm->chunk_lock);
}

/* The first chunk that has this number or a higher one. */
static struct hmm_devmem_chunk *chunk_from(struct hmm_devmem *dm, u64 serial)
{
	struct hmm_devmem_chunk *chunk;

	lockdep_assert_held(&dm->chunk_lock);
	list_for_each_entry(chunk, &dm->chunks, link)
		if (chunk->serial >= serial)
			return chunk;
	return NULL;
}

/* Says what keeps a chunk: the first few of its pages that did not move. */
static void diagnose(struct hmm_devmem *dm, struct hmm_devmem_chunk *chunk)
{
	unsigned long index = 0;
	unsigned int shown = 0, n;
	struct folio *folio;

	pr_warn("%s: %lu pages of the chunk at pfn 0x%lx are still in use\n",
		dm->name, devmem_chunk_used(chunk), chunk->first_pfn);
	while (shown < 8 && (n = devmem_next_live(chunk, &index, chunk->nr_pages))) {
		folio = page_folio(pfn_to_page(chunk->first_pfn + index));
		pr_warn("%s: pfn 0x%lx and %u more: references %d, mappings %d\n",
			dm->name, chunk->first_pfn + index, n - 1,
			folio_ref_count(folio), compat_folio_mapcount(folio));
		index += n;
		shown++;
	}
}

static void delete_chunk(struct hmm_devmem *dm, struct hmm_devmem_chunk *chunk)
{
	list_del(&chunk->link);
	/* Waits for those who are just giving a page back. */
	memunmap_pages(&chunk->pagemap);
	if (dm->ops->chunk_exit)
		dm->ops->chunk_exit(dm, chunk);
	release_mem_region(chunk->res->start, resource_size(chunk->res));
	kvfree(chunk->blocks);
	kfree(chunk);
}

/*
 * Several callers may be at the same chunk, each while the others wait: whoever finds
 * it empty deletes it for all of them, and with the last one that gives up its pages
 * are handed out again.
 */
static int remove_chunk(struct hmm_devmem *dm, struct hmm_devmem_chunk *chunk,
			unsigned long timeout, unsigned long *left)
{
	unsigned long deadline = jiffies + timeout;
	struct devmem_batch *batch = NULL;
	u64 serial = chunk->serial;
	int ret = 0;

	lockdep_assert_held(&dm->chunk_lock);
	if (!chunk->removers++)
		devmem_blocks_retire(chunk);
	while (devmem_chunk_used(chunk)) {
		if (!batch)
			batch = devmem_batch_alloc();
		if (batch)
			devmem_evict_chunk(dm, chunk, 0, chunk->nr_pages, batch);
		if (!devmem_chunk_used(chunk))
			break;
		if (devmem_is_killed(dm))
			ret = -EINTR;
		else if (time_after(jiffies, deadline))
			ret = batch ? -EBUSY : -ENOMEM;
		if (ret)
			break;
		devmem_pause(dm);
		chunk = chunk_from(dm, serial);
		if (!chunk || chunk->serial != serial)
			goto free_batch;
	}
	if (!ret) {
		delete_chunk(dm, chunk);
	} else {
		if (ret == -EBUSY)
			diagnose(dm, chunk);
		if (left)
			*left = devmem_chunk_used(chunk);
		if (!--chunk->removers)
			devmem_blocks_publish(chunk);
	}
free_batch:
	if (batch)
		devmem_batch_free(batch);
	return ret;
}

/**
 * hmm_devmem_remove_chunk() - take a chunk from the device
 * @dm: the device's memory
 * @first_pfn: first frame number of the chunk
 * @timeout: how long to wait for pages in use, in jiffies
 * @left: optional; (out) pages still in use when an error is returned
 *
 * Every page that somebody uses moves to system memory first. What cannot move
 * because it is pinned is waited for; after the timeout the log says which pages
 * those are, and the chunk stays. Nobody else has to wait meanwhile, but no page
 * of the chunk is handed out.
 *
 * Context: as hmm_devmem_add_chunk().
 * Return: 0; -ENOENT when there is no such chunk; after the timeout -EBUSY, or
 * -ENOMEM when there was no memory to move anything; -EINTR when the caller is
 * being killed.
 */
int hmm_devmem_remove_chunk(struct hmm_devmem *dm, unsigned long first_pfn,
			    unsigned long timeout, unsigned long *left)
{
	struct hmm_devmem_chunk *chunk;
	int ret;

	ret = devmem_lock_chunks(dm);
	if (ret)
		return ret;
	chunk = devmem_find_chunk(dm, first_pfn);
	if (chunk && chunk->first_pfn == first_pfn)
		ret = remove_chunk(dm, chunk, timeout, left);
	else
		ret = -ENOENT;
	mutex_unlock(&dm->chunk_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(hmm_devmem_remove_chunk);

/**
 * hmm_devmem_remove_all() - take every chunk that there is from the device
 * @dm: the device's memory
 * @timeout: how long to wait for pages in use, in jiffies, for each chunk
 *
 * Context: as hmm_devmem_add_chunk().
 * Return: 0, or the first error of hmm_devmem_remove_chunk(); the chunks that
 * could go have gone then.
 */
int hmm_devmem_remove_all(struct hmm_devmem *dm, unsigned long timeout)
{
	struct hmm_devmem_chunk *chunk;
	u64 serial = 0, end;
	int err, ret;

	ret = devmem_lock_chunks(dm);
	if (ret)
		return ret;
	/* Not those that are added while this waits: that need not come to an end. */
	end = dm->next_serial;
	while ((chunk = chunk_from(dm, serial)) && chunk->serial < end) {
		serial = chunk->serial + 1;
		err = remove_chunk(dm, chunk, timeout, NULL);
		ret = ret ?: err;
		if (err == -EINTR)
			break;
	}
	mutex_unlock(&dm->chunk_lock);
	return ret;
}
EXPORT_SYMBOL_GPL(hmm_devmem_remove_all);

/**
 * hmm_devmem_destroy() - end a device's memory
 * @dm: the device's memory, not to be used by the driver any more
 * @timeout: how long to wait for pages in use, in jiffies, for each chunk
 *
 * The driver calls nothing of @dm at the same time. Its functions are not called
 * any more when this returns, also when pages are still in use because they
 * cannot move (a device that is lost, or pinned pages). Those pages then have no
 * contents: the CPU's fault for a private one ends in SIGBUS. Their chunks stay
 * until the next boot, and the library with them.
 *
 * Return: 0, or -EBUSY when chunks had to be left behind.
 */
int hmm_devmem_destroy(struct hmm_devmem *dm, unsigned long timeout)
{
	struct hmm_devmem_chunk *chunk;

	dm->leaving = true;
	if (!hmm_devmem_remove_all(dm, timeout)) {
		kfree(dm->name);
		kfree(dm);
		return 0;
	}
	__module_get(THIS_MODULE);
	WRITE_ONCE(dm->abandoned, true);
	synchronize_srcu(&devmem_srcu);
	mutex_lock(&dm->chunk_lock);
	list_for_each_entry(chunk, &dm->chunks, link) {
		devmem_blocks_retire(chunk);
		if (dm->ops->chunk_exit)
			dm->ops->chunk_exit(dm, chunk);
	}
	mutex_unlock(&dm->chunk_lock);
	return -EBUSY;
}
EXPORT_SYMBOL_GPL(hmm_devmem_destroy);
