/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "init_shims.h"

#include <sched.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(SHIM_SPAWN_SETSID == POSIX_SPAWN_SETSID, "spawn.h");
_Static_assert(SHIM_SCHED_RESET_ON_FORK == SCHED_RESET_ON_FORK, "sched.h");

/* Swift's runtime looks for its own path in /proc before main, and aborts where there is none: PID 1 must have mounted
 * it by then. Priority 101 is the first that programs may use. Any other process leaves the machine alone. */
__attribute__((constructor(101))) static void mount_proc_early(void)
{
	if (getpid() != 1 || access("/proc/self", F_OK) == 0)
		return;
	mkdir("/proc", 0555);
	mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

void shim_power_off(void)
{
	reboot(RB_POWER_OFF);
	reboot(RB_AUTOBOOT);
}

int shim_signal_descriptor(const sigset_t *signals)
{
	return signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

int shim_next_signal(int descriptor)
{
	struct signalfd_siginfo information;

	if (read(descriptor, &information, sizeof(information)) != sizeof(information))
		return 0;
	return (int)information.ssi_signo;
}
