/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * alloc.c - see alloc.h.
 */
#define _GNU_SOURCE
#include "alloc.h"
#include "atomics.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#ifdef CIOMMU_INTERNAL_CHECKS
int ciommu_allocations_left = -1;

static bool must_fail(void) {
    int left = load_relaxed(&ciommu_allocations_left);
    if (left > 0) {
        store_relaxed(&ciommu_allocations_left, left - 1);
    }
    return left == 0;
}
#else
static bool must_fail(void) {
    return false;
}
#endif

void *ciommu_allocate(size_t alignment, size_t bytes) {
    if (must_fail() || bytes > SIZE_MAX - alignment) {
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
    return memory;
}

void ciommu_free(void *memory) {
    free(memory);
}
