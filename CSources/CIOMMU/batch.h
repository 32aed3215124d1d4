/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * batch.h - one run over an array of native entries, in two halves, so that several runs can share
 * the drain in between (submit.c).
 */
#ifndef CIOMMU_BATCH_H
#define CIOMMU_BATCH_H

#include "ciommu_invalidation.h"
#include "pending.h"

struct batch_run {
    struct ciommu_unit *unit;
    struct ciommu_port *port; /* for status writes; not inside a section */
    const struct ciommu_batch *batch;
    const struct ciommu_batch_host *host; /* or NULL */
    struct ciommu_batch_result *result;
    struct pending pending;
    uint32_t segment_first; /* index of the open segment's first entry */
    uint32_t native;        /* length of the format's entries */
    bool refused;
    bool told_timeout;    /* one is among the failures that are kept, if any can be */
    uint32_t entries[16]; /* taken, by descriptor type; 0: stage-1 entries */
};

/* Are the arguments of a batch in their ranges? */
bool ciommu_batch_is_well_formed(const struct ciommu_unit *unit, const struct ciommu_port *port,
                                 const struct ciommu_batch *batch,
                                 const struct ciommu_batch_host *host);

/* Takes every entry, completes every segment that a wait descriptor ends, and applies the last one.
 * The caller has filled everything up to `result`. */
void ciommu_batch_begin(struct batch_run *run);

/* Must the ports be drained before the last segment is complete? */
bool ciommu_batch_needs_drain(const struct batch_run *run);

/* Completes the last segment, with what the drain answered. */
enum ciommu_status ciommu_batch_end(struct batch_run *run, enum ciommu_status drained,
                                    uint32_t port_id);

#endif
