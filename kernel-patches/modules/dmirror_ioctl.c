// SPDX-License-Identifier: GPL-2.0
/*
 * Requests: which there are, and what is checked for all of them.
 */
#include <linux/fs.h>
#include <linux/uaccess.h>

#include "dmirror.h"
#include "hmm_dmirror_layout.h"

#define DMIRROR_FIRST_OWN	0x20

/**
 * struct dmirror_request - one of this project's own requests
 * @fn: does it
 * @size: of its argument
 * @flags: the flags it knows
 * @on_device: refused with -ENODEV while the device is lost
 * @gives_up: but not when the contents of its pages are lost as well
 * @always_copied: the argument goes back to the caller also after an error
 */
struct dmirror_request {
	int (*fn)(struct dmirror *m, union dmirror_arg *args);
	u32 size;
	u32 flags;
	bool on_device;
	bool gives_up;
	bool always_copied;
};

#define DMIRROR_AT(command)	(_IOC_NR(command) - DMIRROR_FIRST_OWN)

static const struct dmirror_request requests[] = {
	[DMIRROR_AT(HMM_DMIRROR_INFO)] = {
		.fn = dmirror_info, .size = sizeof(struct hmm_dmirror_info),
	},
	[DMIRROR_AT(HMM_DMIRROR_MIGRATE2)] = {
		.fn = dmirror_migrate2, .size = sizeof(struct hmm_dmirror_migrate),
		.flags = HMM_DMIRROR_MIGRATE_DEVICE | HMM_DMIRROR_MIGRATE_SYSTEM |
			 HMM_DMIRROR_MIGRATE_PREFAULT | HMM_DMIRROR_MIGRATE_FILE |
			 HMM_DMIRROR_MIGRATE_RENEW,
		.on_device = true,
	},
	[DMIRROR_AT(HMM_DMIRROR_EVICT)] = {
		.fn = dmirror_evict, .size = sizeof(struct hmm_dmirror_evict),
		.flags = HMM_DMIRROR_EVICT_ALL,
		.on_device = true, .gives_up = true, .always_copied = true,
	},
	[DMIRROR_AT(HMM_DMIRROR_INJECT)] = {
		.fn = dmirror_inject, .size = sizeof(struct hmm_dmirror_inject),
		.flags = HMM_DMIRROR_INJECT_LOST | HMM_DMIRROR_INJECT_FAULT_SIGBUS |
			 HMM_DMIRROR_INJECT_CONTENTS_LOST | HMM_DMIRROR_INJECT_MARK_COPIES,
	},
	[DMIRROR_AT(HMM_DMIRROR_STATS)] = {
		.fn = dmirror_stats, .size = sizeof(struct hmm_dmirror_stats),
		.flags = HMM_DMIRROR_STATS_RESET,
	},
	[DMIRROR_AT(HMM_DMIRROR_DEVMEM_READ)] = {
		.fn = dmirror_devmem_read, .size = sizeof(struct hmm_dmirror_devmem),
		.flags = HMM_DMIRROR_DEVMEM_PFN,
		.on_device = true,
	},
	[DMIRROR_AT(HMM_DMIRROR_DEV_ATOMIC)] = {
		.fn = dmirror_atomic, .size = sizeof(struct hmm_dmirror_atomic),
		.on_device = true,
	},
	[DMIRROR_AT(HMM_DMIRROR_ODP_REG)] = {
		.fn = dmirror_odp_reg, .size = sizeof(struct hmm_dmirror_odp_reg),
		.flags = HMM_DMIRROR_ODP_WRITE | HMM_DMIRROR_ODP_IMPLICIT |
			 HMM_DMIRROR_ODP_PREFETCH,
	},
	[DMIRROR_AT(HMM_DMIRROR_ODP_DEREG)] = {
		.fn = dmirror_odp_dereg, .size = sizeof(struct hmm_dmirror_odp_dereg),
		.flags = HMM_DMIRROR_ODP_QUERY,
	},
	[DMIRROR_AT(HMM_DMIRROR_ODP_POST)] = {
		.fn = dmirror_odp_post, .size = sizeof(struct hmm_dmirror_odp_post),
		.always_copied = true,
	},
	[DMIRROR_AT(HMM_DMIRROR_ODP_POLL)] = {
		.fn = dmirror_odp_poll, .size = sizeof(struct hmm_dmirror_odp_poll),
	},
	[DMIRROR_AT(HMM_DMIRROR_PIN)] = {
		.fn = dmirror_pin, .size = sizeof(struct hmm_dmirror_pin),
		.flags = HMM_DMIRROR_PIN_WRITE | HMM_DMIRROR_PIN_LONGTERM,
	},
	[DMIRROR_AT(HMM_DMIRROR_UNPIN)] = {
		.fn = dmirror_unpin, .size = sizeof(struct hmm_dmirror_unpin),
	},
	[DMIRROR_AT(HMM_DMIRROR_CHUNK_ADD)] = {
		.fn = dmirror_chunk_add, .size = sizeof(struct hmm_dmirror_chunk),
	},
	[DMIRROR_AT(HMM_DMIRROR_CHUNK_REMOVE)] = {
		.fn = dmirror_chunk_remove, .size = sizeof(struct hmm_dmirror_chunk),
		.always_copied = true,
	},
	[DMIRROR_AT(HMM_DMIRROR_UNPLUG)] = {
		.fn = dmirror_unplug, .size = sizeof(struct hmm_dmirror_unplug),
		.flags = HMM_DMIRROR_UNPLUG_SURPRISE | HMM_DMIRROR_UNPLUG_REPLUG,
	},
};

