/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * pending.h - the inner invalidations of one segment of a batch, merged, until they are applied
 * together under one lock and completed by one drain. On the stack of the thread that applies the
 * batch.
 */
#ifndef CIOMMU_PENDING_H
#define CIOMMU_PENDING_H

#include "unit.h"

#define PENDING_MOST 64u

/* Implementation: the ranges of one space that hold more pages than this together become the whole
 * space, whose fresh tag costs one store; clearing costs a stripe per page and page size. */
#define PENDING_PAGES_MOST 512u

struct pending_entry {
    struct ciommu_space *space; /* of a nested domain's batch; NULL: `what` says which */
    struct ciommu_invalidation what;
};

struct pending {
    struct ciommu_unit *unit;
    struct pending_entry entries[PENDING_MOST];
    uint32_t count;
    uint32_t merged; /* entries that needed no place of their own, since the beginning */
    bool changed;    /* something was applied and not drained */
    bool late;       /* a drain timed out */
    bool late_now;   /* the same, since the last completion */
    uint32_t port_id;
};

static inline void pending_init(struct pending *pending, struct ciommu_unit *unit) {
    pending->unit = unit;
    pending->count = 0;
    pending->merged = 0;
    pending->changed = false;
    pending->late = false;
    pending->late_now = false;
    pending->port_id = 0;
}

/* Adds one; applies what is there first if there is no room. */
void ciommu_pending_add(struct pending *pending, struct ciommu_space *space,
                        const struct ciommu_invalidation *what);

/* Applies and drains everything, then tells observers. False: since the last completion a port's
 * section was still open at a deadline, `late` and `port_id` say so. */
bool ciommu_pending_complete(struct pending *pending);

#endif
