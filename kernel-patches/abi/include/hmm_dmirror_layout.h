/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The layout of hmm_dmirror_uapi.h, checked wherever it is compiled: by the driver
 * and by the programs, so that the two cannot differ.
 */
#ifndef HMM_DMIRROR_LAYOUT_H
#define HMM_DMIRROR_LAYOUT_H

#ifdef __KERNEL__
#include <linux/build_bug.h>
#else
#include <assert.h>
#endif

#include "hmm_dmirror_uapi.h"

static_assert(sizeof(struct hmm_dmirror_cmd) == 40, "five words, no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_cmd, addr) == 0, "addr");
static_assert(__builtin_offsetof(struct hmm_dmirror_cmd, ptr) == 8, "ptr");
static_assert(__builtin_offsetof(struct hmm_dmirror_cmd, npages) == 16, "npages");
static_assert(__builtin_offsetof(struct hmm_dmirror_cmd, cpages) == 24, "cpages");
static_assert(__builtin_offsetof(struct hmm_dmirror_cmd, faults) == 32, "faults");

static_assert(sizeof(struct hmm_dmirror_info) == 104, "no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_info, version) == 8, "version");
static_assert(__builtin_offsetof(struct hmm_dmirror_info, type) == 12, "type");
static_assert(__builtin_offsetof(struct hmm_dmirror_info, unit) == 16, "unit");
static_assert(__builtin_offsetof(struct hmm_dmirror_info, state) == 20, "state");
static_assert(__builtin_offsetof(struct hmm_dmirror_info, commands) == 24, "commands");
static_assert(__builtin_offsetof(struct hmm_dmirror_info, chunks) == 32, "chunks");
static_assert(__builtin_offsetof(struct hmm_dmirror_info, pages) == 40, "pages");
static_assert(__builtin_offsetof(struct hmm_dmirror_info, free_pages) == 48, "free_pages");
static_assert(__builtin_offsetof(struct hmm_dmirror_info, allocated) == 56, "allocated");
static_assert(__builtin_offsetof(struct hmm_dmirror_info, freed) == 64, "freed");
static_assert(__builtin_offsetof(struct hmm_dmirror_info, page_size) == 72, "page_size");
static_assert(__builtin_offsetof(struct hmm_dmirror_info, large_pages) == 76, "large_pages");
static_assert(__builtin_offsetof(struct hmm_dmirror_info, table_bytes) == 80, "table_bytes");
static_assert(__builtin_offsetof(struct hmm_dmirror_info, abilities) == 88, "abilities");
static_assert(__builtin_offsetof(struct hmm_dmirror_info, bad_pages) == 96, "bad_pages");

static_assert(sizeof(struct hmm_dmirror_migrate) == 160, "no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_migrate, addr) == 8, "addr");
static_assert(__builtin_offsetof(struct hmm_dmirror_migrate, npages) == 16, "npages");
static_assert(__builtin_offsetof(struct hmm_dmirror_migrate, ptr) == 24, "ptr");
static_assert(__builtin_offsetof(struct hmm_dmirror_migrate, counts) == 32, "counts");
static_assert(HMM_DMIRROR_MIGRATE_DEVICE == 1 && HMM_DMIRROR_MIGRATE_SYSTEM == 2 &&
	      HMM_DMIRROR_MIGRATE_PREFAULT == 4 && HMM_DMIRROR_MIGRATE_FILE == 8 &&
	      HMM_DMIRROR_MIGRATE_RENEW == 16, "one bit each");

static_assert(sizeof(struct hmm_dmirror_evict) == 40, "no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_evict, first_pfn) == 8, "first_pfn");
static_assert(__builtin_offsetof(struct hmm_dmirror_evict, npages) == 16, "npages");
static_assert(__builtin_offsetof(struct hmm_dmirror_evict, timeout_ms) == 24, "timeout_ms");
static_assert(__builtin_offsetof(struct hmm_dmirror_evict, reserved) == 28, "reserved");
static_assert(__builtin_offsetof(struct hmm_dmirror_evict, evicted) == 32, "evicted");

static_assert(sizeof(struct hmm_dmirror_inject) == 40, "no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_inject, alloc_nth) == 8, "alloc_nth");
static_assert(__builtin_offsetof(struct hmm_dmirror_inject, copy_nth) == 16, "copy_nth");
static_assert(__builtin_offsetof(struct hmm_dmirror_inject, copy_delay_us) == 24, "copy_delay_us");
static_assert(__builtin_offsetof(struct hmm_dmirror_inject, notifier_delay_us) == 28,
	      "notifier_delay_us");
static_assert(__builtin_offsetof(struct hmm_dmirror_inject, map_nth) == 32, "map_nth");

static_assert(sizeof(struct hmm_dmirror_stats) == 168, "no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_stats, cpu_faults) == 8, "cpu_faults");
static_assert(__builtin_offsetof(struct hmm_dmirror_stats, device_faults) == 16, "device_faults");
static_assert(__builtin_offsetof(struct hmm_dmirror_stats, retries) == 24, "retries");
static_assert(__builtin_offsetof(struct hmm_dmirror_stats, evicted) == 32, "evicted");
static_assert(__builtin_offsetof(struct hmm_dmirror_stats, batches_to_device) == 40,
	      "batches_to_device");
static_assert(__builtin_offsetof(struct hmm_dmirror_stats, batches_to_system) == 48,
	      "batches_to_system");
static_assert(__builtin_offsetof(struct hmm_dmirror_stats, pages_to_device) == 56,
	      "pages_to_device");
static_assert(__builtin_offsetof(struct hmm_dmirror_stats, pages_to_system) == 64,
	      "pages_to_system");
static_assert(__builtin_offsetof(struct hmm_dmirror_stats, pages_cleared) == 72, "pages_cleared");
static_assert(__builtin_offsetof(struct hmm_dmirror_stats, copy_errors) == 80, "copy_errors");
static_assert(__builtin_offsetof(struct hmm_dmirror_stats, max_copy_ns) == 88, "max_copy_ns");
static_assert(__builtin_offsetof(struct hmm_dmirror_stats, max_fault_ns) == 96, "max_fault_ns");
static_assert(__builtin_offsetof(struct hmm_dmirror_stats, invalidations) == 104, "invalidations");

static_assert(sizeof(struct hmm_dmirror_devmem) == 40, "no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_devmem, addr) == 8, "addr");
static_assert(__builtin_offsetof(struct hmm_dmirror_devmem, npages) == 16, "npages");
static_assert(__builtin_offsetof(struct hmm_dmirror_devmem, ptr) == 24, "ptr");
static_assert(__builtin_offsetof(struct hmm_dmirror_devmem, pfns) == 32, "pfns");

static_assert(sizeof(struct hmm_dmirror_atomic) == 48, "no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_atomic, addr) == 8, "addr");
static_assert(__builtin_offsetof(struct hmm_dmirror_atomic, op) == 16, "op");
static_assert(__builtin_offsetof(struct hmm_dmirror_atomic, faults) == 20, "faults");
static_assert(__builtin_offsetof(struct hmm_dmirror_atomic, operand) == 24, "operand");
static_assert(__builtin_offsetof(struct hmm_dmirror_atomic, compare) == 32, "compare");
static_assert(__builtin_offsetof(struct hmm_dmirror_atomic, old) == 40, "old");

static_assert(sizeof(struct hmm_dmirror_odp_reg) == 32, "no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_reg, addr) == 8, "addr");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_reg, npages) == 16, "npages");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_reg, max_retries) == 24, "max_retries");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_reg, handle) == 28, "handle");

static_assert(sizeof(struct hmm_dmirror_odp_dereg) == 120, "no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_dereg, handle) == 8, "handle");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_dereg, parts) == 12, "parts");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_dereg, requests) == 16, "requests");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_dereg, faults) == 24, "faults");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_dereg, retries) == 32, "retries");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_dereg, present) == 40, "present");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_dereg, max_fault_ns) == 48,
	      "max_fault_ns");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_dereg, invalidations) == 56,
	      "invalidations");

static_assert(sizeof(struct hmm_dmirror_odp_request) == 48, "no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_request, id) == 0, "id");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_request, op) == 8, "op");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_request, flags) == 12, "flags");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_request, addr) == 16, "addr");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_request, length) == 24, "length");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_request, handle) == 32, "handle");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_request, to_handle) == 36, "to_handle");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_request, data) == 40, "data");

static_assert(sizeof(struct hmm_dmirror_odp_post) == 24, "no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_post, ptr) == 8, "ptr");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_post, count) == 16, "count");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_post, posted) == 20, "posted");

static_assert(sizeof(struct hmm_dmirror_odp_completion) == 40, "no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_completion, id) == 0, "id");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_completion, status) == 8, "status");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_completion, faults) == 12, "faults");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_completion, done) == 16, "done");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_completion, value) == 24, "value");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_completion, ns) == 32, "ns");

static_assert(sizeof(struct hmm_dmirror_odp_poll) == 32, "no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_poll, ptr) == 8, "ptr");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_poll, count) == 16, "count");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_poll, timeout_ms) == 20, "timeout_ms");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_poll, polled) == 24, "polled");
static_assert(__builtin_offsetof(struct hmm_dmirror_odp_poll, pending) == 28, "pending");

static_assert(sizeof(struct hmm_dmirror_pin) == 48, "no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_pin, addr) == 8, "addr");
static_assert(__builtin_offsetof(struct hmm_dmirror_pin, npages) == 16, "npages");
static_assert(__builtin_offsetof(struct hmm_dmirror_pin, handle) == 24, "handle");
static_assert(__builtin_offsetof(struct hmm_dmirror_pin, reserved) == 28, "reserved");
static_assert(__builtin_offsetof(struct hmm_dmirror_pin, system) == 32, "system");
static_assert(__builtin_offsetof(struct hmm_dmirror_pin, coherent) == 40, "coherent");

static_assert(sizeof(struct hmm_dmirror_unpin) == 16, "no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_unpin, handle) == 8, "handle");
static_assert(__builtin_offsetof(struct hmm_dmirror_unpin, reserved) == 12, "reserved");

static_assert(sizeof(struct hmm_dmirror_chunk) == 40, "no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_chunk, npages) == 8, "npages");
static_assert(__builtin_offsetof(struct hmm_dmirror_chunk, first_pfn) == 16, "first_pfn");
static_assert(__builtin_offsetof(struct hmm_dmirror_chunk, timeout_ms) == 24, "timeout_ms");
static_assert(__builtin_offsetof(struct hmm_dmirror_chunk, reserved) == 28, "reserved");
static_assert(__builtin_offsetof(struct hmm_dmirror_chunk, left) == 32, "left");

static_assert(sizeof(struct hmm_dmirror_unplug) == 16, "no padding");
static_assert(__builtin_offsetof(struct hmm_dmirror_unplug, timeout_ms) == 8, "timeout_ms");
static_assert(__builtin_offsetof(struct hmm_dmirror_unplug, reserved) == 12, "reserved");

#endif
