/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command numbers of hmm_dmirror_uapi.h as constants, for user programs only:
 * Swift imports no function-like macro, and every number there is built by _IOWR.
 */
#ifndef HMM_DMIRROR_NUMBERS_H
#define HMM_DMIRROR_NUMBERS_H

#include "hmm_dmirror_uapi.h"

static const unsigned long hmm_dmirror_ioctl_read = HMM_DMIRROR_READ;
static const unsigned long hmm_dmirror_ioctl_write = HMM_DMIRROR_WRITE;
static const unsigned long hmm_dmirror_ioctl_migrate_to_dev = HMM_DMIRROR_MIGRATE_TO_DEV;
static const unsigned long hmm_dmirror_ioctl_migrate_to_sys = HMM_DMIRROR_MIGRATE_TO_SYS;
static const unsigned long hmm_dmirror_ioctl_snapshot = HMM_DMIRROR_SNAPSHOT;
static const unsigned long hmm_dmirror_ioctl_exclusive = HMM_DMIRROR_EXCLUSIVE;
static const unsigned long hmm_dmirror_ioctl_check_exclusive = HMM_DMIRROR_CHECK_EXCLUSIVE;
static const unsigned long hmm_dmirror_ioctl_release = HMM_DMIRROR_RELEASE;
static const unsigned long hmm_dmirror_ioctl_flags = HMM_DMIRROR_FLAGS;
static const unsigned long hmm_dmirror_ioctl_read_unlocked = HMM_DMIRROR_READ_UNLOCKED;
static const unsigned long hmm_dmirror_ioctl_info = HMM_DMIRROR_INFO;
static const unsigned long hmm_dmirror_ioctl_migrate2 = HMM_DMIRROR_MIGRATE2;
static const unsigned long hmm_dmirror_ioctl_evict = HMM_DMIRROR_EVICT;
static const unsigned long hmm_dmirror_ioctl_inject = HMM_DMIRROR_INJECT;
static const unsigned long hmm_dmirror_ioctl_stats = HMM_DMIRROR_STATS;
static const unsigned long hmm_dmirror_ioctl_devmem_read = HMM_DMIRROR_DEVMEM_READ;
static const unsigned long hmm_dmirror_ioctl_dev_atomic = HMM_DMIRROR_DEV_ATOMIC;
static const unsigned long hmm_dmirror_ioctl_odp_reg = HMM_DMIRROR_ODP_REG;
static const unsigned long hmm_dmirror_ioctl_odp_dereg = HMM_DMIRROR_ODP_DEREG;
static const unsigned long hmm_dmirror_ioctl_odp_post = HMM_DMIRROR_ODP_POST;
static const unsigned long hmm_dmirror_ioctl_odp_poll = HMM_DMIRROR_ODP_POLL;
static const unsigned long hmm_dmirror_ioctl_pin = HMM_DMIRROR_PIN;
static const unsigned long hmm_dmirror_ioctl_unpin = HMM_DMIRROR_UNPIN;
static const unsigned long hmm_dmirror_ioctl_chunk_add = HMM_DMIRROR_CHUNK_ADD;
static const unsigned long hmm_dmirror_ioctl_chunk_remove = HMM_DMIRROR_CHUNK_REMOVE;
static const unsigned long hmm_dmirror_ioctl_unplug = HMM_DMIRROR_UNPLUG;
static const unsigned long long hmm_dmirror_flag_fail_alloc = HMM_DMIRROR_FLAG_FAIL_ALLOC;
static const unsigned long long hmm_dmirror_flag_as_reported = HMM_DMIRROR_FLAG_AS_REPORTED;
static const unsigned int hmm_dmirror_state_lost = HMM_DMIRROR_STATE_LOST;
static const unsigned int hmm_dmirror_state_unplugged = HMM_DMIRROR_STATE_UNPLUGGED;
static const unsigned int hmm_dmirror_can_lose_contents = HMM_DMIRROR_CAN_LOSE_CONTENTS;
static const unsigned int hmm_dmirror_can_take_files = HMM_DMIRROR_CAN_TAKE_FILES;
static const unsigned int hmm_dmirror_migrate_device = HMM_DMIRROR_MIGRATE_DEVICE;
static const unsigned int hmm_dmirror_migrate_system = HMM_DMIRROR_MIGRATE_SYSTEM;
static const unsigned int hmm_dmirror_migrate_prefault = HMM_DMIRROR_MIGRATE_PREFAULT;
static const unsigned int hmm_dmirror_migrate_file = HMM_DMIRROR_MIGRATE_FILE;
static const unsigned int hmm_dmirror_migrate_renew = HMM_DMIRROR_MIGRATE_RENEW;
static const unsigned int hmm_dmirror_evict_all = HMM_DMIRROR_EVICT_ALL;
static const unsigned int hmm_dmirror_inject_lost = HMM_DMIRROR_INJECT_LOST;
static const unsigned int hmm_dmirror_inject_fault_sigbus = HMM_DMIRROR_INJECT_FAULT_SIGBUS;
static const unsigned int hmm_dmirror_inject_contents_lost = HMM_DMIRROR_INJECT_CONTENTS_LOST;
static const unsigned int hmm_dmirror_inject_mark_copies = HMM_DMIRROR_INJECT_MARK_COPIES;
static const unsigned int hmm_dmirror_stats_reset = HMM_DMIRROR_STATS_RESET;
static const unsigned int hmm_dmirror_devmem_pfn = HMM_DMIRROR_DEVMEM_PFN;
static const unsigned int hmm_dmirror_odp_write = HMM_DMIRROR_ODP_WRITE;
static const unsigned int hmm_dmirror_odp_implicit = HMM_DMIRROR_ODP_IMPLICIT;
static const unsigned int hmm_dmirror_odp_prefetch = HMM_DMIRROR_ODP_PREFETCH;
static const unsigned int hmm_dmirror_odp_query = HMM_DMIRROR_ODP_QUERY;
static const unsigned int hmm_dmirror_pin_write = HMM_DMIRROR_PIN_WRITE;
static const unsigned int hmm_dmirror_pin_longterm = HMM_DMIRROR_PIN_LONGTERM;
static const unsigned int hmm_dmirror_unplug_surprise = HMM_DMIRROR_UNPLUG_SURPRISE;
static const unsigned int hmm_dmirror_unplug_replug = HMM_DMIRROR_UNPLUG_REPLUG;

#endif
