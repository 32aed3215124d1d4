/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * alloc.h - the kernel's only way to take memory: zero-filled, aligned, and with a switch that lets
 * tests fail the n-th request. Nothing on the way of a translation or an invalidation calls it.
 */
#ifndef CIOMMU_ALLOC_H
#define CIOMMU_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CACHE_LINE 64u
#define HUGE_PAGE                                                                                  \
    (2u << 20) /* as an alignment: asks the system for huge pages, where it has them */

/* `bytes` zero bytes at a multiple of `alignment` (a power of two), or NULL. Freed with
 * ciommu_free. */
void *ciommu_allocate(size_t alignment, size_t bytes);

/* The same for large pools, at a multiple of CACHE_LINE: on Linux, pages that nobody has touched
 * yet take address space only. */
void *ciommu_reserve(size_t bytes);
void ciommu_free(void *memory);

#ifdef CIOMMU_INTERNAL_CHECKS
/* Requests that still succeed before one fails, and all after it; negative = none fails. */
extern int ciommu_allocations_left;
/* Those after it succeed again. */
extern bool ciommu_allocations_fail_once;
/* Blocks that were taken and are not freed; only counted. */
extern int64_t ciommu_blocks;

/* Counts as a request for memory: asked before the system is asked for a thread or a descriptor. */
bool ciommu_is_denied(void);
#else
static inline bool ciommu_is_denied(void) {
    return false;
}
#endif

#endif
