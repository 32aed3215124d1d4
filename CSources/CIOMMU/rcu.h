/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * rcu.h - object lifetime, by liburcu (flavour bp: no thread registration, because ports move
 * between threads). The only header that includes <urcu/...>. Loads and stores stay C11
 * (atomics.h); liburcu supplies read sections, grace periods and callbacks.
 *
 * After fork() a child has no callback thread: it may use nothing of this library unless it calls
 * exec().
 *
 * Read sections are short and never contain a callback of the host. Under ThreadSanitizer liburcu
 * is not inlined, because its barriers are invisible to the tool; a read unlock is annotated as a
 * release and the end of a grace period as an acquire instead.
 */
#ifndef CIOMMU_RCU_H
#define CIOMMU_RCU_H

#include "atomics.h"

#if !defined(CIOMMU_TSAN) && !defined(_LGPL_SOURCE)
#define _LGPL_SOURCE
#endif
#define URCU_API_MAP
#include <urcu/urcu-bp.h>

extern char ciommu_rcu_edge; /* names the grace periods to ThreadSanitizer */

typedef void (*ciommu_rcu_callback)(struct rcu_head *head);

static inline __attribute__((always_inline)) void ciommu_rcu_lock(void) {
    urcu_bp_read_lock();
}

static inline __attribute__((always_inline)) void ciommu_rcu_unlock(void) {
    happens_before(&ciommu_rcu_edge);
    urcu_bp_read_unlock();
}

/* Callbacks that an owner has under way. The owner waits for them before it frees what they touch.
 */
struct deferrals {
    uint64_t pending;
};

/* First and last statement of every callback: the grace period is over; the owner may go. */
static inline void ciommu_rcu_callback_begins(void) {
    happens_after(&ciommu_rcu_edge);
}

static inline void ciommu_rcu_callback_ends(struct deferrals *deferrals) {
    (void)__atomic_fetch_sub(&deferrals->pending, 1,
                             __ATOMIC_RELEASE); /* pairs with ciommu_rcu_wait */
}

/* Runs `callback` on liburcu's thread after every present read section has ended. Does not
 * allocate; may wake that thread. */
void ciommu_rcu_defer(struct deferrals *deferrals, struct rcu_head *head,
                      ciommu_rcu_callback callback);

/* Starts liburcu's callback thread, so that no later deferral needs memory; false where the system
 * has no thread. Once per process is enough; repeating is harmless. */
bool ciommu_rcu_prepare(void);
extern uint32_t ciommu_rcu_prepared; /* tests clear it, to begin a process anew */

/* Waits until every present read section has ended. Never from a read section. */
void ciommu_rcu_synchronize(void);

/* Waits until every callback that was deferred before the call has run, whoever deferred it. Never
 * from a callback, a read section, or under a lock that a callback takes. */
void ciommu_rcu_barrier(void);

/* Waits until none is pending. Never from a callback, a read section, or under a lock that a
 * callback takes. */
void ciommu_rcu_wait(const struct deferrals *deferrals);

#endif
