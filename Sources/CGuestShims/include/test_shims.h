/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the test programs need and Swift cannot call: functions that return twice, functions and constants that glibc
 * shows only with _GNU_SOURCE (Swift's Glibc module is built without it), variadic functions, and ioctl numbers that
 * exist only as function-like macros. Every function returns what the C library does: -1 and errno on failure.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Reads one byte at address, writes value there, or adds *value to the word there atomically and tells the old one, and
 * survives what that brings. Returns 0, SIGSEGV or SIGBUS; after a signal *code holds its si_code and *fault_address its
 * si_addr. Any number of threads. Reason: sigsetjmp() returns twice, and Swift has no atomic operation on memory that it
 * does not own. The handlers stay in place; where nobody probes, they do what was done before them.
 */
int test_probe_read(uintptr_t address, uint64_t *value, int *code, uintptr_t *fault_address);
int test_probe_write(uintptr_t address, uint8_t value, int *code, uintptr_t *fault_address);
int test_probe_add(uintptr_t address, uint64_t *value, int *code, uintptr_t *fault_address);
/* The same for telling the kernel of an error in a page; *value is the error number of madvise(2), 0 for none. */
int test_probe_poison(uintptr_t address, uint64_t *value, int *code, uintptr_t *fault_address);

/*
 * Whether the kernel takes system calls of 32-bit programs, and ioctl(2) as such a program makes it: argument is an address
 * below 4 GiB. Reason: `int $0x80` is not a C function.
 */
bool test_has_calls_32(void);
int test_ioctl_32(int descriptor, uint32_t request, uint32_t argument);

/* Adds 1 to a word atomically so many times, as fast as it can. Reason: as for test_probe_add(). */
void test_count_up(uintptr_t address, uint32_t times);

/* The kernel kills the caller as soon as the thread that forked it ends. Reason: variadic, prctl(2). */
int test_die_with_parent(void);

/*
 * Keeps the caller on the processor it is on. Reason: cpu_set_t is built by function-like macros, and sched_getcpu(3)
 * needs _GNU_SOURCE.
 */
int test_stay_on_processor(void);

/* Takes the caller to any other processor; EINVAL where there is only one. Reason: as above. */
int test_go_to_other_processor(void);

/* A copy of a descriptor that another process has open. Reason: pidfd_getfd(2) has no wrapper in glibc. */
int test_copy_descriptor(pid_t process, int descriptor);

/* Moves a mapping to a new address that the kernel chooses; MAP_FAILED on failure. Reason: variadic, mremap(2). */
void *test_move_mapping(void *address, size_t bytes);

/* Moves a mapping onto another one, which goes; MAP_FAILED on failure. Reason: variadic, mremap(2). */
void *test_move_mapping_onto(void *address, size_t bytes, void *target);

/* Moves the pages of a mapping onto another one, which goes, and leaves the mapping; as above. */
void *test_move_pages_onto(void *address, size_t bytes, void *target);

/* A file in memory, with sealing allowed. Reason: memfd_create(2) needs _GNU_SOURCE. */
int test_memory_file(const char *name);

/* A file in memory that is in no map of the kernel. Reason: memfd_secret(2) has no function. */
int test_secret_file(void);

/* A file in folder that has no name. Reason: O_TMPFILE of open(2) needs _GNU_SOURCE. */
int test_unnamed_file(const char *folder);

/* Opens or makes a file for reading and writing. Reason: open() with a mode is variadic. */
int test_named_file(const char *path);

/* Opens a file once more, for reading and writing past the page cache (O_DIRECT). Reason: _GNU_SOURCE. */
int test_direct_file(int file);

/* Opens a disk to read it past the page cache (O_DIRECT). Reason: as above. */
int test_direct_reader(const char *path);

/* Whether the file is mapped from its device directly (STATX_ATTR_DAX), or -1 with errno. Reason: _GNU_SOURCE. */
int test_is_dax(int file);

/* All of ext4's journal goes to its place on the disk. Reason: the ioctl number is a function-like macro. */
int test_checkpoint(int file);

/* The number of the disk's block that holds a page of a file, where blocks are as large as pages. Reason: as above. */
int test_block_of_page(int file, int page);

/* Begins to write all of a file back, and waits for nothing (sync_file_range(2)). Reason: _GNU_SOURCE. */
int test_begin_write_back(int file);

/* Sends bytes of a file to another one without a copy in the program. Reason: not in Swift's Glibc module. */
ssize_t test_send_file(int to, int from, off_t offset, size_t bytes);

/* Gives a part of a file back to the file system; its length stays. Reason: fallocate(2) needs _GNU_SOURCE. */
int test_punch_hole(int file, off_t offset, off_t bytes);

/* Moves all of this process's pages from one NUMA node below 64 to another; how many stayed, or -1 with errno.
 * Reason: glibc has no migrate_pages(2), and syscall() is variadic. */
long test_move_to_node(unsigned int from, unsigned int to);

/* No write and no new writable mapping of a memory file from now on. Reason: F_ADD_SEALS needs _GNU_SOURCE. */
int test_seal_against_writing(int file);

/* Copies from a process's memory the way a debugger does. Reason: process_vm_readv(2) needs _GNU_SOURCE. */
ssize_t test_copy_through_kernel(pid_t process, uintptr_t from, void *to, size_t bytes);

/* Stops a process, writes a word to its memory, and lets it go on. Reason: variadic, ptrace(2). */
int test_poke(pid_t process, uintptr_t address, uint64_t word);

/* Puts the pages themselves, not a copy, into a pipe. Reason: vmsplice(2) needs _GNU_SOURCE. */
ssize_t test_splice_pages(int pipe, uintptr_t from, size_t bytes);

/*
 * Registers a range for missing faults, which are then left unanswered; returns the userfaultfd(2) descriptor. Reason:
 * no wrapper in glibc, and the numbers of <linux/userfaultfd.h> are function-like macros.
 */
int test_watch_missing_pages(uintptr_t address, size_t bytes);

/* /sys/kernel/debug/gup_test (mm/gup_test.c): how the kernel is to take hold of user pages. */
enum test_pin {
	TEST_PIN_GET, /* get_user_pages() with FOLL_WRITE: a short reference */
	TEST_PIN_FAST_LONGTERM, /* pin_user_pages_fast() with FOLL_WRITE | FOLL_LONGTERM */
	TEST_PIN_LONGTERM, /* pin_user_pages() with FOLL_WRITE | FOLL_LONGTERM */
};

/*
 * Takes hold of the pages and lets go again at once. longterm_flag is the running kernel's FOLL_LONGTERM, for
 * TEST_PIN_FAST_LONGTERM. Reason: the ioctl number is a function-like macro.
 */
int test_pin_and_release(int gup_test, enum test_pin how, uint32_t longterm_flag, uintptr_t address, size_t bytes);
/* Holds the pages with a long-term pin until test_unpin() or close(); EINVAL before 6.2. Reason: as above. */
int test_pin_for_long(int gup_test, uintptr_t address, size_t bytes);
/* Copies what the pinned pages hold, through the pin and not through the page table. Reason: as above. */
int test_read_pinned(int gup_test, void *to);
/* Lets go; does nothing where nothing is held, and EINVAL before 6.2. Reason: as above. */
int test_unpin(int gup_test);

/* Begins to swap to a device before those of lower priority, and ends it. Reason: Swift's Glibc lacks <sys/swap.h>. */
int test_swap_on(const char *path, int priority);
int test_swap_off(const char *path);

/* Loads the module in an open file, and unloads one that nobody uses. Reason: neither call has a wrapper in glibc. */
int test_load_module(int file, const char *parameters);
int test_unload_module(const char *name);
