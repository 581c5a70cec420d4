// SPDX-License-Identifier: GPL-2.0
/*
 * On-demand paging: work requests, from ODP_POST through the engine to ODP_POLL.
 *
 * The engine of a descriptor is one work item: it runs in one place at a time and
 * does the requests in their order. It works on the mirrored address space, whoever
 * posted.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "dmirror.h"

#define ODP_MAX_TIMEOUT_MS	60000

struct workqueue_struct *dmirror_odp_engines;

/**
 * struct odp_work - one request, from its post until it is polled
 * @link: in the queue, then among the completions; the engine's in between
 * @request: what is asked for
 * @region: of its address; given back when it is done
 * @to: COPY: of its destination, else NULL
 * @result: what ODP_POLL tells
 * @buffer: the bytes on their way
 */
struct odp_work {
	struct list_head link;
	struct hmm_dmirror_odp_request request;
	struct dmirror_odp_region *region;
	struct dmirror_odp_region *to;
	struct hmm_dmirror_odp_completion result;
	u8 buffer[];
};

static void work_put_regions(struct odp_work *work)
{
	dmirror_odp_region_put(work->region);
	if (work->to)
		dmirror_odp_region_put(work->to);
	work->region = NULL;
	work->to = NULL;
}

static bool may_write(const struct dmirror_odp_region *region)
{
	return region->flags & HMM_DMIRROR_ODP_WRITE;
}

static int do_work(struct odp_work *work)
{
	const struct hmm_dmirror_odp_request *request = &work->request;
	bool copy = request->op == HMM_DMIRROR_ODP_OP_COPY;
	int ret;

	if ((request->op == HMM_DMIRROR_ODP_OP_WRITE ||
	     request->op == HMM_DMIRROR_ODP_OP_FETCH_ADD) && !may_write(work->region))
		return -EPERM;
	if (copy && !may_write(work->to))
		return -EPERM;
	ret = dmirror_odp_transfer(work->region, request,
				   copy ? HMM_DMIRROR_ODP_OP_READ : request->op,
				   request->addr, work->buffer, &work->result);
	if (!copy)
		return ret;
	/* What has been read only is not done. */
	work->result.done = 0;
	if (ret)
		return ret;
	return dmirror_odp_transfer(work->to, request, HMM_DMIRROR_ODP_OP_WRITE, request->data,
				    work->buffer, &work->result);
}

static struct odp_work *next_work(struct dmirror_odp *odp)
{
	struct odp_work *work = NULL;

	spin_lock(&odp->queue_lock);
	if (!READ_ONCE(odp->closing))
		work = list_first_entry_or_null(&odp->queued, struct odp_work, link);
	if (work)
		list_del_init(&work->link);
	spin_unlock(&odp->queue_lock);
	return work;
}

static void engine(struct work_struct *item)
{
	struct dmirror_odp *odp = container_of(item, struct dmirror_odp, engine);
	struct odp_work *work;
	u64 begin;

	while ((work = next_work(odp))) {
		begin = ktime_get_ns();
		work->result.status = do_work(work);
		work->result.ns = ktime_get_ns() - begin;
		dmirror_odp_count(work->region, DMIRROR_ODP_REQUESTS, 1);
		if (work->to && work->to != work->region)
			dmirror_odp_count(work->to, DMIRROR_ODP_REQUESTS, 1);
		/* Before it can be polled: who has polled it may end the region at once. */
		work_put_regions(work);
		spin_lock(&odp->queue_lock);
		list_add_tail(&work->link, &odp->completed);
		odp->nr_pending--;
		spin_unlock(&odp->queue_lock);
		wake_up_all(&odp->wait);
		cond_resched();
	}
}

void dmirror_odp_engine_init(struct dmirror *m)
{
	struct dmirror_odp *odp = &m->odp;

	mutex_init(&odp->poll_lock);
	spin_lock_init(&odp->queue_lock);
	INIT_LIST_HEAD(&odp->queued);
	INIT_LIST_HEAD(&odp->completed);
	INIT_WORK(&odp->engine, engine);
}

static void drop_list(struct list_head *list)
{
	struct odp_work *work, *next;

	list_for_each_entry_safe(work, next, list, link) {
		if (work->region)
			work_put_regions(work);
		kvfree(work);
	}
}

/* Waits for one look of the engine at most, and drops what is not polled. */
void dmirror_odp_engine_exit(struct dmirror *m)
{
	struct dmirror_odp *odp = &m->odp;

	WRITE_ONCE(odp->closing, true);
	cancel_work_sync(&odp->engine);
	drop_list(&odp->queued);
	drop_list(&odp->completed);
}

static bool in_region(const struct dmirror_odp_region *region, u64 addr, u64 length)
{
	return addr >= region->start && addr < region->end && length <= region->end - addr;
}

static int check_request(const struct hmm_dmirror_odp_request *request)
{
	bool copy = request->op == HMM_DMIRROR_ODP_OP_COPY;

	if (request->op > HMM_DMIRROR_ODP_OP_COPY || request->flags || !request->length ||
	    request->length > HMM_DMIRROR_ODP_LENGTH || (request->to_handle && !copy))
		return -EINVAL;
	if (request->op == HMM_DMIRROR_ODP_OP_FETCH_ADD &&
	    (request->length != sizeof(u64) || request->addr % sizeof(u64)))
		return -EINVAL;
	if (copy && request->data < request->addr + request->length &&
	    request->addr < request->data + request->length)
		return -EINVAL;
	return 0;
}

