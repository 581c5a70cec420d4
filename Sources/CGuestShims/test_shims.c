/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "test_shims.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each thread may probe; the handlers are the process's. */
static _Thread_local sigjmp_buf probe_return;
static _Thread_local volatile sig_atomic_t is_probing;
static _Thread_local volatile sig_atomic_t probe_code;
static _Thread_local void *volatile probe_address;
static pthread_once_t probe_once = PTHREAD_ONCE_INIT;
static struct sigaction old_segv, old_bus;

static void probe_failed(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (!is_probing) {
		/* Not expected: the access is repeated, and then it is as if there was no handler. */
		sigaction(signal, signal == SIGBUS ? &old_bus : &old_segv, NULL);
		return;
	}
	probe_code = info->si_code;
	probe_address = info->si_addr;
	siglongjmp(probe_return, signal);
}

static void install_probe(void)
{
	struct sigaction action = { .sa_sigaction = probe_failed, .sa_flags = SA_SIGINFO };

	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, &old_segv);
	sigaction(SIGBUS, &action, &old_bus);
}

/* The numbers that 32-bit programs use (arch/x86/entry/syscalls/syscall_32.tbl). */
enum { CALL_32_GETPID = 20, CALL_32_IOCTL = 54 };

/* The kernel keeps no more of the registers than a 32-bit program has. */
static long call_32(long number, long first, long second, long third)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(first), "c"(second), "d"(third)
			 : "r8", "r9", "r10", "r11", "memory", "cc");
	return result;
}

enum probe_access { PROBE_READ, PROBE_WRITE, PROBE_ADD, PROBE_CALL_32, PROBE_POISON };

static int probe(enum probe_access access, uintptr_t address, uint64_t *value, int *code, uintptr_t *fault_address)
{
	volatile uint8_t *byte = (volatile uint8_t *)address;
	int signal;

	pthread_once(&probe_once, install_probe);
	probe_code = 0;
	probe_address = NULL;
	/* The mask is saved as well: the handler never returns, so nothing else unblocks the signal. */
	signal = sigsetjmp(probe_return, 1);
	if (signal == 0) {
		is_probing = 1;
		switch (access) {
		case PROBE_READ:
			*value = *byte;
			break;
		case PROBE_WRITE:
			*byte = (uint8_t)*value;
			break;
		case PROBE_ADD:
			*value = __atomic_fetch_add((uint64_t *)address, *value, __ATOMIC_SEQ_CST);
			break;
		case PROBE_CALL_32:
			*value = (uint64_t)call_32(CALL_32_GETPID, 0, 0, 0);
			break;
		case PROBE_POISON:
			*value = madvise((void *)address, (size_t)sysconf(_SC_PAGESIZE), MADV_HWPOISON) ? (uint64_t)errno : 0;
			break;
		}
	}
	is_probing = 0;
	*code = probe_code;
	*fault_address = (uintptr_t)probe_address;
	return signal;
}

int test_probe_read(uintptr_t address, uint64_t *value, int *code, uintptr_t *fault_address)
{
	return probe(PROBE_READ, address, value, code, fault_address);
}

int test_probe_write(uintptr_t address, uint8_t value, int *code, uintptr_t *fault_address)
{
	uint64_t byte = value;

	return probe(PROBE_WRITE, address, &byte, code, fault_address);
}

int test_probe_add(uintptr_t address, uint64_t *value, int *code, uintptr_t *fault_address)
{
	return probe(PROBE_ADD, address, value, code, fault_address);
}

int test_probe_poison(uintptr_t address, uint64_t *value, int *code, uintptr_t *fault_address)
{
	return probe(PROBE_POISON, address, value, code, fault_address);
}

bool test_has_calls_32(void)
{
	uintptr_t fault_address;
	uint64_t process;
	int code;

	/* Without them the instruction is a SIGSEGV. */
	return probe(PROBE_CALL_32, 0, &process, &code, &fault_address) == 0 && process == (uint64_t)getpid();
}

int test_ioctl_32(int descriptor, uint32_t request, uint32_t argument)
{
	int result = (int)call_32(CALL_32_IOCTL, descriptor, request, argument);

	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}

