/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * memory.h - the memory map: output addresses -> host memory. Knows nothing of units but that
 * somebody must be told of a change.
 *
 * Protocol (memory map)
 *   Readers      lock-free, under the RCU read lock and inside a port's section: load `map`
 *                (acquire), binary search. A result may be kept in the port (window, walk cache,
 *                first level) until the section in which the port finds a new mapgen.
 *   Writers      under `lock`: build a whole new map, publish it (store-release, pairs with
 *                ciommu_memory_map's load), then tell every user; a user bumps its mapgen and ugen
 *                and drains its ports.
 *   Reclamation  the old map goes to call_rcu; the host's memory is the host's again when every
 *                user has drained.
 *   Guarantee    after remove or replace answered CIOMMU_OK no section uses the old host memory.
 *   Stale        a section that began before the change may use the old memory until it ends.
 */
#ifndef CIOMMU_MEMORY_H
#define CIOMMU_MEMORY_H

#include "ciommu.h"
#include "atomics.h"
#include "rcu.h"

#include <pthread.h>

/* One registered range, immutable once published. */
struct memory_range {
    uint64_t first;
    uint64_t last;
    unsigned char *host;
    uint32_t rights;
};

/* Sorted by address, disjoint, immutable once published. */
struct memory_map {
    struct rcu_head rcu;
    struct deferrals *deferrals; /* set when it is retired */
    uint32_t count;
    struct memory_range ranges[];
};

/* A dirty-log hook, immutable once published; kept until no report runs that may have loaded it. */
struct memory_dirty_log {
    struct memory_dirty_log *older; /* memory->lock */
    ciommu_dirty_log log;           /* NULL = none */
    void *context;
};

/* Somebody who caches what the map says. */
struct memory_user {
    struct memory_user *next; /* memory->lock */
    enum ciommu_status (*changed)(
        struct memory_user *);                         /* constant; invalidates caches and drains */
    enum ciommu_status (*drain)(struct memory_user *); /* constant; waits for sections */
    enum ciommu_status (*quiesce)(
        struct memory_user *); /* constant; waits for running dirty reports */
};

struct ciommu_memory {
    struct memory_map *map;             /* writers under lock; readers acquire */
    struct memory_dirty_log *dirty_log; /* the same; NULL = none was ever set */
    pthread_mutex_t lock;
    struct memory_user *users; /* lock */
    struct deferrals deferrals;
};

/* A range that a port met last; empty when `length` is 0. */
struct memory_window {
    uint64_t first;
    uint64_t length;
    unsigned char *host;
    uint32_t rights;
};

#define MEMORY_NO_WINDOW ((struct memory_window){.length = 0})

/* Registers and unregisters a user. Unregistering does not drain. */
void ciommu_memory_join(struct ciommu_memory *memory, struct memory_user *user);
void ciommu_memory_part(struct ciommu_memory *memory, struct memory_user *user);

/* The range that holds `address`, or NULL. Under the RCU read lock. */
const struct memory_range *ciommu_memory_find(const struct memory_map *map, uint64_t address);

/* Host byte of `address`, remembered in `window`; NULL where no memory is. Under the RCU read lock,
 * inside a section. */
static inline unsigned char *ciommu_memory_host(const struct ciommu_memory *memory,
                                                struct memory_window *window, uint64_t address) {
    if (unlikely(address - window->first >= window->length)) {
        const struct memory_range *range = ciommu_memory_find(load_acquire(&memory->map), address);
        if (range == NULL) {
            return NULL;
        }
        *window = (struct memory_window){range->first, range->last - range->first + 1, range->host,
                                         range->rights};
    }
    return window->host + (address - window->first);
}

/* The hook to call now, or NULL. Load it (seq_cst) after the port's report word turned odd; call it
 * outside locks and sections. */
static inline const struct memory_dirty_log *
ciommu_memory_dirty_log(const struct ciommu_memory *memory) {
    return load_seq_cst(&memory->dirty_log); /* pairs with ciommu_memory_set_dirty_log */
}

#endif
