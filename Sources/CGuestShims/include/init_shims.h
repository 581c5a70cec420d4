/* SPDX-License-Identifier: Apache-2.0 */
/* What PID 1 needs and Swift's Glibc module does not offer, since it leaves these headers out. */
#pragma once

#include <signal.h>

/* Constants that <spawn.h> and <sched.h> show to _GNU_SOURCE only, which Swift does not define. */
enum {
	SHIM_SPAWN_SETSID = 0x80,
	SHIM_SCHED_RESET_ON_FORK = 0x40000000,
};

/* Powers the machine off, and restarts it if that returns: reboot(2), <sys/reboot.h>. Both end a QEMU that was started
 * with -no-reboot. Does not sync. Returns only on failure. */
void shim_power_off(void);

/* A descriptor that tells of these signals, non-blocking and close-on-exec; -1 and errno on failure: signalfd(2),
 * <sys/signalfd.h>. The signals must be blocked. */
int shim_signal_descriptor(const sigset_t *signals);

/* The number of the next signal that waits in such a descriptor; 0 if none does. */
int shim_next_signal(int descriptor);