void test_count_up(uintptr_t address, uint32_t times)
{
	while (times-- > 0)
		__atomic_fetch_add((uint64_t *)address, 1, __ATOMIC_SEQ_CST);
}

int test_die_with_parent(void)
{
	return prctl(PR_SET_PDEATHSIG, SIGKILL);
}

int test_stay_on_processor(void)
{
	cpu_set_t processors;
	int current = sched_getcpu();

	if (current < 0)
		return -1;
	CPU_ZERO(&processors);
	CPU_SET(current, &processors);
	return sched_setaffinity(0, sizeof(processors), &processors);
}

int test_go_to_other_processor(void)
{
	cpu_set_t processors;
	long count = sysconf(_SC_NPROCESSORS_ONLN);
	int current = sched_getcpu();

	if (current < 0)
		return -1;
	CPU_ZERO(&processors);
	for (long number = 0; number < count; number++)
		if (number != current)
			CPU_SET(number, &processors);
	return sched_setaffinity(0, sizeof(processors), &processors);
}

int test_copy_descriptor(pid_t process, int descriptor)
{
	int process_descriptor = (int)syscall(SYS_pidfd_open, process, 0);
	int copy, error;

	if (process_descriptor < 0)
		return -1;
	copy = (int)syscall(SYS_pidfd_getfd, process_descriptor, descriptor, 0);
	error = errno;
	close(process_descriptor);
	errno = error;
	return copy;
}

void *test_move_mapping(void *address, size_t bytes)
{
	/* The target is reserved first: MREMAP_MAYMOVE alone would leave the mapping where it is. */
	void *target = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (target == MAP_FAILED)
		return MAP_FAILED;
	return mremap(address, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target);
}

void *test_move_mapping_onto(void *address, size_t bytes, void *target)
{
	return mremap(address, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, target);
}

void *test_move_pages_onto(void *address, size_t bytes, void *target)
{
	return mremap(address, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, target);
}

int test_memory_file(const char *name)
{
	return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

int test_secret_file(void)
{
	return syscall(SYS_memfd_secret, O_CLOEXEC);
}

int test_unnamed_file(const char *folder)
{
	return open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

int test_named_file(const char *path)
{
	return open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
}

int test_direct_file(int file)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
}

int test_direct_reader(const char *path)
{
	return open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
}

int test_is_dax(int file)
{
	/* STATX_ATTR_DAX of <linux/stat.h>, which glibc does not show beside its own <sys/stat.h>. */
	const uint64_t dax = 0x00200000;
	struct statx answer;

	if (statx(file, "", AT_EMPTY_PATH, 0, &answer))
		return -1;
	if (!(answer.stx_attributes_mask & dax)) {
		errno = EOPNOTSUPP;
		return -1;
	}
	return (answer.stx_attributes & dax) != 0;
}

int test_checkpoint(int file)
{
	uint32_t flags = 0;

	/* EXT4_IOC_CHECKPOINT of fs/ext4/ext4.h, which no kernel installs for user programs. */
	return ioctl(file, _IOW('f', 43, uint32_t), &flags);
}

int test_block_of_page(int file, int page)
{
	int block = page;

	if (ioctl(file, FIBMAP, &block))
		return -1;
	return block;
}

int test_begin_write_back(int file)
{
	return sync_file_range(file, 0, 0, SYNC_FILE_RANGE_WRITE);
}

ssize_t test_send_file(int to, int from, off_t offset, size_t bytes)
{
	return sendfile(to, from, &offset, bytes);
}

long test_move_to_node(unsigned int from, unsigned int to)
{
	unsigned long old_nodes = 1UL << from, new_nodes = 1UL << to;

	/* The kernel looks at one bit less than it is told. */
	return syscall(SYS_migrate_pages, 0, 65UL, &old_nodes, &new_nodes);
}

int test_punch_hole(int file, off_t offset, off_t bytes)
{
	return fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes);
}

int test_seal_against_writing(int file)
{
	return fcntl(file, F_ADD_SEALS, F_SEAL_WRITE);
}

ssize_t test_copy_through_kernel(pid_t process, uintptr_t from, void *to, size_t bytes)
{
	struct iovec local = { .iov_base = to, .iov_len = bytes };
	struct iovec remote = { .iov_base = (void *)from, .iov_len = bytes };

	return process_vm_readv(process, &local, 1, &remote, 1, 0);
}

