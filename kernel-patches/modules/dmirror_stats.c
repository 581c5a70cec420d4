// SPDX-License-Identifier: GPL-2.0
/*
 * What the device has done. Counting is part of every fault, so each CPU counts for
 * itself; the numbers are put together when somebody asks.
 */
#include "dmirror.h"

int dmirror_stats_init(struct dmirror_device *device)
{
	mutex_init(&device->stats_lock);
	device->stats = __alloc_percpu(sizeof(u64) * DMIRROR_NR_STATS, __alignof__(u64));
	return device->stats ? 0 : -ENOMEM;
}

/* Also when dmirror_stats_init() has failed, or was never called. */
void dmirror_stats_exit(struct dmirror_device *device)
{
	free_percpu(device->stats);
}

/* A CPU that counts meanwhile is in this sum or in the next. */
static u64 sum(struct dmirror_device *device, unsigned int stat)
{
	unsigned int cpu;
	u64 value = 0;

	for_each_possible_cpu(cpu)
		value += READ_ONCE(per_cpu_ptr(device->stats, cpu)[stat]);
	return value;
}

static u64 longest(struct dmirror_device *device, enum dmirror_longest which, bool reset)
{
	return reset ? atomic64_xchg(&device->longest[which], 0)
		     : atomic64_read(&device->longest[which]);
}

int dmirror_stats(struct dmirror *m, union dmirror_arg *args)
{
	struct hmm_dmirror_stats *arg = &args->stats;
	struct dmirror_device *device = m->device;
	u64 *out[] = {
		[DMIRROR_CPU_FAULTS] = &arg->cpu_faults,
		[DMIRROR_DEVICE_FAULTS] = &arg->device_faults,
		[DMIRROR_RETRIES] = &arg->retries,
		[DMIRROR_EVICTED] = &arg->evicted,
		[DMIRROR_BATCHES_TO_DEVICE] = &arg->batches_to_device,
		[DMIRROR_BATCHES_TO_SYSTEM] = &arg->batches_to_system,
		[DMIRROR_PAGES_TO_DEVICE] = &arg->pages_to_device,
		[DMIRROR_PAGES_TO_SYSTEM] = &arg->pages_to_system,
		[DMIRROR_PAGES_CLEARED] = &arg->pages_cleared,
		[DMIRROR_COPY_ERRORS] = &arg->copy_errors,
	};
	bool reset = arg->flags & HMM_DMIRROR_STATS_RESET;
	unsigned int i;
	u64 now, value;

	BUILD_BUG_ON(ARRAY_SIZE(out) != DMIRROR_INVALIDATIONS);
	mutex_lock(&device->stats_lock);
	for (i = 0; i < DMIRROR_NR_STATS; i++) {
		now = sum(device, i);
		value = now - device->stats_base[i];
		if (reset)
			device->stats_base[i] = now;
		if (i < DMIRROR_INVALIDATIONS)
			*out[i] = value;
		else
			arg->invalidations[i - DMIRROR_INVALIDATIONS] = value;
	}
	arg->max_copy_ns = longest(device, DMIRROR_LONGEST_COPY, reset);
	arg->max_fault_ns = longest(device, DMIRROR_LONGEST_FAULT, reset);
	mutex_unlock(&device->stats_lock);
	return 0;
}