static int find_regions(struct dmirror *m, struct odp_work *work)
{
	const struct hmm_dmirror_odp_request *request = &work->request;

	work->region = dmirror_odp_region_get(m, request->handle);
	if (!work->region)
		return -ENOENT;
	if (request->op == HMM_DMIRROR_ODP_OP_COPY) {
		work->to = dmirror_odp_region_get(m, request->to_handle);
		if (!work->to) {
			dmirror_odp_region_put(work->region);
			return -ENOENT;
		}
	}
	if (in_region(work->region, request->addr, request->length) &&
	    (!work->to || in_region(work->to, request->data, request->length)))
		return 0;
	work_put_regions(work);
	return -EINVAL;
}

static struct odp_work *make_work(struct dmirror *m, const struct hmm_dmirror_odp_request *request)
{
	struct odp_work *work;
	int ret;

	ret = check_request(request);
	if (ret)
		return ERR_PTR(ret);
	work = kvzalloc(struct_size(work, buffer, request->length), GFP_KERNEL_ACCOUNT);
	if (!work)
		return ERR_PTR(-ENOMEM);
	work->request = *request;
	work->result.id = request->id;
	ret = 0;
	if (request->op == HMM_DMIRROR_ODP_OP_WRITE &&
	    copy_from_user(work->buffer, u64_to_user_ptr(request->data), request->length))
		ret = -EFAULT;
	if (!ret)
		ret = find_regions(m, work);
	if (!ret)
		return work;
	kvfree(work);
	return ERR_PTR(ret);
}

/* Takes a place in the queue, or gives it back. */
static bool take_place(struct dmirror_odp *odp)
{
	bool taken;

	spin_lock(&odp->queue_lock);
	taken = odp->nr_taken < HMM_DMIRROR_ODP_QUEUE;
	odp->nr_taken += taken;
	spin_unlock(&odp->queue_lock);
	return taken;
}

static void give_place(struct dmirror_odp *odp)
{
	spin_lock(&odp->queue_lock);
	odp->nr_taken--;
	spin_unlock(&odp->queue_lock);
}

static int post_one(struct dmirror *m, const struct hmm_dmirror_odp_request __user *user)
{
	struct hmm_dmirror_odp_request request;
	struct dmirror_odp *odp = &m->odp;
	struct odp_work *work;

	if (copy_from_user(&request, user, sizeof(request)))
		return -EFAULT;
	if (!take_place(odp))
		return -EAGAIN;
	work = make_work(m, &request);
	if (IS_ERR(work)) {
		give_place(odp);
		return PTR_ERR(work);
	}
	spin_lock(&odp->queue_lock);
	list_add_tail(&work->link, &odp->queued);
	odp->nr_pending++;
	spin_unlock(&odp->queue_lock);
	return 0;
}

int dmirror_odp_post(struct dmirror *m, union dmirror_arg *args)
{
	struct hmm_dmirror_odp_post *arg = &args->odp_post;
	const struct hmm_dmirror_odp_request __user *user = u64_to_user_ptr(arg->ptr);
	u32 i;
	int ret = 0;

	arg->posted = 0;
	if (!arg->count || arg->count > HMM_DMIRROR_ODP_QUEUE)
		return -EINVAL;
	for (i = 0; i < arg->count && !ret; i++) {
		ret = post_one(m, user + i);
		if (!ret)
			queue_work(dmirror_odp_engines, &m->odp.engine);
	}
	arg->posted = ret ? i - 1 : i;
	return ret;
}

static struct odp_work *first_completed(struct dmirror_odp *odp)
{
	struct odp_work *work;

	spin_lock(&odp->queue_lock);
	work = list_first_entry_or_null(&odp->completed, struct odp_work, link);
	spin_unlock(&odp->queue_lock);
	return work;
}

/* Hands out completions; the first that cannot be stays, and is told when it is the first. */
static int take_completions(struct dmirror_odp *odp, struct hmm_dmirror_odp_poll *arg)
{
	struct hmm_dmirror_odp_completion __user *user = u64_to_user_ptr(arg->ptr);
	struct odp_work *work;

	lockdep_assert_held(&odp->poll_lock);
	while (arg->polled < arg->count) {
		work = first_completed(odp);
		if (!work)
			break;
		if ((work->request.op == HMM_DMIRROR_ODP_OP_READ &&
		     copy_to_user(u64_to_user_ptr(work->request.data), work->buffer,
				  work->result.done)) ||
		    copy_to_user(user + arg->polled, &work->result, sizeof(work->result)))
			return arg->polled ? 0 : -EFAULT;
		spin_lock(&odp->queue_lock);
		list_del(&work->link);
		odp->nr_taken--;
		spin_unlock(&odp->queue_lock);
		kvfree(work);
		arg->polled++;
	}
	return 0;
}

int dmirror_odp_poll(struct dmirror *m, union dmirror_arg *args)
{
	struct hmm_dmirror_odp_poll *arg = &args->odp_poll;
	struct dmirror_odp *odp = &m->odp;
	long left;
	int ret;

	if (!arg->count || arg->count > HMM_DMIRROR_ODP_QUEUE ||
	    arg->timeout_ms > ODP_MAX_TIMEOUT_MS)
		return -EINVAL;
	arg->polled = 0;
	left = msecs_to_jiffies(arg->timeout_ms);
	/* Again when another thread took what there was. */
	do {
		left = wait_event_killable_timeout(odp->wait, first_completed(odp), left);
		if (left < 0 || mutex_lock_killable(&odp->poll_lock))
			return -EINTR;
		ret = take_completions(odp, arg);
		mutex_unlock(&odp->poll_lock);
	} while (!ret && !arg->polled && left > 0);
	spin_lock(&odp->queue_lock);
	arg->pending = odp->nr_pending;
	spin_unlock(&odp->queue_lock);
	return ret;
}
