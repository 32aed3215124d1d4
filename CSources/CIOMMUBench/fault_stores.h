/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * fault_stores.h - the usual places for events: a ring under a mutex, an ordered map under a
 * reader-writer lock, a wait-free queue. Any threads may put events in; one reads them out.
 */
#ifndef CIOMMU_BENCH_FAULT_STORES_H
#define CIOMMU_BENCH_FAULT_STORES_H

#include "check.h"

#define EVENTS 1024u /* that a store holds */

/* What the engine's records tell, too. */
struct event {
    uint64_t time;
    struct ciommu_fault fault;
};

struct fault_stores;

struct fault_stores *fault_stores_create(void);
void fault_stores_destroy(struct fault_stores *stores);
/* False: the store is full. */
bool fault_stores_put(struct fault_stores *stores, enum bench_fault_store which,
                      const struct ciommu_fault *fault);
/* Reads everything out; how many events it was. */
uint32_t fault_stores_drain(struct fault_stores *stores, enum bench_fault_store which);

#endif
