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
static const unsigned long long hmm_dmirror_flag_fail_alloc = HMM_DMIRROR_FLAG_FAIL_ALLOC;

#endif
