/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * alloc.c - see alloc.h.
 */
#define _GNU_SOURCE
#include "alloc.h"
#include "atomics.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

#ifdef CIOMMU_INTERNAL_CHECKS
int ciommu_allocations_left = -1;
bool ciommu_allocations_fail_once = false;
int64_t ciommu_blocks = 0;

bool ciommu_is_denied(void) {
    int left = load_relaxed(&ciommu_allocations_left);
    if (left > 0 || (left == 0 && ciommu_allocations_fail_once)) {
        store_relaxed(&ciommu_allocations_left, left - 1);
    }
    return left == 0;
}

static void count_block(const void *memory, int64_t change) {
    if (memory != NULL) {
        (void)add_relaxed(&ciommu_blocks, change);
    }
}
#else
static void count_block(const void *memory, int64_t change) {
    (void)memory;
    (void)change;
}
#endif

void *ciommu_allocate(size_t alignment, size_t bytes) {
    if (ciommu_is_denied() || bytes > SIZE_MAX - alignment) {
        return NULL;
    }
    size_t rounded =
        (bytes + alignment - 1) & ~(alignment - 1); /* aligned_alloc wants a multiple */
    void *memory = aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
#if defined(MADV_HUGEPAGE)
    if (memory != NULL && alignment >= HUGE_PAGE) {
        (void)madvise(memory, rounded, MADV_HUGEPAGE); /* before the first touch */
    }
#endif
    if (memory != NULL) {
        memset(memory, 0, rounded);
    }
    count_block(memory, 1);
    return memory;
}

#if defined(__linux__)
void *ciommu_reserve(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (ciommu_is_denied() || bytes > SIZE_MAX - page) {
        return NULL;
    }
    /* Whole pages of the system's: what is given back would take the rest of the last one along. */
    size_t rounded = (bytes / page + 1) * page;
    void *memory = aligned_alloc(page, rounded);
    /* Private pages that are given back read as zero. Where they cannot be (locked memory), they
     * are cleared. */
    if (memory != NULL && madvise(memory, rounded, MADV_DONTNEED) != 0) {
        memset(memory, 0, rounded);
    }
    count_block(memory, 1);
    return memory;
}
#else
void *ciommu_reserve(size_t bytes) {
    return ciommu_allocate(CACHE_LINE, bytes);
}
#endif

void ciommu_free(void *memory) {
    count_block(memory, -1);
    free(memory);
}