/* INFO's set of commands. */
static u64 known_commands(void)
{
	u64 set = 0;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(requests); i++)
		if (requests[i].fn)
			set |= 1ULL << i;
	return set;
}

static long own_request(struct dmirror *m, unsigned int command, void __user *user)
{
	unsigned int index = DMIRROR_AT(command);
	const struct dmirror_request *request;
	union dmirror_arg args = {};
	u32 size;
	int ret;

	if (index >= ARRAY_SIZE(requests) || !requests[index].fn)
		return -EINVAL;
	request = &requests[index];
	if (get_user(size, (u32 __user *)user))
		return -EFAULT;
	/* The number says the size as well; both are the caller's. */
	if (size != _IOC_SIZE(command) || size < request->size || size > PAGE_SIZE)
		return -EINVAL;
	ret = copy_struct_from_user(&args, request->size, user, size);
	if (ret)
		return ret;
	args.size = size;
	if (args.flags & ~request->flags)
		return -EINVAL;
	if (request->on_device && hmm_devmem_is_lost(m->device->dm) &&
	    !(request->gives_up && hmm_devmem_is_gone(m->device->dm)))
		return -ENODEV;
	ret = request->fn(m, &args);
	if (index == DMIRROR_AT(HMM_DMIRROR_INFO))
		args.info.commands = known_commands();
	if ((!ret || request->always_copied) && copy_to_user(user, &args, request->size))
		return -EFAULT;
	return ret;
}

static int do_command(struct dmirror *m, unsigned int command, struct hmm_dmirror_cmd *cmd,
		      unsigned long end)
{
	switch (command) {
	case HMM_DMIRROR_SNAPSHOT:
		return dmirror_snapshot(m, cmd);
	case HMM_DMIRROR_CHECK_EXCLUSIVE:
		return dmirror_any_exclusive(m, cmd->addr, end) ? -EPERM : 0;
	case HMM_DMIRROR_RELEASE:
		return hmm_devmem_remove_all(m->device->dm, DMIRROR_TIMEOUT);
	case HMM_DMIRROR_FLAGS:
		WRITE_ONCE(m->flags, cmd->npages);
		return 0;
	}
	if (hmm_devmem_is_lost(m->device->dm))
		return -ENODEV;
	switch (command) {
	case HMM_DMIRROR_READ:
		return dmirror_read(m, cmd, DMIRROR_FAULT_READ);
	case HMM_DMIRROR_READ_UNLOCKED:
		return dmirror_read(m, cmd, DMIRROR_FAULT_READ_UNLOCKED);
	case HMM_DMIRROR_WRITE:
		return dmirror_write(m, cmd);
	case HMM_DMIRROR_MIGRATE_TO_DEV:
		return dmirror_migrate_to_device(m, cmd);
	case HMM_DMIRROR_MIGRATE_TO_SYS:
		return dmirror_migrate_to_system(m, cmd);
	case HMM_DMIRROR_EXCLUSIVE:
		return dmirror_exclusive(m, cmd);
	}
	return -EINVAL;
}

static bool is_known(unsigned int command)
{
	switch (command) {
	case HMM_DMIRROR_READ:
	case HMM_DMIRROR_WRITE:
	case HMM_DMIRROR_MIGRATE_TO_DEV:
	case HMM_DMIRROR_MIGRATE_TO_SYS:
	case HMM_DMIRROR_SNAPSHOT:
	case HMM_DMIRROR_EXCLUSIVE:
	case HMM_DMIRROR_CHECK_EXCLUSIVE:
	case HMM_DMIRROR_RELEASE:
	case HMM_DMIRROR_FLAGS:
		return true;
	case HMM_DMIRROR_READ_UNLOCKED:
		return COMPAT_FAULT_UNLOCKED;
	default:
		return false;
	}
}

/* The requests that upstream's test driver has as well. */
static long upstream_request(struct dmirror *m, unsigned int command, void __user *user)
{
	struct hmm_dmirror_cmd cmd;
	unsigned long end;
	int ret;

	if (copy_from_user(&cmd, user, sizeof(cmd)))
		return -EFAULT;
	ret = dmirror_range_end(cmd.addr, cmd.npages, &end);
	if (ret)
		return ret;
	if (!is_known(command))
		return -EINVAL;
	cmd.cpages = 0;
	cmd.faults = 0;
	ret = do_command(m, command, &cmd, end);
	if (ret)
		return ret;
	return copy_to_user(user, &cmd, sizeof(cmd)) ? -EFAULT : 0;
}

long dmirror_ioctl(struct file *file, unsigned int command, unsigned long arg)
{
	void __user *user = (void __user *)arg;
	struct dmirror *m = file->private_data;

	if (_IOC_TYPE(command) == 'H' && _IOC_DIR(command) == (_IOC_READ | _IOC_WRITE) &&
	    _IOC_NR(command) >= DMIRROR_FIRST_OWN && _IOC_NR(command) < 0x40)
		return own_request(m, command, user);
	return upstream_request(m, command, user);
}
