// SPDX-License-Identifier: Apache-2.0
//
// hmmlab-supervise PROGRAM [ARGUMENT...]
//
// Runs one program in a process group of its own and makes sure that nothing of it outlives hmmlab, however hmmlab
// ends. Standard input is the lifeline: hmmlab holds the other end of the pipe open, so end of file means that hmmlab
// is gone, kill -9 included. The program itself reads /dev/null.
//
// It is a process rather than a prctl() in hmmlab because PR_SET_PDEATHSIG (prctl(2)) follows the *thread* that forked,
// and Swift's threads come and go. This process has one thread, so here the signal means what it says.
//
// Exit status: that of the program; the program's own signal if a signal ended it; 127 if it could not be started.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// How long a group may take to end after SIGTERM before it is killed.
enum { TERM_GRACE_MILLISECONDS = 1500 };

static long long milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void fail(const char *what)
{
	fprintf(stderr, "hmmlab-supervise: %s: %s\n", what, strerror(errno));
	exit(127);
}

// Ends whatever is left below this process: its group, and what has left the group but was reparented here because
// this process is the subreaper. Reparenting takes a moment, hence the rounds.
static void kill_descendants(pid_t group)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	for (int round = 0; round < 50; round++) {
		int left = 0, child;
		FILE *children;

		if (kill(-group, SIGKILL) == 0)
			left = 1;
		children = fopen(path, "re");
		if (children) {
			while (fscanf(children, "%d", &child) == 1) {
				kill(child, SIGKILL);
				left = 1;
			}
			fclose(children);
		}
		while (waitpid(-1, NULL, WNOHANG) > 0)
			left = 1;
		if (!left)
			return;
		usleep(2000);
	}
}

static void end_like(int status)
{
	struct rlimit no_core = { 0, 0 };
	int number;

	if (WIFEXITED(status))
		exit(WEXITSTATUS(status));
	number = WTERMSIG(status);
	setrlimit(RLIMIT_CORE, &no_core);
	signal(number, SIG_DFL);
	sigset_t all;
	sigemptyset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	raise(number);
	exit(128 + number);
}

static void start(char **arguments, pid_t supervisor, const sigset_t *mask)
{
	int null = open("/dev/null", O_RDONLY);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		fail("/dev/null");
	if (null > STDERR_FILENO)
		close(null);
	setpgid(0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL))
		fail("prctl");
	// The supervisor may have died before the prctl took effect.
	if (getppid() != supervisor)
		_exit(127);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvp(arguments[0], arguments);
	fail(arguments[0]);
}

int main(int argc, char **argv)
{
	sigset_t handled, previous;
	int signals, status = 0, stopping = 0;
	long long deadline = 0;
	pid_t program, supervisor = getpid();

	if (argc < 2) {
		fprintf(stderr, "usage: hmmlab-supervise PROGRAM [ARGUMENT...]  (standard input is the lifeline)\n");
		return 64;
	}
	sigemptyset(&handled);
	sigaddset(&handled, SIGCHLD);
	sigaddset(&handled, SIGTERM);
	sigaddset(&handled, SIGINT);
	sigaddset(&handled, SIGQUIT);
	sigaddset(&handled, SIGHUP);
	sigprocmask(SIG_BLOCK, &handled, &previous);
	signals = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		fail("signalfd");
	if (prctl(PR_SET_CHILD_SUBREAPER, 1))
		fail("prctl");

	program = fork();
	if (program < 0)
		fail("fork");
	if (program == 0)
		start(argv + 1, supervisor, &previous);
	setpgid(program, program);

	for (;;) {
		struct pollfd polled[2] = {
			{ .fd = signals, .events = POLLIN },
			{ .fd = stopping ? -1 : STDIN_FILENO, .events = POLLIN },
		};
		struct signalfd_siginfo info;
		char ignored[256];
		pid_t ended;

		int ready = poll(polled, 2, stopping ? 20 : -1);
		if (ready < 0 && errno != EINTR)
			fail("poll");
		while (read(signals, &info, sizeof(info)) == sizeof(info)) {
			if (info.ssi_signo != SIGCHLD && !stopping) {
				stopping = 1;
				deadline = milliseconds() + TERM_GRACE_MILLISECONDS;
				// SIGQUIT itself would leave a core of every compiler.
				kill(-program, info.ssi_signo == SIGQUIT ? SIGTERM : (int)info.ssi_signo);
			}
		}
		if (!stopping && (polled[1].revents & (POLLIN | POLLHUP | POLLERR)) &&
		    read(STDIN_FILENO, ignored, sizeof(ignored)) <= 0) {
			kill_descendants(program);
			return 137;
		}
		while ((ended = waitpid(-1, &status, WNOHANG)) > 0) {
			if (ended == program) {
				kill_descendants(program);
				end_like(status);
			}
		}
		if (stopping && milliseconds() > deadline) {
			kill_descendants(program);
			return 143;
		}
	}
}