int test_poke(pid_t process, uintptr_t address, uint64_t word)
{
	long result;
	int status, error;

	if (ptrace(PTRACE_ATTACH, process, NULL, NULL))
		return -1;
	if (waitpid(process, &status, __WALL) != process)
		return -1;
	result = ptrace(PTRACE_POKEDATA, process, (void *)address, (void *)word);
	error = errno;
	ptrace(PTRACE_DETACH, process, NULL, NULL);
	errno = error;
	return (int)result;
}

ssize_t test_splice_pages(int pipe, uintptr_t from, size_t bytes)
{
	struct iovec pages = { .iov_base = (void *)from, .iov_len = bytes };

	return vmsplice(pipe, &pages, 1, 0);
}

int test_watch_missing_pages(uintptr_t address, size_t bytes)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = {
		.range = { .start = address, .len = bytes },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int descriptor = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (descriptor < 0)
		return -1;
	if (ioctl(descriptor, UFFDIO_API, &api) || ioctl(descriptor, UFFDIO_REGISTER, &range)) {
		int error = errno;

		close(descriptor);
		errno = error;
		return -1;
	}
	return descriptor;
}

/* The layouts and numbers of mm/gup_test.h, which no kernel installs for user programs. */
struct gup_call {
	uint64_t get_microseconds; /* (out) */
	uint64_t put_microseconds; /* (out) */
	uint64_t address; /* (in) */
	uint64_t bytes; /* (in) */
	uint32_t pages_per_call; /* (in) */
	uint32_t follow_flags; /* (in) FOLL_* of include/linux/mm_types.h */
	uint32_t test_flags; /* (in) */
	uint32_t dumped_pages[8]; /* (in) */
};

struct gup_pin {
	uint64_t address; /* (in) */
	uint64_t bytes; /* (in) */
	uint32_t flags; /* (in) 1: for writing, 2: the fast path */
};

#define GUP_FOLL_WRITE 0x01u

int test_pin_and_release(int gup_test, enum test_pin how, uint32_t longterm_flag, uintptr_t address, size_t bytes)
{
	/* One page a call: the length that comes back counts whole calls, also one that got only some of its pages. */
	struct gup_call call = {
		.address = address,
		.bytes = bytes,
		.pages_per_call = 1,
		.follow_flags = GUP_FOLL_WRITE,
	};

	unsigned long command = 0;

	switch (how) {
	case TEST_PIN_GET:
		command = _IOWR('g', 4, struct gup_call);
		break;
	case TEST_PIN_FAST_LONGTERM:
		command = _IOWR('g', 2, struct gup_call);
		call.follow_flags |= longterm_flag;
		break;
	case TEST_PIN_LONGTERM:
		command = _IOWR('g', 3, struct gup_call);
		break;
	}
	if (ioctl(gup_test, command, &call))
		return -1;
	/* The ioctl succeeds even when no page could be taken; only the length that comes back tells. */
	if (call.bytes != bytes) {
		errno = EFAULT;
		return -1;
	}
	return 0;
}

int test_pin_for_long(int gup_test, uintptr_t address, size_t bytes)
{
	struct gup_pin pin = { .address = address, .bytes = bytes, .flags = 1 };

	return ioctl(gup_test, _IOW('g', 7, struct gup_pin), &pin);
}

int test_read_pinned(int gup_test, void *to)
{
	uint64_t target = (uintptr_t)to;

	return ioctl(gup_test, _IOW('g', 9, uint64_t), &target);
}

int test_unpin(int gup_test)
{
	return ioctl(gup_test, _IO('g', 8));
}

int test_swap_on(const char *path, int priority)
{
	return swapon(path, SWAP_FLAG_PREFER | (priority << SWAP_FLAG_PRIO_SHIFT & SWAP_FLAG_PRIO_MASK));
}

int test_swap_off(const char *path)
{
	return swapoff(path);
}

int test_load_module(int file, const char *parameters)
{
	return (int)syscall(SYS_finit_module, file, parameters, 0);
}

int test_unload_module(const char *name)
{
	return (int)syscall(SYS_delete_module, name, O_NONBLOCK);
}
