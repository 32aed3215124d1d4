/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * pasid_pool.h - which PASIDs of a range are taken: one bit each, and one per 64 of those, so that
 * a free one is found in a few steps. It does not know who has them. Its owner's lock guards it.
 */
#ifndef CIOMMU_PASID_POOL_H
#define CIOMMU_PASID_POOL_H

#include "ciommu.h"

/* Invariant: `taken` bits of `words` are set, none of them at or behind `count`; a bit of `full` is
 * set if and only if its word is all ones. */
struct pasid_pool {
    uint32_t first;  /* constant: the PASID of bit 0 */
    uint32_t count;  /* constant: PASIDs in all */
    uint32_t taken;  /* of them */
    uint32_t next;   /* where the search for a free one begins */
    uint64_t *words; /* the pointers are constant */
    uint64_t *full;
};

/* All of first...last (inclusive) are free. CIOMMU_NO_MEMORY: there is nothing to end. */
enum ciommu_status ciommu_pasid_pool_init(struct pasid_pool *pool, uint32_t first, uint32_t last);
void ciommu_pasid_pool_fini(struct pasid_pool *pool);

bool ciommu_pasid_pool_contains(const struct pasid_pool *pool, uint32_t pasid);
bool ciommu_pasid_pool_is_taken(const struct pasid_pool *pool, uint32_t pasid);

/* The next free PASID at or after the one last taken, round about (next fit: what was given back
 * just now comes last); false if all are taken. Does not take it. */
bool ciommu_pasid_pool_find(const struct pasid_pool *pool, uint32_t *pasid);

void ciommu_pasid_pool_take(struct pasid_pool *pool, uint32_t pasid);
void ciommu_pasid_pool_give(struct pasid_pool *pool, uint32_t pasid);

#endif
