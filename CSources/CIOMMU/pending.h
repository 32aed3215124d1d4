/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * pending.h - the inner invalidations of one segment of a batch, merged, until they are applied
 * together under one lock, the ranges of one target as one set, and completed by one drain. On the
 * stack of the thread that applies the batch.
 */
#ifndef CIOMMU_PENDING_H
#define CIOMMU_PENDING_H

#include "tlb_ask.h"

#define PENDING_MOST 64u

/* Implementation: the ranges of one space that hold more pages than this together become the whole
 * space, whose fresh tag costs one store; clearing costs a stripe per page and page size. */
#define PENDING_PAGES_MOST 512u

/* Where a pending entry comes from. */
struct pending_origin {
    uint32_t index; /* of the batch's entry; of several that were merged, the first */
    bool failed;    /* a device was late or refused, and was reported */
};

struct pending {
    /* One more: where an entry is written while there is no room for it. Aligned, so that no part
     * of an entry lies across two cache lines. */
    struct ciommu_invalidation what[PENDING_MOST + 1] __attribute__((aligned(64)));
    struct pending_origin origins[PENDING_MOST + 1]; /* of the same entries */
    struct ciommu_unit *unit;
    uint32_t count;
    uint64_t pages;   /* of all ranges that are less than everything, before merging */
    bool ordered;     /* sorted by target and address, nothing left to merge */
    uint32_t widened; /* targets that became a whole space, since the beginning */
    uint32_t merged;  /* entries that needed no place of their own, since the beginning */
    bool changed;     /* something was applied and not drained */
    bool late;        /* a drain timed out: of a segment, or of the block of a device */
    bool late_now;    /* in this segment; whoever reports it clears it */
    uint32_t port_id;
    struct ciommu_domain *domain; /* of a nested domain's batch: all entries are of its space */
    tlb_report report;            /* hears of devices that failed */
    void *context;
    bool device_late;     /* one timed out, since the beginning */
    bool segment_late;    /* and in this segment */
    uint32_t late_source; /* the first of them */
    /* Device-TLB entries of the segment whose devices answered in an earlier wave: the first and
     * the last; UINT32_MAX in the first: none. */
    uint32_t earlier_first;
    uint32_t earlier_last;
};

static inline void pending_init(struct pending *pending, struct ciommu_unit *unit) {
    pending->unit = unit;
    pending->count = 0;
    pending->pages = 0;
    pending->ordered = true;
    pending->merged = 0;
    pending->widened = 0;
    pending->changed = false;
    pending->late = false;
    pending->late_now = false;
    pending->port_id = 0;
    pending->domain = NULL;
    pending->report = NULL;
    pending->context = NULL;
    pending->device_late = false;
    pending->segment_late = false;
    pending->late_source = CIOMMU_ANY;
    pending->earlier_first = UINT32_MAX;
    pending->earlier_last = 0;
}

/* Where to write the next entry before it is added. It is decoded in its place, because copying
 * what was written field by field a moment ago stalls. */
static inline struct ciommu_invalidation *pending_next(struct pending *pending) {
    return &pending->what[pending->count];
}

/* Adds the next one; applies what is there first if there is no room. */
void ciommu_pending_add(struct pending *pending, uint32_t index);

/* The end of a segment in two halves: applies everything; and, after the ports were drained with
 * `status`, asks devices and tells observers. */
void ciommu_pending_apply(struct pending *pending);
void ciommu_pending_drained(struct pending *pending, enum ciommu_status status, uint32_t port_id);

/* The end of a segment: applies and drains everything, then asks devices and waits for them, then
 * tells observers. A port's section that was still open at the deadline: `late` and `port_id`. A
 * device that did not answer: `device_late`, and `report` heard of it. */
void ciommu_pending_complete(struct pending *pending);

#endif
