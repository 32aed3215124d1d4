/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * binding.h - the device table in bound mode: what walks of guest-owned tables found for a (source,
 * PASID), in a fixed pool. It knows spaces; it does not know how guest tables look (context_vtd.c).
 *
 * Protocol (bindings)
 *   Readers      lock-free, under the RCU read lock: hash, follow the chain, copy `resolved`. Ports
 *                keep such copies until a section finds a new tablegen; the `birth` inside tells
 *                whether the space still lives.
 *   Publication  a resolver loads tablegen before its first read of guest tables, takes the table
 *                lock (try-lock: busy = it stays uncached), and links the binding (store-release)
 *                only if tablegen has not moved.
 *   Removal      a changer holds the table lock: tablegen++, unlink, tablegen++; then (unlocked)
 *                ugen++ and drain. Slots return through call_rcu.
 *   Eviction     when the pool is full: liburcu's thread unlinks the oldest bindings. No generation
 *                moves, because what they say is still true; copies in ports stay usable.
 *   Guarantee    after a changer's drain no section uses a binding that it removed.
 */
#ifndef CIOMMU_BINDING_H
#define CIOMMU_BINDING_H

#include "port.h"

struct binding {
    uint64_t requester;       /* constant while linked */
    struct resolved resolved; /* constant while linked */
    struct binding *next;     /* hash chain; table lock, readers acquire */
    struct binding *newer;    /* age list and free list; table lock */
    struct binding *older;
    struct bindings *owner; /* constant */
    struct rcu_head rcu;
};

struct bindings {
    struct binding *pool;
    struct binding **buckets;
    struct binding *free;
    struct binding *newest; /* age list */
    struct binding *oldest;
    uint32_t bucket_mask;
    uint32_t count;
    uint32_t used;
    uint32_t reclaiming; /* 1 from the moment an eviction is asked for until it is done */
    uint64_t reclaimed;
    struct deferrals deferrals;
    struct spaces *spaces;
    pthread_mutex_t *lock; /* constant: the table lock */
    struct rcu_head reclaim;
};

enum ciommu_status ciommu_bindings_init(struct bindings *bindings, uint32_t count,
                                        struct spaces *spaces, pthread_mutex_t *lock);
/* Nothing is in use or deferred any more. */
void ciommu_bindings_fini(struct bindings *bindings);

/* Copies what is known of `requester`. Under the RCU read lock. */
bool ciommu_bindings_find(const struct bindings *bindings, uint64_t requester,
                          struct resolved *out);

/* Makes and links a binding for `shape`, and completes `resolved` with its space. False when a pool
 * is full (an eviction is then under way). Table lock. */
bool ciommu_bindings_publish(struct bindings *bindings, uint64_t requester,
                             const struct space_shape *shape, struct resolved *resolved);

/* Unlinks what a CONTEXT or PASID invalidation covers. Table lock. */
void ciommu_bindings_remove(struct bindings *bindings, const struct ciommu_invalidation *what);

#endif
